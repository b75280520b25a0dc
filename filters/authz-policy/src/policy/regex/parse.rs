//! From pattern text to a syntax tree.

use std::fmt;

use super::bytes::ByteSet;

/// Why a pattern was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegexError {
    /// Something in the pattern is not understood; says what.
    Syntax(&'static str),
    /// The pattern or its program exceeds a bound.
    TooLarge,
}

impl fmt::Display for RegexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(what) => f.write_str(what),
            Self::TooLarge => f.write_str("is too large: shorten it or its repetitions"),
        }
    }
}

impl std::error::Error for RegexError {}

/// Deepest nesting of groups.
const MAX_DEPTH: usize = 50;
/// Largest count in `{n,m}`.
const MAX_REPEAT: u32 = 1000;

/// The syntax tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ast {
    Empty,
    Class(ByteSet),
    Start,
    End,
    Concat(Vec<Ast>),
    Alternate(Vec<Ast>),
    Repeat {
        inner: Box<Ast>,
        least: u32,
        most: Option<u32>,
    },
}

#[derive(Clone, Copy, Default)]
struct Flags {
    ignore_case: bool,
    dot_all: bool,
}

/// Reads a pattern byte by byte, as the expressions of Envoy's RBAC are read
/// (RE2 in its Latin-1 mode, since CVE-2026-73552): a character beyond ASCII is
/// the sequence of its bytes. Where that could not mean what was written (in a
/// bracket, before a repetition, without case) it is refused.
pub(super) fn parse(pattern: &str) -> Result<Ast, RegexError> {
    let mut parser = Parser {
        rest: pattern.as_bytes(),
        flags: Flags::default(),
    };
    let ast = parser.alternation(0)?;
    match parser.next() {
        None => Ok(ast),
        Some(_) => Err(RegexError::Syntax("has a ) without its (")),
    }
}

struct Parser<'p> {
    rest: &'p [u8],
    flags: Flags,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.next();
        }
        found
    }

    fn alternation(&mut self, depth: usize) -> Result<Ast, RegexError> {
        if depth > MAX_DEPTH {
            return Err(RegexError::Syntax("nests its groups too deeply"));
        }
        let mut branches = vec![self.concatenation(depth)?];
        while self.eat(b'|') {
            branches.push(self.concatenation(depth)?);
        }
        Ok(match branches.pop() {
            Some(only) if branches.is_empty() => only,
            Some(last) => {
                branches.push(last);
                Ast::Alternate(branches)
            }
            None => Ast::Empty,
        })
    }

    fn concatenation(&mut self, depth: usize) -> Result<Ast, RegexError> {
        let mut items = Vec::new();
        while let Some(next) = self.peek() {
            if next == b'|' || next == b')' {
                break;
            }
            let atom = self.atom(depth)?;
            items.push(self.repetition(atom)?);
        }
        Ok(Ast::Concat(items))
    }

    fn atom(&mut self, depth: usize) -> Result<Ast, RegexError> {
        Ok(match self.next() {
            Some(b'(') => return self.group(depth),
            Some(b'[') => Ast::Class(self.bracket()?),
            Some(b'.') => Ast::Class(if self.flags.dot_all {
                ByteSet::default().complement()
            } else {
                ByteSet::DOT
            }),
            Some(b'^') => Ast::Start,
            Some(b'$') => Ast::End,
            Some(b'\\') => match self.escape()? {
                Escape::Class(class) => Ast::Class(class),
                Escape::Byte(byte) => self.literal(byte),
                Escape::Start => Ast::Start,
                Escape::End => Ast::End,
            },
            Some(b'*' | b'+' | b'?' | b'{') => {
                return Err(RegexError::Syntax(
                    "repeats nothing: write a \\ before the character itself",
                ));
            }
            Some(lead @ 0x80..) => self.beyond_ascii(lead)?,
            Some(byte) => self.literal(byte),
            None => Ast::Empty,
        })
    }

    fn literal(&self, byte: u8) -> Ast {
        Ast::Class(self.cased(ByteSet::byte(byte)))
    }

    fn cased(&self, class: ByteSet) -> ByteSet {
        if self.flags.ignore_case {
            class.ignoring_case()
        } else {
            class
        }
    }

    /// A character of several bytes, its first one already read.
    fn beyond_ascii(&mut self, lead: u8) -> Result<Ast, RegexError> {
        if self.flags.ignore_case {
            return Err(RegexError::Syntax(
                "ignores the case of a character beyond ASCII, which bytes do not have: write both, as in (?-i:\u{e9}|\u{c9})",
            ));
        }
        let mut bytes = vec![Ast::Class(ByteSet::byte(lead))];
        while let Some(byte @ 0x80..=0xbf) = self.peek() {
            self.next();
            bytes.push(Ast::Class(ByteSet::byte(byte)));
        }
        if matches!(self.peek(), Some(b'*' | b'+' | b'?' | b'{')) {
            return Err(RegexError::Syntax(
                "repeats a character beyond ASCII, of which only the last byte would be repeated: put it into a group, as in (?:\u{e9})+",
            ));
        }
        Ok(Ast::Concat(bytes))
    }

    fn group(&mut self, depth: usize) -> Result<Ast, RegexError> {
        let outer = self.flags;
        if self.eat(b'?') && !self.group_flags()? {
            // `(?i)`: the flags hold until the end of the enclosing group.
            return Ok(Ast::Empty);
        }
        let inner = self.alternation(depth + 1)?;
        if !self.eat(b')') {
            return Err(RegexError::Syntax("has a ( without its )"));
        }
        self.flags = outer;
        Ok(inner)
    }

    /// Reads what follows `(?`; true when a group follows (`(?i:…`).
    fn group_flags(&mut self) -> Result<bool, RegexError> {
        let mut on = true;
        loop {
            match self.next() {
                Some(b':') => return Ok(true),
                Some(b')') => return Ok(false),
                Some(b'-') => on = false,
                Some(b'i') => self.flags.ignore_case = on,
                Some(b's') => self.flags.dot_all = on,
                _ => {
                    return Err(RegexError::Syntax(
                        "uses a group that is not supported: plain groups, (?:...), (?i) and (?s) are",
                    ));
                }
            }
        }
    }

    fn repetition(&mut self, atom: Ast) -> Result<Ast, RegexError> {
        let (least, most) = match self.peek() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => self.counts()?,
            _ => return Ok(atom),
        };
        self.next();
        // A lazy repetition takes the same texts: a full match has no choice.
        self.eat(b'?');
        if matches!(self.peek(), Some(b'*' | b'+' | b'?' | b'{')) {
            return Err(RegexError::Syntax(
                "repeats a repetition: put it into a group",
            ));
        }
        Ok(Ast::Repeat {
            inner: Box::new(atom),
            least,
            most,
        })
    }

    /// Reads `{n}`, `{n,}` or `{n,m}` up to its `}`.
    fn counts(&mut self) -> Result<(u32, Option<u32>), RegexError> {
        const WRONG: RegexError =
            RegexError::Syntax("has a { that is no repetition: write {n}, {n,}, {n,m} or \\{");
        self.next();
        let least = self.count()?.ok_or(WRONG)?;
        let most = if self.eat(b',') {
            self.count()?
        } else {
            Some(least)
        };
        if self.peek() != Some(b'}') || most.is_some_and(|most| most < least) {
            return Err(WRONG);
        }
        Ok((least, most))
    }

    fn count(&mut self) -> Result<Option<u32>, RegexError> {
        let mut count: Option<u32> = None;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            self.next();
            let value = count.unwrap_or(0) * 10 + u32::from(digit - b'0');
            if value > MAX_REPEAT {
                return Err(RegexError::TooLarge);
            }
            count = Some(value);
        }
        Ok(count)
    }

    fn bracket(&mut self) -> Result<ByteSet, RegexError> {
        let negated = self.eat(b'^');
        let mut class = ByteSet::default();
        let mut first = true;
        loop {
            let low = match self.next().ok_or(OPEN_BRACKET)? {
                b']' if !first => break,
                b'[' if self.peek() == Some(b':') => {
                    return Err(RegexError::Syntax(
                        "uses a [:class:]: write its characters, as in [a-z]",
                    ));
                }
                b'\\' => match self.escape()? {
                    Escape::Byte(byte) => byte,
                    Escape::Class(inner) => {
                        class = class.or(inner);
                        first = false;
                        continue;
                    }
                    Escape::Start | Escape::End => {
                        return Err(RegexError::Syntax("has an anchor inside [ ]"));
                    }
                },
                byte => single(byte)?,
            };
            first = false;
            let high = self.range_end(low)?;
            if high < low {
                return Err(RegexError::Syntax("has a range that runs backwards"));
            }
            class = class.with(low, high);
        }
        class = self.cased(class);
        Ok(if negated { class.complement() } else { class })
    }

    /// The end of a range that starts at `low`, or `low` when none follows.
    fn range_end(&mut self, low: u8) -> Result<u8, RegexError> {
        if !matches!(self.rest, [b'-', end, ..] if *end != b']') {
            return Ok(low);
        }
        self.next();
        match self.next().ok_or(OPEN_BRACKET)? {
            b'\\' => match self.escape()? {
                Escape::Byte(byte) => Ok(byte),
                _ => Err(RegexError::Syntax("has a range that ends in a class")),
            },
            byte => single(byte),
        }
    }

    fn escape(&mut self) -> Result<Escape, RegexError> {
        let digits = || ByteSet::of(&[(b'0', b'9')]);
        let word = || ByteSet::of(&[(b'0', b'9'), (b'A', b'Z'), (b'_', b'_'), (b'a', b'z')]);
        let space = || ByteSet::of(&[(b'\t', b'\n'), (0x0c, b'\r'), (b' ', b' ')]);
        Ok(match self.next() {
            Some(b'd') => Escape::Class(digits()),
            Some(b'D') => Escape::Class(digits().complement()),
            Some(b'w') => Escape::Class(word()),
            Some(b'W') => Escape::Class(word().complement()),
            Some(b's') => Escape::Class(space()),
            Some(b'S') => Escape::Class(space().complement()),
            Some(b'A') => Escape::Start,
            Some(b'z') => Escape::End,
            Some(b'n') => Escape::Byte(b'\n'),
            Some(b'r') => Escape::Byte(b'\r'),
            Some(b't') => Escape::Byte(b'\t'),
            Some(b'f') => Escape::Byte(0x0c),
            Some(b'v') => Escape::Byte(0x0b),
            Some(b'x') => Escape::Byte(self.hex()?),
            Some(byte) if byte.is_ascii_punctuation() => Escape::Byte(byte),
            Some(_) => {
                return Err(RegexError::Syntax(
                    "uses an escape that is not supported: \\d \\w \\s \\A \\z \\n \\r \\t \\f \\v \\xHH and escaped punctuation are",
                ));
            }
            None => return Err(RegexError::Syntax("ends in a \\")),
        })
    }

    /// One byte, whatever it is: `\xe9` is no character but the byte 0xE9.
    fn hex(&mut self) -> Result<u8, RegexError> {
        let mut value = 0;
        for _ in 0..2 {
            let digit = self.next().and_then(|byte| char::from(byte).to_digit(16));
            value =
                value * 16 + digit.ok_or(RegexError::Syntax("has a \\x without two hex digits"))?;
        }
        Ok(value as u8)
    }
}

const OPEN_BRACKET: RegexError = RegexError::Syntax("has a [ without its ]");

/// A byte inside a bracket that is a character by itself.
fn single(byte: u8) -> Result<u8, RegexError> {
    if byte.is_ascii() {
        return Ok(byte);
    }
    Err(RegexError::Syntax(
        "has a character beyond ASCII inside [ ], where only single bytes can stand: write alternatives, as in (?:\u{e9}|\u{e8})",
    ))
}

enum Escape {
    Byte(u8),
    Class(ByteSet),
    Start,
    End,
}
