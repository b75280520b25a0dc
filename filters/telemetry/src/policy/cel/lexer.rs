//! CEL's tokens (cel-spec, "Syntax").

use super::SyntaxError;

/// A token and where it starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    /// Byte offset of the first character.
    pub(super) start: usize,
    /// Byte offset behind the last character.
    pub(super) end: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    Ident(String),
    Int,
    Uint,
    Double,
    /// A string literal with its escapes resolved.
    String(String),
    Bytes,
    /// An operator or a bracket.
    Op(&'static str),
    End,
}

/// Longest first, so that `<=` is not read as `<`.
const OPERATORS: [&str; 25] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".", ",",
    "(", ")", "[", "]", "{", "}", "=",
];

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, SyntaxError> {
    let mut lexer = Lexer { text, at: 0 };
    let mut out = Vec::new();
    loop {
        let token = lexer.next()?;
        let last = token.kind == TokenKind::End;
        out.push(token);
        if last {
            return Ok(out);
        }
    }
}

/// Column (in characters, from 1) of a byte offset.
pub(super) fn column(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or(text).chars().count() + 1
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn error<T>(&self, offset: usize, message: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError {
            column: column(self.text, offset),
            message: message.into(),
        })
    }

    fn next(&mut self) -> Result<Token, SyntaxError> {
        self.skip_blank();
        let start = self.at;
        let kind = self.kind()?;
        Ok(Token {
            kind,
            start,
            end: self.at,
        })
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']);
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with("//") {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn kind(&mut self) -> Result<TokenKind, SyntaxError> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok(TokenKind::End);
        };
        if let Some((prefix, quoted)) = string_start(rest) {
            return self.string(prefix, quoted);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let word = self.take(|c| c.is_ascii_alphanumeric() || c == '_');
            return Ok(TokenKind::Ident(word.to_owned()));
        }
        let second_is_digit = rest.chars().nth(1).is_some_and(|c| c.is_ascii_digit());
        if first.is_ascii_digit() || (first == '.' && second_is_digit) {
            return self.number();
        }
        match OPERATORS.iter().find(|op| rest.starts_with(**op)) {
            Some(op) if *op != "=" => {
                self.at += op.len();
                Ok(TokenKind::Op(op))
            }
            Some(_) => self.error(self.at, "a single '=' is no operator: compare with '=='"),
            None => self.error(self.at, format!("unexpected character {first:?}")),
        }
    }

    fn take(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or("")
    }

    fn number(&mut self) -> Result<TokenKind, SyntaxError> {
        let start = self.at;
        let rest = self.rest();
        if rest.starts_with("0x") || rest.starts_with("0X") {
            self.at += 2;
            if self.take(|c| c.is_ascii_hexdigit()).is_empty() {
                return self.error(start, "a hexadecimal number needs digits after 0x");
            }
            return Ok(self.integer_suffix());
        }
        self.take(|c| c.is_ascii_digit());
        let mut double = false;
        let fraction = self.rest().strip_prefix('.');
        if fraction.is_some_and(|tail| tail.starts_with(|c: char| c.is_ascii_digit())) {
            self.at += 1;
            self.take(|c| c.is_ascii_digit());
            double = true;
        }
        if self.rest().starts_with(['e', 'E']) {
            self.at += 1;
            if self.rest().starts_with(['+', '-']) {
                self.at += 1;
            }
            if self.take(|c| c.is_ascii_digit()).is_empty() {
                return self.error(start, "an exponent needs digits");
            }
            double = true;
        }
        if double {
            return Ok(TokenKind::Double);
        }
        Ok(self.integer_suffix())
    }

    fn integer_suffix(&mut self) -> TokenKind {
        if self.rest().starts_with(['u', 'U']) {
            self.at += 1;
            TokenKind::Uint
        } else {
            TokenKind::Int
        }
    }

    /// A string or bytes literal; `prefix` are the letters before the quotes.
    fn string(&mut self, prefix: &str, quote: &'static str) -> Result<TokenKind, SyntaxError> {
        let start = self.at;
        let raw = prefix.contains(['r', 'R']);
        let bytes = prefix.contains(['b', 'B']);
        self.at += prefix.len() + quote.len();
        let mut value = String::new();
        loop {
            let rest = self.rest();
            if rest.starts_with(quote) {
                self.at += quote.len();
                break;
            }
            let Some(c) = rest.chars().next() else {
                return self.error(start, "this string is not closed");
            };
            if quote.len() == 1 && (c == '\n' || c == '\r') {
                return self.error(start, "this string is not closed on its line");
            }
            if c == '\\' && !raw {
                let decoded = self.escape(bytes)?;
                value.push(decoded);
            } else {
                self.at += c.len_utf8();
                value.push(c);
            }
        }
        Ok(if bytes {
            TokenKind::Bytes
        } else {
            TokenKind::String(value)
        })
    }

    fn escape(&mut self, bytes: bool) -> Result<char, SyntaxError> {
        let start = self.at;
        self.at += 1;
        let Some(c) = self.rest().chars().next() else {
            return self.error(start, "this escape is not complete");
        };
        let (digits, radix, skip) = match c {
            'x' | 'X' => (2, 16, 1),
            'u' if !bytes => (4, 16, 1),
            'U' if !bytes => (8, 16, 1),
            '0'..='3' => (3, 8, 0),
            _ => {
                let decoded = match c {
                    'a' => '\x07',
                    'b' => '\x08',
                    'f' => '\x0c',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'v' => '\x0b',
                    '\\' | '\'' | '"' | '`' | '?' => c,
                    _ => return self.error(start, format!("unknown escape \\{c}")),
                };
                self.at += 1;
                return Ok(decoded);
            }
        };
        self.at += skip;
        let value = self
            .rest()
            .get(..digits)
            .and_then(|digits| u32::from_str_radix(digits, radix).ok())
            .and_then(char::from_u32);
        match value {
            Some(decoded) => {
                self.at += digits;
                Ok(decoded)
            }
            None => self.error(start, "this escape is not a character"),
        }
    }
}

/// Splits the prefix letters and finds the quote of a string literal.
fn string_start(text: &str) -> Option<(&str, &'static str)> {
    let letters = text.find(|c: char| !"rRbB".contains(c))?;
    if letters > 2 {
        return None;
    }
    let (prefix, rest) = text.split_at_checked(letters)?;
    let quote = ["\"\"\"", "'''", "\"", "'"]
        .into_iter()
        .find(|quote| rest.starts_with(quote))?;
    Some((prefix, quote))
}
