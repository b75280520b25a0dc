//! `traceparent` (W3C Trace Context, "traceparent Header").

use std::fmt;

/// Sampled, and (level 2) randomly generated trace id.
const KNOWN_FLAGS: u8 = 0x03;

/// A trace context: what correlates logs, metrics and spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: [u8; 16],
    parent_id: [u8; 8],
    flags: u8,
}

impl TraceContext {
    /// A context; `None` when an id is all zero, which the recommendation
    /// forbids.
    #[must_use]
    pub fn new(trace_id: [u8; 16], parent_id: [u8; 8], flags: u8) -> Option<Self> {
        let valid = trace_id != [0; 16] && parent_id != [0; 8];
        valid.then_some(Self {
            trace_id,
            parent_id,
            flags,
        })
    }

    /// The trace id.
    #[must_use]
    pub fn trace_id(&self) -> &[u8; 16] {
        &self.trace_id
    }

    /// The id of the caller's span.
    #[must_use]
    pub fn parent_id(&self) -> &[u8; 8] {
        &self.parent_id
    }

    /// The flags byte.
    #[must_use]
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// Whether the caller may have recorded the trace.
    #[must_use]
    pub fn sampled(&self) -> bool {
        self.flags & 1 == 1
    }
}

/// Version 00 of the header.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        write_hex(f, &self.trace_id)?;
        f.write_str("-")?;
        write_hex(f, &self.parent_id)?;
        f.write_str("-")?;
        write_hex(f, &[self.flags])
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// A header that parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traceparent {
    /// What it says.
    pub context: TraceContext,
    /// Whether it is already in the form in which it goes on.
    pub canonical: bool,
}

impl Traceparent {
    /// Reads a header value; `None` when it is not valid and the trace has to
    /// be restarted.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let trimmed = trim(value);
        let (version, rest) = field::<1>(trimmed)?;
        let (trace_id, rest) = field::<16>(rest.strip_prefix(b"-")?)?;
        let (parent_id, rest) = field::<8>(rest.strip_prefix(b"-")?)?;
        let ([flags], rest) = field::<1>(rest.strip_prefix(b"-")?)?;
        let current = version == [0];
        let end_is_fine = match rest {
            [] => true,
            [b'-', ..] => !current,
            _ => false,
        };
        if version == [0xff] || !end_is_fine {
            return None;
        }
        // Flags of a later version may mean anything but the two known ones.
        let flags = if current { flags } else { flags & KNOWN_FLAGS };
        Some(Self {
            context: TraceContext::new(trace_id, parent_id, flags)?,
            canonical: current && trimmed.len() == value.len(),
        })
    }
}

/// Optional white space is not part of a header value.
fn trim(value: &[u8]) -> &[u8] {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = value.iter().position(|b| !blank(b)).unwrap_or(value.len());
    let end = value
        .iter()
        .rposition(|b| !blank(b))
        .map_or(start, |i| i + 1);
    value.get(start..end).unwrap_or(value)
}

/// `N` bytes as lower-case hexadecimal digits.
fn field<const N: usize>(text: &[u8]) -> Option<([u8; N], &[u8])> {
    let (digits, rest) = text.split_at_checked(N * 2)?;
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some((out, rest))
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Traceparent;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "b7ad6b7169203331";

    /// The cases of the recommendation's own test suite (`test/test.py`,
    /// "TraceContextTest"), by its names.
    #[test]
    fn the_grammar_of_the_recommendation() {
        let valid = |text: String| (text, true);
        let invalid = |text: String| (text, false);
        for (value, expected) in [
            valid(format!("00-{TRACE}-{PARENT}-00")),
            valid(format!("00-{TRACE}-{PARENT}-01")),
            valid(format!("00-{TRACE}-{PARENT}-ff")),
            // version_0x00
            invalid(format!("00-{TRACE}-{PARENT}-01.")),
            invalid(format!(
                "00-{TRACE}-{PARENT}-01-what-the-future-will-be-like"
            )),
            // version_0xcc
            valid(format!("cc-{TRACE}-{PARENT}-01")),
            valid(format!(
                "cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like"
            )),
            invalid(format!(
                "cc-{TRACE}-{PARENT}-01.what-the-future-will-not-be-like"
            )),
            // version_0xff
            invalid(format!("ff-{TRACE}-{PARENT}-01")),
            // version_illegal_characters, too_long, too_short
            invalid(format!(".0-{TRACE}-{PARENT}-01")),
            invalid(format!("0.-{TRACE}-{PARENT}-01")),
            invalid(format!("000-{TRACE}-{PARENT}-01")),
            invalid(format!("0000-{TRACE}-{PARENT}-01")),
            invalid(format!("0-{TRACE}-{PARENT}-01")),
            // trace_id_all_zero, illegal_characters, too_long, too_short
            invalid(format!("00-{}-{PARENT}-01", "0".repeat(32))),
            invalid(format!("00-.{}-{PARENT}-01", &TRACE[1..])),
            invalid(format!("00-{}.-{PARENT}-01", &TRACE[1..])),
            invalid(format!("00-{TRACE}0-{PARENT}-01")),
            invalid(format!("00-{}-{PARENT}-01", &TRACE[1..])),
            invalid(format!("00-{}-{PARENT}-01", TRACE.to_uppercase())),
            // parent_id_all_zero, illegal_characters, too_long, too_short
            invalid(format!("00-{TRACE}-{}-01", "0".repeat(16))),
            invalid(format!("00-{TRACE}-.{}-01", &PARENT[1..])),
            invalid(format!("00-{TRACE}-{}.-01", &PARENT[1..])),
            invalid(format!("00-{TRACE}-{PARENT}0-01")),
            invalid(format!("00-{TRACE}-{}-01", &PARENT[1..])),
            // trace_flags_illegal_characters, too_long, too_short
            invalid(format!("00-{TRACE}-{PARENT}-.0")),
            invalid(format!("00-{TRACE}-{PARENT}-0.")),
            invalid(format!("00-{TRACE}-{PARENT}-001")),
            invalid(format!("00-{TRACE}-{PARENT}-1")),
            // ows_handling
            valid(format!(" 00-{TRACE}-{PARENT}-01")),
            valid(format!("\t00-{TRACE}-{PARENT}-01")),
            valid(format!("00-{TRACE}-{PARENT}-01 \t")),
            invalid(format!("00 -{TRACE}-{PARENT}-01")),
            // separators and rubbish
            invalid(String::new()),
            invalid(" ".into()),
            invalid(format!("00{TRACE}{PARENT}01")),
            invalid(format!("00_{TRACE}_{PARENT}_01")),
            invalid(format!("00-{TRACE}-{PARENT}-")),
        ] {
            assert_eq!(
                Traceparent::parse(value.as_bytes()).is_some(),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn a_valid_header_round_trips() {
        let value = format!("00-{TRACE}-{PARENT}-01");
        let parsed = Traceparent::parse(value.as_bytes()).unwrap();
        assert!(parsed.canonical);
        assert_eq!(parsed.context.to_string(), value);
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn any_bytes_parse_or_are_refused(bytes: Vec<u8>) {
            let _ = Traceparent::parse(&bytes);
        }

        #[test]
        fn every_context_parses_as_it_was_written(
            trace in proptest::array::uniform16(1_u8..), parent in proptest::array::uniform8(1_u8..), flags: u8,
        ) {
            let context = super::TraceContext::new(trace, parent, flags).unwrap();
            let parsed = Traceparent::parse(context.to_string().as_bytes()).unwrap();
            proptest::prop_assert_eq!(parsed.context, context);
        }
    }
}
