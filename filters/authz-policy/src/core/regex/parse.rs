//! From pattern text to a syntax tree.

use std::fmt;

use crate::core::sort::sort;

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

/// A set of characters, as inclusive ranges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Class {
    ranges: Vec<(char, char)>,
    negated: bool,
}

impl Class {
    pub(super) fn contains(&self, char: char) -> bool {
        let inside = |(low, high): &(char, char)| (*low..=*high).contains(&char);
        self.ranges.iter().any(inside) != self.negated
    }

    fn of(ranges: &[(char, char)], negated: bool) -> Self {
        Self {
            ranges: ranges.to_vec(),
            negated,
        }
    }

    /// Adds another class; a negated one by its complement's ranges.
    fn add(&mut self, other: &Self) {
        if !other.negated {
            self.ranges.extend(&other.ranges);
            return;
        }
        let mut ranges = other.ranges.clone();
        sort(&mut ranges);
        let mut next = Some('\0');
        for (low, high) in ranges {
            if let (Some(from), Some(to)) = (next, previous(low))
                && from <= to
            {
                self.ranges.push((from, to));
            }
            next = next.max(following(high));
            if high == char::MAX {
                return;
            }
        }
        if let Some(from) = next {
            self.ranges.push((from, char::MAX));
        }
    }

    fn ignoring_case(mut self) -> Self {
        let folded: Vec<(char, char)> = self
            .ranges
            .iter()
            .flat_map(|&(low, high)| {
                [
                    overlap(low, high, 'a', 'z', |c| c.to_ascii_uppercase()),
                    overlap(low, high, 'A', 'Z', |c| c.to_ascii_lowercase()),
                ]
            })
            .flatten()
            .collect();
        self.ranges.extend(folded);
        self
    }
}

fn previous(char: char) -> Option<char> {
    match char {
        '\u{e000}' => Some('\u{d7ff}'),
        _ => char::from_u32(u32::from(char).checked_sub(1)?),
    }
}

fn following(char: char) -> Option<char> {
    match char {
        '\u{d7ff}' => Some('\u{e000}'),
        _ => char::from_u32(u32::from(char) + 1),
    }
}

fn overlap(
    low: char,
    high: char,
    from: char,
    to: char,
    fold: impl Fn(char) -> char,
) -> Option<(char, char)> {
    let (low, high) = (low.max(from), high.min(to));
    (low <= high).then(|| (fold(low), fold(high)))
}

/// The syntax tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ast {
    Empty,
    Class(Class),
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

pub(super) fn parse(pattern: &str) -> Result<Ast, RegexError> {
    let mut parser = Parser {
        rest: pattern
            .chars()
            .collect::<Vec<char>>()
            .into_iter()
            .peekable(),
        flags: Flags::default(),
    };
    let ast = parser.alternation(0)?;
    match parser.rest.next() {
        None => Ok(ast),
        Some(_) => Err(RegexError::Syntax("has a ) without its (")),
    }
}

struct Parser {
    rest: std::iter::Peekable<std::vec::IntoIter<char>>,
    flags: Flags,
}

impl Parser {
    fn eat(&mut self, char: char) -> bool {
        self.rest.next_if_eq(&char).is_some()
    }

    fn alternation(&mut self, depth: usize) -> Result<Ast, RegexError> {
        if depth > MAX_DEPTH {
            return Err(RegexError::Syntax("nests its groups too deeply"));
        }
        let mut branches = vec![self.concatenation(depth)?];
        while self.eat('|') {
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
        while let Some(&next) = self.rest.peek() {
            if next == '|' || next == ')' {
                break;
            }
            let atom = self.atom(depth)?;
            items.push(self.repetition(atom)?);
        }
        Ok(Ast::Concat(items))
    }

    fn atom(&mut self, depth: usize) -> Result<Ast, RegexError> {
        Ok(match self.rest.next() {
            Some('(') => return self.group(depth),
            Some('[') => Ast::Class(self.bracket()?),
            Some('.') => Ast::Class(Class::of(
                if self.flags.dot_all {
                    &[]
                } else {
                    &[('\n', '\n')]
                },
                true,
            )),
            Some('^') => Ast::Start,
            Some('$') => Ast::End,
            Some('\\') => match self.escape()? {
                Escape::Class(class) => Ast::Class(class),
                Escape::Char(char) => self.literal(char),
                Escape::Start => Ast::Start,
                Escape::End => Ast::End,
            },
            Some('*' | '+' | '?' | '{') => {
                return Err(RegexError::Syntax(
                    "repeats nothing: write a \\ before the character itself",
                ));
            }
            Some(char) => self.literal(char),
            None => Ast::Empty,
        })
    }

    fn literal(&self, char: char) -> Ast {
        let class = Class::of(&[(char, char)], false);
        Ast::Class(if self.flags.ignore_case {
            class.ignoring_case()
        } else {
            class
        })
    }

    fn group(&mut self, depth: usize) -> Result<Ast, RegexError> {
        let outer = self.flags;
        if self.eat('?') && !self.group_flags()? {
            // `(?i)`: the flags hold until the end of the enclosing group.
            return Ok(Ast::Empty);
        }
        let inner = self.alternation(depth + 1)?;
        if !self.eat(')') {
            return Err(RegexError::Syntax("has a ( without its )"));
        }
        self.flags = outer;
        Ok(inner)
    }

    /// Reads what follows `(?`; true when a group follows (`(?i:…`).
    fn group_flags(&mut self) -> Result<bool, RegexError> {
        let mut on = true;
        loop {
            match self.rest.next() {
                Some(':') => return Ok(true),
                Some(')') => return Ok(false),
                Some('-') => on = false,
                Some('i') => self.flags.ignore_case = on,
                Some('s') => self.flags.dot_all = on,
                _ => {
                    return Err(RegexError::Syntax(
                        "uses a group that is not supported: plain groups, (?:...), (?i) and (?s) are",
                    ));
                }
            }
        }
    }

    fn repetition(&mut self, atom: Ast) -> Result<Ast, RegexError> {
        let (least, most) = match self.rest.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => self.counts()?,
            _ => return Ok(atom),
        };
        self.rest.next();
        // A lazy repetition takes the same texts: a full match has no choice.
        self.eat('?');
        if matches!(self.rest.peek(), Some('*' | '+' | '?' | '{')) {
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
        self.rest.next();
        let least = self.count()?.ok_or(WRONG)?;
        let most = if self.eat(',') {
            self.count()?
        } else {
            Some(least)
        };
        if self.rest.peek() != Some(&'}') || most.is_some_and(|most| most < least) {
            return Err(WRONG);
        }
        Ok((least, most))
    }

    fn count(&mut self) -> Result<Option<u32>, RegexError> {
        let mut count: Option<u32> = None;
        while let Some(digit) = self.rest.peek().and_then(|char| char.to_digit(10)) {
            self.rest.next();
            let value = count.unwrap_or(0) * 10 + digit;
            if value > MAX_REPEAT {
                return Err(RegexError::TooLarge);
            }
            count = Some(value);
        }
        Ok(count)
    }

    fn bracket(&mut self) -> Result<Class, RegexError> {
        const OPEN: RegexError = RegexError::Syntax("has a [ without its ]");
        let negated = self.eat('^');
        let mut class = Class::default();
        let mut first = true;
        loop {
            let low = match self.rest.next().ok_or(OPEN)? {
                ']' if !first => break,
                '[' if self.rest.peek() == Some(&':') => {
                    return Err(RegexError::Syntax(
                        "uses a [:class:]: write its characters, as in [a-z]",
                    ));
                }
                '\\' => match self.escape()? {
                    Escape::Char(char) => char,
                    Escape::Class(inner) => {
                        class.add(&inner);
                        first = false;
                        continue;
                    }
                    Escape::Start | Escape::End => {
                        return Err(RegexError::Syntax("has an anchor inside [ ]"));
                    }
                },
                char => char,
            };
            first = false;
            let high = self.range_end(low)?;
            if high < low {
                return Err(RegexError::Syntax("has a range that runs backwards"));
            }
            class.ranges.push((low, high));
        }
        if self.flags.ignore_case {
            class = class.ignoring_case();
        }
        class.negated = negated;
        Ok(class)
    }

    /// The end of a range that starts at `low`, or `low` when none follows.
    fn range_end(&mut self, low: char) -> Result<char, RegexError> {
        let mut ahead = self.rest.clone();
        if ahead.next() != Some('-') || matches!(ahead.next(), None | Some(']')) {
            return Ok(low);
        }
        self.rest.next();
        match self.rest.next() {
            Some('\\') => match self.escape()? {
                Escape::Char(char) => Ok(char),
                _ => Err(RegexError::Syntax("has a range that ends in a class")),
            },
            Some(char) => Ok(char),
            None => Err(RegexError::Syntax("has a [ without its ]")),
        }
    }

    fn escape(&mut self) -> Result<Escape, RegexError> {
        let digits = [('0', '9')];
        let word = [('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];
        let space = [('\t', '\n'), ('\x0c', '\r'), (' ', ' ')];
        Ok(match self.rest.next() {
            Some('d') => Escape::Class(Class::of(&digits, false)),
            Some('D') => Escape::Class(Class::of(&digits, true)),
            Some('w') => Escape::Class(Class::of(&word, false)),
            Some('W') => Escape::Class(Class::of(&word, true)),
            Some('s') => Escape::Class(Class::of(&space, false)),
            Some('S') => Escape::Class(Class::of(&space, true)),
            Some('A') => Escape::Start,
            Some('z') => Escape::End,
            Some('n') => Escape::Char('\n'),
            Some('r') => Escape::Char('\r'),
            Some('t') => Escape::Char('\t'),
            Some('f') => Escape::Char('\x0c'),
            Some('v') => Escape::Char('\x0b'),
            Some('x') => Escape::Char(self.hex()?),
            Some(char) if char.is_ascii_punctuation() => Escape::Char(char),
            Some(_) => {
                return Err(RegexError::Syntax(
                    "uses an escape that is not supported: \\d \\w \\s \\A \\z \\n \\r \\t \\xHH and escaped punctuation are",
                ));
            }
            None => return Err(RegexError::Syntax("ends in a \\")),
        })
    }

    fn hex(&mut self) -> Result<char, RegexError> {
        let mut value = 0;
        for _ in 0..2 {
            let digit = self.rest.next().and_then(|char| char.to_digit(16));
            value =
                value * 16 + digit.ok_or(RegexError::Syntax("has a \\x without two hex digits"))?;
        }
        char::from_u32(value).ok_or(RegexError::Syntax("has a \\x that is no character"))
    }
}

enum Escape {
    Char(char),
    Class(Class),
    Start,
    End,
}
