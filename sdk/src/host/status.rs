//! What a host call may answer.

use std::fmt;

/// A status other than OK. The stock crate's `Status` cannot hold several that
/// Envoy does return (transmuting them would be undefined behaviour), so any
/// number has a place here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HostError {
    /// No such key, header, attribute or function; also an absent value.
    NotFound,
    /// The call is not possible in this phase, or an argument is wrong.
    BadArgument,
    /// The value exists but has no byte form (an unset message, for example).
    SerializationFailure,
    /// The host could not parse an argument.
    ParseFailure,
    /// An expression does not parse.
    BadExpression,
    /// A pointer was outside of the module's memory.
    InvalidMemoryAccess,
    /// Nothing there.
    Empty,
    /// Somebody else wrote the shared key in between.
    CasMismatch,
    /// The result has another type than asked for.
    ResultMismatch,
    /// The host failed.
    InternalFailure,
    /// A stream or connection is gone.
    BrokenConnection,
    /// This host does not have the call.
    Unimplemented,
    /// A status that this version of the ABI does not name.
    Unknown(u32),
}

impl HostError {
    /// Turns a raw status into a result.
    ///
    /// # Errors
    /// Every status but 0.
    pub fn check(status: u32) -> Result<(), Self> {
        Err(match status {
            0 => return Ok(()),
            1 => Self::NotFound,
            2 => Self::BadArgument,
            3 => Self::SerializationFailure,
            4 => Self::ParseFailure,
            5 => Self::BadExpression,
            6 => Self::InvalidMemoryAccess,
            7 => Self::Empty,
            8 => Self::CasMismatch,
            9 => Self::ResultMismatch,
            10 => Self::InternalFailure,
            11 => Self::BrokenConnection,
            12 => Self::Unimplemented,
            other => Self::Unknown(other),
        })
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::NotFound => "not found",
            Self::BadArgument => "bad argument, or not possible in this phase",
            Self::SerializationFailure => "the value has no byte form",
            Self::ParseFailure => "the host could not parse an argument",
            Self::BadExpression => "bad expression",
            Self::InvalidMemoryAccess => "invalid memory access",
            Self::Empty => "empty",
            Self::CasMismatch => "the shared value changed in between",
            Self::ResultMismatch => "the result has another type",
            Self::InternalFailure => "internal failure of the host",
            Self::BrokenConnection => "broken connection",
            Self::Unimplemented => "not implemented by this host",
            Self::Unknown(status) => return write!(f, "unknown host status {status}"),
        };
        f.write_str(text)
    }
}

impl std::error::Error for HostError {}
