//! The filter that does nothing, to measure what the sdk itself costs.

use meshpack_sdk::config::{Problem, Value};
use meshpack_sdk::{Filter, Flow, RequestHeaders};

/// Lets every request pass.
pub struct Empty;

impl Filter for Empty {
    const NAME: &'static str = "empty";
    type Config = ();
    type Stream = ();

    fn read(value: Value<'_>) -> Option<()> {
        value.object().map(|_| ())
    }

    fn start((): ()) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }

    fn on_request_headers(&mut self, _: &mut RequestHeaders<'_>, _: &mut Option<()>) -> Flow {
        Flow::Continue
    }
}

meshpack_sdk::module!(Empty: request_headers);
