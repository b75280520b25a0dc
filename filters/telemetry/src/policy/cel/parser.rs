//! CEL's grammar (cel-spec, "Syntax"), to a tree small enough for what the
//! filter asks of it.

use super::SyntaxError;
use super::lexer::{Token, TokenKind, column, tokens};

/// Deepest nesting; Envoy's own parser allows 250, and a call stack in the VM is
/// a bounded thing.
const MAX_DEPTH: usize = 100;

/// Words that CEL reserves; none can be a variable.
const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "var",
    "void",
    "while",
    "true",
    "false",
];

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
}

/// The kinds of expression.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A signed or unsigned whole number; one beyond 63 bits is cut to them.
    Int(i64),
    /// A number with a fraction or an exponent: what stands before its point, unless
    /// it has an exponent.
    Double(Option<i64>),
    /// A string, escapes resolved.
    String(String),
    /// A bytes literal.
    Bytes,
    /// A variable or attribute root.
    Ident(String),
    /// `operand.field`
    Select(Box<Expr>, String),
    /// `operand[index]`
    Index(Box<Expr>, Box<Expr>),
    /// `function(arguments)` or `target.function(arguments)`
    Call(Option<Box<Expr>>, String, Vec<Expr>),
    /// `[a, b]`
    List(Vec<Expr>),
    /// `{a: b}`, keys and values in turn, or a message.
    Map(Vec<Expr>),
    /// `!a` or `-a`
    Unary(&'static str, Box<Expr>),
    /// `a + b` and the like.
    Binary(&'static str, Box<Expr>, Box<Expr>),
    /// `a ? b : c`
    Conditional(Box<Expr>, Box<Expr>, Box<Expr>),
}

/// Parses an expression.
///
/// # Errors
/// The first mistake, with its column.
pub fn parse(text: &str) -> Result<Expr, SyntaxError> {
    let tokens = tokens(text)?;
    let mut parser = Parser {
        text,
        tokens,
        at: 0,
        depth: 0,
    };
    let expr = parser.expression()?;
    if parser.peek().kind == TokenKind::End {
        Ok(expr)
    } else {
        parser.unexpected("an operator or the end")
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

const END: Token = Token {
    kind: TokenKind::End,
    start: usize::MAX,
    end: usize::MAX,
};

fn new(kind: ExprKind) -> Expr {
    Expr { kind }
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&END)
    }

    fn advance(&mut self) {
        self.at += 1;
    }

    fn op(&self) -> Option<&'static str> {
        match self.peek().kind {
            TokenKind::Op(op) => Some(op),
            _ => None,
        }
    }

    fn take_op(&mut self, wanted: &str) -> bool {
        let found = self.op() == Some(wanted);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, wanted: &'static str) -> Result<(), SyntaxError> {
        if self.take_op(wanted) {
            Ok(())
        } else {
            self.unexpected(&format!("'{wanted}'"))
        }
    }

    fn unexpected<T>(&self, wanted: &str) -> Result<T, SyntaxError> {
        let token = self.peek();
        let start = token.start.min(self.text.len());
        let found = match self.text.get(start..token.end.min(self.text.len())) {
            Some(text) if !text.is_empty() => format!("'{text}'"),
            _ => "the end".to_owned(),
        };
        Err(SyntaxError {
            column: column(self.text, start),
            message: format!("expected {wanted}, found {found}"),
        })
    }

    /// conditional: `or ["?" or ":" expression]`
    fn expression(&mut self) -> Result<Expr, SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SyntaxError {
                column: column(self.text, self.peek().start.min(self.text.len())),
                message: format!("nested deeper than {MAX_DEPTH} levels"),
            });
        }
        let condition = self.binary(0)?;
        let expr = if self.take_op("?") {
            let yes = self.binary(0)?;
            self.expect(":")?;
            let no = self.expression()?;
            new(ExprKind::Conditional(
                Box::new(condition),
                Box::new(yes),
                Box::new(no),
            ))
        } else {
            condition
        };
        self.depth -= 1;
        Ok(expr)
    }

    /// Binary operators by binding strength, loosest first; all are
    /// left-associative.
    fn binary(&mut self, level: usize) -> Result<Expr, SyntaxError> {
        const LEVELS: [&[&str]; 5] = [
            &["||"],
            &["&&"],
            &["<", "<=", ">=", ">", "==", "!=", "in"],
            &["+", "-"],
            &["*", "/", "%"],
        ];
        let Some(operators) = LEVELS.get(level) else {
            return self.unary();
        };
        let mut left = self.binary(level + 1)?;
        while let Some(op) = self.binary_operator(operators) {
            self.advance();
            let right = self.binary(level + 1)?;
            left = new(ExprKind::Binary(op, Box::new(left), Box::new(right)));
        }
        Ok(left)
    }

    fn binary_operator(&self, operators: &[&'static str]) -> Option<&'static str> {
        let found = match &self.peek().kind {
            TokenKind::Op(op) => op,
            TokenKind::Ident(word) if word == "in" => "in",
            _ => return None,
        };
        operators.iter().find(|op| **op == found).copied()
    }

    fn unary(&mut self) -> Result<Expr, SyntaxError> {
        for op in ["!", "-"] {
            if self.op() == Some(op) {
                let mut count = 0;
                while self.take_op(op) {
                    count += 1;
                }
                let mut expr = self.member()?;
                for _ in 0..count.min(MAX_DEPTH) {
                    expr = new(ExprKind::Unary(op, Box::new(expr)));
                }
                return Ok(expr);
            }
        }
        self.member()
    }

    fn member(&mut self) -> Result<Expr, SyntaxError> {
        let mut expr = self.primary()?;
        loop {
            if self.take_op(".") {
                let name = self.name("a field name")?;
                expr = if self.take_op("(") {
                    let arguments = self.list(")")?;
                    new(ExprKind::Call(Some(Box::new(expr)), name, arguments))
                } else {
                    new(ExprKind::Select(Box::new(expr), name))
                };
            } else if self.take_op("[") {
                let index = self.expression()?;
                self.expect("]")?;
                expr = new(ExprKind::Index(Box::new(expr), Box::new(index)));
            } else if self.op() == Some("{") && is_type_name(&expr) {
                self.advance();
                expr = self.map()?;
            } else {
                return Ok(expr);
            }
        }
    }

    fn name(&mut self, what: &str) -> Result<String, SyntaxError> {
        match &self.peek().kind {
            TokenKind::Ident(name) => {
                let name = name.clone();
                self.advance();
                Ok(name)
            }
            _ => self.unexpected(what),
        }
    }

    fn primary(&mut self) -> Result<Expr, SyntaxError> {
        let kind = match self.peek().kind.clone() {
            TokenKind::Int | TokenKind::Uint => ExprKind::Int(whole(self.literal())),
            TokenKind::Double => ExprKind::Double(match self.literal() {
                exponent if exponent.contains(['e', 'E']) => None,
                number => Some(whole(number.split('.').next().unwrap_or_default())),
            }),
            TokenKind::Bytes => ExprKind::Bytes,
            TokenKind::String(value) => ExprKind::String(value),
            TokenKind::Ident(word) if is_reserved(&word) => {
                return self.unexpected("a value, not a reserved word");
            }
            TokenKind::Ident(word) => {
                self.advance();
                return self.word(word);
            }
            TokenKind::Op("(") => {
                self.advance();
                let expr = self.expression()?;
                self.expect(")")?;
                return Ok(expr);
            }
            TokenKind::Op("[") => {
                self.advance();
                return Ok(new(ExprKind::List(self.list("]")?)));
            }
            TokenKind::Op("{") => {
                self.advance();
                return self.map();
            }
            TokenKind::Op(".") => {
                self.advance();
                let name = self.name("a name")?;
                return self.word(name);
            }
            TokenKind::Op(_) | TokenKind::End => return self.unexpected("a value"),
        };
        self.advance();
        Ok(new(kind))
    }

    /// The text of the token in hand.
    fn literal(&self) -> &str {
        let token = self.peek();
        self.text.get(token.start..token.end).unwrap_or_default()
    }

    /// A word as the start of a value, itself already taken.
    fn word(&mut self, word: String) -> Result<Expr, SyntaxError> {
        match word.as_str() {
            "true" | "false" => return Ok(new(ExprKind::Bool(word == "true"))),
            "null" => return Ok(new(ExprKind::Null)),
            _ => {}
        }
        if self.take_op("(") {
            let arguments = self.list(")")?;
            return Ok(new(ExprKind::Call(None, word, arguments)));
        }
        Ok(new(ExprKind::Ident(word)))
    }

    /// Expressions up to `close`; a trailing comma is allowed in lists.
    fn list(&mut self, close: &'static str) -> Result<Vec<Expr>, SyntaxError> {
        let mut items = Vec::new();
        loop {
            if (items.is_empty() || close == "]") && self.take_op(close) {
                return Ok(items);
            }
            items.push(self.expression()?);
            if self.take_op(close) {
                return Ok(items);
            }
            if !self.take_op(",") {
                return self.unexpected(&format!("',' or '{close}'"));
            }
        }
    }

    /// Entries of a map or message, behind the opening brace.
    fn map(&mut self) -> Result<Expr, SyntaxError> {
        let mut items = Vec::new();
        loop {
            if self.take_op("}") {
                return Ok(new(ExprKind::Map(items)));
            }
            items.push(self.expression()?);
            self.expect(":")?;
            items.push(self.expression()?);
            if self.op() != Some("}") && !self.take_op(",") {
                return self.unexpected("',' or '}'");
            }
        }
    }
}

/// A whole number as it is written, at most the largest; nothing is 0. What a
/// hexadecimal one is makes no difference here, only whether it is 0.
fn whole(text: &str) -> i64 {
    let text = text.trim_end_matches(['u', 'U']);
    if text.trim_start_matches(['0', 'x', 'X']).is_empty() {
        return 0;
    }
    text.parse().unwrap_or(i64::MAX)
}

fn is_reserved(word: &str) -> bool {
    RESERVED.contains(&word) && !matches!(word, "true" | "false" | "null")
}

/// A message literal starts with a dotted name.
fn is_type_name(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Ident(_) => true,
        ExprKind::Select(operand, _) => is_type_name(operand),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn valid_expressions_parse() {
        for text in [
            "1",
            "-1",
            "1.5e3 + .5",
            "0xFFu",
            "true ? 'a' : \"b\"",
            "request.headers[\"x-tenant\"]",
            "request.method == \"POST\" && !(response.code >= 500)",
            "has(response.code) ? response.code : 0",
            "'x' in request.headers",
            "[1, 2, 3,].exists(i, i > 2)",
            "{'a': 1, 'b': 2}['a']",
            "request.path.startsWith('/a') || request.path.matches(r'^/b\\d+$')",
            "google.protobuf.Duration{seconds: 1}",
            "string(response.code) + '-' + request.method",
            "b'ab' == b\"ab\"",
            "'''multi\nline'''",
            "duration('1s') < request.duration // comment",
            "!!true",
            "--1 == 1",
            "'\\u00e9\\x41\\101\\n'",
        ] {
            assert!(parse(text).is_ok(), "{text}: {:?}", parse(text));
        }
    }

    #[test]
    fn mistakes_are_reported_with_their_column() {
        for (text, expected) in [
            ("", "column 1: expected a value, found the end"),
            ("request.", "column 9: expected a field name, found the end"),
            (
                "a = 1",
                "column 3: a single '=' is no operator: compare with '=='",
            ),
            ("(a", "column 3: expected ')', found the end"),
            (
                "a b",
                "column 3: expected an operator or the end, found 'b'",
            ),
            ("f(a b)", "column 5: expected ',' or ')', found 'b'"),
            ("a ? b", "column 6: expected ':', found the end"),
            ("\"abc", "column 1: this string is not closed"),
            ("é", "column 1: unexpected character 'é'"),
            ("'é' #", "column 5: unexpected character '#'"),
            ("'\\q'", "column 2: unknown escape \\q"),
            ("a && || b", "column 6: expected a value, found '||'"),
            ("f(a,)", "column 5: expected a value, found ')'"),
            ("0x", "column 1: a hexadecimal number needs digits after 0x"),
            (
                "return",
                "column 1: expected a value, not a reserved word, found 'return'",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = |n: usize| format!("{}1{}", "(".repeat(n), ")".repeat(n));
        assert!(parse(&deep(90)).is_ok());
        assert!(parse(&deep(5000)).is_err());
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in "[\\[\\](){}a-c.,'\"0-9?:=!&|+ \\\\é-]{0,40}") {
            let _ = parse(&text);
        }
    }
}
