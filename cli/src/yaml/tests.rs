use meshpack_sdk::config::{Node, Number};

use super::*;

fn one(text: &str) -> Node {
    let documents = parse(text).unwrap();
    assert_eq!(documents.len(), 1, "{documents:?}");
    documents[0].node.clone()
}

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn json_is_read_with_positions() {
    let text = "{\n\t\"a\": [1, 2.5, true, null, \"x\"],\n\t\"b\": {\"c d\": \"\\u00e9\\n\"}\n}\n";
    let documents = parse(text).unwrap();
    let root = documents[0].root();
    assert_eq!(root.locate("a[1]").to_string(), "2:11");
    assert_eq!(root.locate("b[\"c d\"]").to_string(), "3:8");
    assert_eq!(root.at(&["b", "c d"]).unwrap().text(), Some("é\n"));
}

#[test]
fn json_with_a_surrogate_pair_is_read() {
    assert_eq!(
        one(r#"{"a": "\ud83d\ude00"}"#),
        Node::Object(vec![("a".into(), Node::String("😀".into()))])
    );
}

#[test]
fn plain_scalars_mean_what_kubectl_and_envoy_take_them_for() {
    let text = "[on, No, y, 0x10, 0o17, 12, -3, 1.5, 1e3, ~, 10s, 1.2.3, 'on', \"12\", v1, +5, -a, .5, 99999999999999999999]";
    let Node::List(items) = one(text) else {
        panic!()
    };
    let integer = |value| Node::Number(Number::Integer(value));
    let double = |value| Node::Number(Number::Double(value));
    let string = |text: &str| Node::String(text.to_owned());
    assert_eq!(
        items,
        [
            Node::Bool(true),
            Node::Bool(false),
            Node::Bool(true),
            integer(16),
            integer(15),
            integer(12),
            integer(-3),
            double(1.5),
            double(1000.0),
            Node::Null,
            string("10s"),
            string("1.2.3"),
            string("on"),
            string("12"),
            string("v1"),
            integer(5),
            string("-a"),
            double(0.5),
            double(1e20),
        ]
    );
}

#[test]
fn repeated_keys_are_kept_for_the_reader_to_report() {
    assert_eq!(
        one("a: 1\na: 2\n"),
        Node::Object(vec![
            ("a".into(), Node::Number(Number::Integer(1))),
            ("a".into(), Node::Number(Number::Integer(2)))
        ])
    );
    assert_eq!(
        parse("a: 1\na: 2\n").unwrap()[0]
            .root()
            .locate("a")
            .to_string(),
        "2:1"
    );
}

#[test]
fn merge_keys_give_way_to_the_objects_own() {
    let text = "base: &b {x: 1, y: 2}\nuse:\n  x: 7\n  <<: *b\n";
    let documents = parse(text).unwrap();
    let used = documents[0].root().get("use").unwrap();
    let keys: Vec<&str> = used.entries().map(|(key, _)| key).collect();
    assert_eq!(keys, ["x", "y"]);
    assert_eq!(
        used.get("x").unwrap().node(),
        &Node::Number(Number::Integer(7))
    );
    let late = parse("b: &b {x: 1}\nu:\n  <<: *b\n  x: 7\n").unwrap();
    let used = late[0].root().get("u").unwrap();
    assert_eq!(
        used.get("x").unwrap().node(),
        &Node::Number(Number::Integer(7))
    );
    assert_eq!(used.entries().count(), 1);
}

#[test]
fn empty_documents_are_left_out() {
    assert_eq!(parse("---\n---\na: 1\n---\n# nothing\n").unwrap().len(), 1);
    assert!(parse("# only a comment\n").unwrap().is_empty());
}

#[test]
fn text_in_a_block_knows_its_first_line() {
    let documents = parse("value: |\n\n    {\"a\": 1}\nnext: \"x\"\n").unwrap();
    let root = documents[0].root();
    assert_eq!(
        root.get("value").unwrap().text_position().to_string(),
        "3:5"
    );
    assert_eq!(root.get("next").unwrap().text_position().to_string(), "4:8");
}

#[test]
fn alias_bombs_and_towers_are_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let list = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{list}]\n"));
    }
    assert!(
        error(&bomb).contains("more than 100000 values"),
        "{}",
        error(&bomb)
    );
    assert!(error(&"[".repeat(100_000)).contains("limit"));
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    assert!(error(&deep).contains("nested deeper than 128"));
    assert!(error("a: &a [*a]").contains("anchor"));
    assert!(error("a: *nowhere").contains("anchor"));
}

#[test]
fn syntax_errors_name_line_and_column() {
    assert!(
        error("a: 1\nb: [1, 2\nc: 3\n").starts_with("3:"),
        "{}",
        error("a: 1\nb: [1, 2\nc: 3\n")
    );
    assert!(error("a: 'x\n").starts_with("1:") || error("a: 'x\n").starts_with("2:"));
    assert!(error("{a: 1}: b").contains("key"));
}

#[test]
fn files_that_are_not_text_say_what_they_are() {
    let say = |bytes: &[u8]| file::text(bytes.to_vec()).unwrap_err().to_string();
    assert!(say(b"").contains("empty"));
    assert!(say(b" \n\t").contains("empty"));
    assert!(say(b"\0asm\x01\0\0\0").contains("WebAssembly"));
    assert!(say(b"\xff\xfea\0").contains("UTF-16"));
    assert!(say(b"a: \xff").contains("byte 3"));
    assert!(say(b"a\0b").contains("byte 1"));
    assert!(say(&vec![b'a'; MAX_FILE_BYTES as usize + 1]).contains("16 MiB"));
    assert_eq!(file::text(b"\xef\xbb\xbfa: 1".to_vec()).unwrap(), "a: 1");
}
