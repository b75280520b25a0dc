//! What is asked of the engine.

/// What Envoy is asked, and how to read the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// CEL that is expected to succeed.
    pub cel: String,
    /// CEL that gives an empty text where `cel` fails for want of an attribute;
    /// equal to `cel` when there is no such form.
    pub safe: String,
    /// Form of the result.
    pub result: ResultType,
}

/// Form of a result; an empty one means that there is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultType {
    /// Text or bytes.
    Text,
    /// Eight bytes, little-endian.
    Int,
    /// Eight bytes, little-endian nanoseconds.
    Nanoseconds,
    /// One byte.
    Bool,
}
