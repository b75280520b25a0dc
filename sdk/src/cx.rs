//! What a filter may do in each phase. The phase is the type, so reading a
//! request header while the response passes does not compile.

use std::marker::PhantomData;
use std::time::Duration;

use crate::attributes::{self, Attribute, Decode};
use crate::headers::{HeaderError, HeaderMap, check_name, check_value};
use crate::host::{HostError, Map, abi, arena_copy};

/// One header map of a stream, read from the host at most once per callback.
#[derive(Debug)]
struct View<'cx> {
    map: Map,
    read: Option<HeaderMap<'cx>>,
    /// Whether more filters look at the map in this callback. Then writes are
    /// noted in what was read; else a map that is wanted again is read again.
    shared: bool,
}

impl<'cx> View<'cx> {
    const fn new(map: Map, shared: bool) -> Self {
        Self {
            map,
            read: None,
            shared,
        }
    }

    /// Keeps what was read in line with a write that the host has done.
    fn wrote(&mut self, note: impl FnOnce(&mut HeaderMap<'cx>)) {
        match &mut self.read {
            Some(read) if self.shared => note(read),
            read => *read = None,
        }
    }

    fn headers(&mut self) -> Result<&HeaderMap<'cx>, HostError> {
        if self.read.is_none() {
            let raw = match abi::header_pairs(self.map) {
                Ok(raw) => raw,
                // Envoy's answer when the stream has no such map.
                Err(HostError::NotFound | HostError::Empty) => &[],
                Err(error) => return Err(error),
            };
            self.read = Some(HeaderMap::decode(raw).ok_or(HostError::SerializationFailure)?);
        }
        self.read.as_ref().ok_or(HostError::InternalFailure)
    }

    /// Whether the header may be there; unknown counts as yes.
    fn may_have(&self, name: &[u8]) -> bool {
        self.read.as_ref().is_none_or(|map| map.get(name).is_some())
    }

    fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeaderError> {
        check_name(name)?;
        check_value(value)?;
        if self.may_have(name) {
            abi::replace_header(self.map, name, value)?;
        } else {
            abi::add_header(self.map, name, value)?;
        }
        self.wrote(|read| {
            let name = arena_copy(name);
            read.note_removed(name);
            read.note_added(name, arena_copy(value));
        });
        Ok(())
    }

    fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeaderError> {
        check_name(name)?;
        check_value(value)?;
        abi::add_header(self.map, name, value)?;
        self.wrote(|read| read.note_added(arena_copy(name), arena_copy(value)));
        Ok(())
    }

    fn remove(&mut self, name: &[u8]) -> Result<(), HeaderError> {
        check_name(name)?;
        if self.may_have(name) {
            abi::remove_header(self.map, name)?;
            self.wrote(|read| read.note_removed(arena_copy(name)));
        }
        Ok(())
    }
}

/// Attribute reads, the same in every phase of a stream.
macro_rules! attribute_reads {
    () => {
        /// Reads a typed attribute; `None` when it is absent, has no byte form,
        /// or has another type.
        ///
        /// # Errors
        /// What the host answers beside "not found".
        pub fn attribute<T: Decode<'cx>>(
            &self,
            attribute: &Attribute<T>,
        ) -> Result<Option<T>, HostError> {
            Ok(attributes::read_bytes(attribute.path())?.and_then(T::decode))
        }

        /// Reads a text attribute; `None` when it is absent.
        ///
        /// # Errors
        /// What the host answers beside "not found".
        pub fn text(
            &self,
            attribute: &Attribute<attributes::Text<'static>>,
        ) -> Result<Option<&'cx [u8]>, HostError> {
            attributes::read_bytes(attribute.path())
        }

        /// Reads the attribute at a path that a configuration names, see
        /// [`attributes::path`].
        ///
        /// # Errors
        /// What the host answers beside "not found".
        pub fn attribute_bytes(&self, path: &[u8]) -> Result<Option<&'cx [u8]>, HostError> {
            attributes::read_bytes(path)
        }
    };
}

/// The request headers have arrived; nothing went upstream yet.
#[derive(Debug)]
pub struct RequestHeaders<'cx> {
    view: View<'cx>,
    end_of_stream: bool,
}

impl<'cx> RequestHeaders<'cx> {
    pub(crate) const fn new(end_of_stream: bool, shared: bool) -> Self {
        Self {
            view: View::new(Map::RequestHeaders, shared),
            end_of_stream,
        }
    }

    /// Whether neither body nor trailers follow.
    #[must_use]
    pub fn end_of_stream(&self) -> bool {
        self.end_of_stream
    }

    /// The request headers, read from the host once however many filters look.
    ///
    /// # Errors
    /// What the host answers.
    pub fn headers(&mut self) -> Result<&HeaderMap<'cx>, HostError> {
        self.view.headers()
    }

    /// The request headers if a filter has read them in this callback; free.
    #[must_use]
    pub fn headers_if_read(&self) -> Option<&HeaderMap<'cx>> {
        self.view.read.as_ref()
    }

    /// Sets a request header, replacing every value it had. Envoy chooses the
    /// route again afterwards.
    ///
    /// # Errors
    /// A name or value that would split the message; what the host answers.
    pub fn set_header(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeaderError> {
        self.view.set(name, value)
    }

    /// Adds a request header beside those of the same name.
    ///
    /// # Errors
    /// As [`RequestHeaders::set_header`].
    pub fn add_header(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeaderError> {
        self.view.add(name, value)
    }

    /// Removes every value of a request header; free when it is known to be absent.
    ///
    /// # Errors
    /// As [`RequestHeaders::set_header`].
    pub fn remove_header(&mut self, name: &[u8]) -> Result<(), HeaderError> {
        self.view.remove(name)
    }

    /// Publishes a value as filter state `wasm.<path>` for later filters and
    /// access logs.
    ///
    /// # Errors
    /// What the host answers.
    pub fn set_filter_state(&mut self, path: &[u8], value: &[u8]) -> Result<(), HostError> {
        abi::set_property(path, value)
    }

    attribute_reads!();
}

/// The response headers have arrived, from upstream or as a local reply.
#[derive(Debug)]
pub struct ResponseHeaders<'cx> {
    view: View<'cx>,
    end_of_stream: bool,
}

impl<'cx> ResponseHeaders<'cx> {
    pub(crate) const fn new(end_of_stream: bool, shared: bool) -> Self {
        Self {
            view: View::new(Map::ResponseHeaders, shared),
            end_of_stream,
        }
    }

    /// Whether neither body nor trailers follow.
    #[must_use]
    pub fn end_of_stream(&self) -> bool {
        self.end_of_stream
    }

    /// The response headers, read from the host once.
    ///
    /// # Errors
    /// What the host answers.
    pub fn headers(&mut self) -> Result<&HeaderMap<'cx>, HostError> {
        self.view.headers()
    }

    /// One response header, cheaper than the map when nothing else is needed;
    /// the first value when it is repeated.
    ///
    /// # Errors
    /// What the host answers beside "not found".
    pub fn header(&mut self, name: &[u8]) -> Result<Option<&'cx [u8]>, HostError> {
        if let Some(read) = &self.view.read {
            return Ok(read.get(name));
        }
        match abi::header(Map::ResponseHeaders, name) {
            Ok(value) => Ok(Some(value)),
            Err(HostError::NotFound | HostError::Empty) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sets a response header, replacing every value it had.
    ///
    /// # Errors
    /// A name or value that would split the message; what the host answers.
    pub fn set_header(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeaderError> {
        self.view.set(name, value)
    }

    /// Adds a response header beside those of the same name (`set-cookie`).
    ///
    /// # Errors
    /// As [`ResponseHeaders::set_header`].
    pub fn add_header(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeaderError> {
        self.view.add(name, value)
    }

    /// Removes every value of a response header.
    ///
    /// # Errors
    /// As [`ResponseHeaders::set_header`].
    pub fn remove_header(&mut self, name: &[u8]) -> Result<(), HeaderError> {
        self.view.remove(name)
    }

    attribute_reads!();
}

/// The response trailers have arrived (gRPC status, for example).
#[derive(Debug)]
pub struct ResponseTrailers<'cx> {
    view: View<'cx>,
}

impl<'cx> ResponseTrailers<'cx> {
    pub(crate) const fn new() -> Self {
        Self {
            view: View::new(Map::ResponseTrailers, false),
        }
    }

    /// The response trailers, read from the host once.
    ///
    /// # Errors
    /// What the host answers.
    pub fn trailers(&mut self) -> Result<&HeaderMap<'cx>, HostError> {
        self.view.headers()
    }

    attribute_reads!();
}

/// The stream has ended, however it ended; the last look at it.
#[derive(Debug)]
pub struct Log<'cx> {
    request: View<'cx>,
    response: View<'cx>,
    trailers: View<'cx>,
    notes: Vec<(&'static [u8], i64)>,
}

impl<'cx> Log<'cx> {
    pub(crate) const fn new() -> Self {
        Self {
            request: View::new(Map::RequestHeaders, false),
            response: View::new(Map::ResponseHeaders, false),
            trailers: View::new(Map::ResponseTrailers, false),
            notes: Vec::new(),
        }
    }

    /// The request headers as they went upstream. Empty when the module is told
    /// of the end of a stream by `done` instead of `log`.
    ///
    /// # Errors
    /// What the host answers.
    pub fn request_headers(&mut self) -> Result<&HeaderMap<'cx>, HostError> {
        self.request.headers()
    }

    /// The response headers; empty when there was no response.
    ///
    /// # Errors
    /// What the host answers.
    pub fn response_headers(&mut self) -> Result<&HeaderMap<'cx>, HostError> {
        self.response.headers()
    }

    /// The response trailers; empty when there were none.
    ///
    /// # Errors
    /// What the host answers.
    pub fn response_trailers(&mut self) -> Result<&HeaderMap<'cx>, HostError> {
        self.trailers.headers()
    }

    /// Notes an attribute for the filters that want it.
    pub fn note(&mut self, attribute: &Attribute<i64>, value: i64) {
        self.notes.push((attribute.path(), value));
    }

    /// What was noted of an attribute, and otherwise what the host says.
    ///
    /// # Errors
    /// What the host answers beside "not found".
    pub fn noted_or_read(&self, attribute: &Attribute<i64>) -> Result<Option<i64>, HostError> {
        let path = attribute.path();
        match self.notes.iter().find(|(noted, _)| *noted == path) {
            Some((_, value)) => Ok(Some(*value)),
            None => self.attribute(attribute),
        }
    }

    attribute_reads!();
}

/// A stream that is still under way when the host ticks.
#[derive(Debug)]
pub struct OpenStream {
    id: u32,
    reached: bool,
}

impl OpenStream {
    pub(crate) const fn new(id: u32) -> Self {
        Self { id, reached: false }
    }

    /// Whether calls to the host now speak of this stream and no longer of the plugin.
    pub(crate) fn was_reached(&self) -> bool {
        self.reached
    }

    /// Reads a typed attribute of the stream.
    ///
    /// # Errors
    /// What the host answers beside "not found".
    pub fn attribute(&mut self, attribute: &Attribute<i64>) -> Result<Option<i64>, HostError> {
        abi::set_effective_context(self.id)?;
        self.reached = true;
        Ok(attributes::read_bytes(attribute.path())?.and_then(i64::decode))
    }
}

/// An answer to an HTTP callout. Without headers the callout failed or timed out.
#[derive(Debug)]
pub struct CalloutResponse<'cx> {
    view: View<'cx>,
    body_size: usize,
    lifetime: PhantomData<&'cx ()>,
}

impl<'cx> CalloutResponse<'cx> {
    pub(crate) const fn new(body_size: usize) -> Self {
        Self {
            view: View::new(Map::HttpCallResponseHeaders, false),
            body_size,
            lifetime: PhantomData,
        }
    }

    /// The response headers, empty when the callout failed.
    ///
    /// # Errors
    /// What the host answers.
    pub fn headers(&mut self) -> Result<&HeaderMap<'cx>, HostError> {
        self.view.headers()
    }

    /// The HTTP status, `None` when the callout failed or timed out.
    pub fn status(&mut self) -> Option<u16> {
        let status = self.headers().ok()?.get(b":status")?;
        std::str::from_utf8(status).ok()?.parse().ok()
    }

    /// The response body.
    ///
    /// # Errors
    /// What the host answers.
    pub fn body(&self) -> Result<&'cx [u8], HostError> {
        if self.body_size == 0 {
            return Ok(&[]);
        }
        abi::buffer(crate::host::Buffer::HttpCallResponseBody, 0, self.body_size)
    }
}

/// Asks Envoy for a callback every `period` on each worker.
pub(crate) fn set_tick_period(period: Duration) {
    if let Err(error) = abi::set_tick_period(period) {
        // In milliseconds: a duration's own formatting costs a module 3 KB.
        let period = period.as_millis() as u64;
        log::error!("the host refused a tick every {period} ms: {error}");
    }
}

/// Calls a foreign function of the host (`expr_create`, `compress`, …). The
/// bytes live until the callback ends, so they are copied out.
///
/// # Errors
/// What the host answers.
pub fn call_foreign_function(name: &str, arguments: &[u8]) -> Result<Vec<u8>, HostError> {
    abi::call_foreign_function(name.as_bytes(), arguments).map(<[u8]>::to_vec)
}

/// Like [`call_foreign_function`], hands the bytes to `read` instead of copying.
///
/// # Errors
/// What the host answers.
pub fn with_foreign_function<T>(
    name: &str,
    arguments: &[u8],
    read: impl FnOnce(&[u8]) -> T,
) -> Result<T, HostError> {
    abi::call_foreign_function(name.as_bytes(), arguments).map(read)
}
