use super::{Automaton, REQUEST_STEPS, Regex, RegexError, Steps, Taken, Tri};

fn matches(pattern: &str, text: &str) -> bool {
    Regex::new(pattern).unwrap().matches(text.as_bytes()) == Tri::Yes
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
        ("(?:é)+", "éé", true),
        ("é|è", "è", true),
        (".", "é", false),
        ("..", "é", true),
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
fn every_byte_is_a_character() {
    for pattern in [
        ".",
        "[^a]",
        r"\W",
        r"\D",
        r"\S",
        "(?s).",
        r"[\x80-\xff]",
        r"\xff",
    ] {
        let regex = Regex::new(pattern).unwrap();
        assert_eq!(regex.matches(b"\xff"), Tri::Yes, "{pattern}");
        assert_eq!(regex.matches(b"\xc3\xbf"), Tri::No, "{pattern}");
    }
    for byte in (0..=0xff).filter(|byte| *byte != b'\n') {
        let text = [b"admin", &[byte][..]].concat();
        assert_eq!(Regex::new("admin.*").unwrap().matches(&text), Tri::Yes);
    }
    assert_eq!(Regex::new(r"\xe9").unwrap().matches(b"\xe9"), Tri::Yes);
    // Case is ASCII's.
    let kelvin = Regex::new("(?i)k").unwrap();
    assert_eq!(kelvin.matches("\u{212a}".as_bytes()), Tri::No);
    assert_eq!(Regex::new(r"(?i)\xe9").unwrap().matches(b"\xc9"), Tri::No);
}

#[test]
fn a_line_feed_that_only_a_loose_dot_takes_is_unknown() {
    for (pattern, text, expected) in [
        ("admin.*", "admin\n", Tri::Unknown),
        ("admin.*", "adm\nin", Tri::No),
        ("a.c", "a\nc", Tri::Unknown),
        (".*\\n", "a\n", Tri::Yes),
        ("(?s)a.c", "a\nc", Tri::Yes),
        ("a[^x]c", "a\nc", Tri::Yes),
        ("a[^\\n]c", "a\nc", Tri::No),
        (r"a\Sc", "a\nc", Tri::No),
        (r"a\Wc", "a\nc", Tri::Yes),
        ("a.*|a\\n", "a\n", Tri::Yes),
        ("a", "a\n", Tri::No),
        ("a$", "a\n", Tri::No),
    ] {
        let regex = Regex::new(pattern).unwrap();
        assert_eq!(
            regex.matches(text.as_bytes()),
            expected,
            "{pattern} {text:?}"
        );
    }
}

#[test]
fn characters_beyond_ascii_stand_where_their_bytes_mean_them() {
    for pattern in [
        "é+", "é{2}", "aé?", "[é]", "[^é]", "[a-é]", "(?i)é", "(?i:é)",
    ] {
        assert!(
            matches!(Regex::new(pattern), Err(RegexError::Syntax(_))),
            "{pattern}"
        );
    }
    for (pattern, text) in [
        ("é", "é"),
        ("日本.*", "日本語"),
        ("(?i)a(?-i:é|É)", "AÉ"),
        ("(?:é){2}", "éé"),
    ] {
        assert!(matches(pattern, text), "{pattern} {text}");
    }
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

/// An automaton of these sets of patterns, and each pattern's number.
fn automaton(sets: &[Vec<String>]) -> (Automaton, Vec<Vec<usize>>) {
    let mut automaton = Automaton::default();
    let mut numbers = Vec::new();
    for (set, patterns) in sets.iter().enumerate() {
        let join = |pattern: &String| {
            let mut regex = Regex::new(pattern).unwrap();
            regex.join(&mut automaton, set, None);
            regex.place().1
        };
        numbers.push(patterns.iter().map(join).collect());
    }
    automaton.finish();
    (automaton, numbers)
}

/// Steps that one value takes in the first set.
fn steps(automaton: &Automaton, value: &[u8]) -> u32 {
    let steps = Steps::default();
    let _ = automaton.run(0, value, &steps);
    steps.taken()
}

#[test]
fn steps_are_bounded_whatever_the_patterns_and_values() {
    let many: Vec<String> = (0..4000).map(|n| format!(".*{n}x.*")).collect();
    let hungry = vec![".*a.{900}c".to_owned()];
    let nested = vec!["((a?){30}){30}b".to_owned()];
    let mut value = Vec::new();
    let mut state = 1_u32;
    while value.len() < 54_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        value.push(if state >> 31 == 0 { b'a' } else { b'b' });
    }
    let only_as = vec![b'a'; value.len()];
    let digits: Vec<u8> = (0..54_000_u32)
        .map(|n| b'0' + (n.wrapping_mul(2_654_435_761) >> 24) as u8 % 10)
        .collect();
    for (patterns, value) in [(many, &digits), (hungry, &value), (nested, &only_as)] {
        let (automaton, _) = automaton(&[patterns]);
        let taken = steps(&automaton, value);
        assert!(taken <= REQUEST_STEPS, "{taken}");
        let exhausted = automaton.run(0, value, &Steps::default());
        assert_eq!(exhausted, Taken::Undecided);
        assert_eq!(exhausted.any_of(&[0]), Tri::Unknown);
    }
}

#[test]
fn ordinary_values_take_about_their_length() {
    let ordinary: Vec<String> = (0..4000).map(|n| format!("v{n}(\\.[0-9]+)?")).collect();
    let (automaton, numbers) = automaton(&[ordinary]);
    let taken = automaton.run(0, b"v17.25", &Steps::default());
    assert_eq!(taken.any_of(&numbers[0][17..18]), Tri::Yes);
    assert_eq!(taken.any_of(&numbers[0][..17]), Tri::No);
    assert!(steps(&automaton, b"v17.25") < 66_000);
    // Ten patterns that look for a word anywhere, and the largest header.
    let words: Vec<String> = (0..10).map(|n| format!(".*word{n}.*")).collect();
    let (words, _) = self::automaton(&[words]);
    let long = "/some/path?with=text&of=no meaning ".repeat(1_500);
    let first = steps(&words, long.as_bytes());
    assert!(first < 60_000, "{first}");
    // The same request costs the same, whatever is kept from others.
    assert_eq!(first, steps(&words, long.as_bytes()));
    for other in ["w", "word1", "wordword9"] {
        steps(&words, other.as_bytes());
    }
    assert_eq!(first, steps(&words, long.as_bytes()));
}

#[test]
fn what_is_kept_is_bounded() {
    let (automaton, _) = automaton(&[vec![".*a.{40}c.*".to_owned()]]);
    let mut state = 7_u32;
    for _ in 0..40 {
        let mut value = Vec::new();
        for _ in 0..500 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            value.push(b'a' + (state >> 30) as u8);
        }
        steps(&automaton, &value);
        assert!(automaton.kept() < 1 << 19, "{}", automaton.kept());
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
        proptest::prop_assert_eq!(regex.matches(text.as_bytes()), Tri::Yes);
        proptest::prop_assert_eq!(regex.matches(other.as_bytes()), Tri::from(text == other));
    }

    /// Expressions run together, after any requests, answer as each does alone.
    #[test]
    fn together_they_answer_as_alone(
        patterns in proptest::collection::vec("[ab.|*+?()^$\\n]{1,8}", 1..12),
        values in proptest::collection::vec("[ab\\n]{0,10}", 1..20),
    ) {
        let valid: Vec<String> = patterns
            .into_iter()
            .filter(|pattern| Regex::new(pattern).is_ok())
            .collect();
        let half = valid.len() / 2;
        let sets = [valid[..half].to_vec(), valid[half..].to_vec()];
        let (automaton, numbers) = automaton(&sets);
        for value in &values {
            for (set, patterns) in sets.iter().enumerate() {
                if patterns.is_empty() {
                    continue;
                }
                let taken = automaton.run(set, value.as_bytes(), &Steps::default());
                for (pattern, number) in patterns.iter().zip(&numbers[set]) {
                    let alone = Regex::new(pattern).unwrap().matches(value.as_bytes());
                    proptest::prop_assert_eq!(
                        taken.any_of(&[*number]), alone, "{} {:?}", pattern, value
                    );
                }
            }
        }
    }
}
