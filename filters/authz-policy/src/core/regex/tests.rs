use super::{Regex, RegexError};

fn matches(pattern: &str, text: &str) -> bool {
    Regex::new(pattern).unwrap().matches(text.as_bytes())
}

#[test]
fn the_whole_text_must_match() {
    for (pattern, text, expected) in [
        ("", "", true),
        ("", "a", false),
        ("abc", "abc", true),
        ("abc", "xabc", false),
        ("abc", "abcx", false),
        ("a.c", "abc", true),
        ("a.c", "a\nc", false),
        ("(?s)a.c", "a\nc", true),
        ("a|bc", "bc", true),
        ("a|bc", "abc", false),
        ("(a|b)c", "bc", true),
        ("(?:a|b)*", "abba", true),
        ("a*", "", true),
        ("a+", "", false),
        ("a?b", "b", true),
        ("a{2}", "aa", true),
        ("a{2}", "aaa", false),
        ("a{2,}", "aaaa", true),
        ("a{1,2}", "aaa", false),
        ("a{0}", "", true),
        ("(ab){2,3}", "ababab", true),
        ("a*?b", "aab", true),
        ("^abc$", "abc", true),
        ("a^b", "ab", false),
        ("(^a|b)*", "ab", true),
        ("(a$|b)*", "ab", false),
        (r"\Aabc\z", "abc", true),
        ("(a|)b", "b", true),
        ("||a", "", true),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text:?}");
    }
}

#[test]
fn classes_and_escapes_work() {
    for (pattern, text, expected) in [
        ("[a-c]+", "abcab", true),
        ("[^a-c]", "d", true),
        ("[^a-c]", "b", false),
        ("[]a]+", "]a", true),
        ("[^]]", "a", true),
        ("[a-]+", "a-", true),
        (r"[\d-]+", "1-2", true),
        (r"[\D]", "1", false),
        (r"[^\D]", "1", true),
        (r"[\W1]", "1", true),
        (r"[\W1]", "a", false),
        (r"\d+\.\d+", "1.2", true),
        (r"\d+\.\d+", "1x2", false),
        (r"\w+@\w+", "a_1@b", true),
        (r"\s", " ", true),
        (r"\S", " ", false),
        (r"\x41", "A", true),
        (r"[\x41-C]", "B", true),
        (r"\/", "/", true),
        ("é+", "éé", true),
        ("[à-ü]", "é", true),
        (".", "é", true),
        ("(?i)abc", "aBC", true),
        ("(?i)[a-c]+", "ABC", true),
        ("(?i)[^a]", "A", false),
        ("(?i:a)b", "AB", false),
        ("((?i)a)b", "Ab", true),
        ("(?i)a(?-i)b", "AB", false),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text:?}");
    }
}

#[test]
fn bytes_outside_utf8_match_nothing() {
    for pattern in [".", "[^a]", r"\W", r"\D", "(?s)."] {
        assert!(!Regex::new(pattern).unwrap().matches(b"\xff"), "{pattern}");
    }
    assert!(!Regex::new("a.*").unwrap().matches(b"a\xc3"));
}

#[test]
fn what_is_not_understood_is_refused() {
    for pattern in [
        "(",
        ")",
        "a)",
        "(a",
        "[",
        "[a",
        "[]",
        "*",
        "+a",
        "a**",
        "a{2",
        "a{",
        "a{,2}",
        "a{3,2}",
        "{",
        r"\",
        r"\b",
        r"\1",
        r"\p{L}",
        r"\x4",
        "(?P<n>a)",
        "(?=a)",
        "(?m)a",
        "[b-a]",
        "[[:alpha:]]",
        r"[a-\d]",
        r"a\Q",
        "(?i",
    ] {
        assert!(Regex::new(pattern).is_err(), "{pattern}");
    }
}

#[test]
fn size_is_bounded() {
    for pattern in [
        "a{1001}".to_owned(),
        "a{1000}{1000}".to_owned(),
        "((a{100}){100}){100}".to_owned(),
        "(((){1000}){1000}){1000}".to_owned(),
        "a".repeat(5000),
        "(".repeat(100) + &")".repeat(100),
    ] {
        assert!(Regex::new(&pattern).is_err(), "{pattern}");
    }
    assert_eq!(Regex::new("a{1001}"), Err(RegexError::TooLarge));
}

#[test]
fn time_is_linear_for_patterns_that_explode_elsewhere() {
    let text = "a".repeat(20_000);
    // One that tries every way to match does not end, so nothing need be timed.
    for pattern in ["(a*)*b", "(a|a)*b", "(a|aa)+$b", "(.*)(.*)(.*)(.*)(.*)[^a]"] {
        assert!(!matches(pattern, &text), "{pattern}");
    }
}

proptest::proptest! {
    #[test]
    fn any_pattern_compiles_or_is_refused(pattern in ".{0,40}", text: Vec<u8>) {
        if let Ok(regex) = Regex::new(&pattern) {
            let _ = regex.matches(&text);
        }
    }

    #[test]
    fn an_escaped_literal_matches_itself_only(text in "[ -~]{0,20}", other in "[ -~]{0,20}") {
        let escaped: String = text
            .chars()
            .flat_map(|c| c.is_ascii_punctuation().then_some('\\').into_iter().chain([c]))
            .collect();
        let regex = Regex::new(&escaped).unwrap();
        proptest::prop_assert!(regex.matches(text.as_bytes()));
        proptest::prop_assert_eq!(regex.matches(other.as_bytes()), text == other);
    }
}
