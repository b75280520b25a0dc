//! Drives one filter through the phases of streams.

use crate::config::Problem;
use crate::filter::Filter;
use crate::host::Map;
use crate::runtime::Runtime;

use super::{Pair, SentReply, with};

const ROOT: u32 = 1;

/// A configured plugin on one worker.
pub struct Plugin<F: Filter> {
    runtime: Runtime<F>,
    next: u32,
}

impl<F: Filter> Plugin<F> {
    /// Configures the filter as Envoy would.
    ///
    /// # Errors
    /// The problems that the filter logged, without its name.
    pub fn configure(configuration: &str) -> Result<Self, Vec<String>> {
        let plugin = Self {
            runtime: Runtime::new(),
            next: ROOT,
        };
        plugin.runtime.initialize();
        plugin.runtime.on_context_create(ROOT, 0);
        plugin.reconfigure(configuration)?;
        Ok(plugin)
    }

    /// Hands over another configuration; a bad one leaves the old one in force.
    ///
    /// # Errors
    /// The problems found.
    pub fn reconfigure(&self, configuration: &str) -> Result<(), Vec<String>> {
        with(|state| state.configuration = configuration.as_bytes().to_vec());
        if self.runtime.on_configure(ROOT, configuration.len()) {
            return Ok(());
        }
        match crate::config::parse(configuration.as_bytes(), F::read).and_then(F::start) {
            Ok(_) => Err(vec!["on_configure returned false".to_owned()]),
            Err(problems) => Err(problems.iter().map(Problem::to_string).collect()),
        }
    }

    /// A new stream with these request headers, through the request phase.
    pub fn request(&mut self, headers: &[(&str, &str)]) -> MockStream<'_, F> {
        let headers: Vec<(&[u8], &[u8])> = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect();
        self.request_bytes(&headers)
    }

    /// Like [`Plugin::request`] with any bytes.
    pub fn request_bytes(&mut self, headers: &[(&[u8], &[u8])]) -> MockStream<'_, F> {
        let mut stream = self.open(headers);
        stream.paused = stream.plugin.runtime.on_request_headers(stream.id, true) != 0;
        stream.save(Map::RequestHeaders);
        stream.collect_replies();
        stream
    }

    fn open(&mut self, headers: &[(&[u8], &[u8])]) -> MockStream<'_, F> {
        self.next += 1;
        let id = self.next;
        let owned = headers
            .iter()
            .map(|(n, v)| (n.to_vec(), v.to_vec()))
            .collect();
        with(|state| {
            state.maps.clear();
            state.maps.insert(Map::RequestHeaders, owned);
            state.replies.clear();
        });
        self.runtime.on_context_create(id, ROOT);
        MockStream {
            plugin: self,
            id,
            paused: false,
            replies: Vec::new(),
            request: Vec::new(),
            response: Vec::new(),
        }
    }

    /// A tick of the worker.
    pub fn tick(&mut self) {
        self.runtime.on_tick(ROOT);
    }

    /// The answer to a callout; `None` for a failed one.
    pub fn answer_callout(&mut self, id: u32, answer: Option<(u16, &[u8])>) {
        let (headers, body): (Vec<Pair>, &[u8]) = match answer {
            Some((status, body)) => (
                vec![(b":status".to_vec(), status.to_string().into_bytes())],
                body,
            ),
            None => (Vec::new(), &[]),
        };
        with(|state| {
            state.maps.insert(Map::HttpCallResponseHeaders, headers);
            state.callout_body = body.to_vec();
        });
        self.runtime.on_http_call_response(ROOT, id, body.len());
    }

    /// The plugin goes away; true when it is done at once.
    pub fn shut_down(&mut self) -> bool {
        self.runtime.on_done(ROOT)
    }
}

/// One stream on its way through the filter.
pub struct MockStream<'p, F: Filter> {
    plugin: &'p mut Plugin<F>,
    id: u32,
    paused: bool,
    replies: Vec<SentReply>,
    request: Vec<Pair>,
    response: Vec<Pair>,
}

impl<F: Filter> MockStream<'_, F> {
    /// The reply that the filter sent itself, if it did.
    #[must_use]
    pub fn reply(&self) -> Option<&SentReply> {
        self.replies.last()
    }

    /// Whether the filter stopped the stream.
    #[must_use]
    pub fn paused(&self) -> bool {
        self.paused
    }

    /// A request header as the next filter sees it.
    #[must_use]
    pub fn request_header(&self, name: &str) -> Option<String> {
        find(&self.request, name)
    }

    /// A response header as the client sees it.
    #[must_use]
    pub fn response_header(&self, name: &str) -> Option<String> {
        find(&self.response, name)
    }

    /// The response headers arrive. As in Envoy, request headers are out of
    /// reach from now on until the end of the stream.
    pub fn respond(&mut self, headers: &[(&str, &str)]) -> &mut Self {
        let owned = headers
            .iter()
            .map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec()))
            .collect();
        with(|state| {
            state.maps.clear();
            state.maps.insert(Map::ResponseHeaders, owned);
        });
        self.paused = self.plugin.runtime.on_response_headers(self.id, false) != 0;
        self.save(Map::ResponseHeaders);
        self.collect_replies();
        self
    }

    /// The response trailers arrive.
    pub fn respond_trailers(&mut self, trailers: &[(&str, &str)]) -> &mut Self {
        let owned = trailers
            .iter()
            .map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec()))
            .collect();
        with(|state| state.maps.insert(Map::ResponseTrailers, owned));
        self.plugin.runtime.on_response_trailers(self.id);
        self
    }

    /// The stream ends; all header maps can be read again.
    pub fn log(self) {
        with(|state| {
            state.maps.insert(Map::RequestHeaders, self.request.clone());
            state
                .maps
                .insert(Map::ResponseHeaders, self.response.clone());
        });
        self.plugin.runtime.on_log(self.id);
        self.plugin.runtime.on_done(self.id);
    }

    fn save(&mut self, map: Map) {
        let saved = with(|state| state.maps.get(&map).cloned().unwrap_or_default());
        match map {
            Map::RequestHeaders => self.request = saved,
            _ => self.response = saved,
        }
    }

    fn collect_replies(&mut self) {
        self.replies
            .extend(with(|state| std::mem::take(&mut state.replies)));
    }
}

fn find(pairs: &[Pair], name: &str) -> Option<String> {
    let (_, value) = pairs.iter().find(|(n, _)| n == name.as_bytes())?;
    Some(String::from_utf8_lossy(value).into_owned())
}
