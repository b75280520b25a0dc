//! HTTP/1.1 as it is written: a client that sends a target byte by byte as given.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than Envoy lets a request take, so that it is Envoy who gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header lines, without the status line.
    pub headers: Vec<u8>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first value of header `name`, which is lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.split(|byte| *byte == b'\n').find_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            line[..colon]
                .eq_ignore_ascii_case(name.as_bytes())
                .then(|| line[colon + 1..].trim_ascii())
        })
    }

    /// Whether the body contains `text`.
    #[must_use]
    pub fn contains(&self, text: &str) -> bool {
        contains(&self.body, text.as_bytes())
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// A keep-alive connection, opened when needed and again when the peer closed it.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
            buffer: Vec::new(),
        }
    }

    /// `GET target`, with header `x-server` if the request is for a server.
    pub(crate) fn get(&mut self, target: &[u8], server: Option<usize>) -> io::Result<Answer> {
        let mut message = Vec::with_capacity(target.len() + 64);
        message.extend_from_slice(b"GET ");
        message.extend_from_slice(target);
        message.extend_from_slice(b" HTTP/1.1\r\nhost: a.test\r\n");
        if let Some(server) = server {
            message.extend_from_slice(format!("x-server: s{server}\r\n").as_bytes());
        }
        message.extend_from_slice(b"\r\n");
        // A connection that was closed while it was idle shows it only now.
        let fresh = self.stream.is_none();
        match self.exchange(&message) {
            Err(_) if !fresh => self.exchange(&message),
            outcome => outcome,
        }
    }

    fn exchange(&mut self, message: &[u8]) -> io::Result<Answer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                self.buffer.clear();
                let stream = TcpStream::connect(self.address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream
            }
        };
        stream.write_all(message)?;
        let (answer, keep) = self.read(&mut stream)?;
        if keep {
            self.stream = Some(stream);
        }
        Ok(answer)
    }

    /// Reads one answer; the second value says whether another may follow.
    fn read(&mut self, stream: &mut TcpStream) -> io::Result<(Answer, bool)> {
        let end = loop {
            if let Some(at) = self
                .buffer
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n")
            {
                break at;
            }
            self.more(stream)?;
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).take(end).collect();
        let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let status = line
            .get(9..12)
            .and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("no status line"))?;
        let headers = head.get(line.len() + 1..).unwrap_or_default().to_vec();
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        let text = |name| {
            answer
                .header(name)
                .and_then(|value| std::str::from_utf8(value).ok())
        };
        let length: Option<usize> = text("content-length").and_then(|value| value.parse().ok());
        let chunked = text("transfer-encoding") == Some("chunked");
        let mut keep = text("connection") != Some("close");
        if matches!(status, 204 | 304) {
        } else if let Some(length) = length {
            answer.body = self.take(stream, length)?;
        } else if chunked {
            loop {
                let size = self.line(stream)?;
                let size = std::str::from_utf8(&size).ok();
                let size = size.and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
                let size = size.ok_or_else(|| io::Error::other("no chunk size"))?;
                answer.body.extend(self.take(stream, size)?);
                self.line(stream)?;
                if size == 0 {
                    break;
                }
            }
        } else {
            while self.more(stream).is_ok() {}
            answer.body = std::mem::take(&mut self.buffer);
            keep = false;
        }
        Ok((answer, keep))
    }

    fn take(&mut self, stream: &mut TcpStream, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.more(stream)?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn line(&mut self, stream: &mut TcpStream) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|bytes| bytes == b"\r\n") {
                return Ok(self.buffer.drain(..at + 2).take(at).collect());
            }
            self.more(stream)?;
        }
    }

    fn more(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        let mut part = [0; 8192];
        match stream.read(&mut part)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.buffer.extend_from_slice(&part[..read]);
                Ok(())
            }
        }
    }
}
