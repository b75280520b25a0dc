//! Regular expressions and values that meet them, from a seed.

use super::random::Random;

/// A regular expression that both native RBAC and the filter read, and what it
/// takes.
#[derive(Debug, Clone)]
pub enum Expression {
    /// These bytes; written out when they are text, as `\xHH` when not.
    Literal(&'static [u8]),
    /// Any byte but a line feed.
    Dot,
    /// A class as it is written, and some bytes that it takes.
    Class(&'static str, &'static [u8]),
    /// One after the other.
    All(Vec<Expression>),
    /// One of them.
    Any(Vec<Expression>),
    /// As often as this, the form in which it is written last.
    Repeat(Box<Expression>, [usize; 2], String),
    /// A group with flags.
    Flags(&'static str, Box<Expression>),
}

const LITERALS: &[&[u8]] = &[
    b"a",
    b"b",
    b"admin",
    b"A",
    b"7",
    b"-",
    b"k",
    b"S",
    "\u{e9}".as_bytes(),
    "\u{c9}".as_bytes(),
    "\u{65e5}\u{672c}".as_bytes(),
    b"\xff",
    b"\xe9",
    b"\x80",
];

const CLASSES: &[(&str, &[u8])] = &[
    ("[a-c]", b"abc"),
    ("[^a-c]", b"dA7\xff\xc3\x80"),
    ("[^k]", b"aK\xe9"),
    (r"\w", b"aZ_9"),
    (r"\W", b"-.\xff\xc3\xa9"),
    (r"\d", b"079"),
    (r"\D", b"a\xff\x80"),
    (r"\s", b" \t"),
    (r"\S", b"a\xff.\xc3"),
    (r"[\w.-]", b"a.-_"),
    (r"[^\W1]", b"a0Z"),
    (r"[\x80-\xff]", b"\x80\xc3\xff"),
    (r"[^\x00-\x7f]", b"\x80\xc3\xff"),
    (r"[^\d\xc3]", b"a\xa9\xff"),
];

/// Bytes that mutations put in; none that a header cannot hold.
const ODD: &[u8] = b"aAbkKsS79-._ \xc3\xa9\x89\xe9\xff\x80\xa0\xc2\xe2\x84\xaa\xc5\xbf\x85";

impl Expression {
    /// An expression of a few parts.
    pub fn random(random: &mut Random, depth: usize) -> Self {
        let inner = |random: &mut Random| Box::new(Self::random(random, depth - 1));
        match if depth == 0 {
            random.below(4)
        } else {
            random.below(9)
        } {
            0 | 1 => Self::Literal(random.pick(LITERALS)),
            2 => Self::Dot,
            3 => {
                let (text, takes) = random.pick(CLASSES);
                Self::Class(text, takes)
            }
            4 | 5 => Self::All((0..=random.below(3)).map(|_| *inner(random)).collect()),
            6 => Self::Any((0..2).map(|_| *inner(random)).collect()),
            7 => {
                let (bounds, text) = random.pick(&[
                    ([0, 3], "*"),
                    ([1, 3], "+"),
                    ([0, 1], "?"),
                    ([2, 2], "{2}"),
                    ([1, 3], "{1,3}"),
                    ([0, 2], "*?"),
                ]);
                Self::Repeat(inner(random), bounds, text.to_owned())
            }
            _ => Self::Flags(random.pick(&["i", "s", "is"]), inner(random)),
        }
    }

    /// As it is written.
    #[must_use]
    pub fn text(&self) -> String {
        self.write(false)
    }

    fn write(&self, ignoring_case: bool) -> String {
        match self {
            Self::Literal(bytes) => match std::str::from_utf8(bytes) {
                // Neither has a case beyond ASCII; the filter wants that said.
                Ok(text) if !text.is_ascii() && ignoring_case => format!("(?-i:{text})"),
                Ok(text) => text.replace('.', "\\."),
                Err(_) => bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect(),
            },
            Self::Dot => ".".to_owned(),
            Self::Class(text, _) => (*text).to_owned(),
            Self::All(parts) => parts.iter().map(|part| part.write(ignoring_case)).collect(),
            Self::Any(parts) => {
                let parts: Vec<String> = parts.iter().map(|p| p.write(ignoring_case)).collect();
                format!("({})", parts.join("|"))
            }
            Self::Repeat(inner, _, text) => format!("(?:{}){text}", inner.write(ignoring_case)),
            Self::Flags(flags, inner) => {
                let ignoring_case = ignoring_case || flags.contains('i');
                format!("(?{flags}:{})", inner.write(ignoring_case))
            }
        }
    }

    /// A value that it takes, as far as case goes.
    pub fn value(&self, random: &mut Random) -> Vec<u8> {
        match self {
            Self::Literal(bytes) => bytes.to_vec(),
            Self::Dot => vec![random.pick(ODD)],
            Self::Class(_, takes) => vec![random.pick(takes)],
            Self::All(parts) => parts.iter().flat_map(|part| part.value(random)).collect(),
            Self::Any(parts) => parts[random.below(parts.len())].value(random),
            Self::Repeat(inner, [least, most], _) => {
                let times = least + random.below(most - least + 1);
                (0..times).flat_map(|_| inner.value(random)).collect()
            }
            Self::Flags(_, inner) => inner.value(random),
        }
    }

    /// A value near one that it takes.
    pub fn near(&self, random: &mut Random) -> Vec<u8> {
        let mut value = self.value(random);
        for _ in 0..random.below(3) {
            let at = random.below(value.len() + 1);
            match random.below(4) {
                0 => value.insert(at, random.pick(ODD)),
                1 if at < value.len() => drop(value.remove(at)),
                2 if at < value.len() => value[at] = random.pick(ODD),
                _ if at < value.len() => value[at] ^= 0x20,
                _ => value.push(random.pick(ODD)),
            }
        }
        // What no header holds.
        value.retain(|byte| *byte >= b' ' && *byte != 0x7f || *byte == b'\t');
        value
    }
}
