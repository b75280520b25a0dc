use proptest::prelude::*;

use super::{MatchIndex, RequestHead, RequestMatch};
use crate::config;
use crate::headers::HeaderMap;
use crate::host::encode_pairs;

fn read(json: &str) -> RequestMatch {
    config::parse(json.as_bytes(), |value| RequestMatch::read(&value)).unwrap()
}

fn problems(json: &str) -> Vec<String> {
    config::parse(json.as_bytes(), |value| RequestMatch::read(&value))
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn with_request<T>(pairs: &[(&str, &str)], look: impl FnOnce(&RequestHead<'_>) -> T) -> T {
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    let raw = encode_pairs(&pairs);
    let headers = HeaderMap::decode(&raw).unwrap();
    look(&RequestHead::new(&headers))
}

fn get<'a>(authority: &'a str, path: &'a str) -> [(&'a str, &'a str); 3] {
    [
        (":authority", authority),
        (":path", path),
        (":method", "GET"),
    ]
}

#[test]
fn an_empty_match_takes_every_request() {
    assert!(with_request(&[], |request| read("{}").matches(request)));
    assert_eq!(read("{}"), RequestMatch::any());
}

#[test]
fn fields_are_anded_and_values_are_ored() {
    let matcher = read(
        r#"{"hosts": ["pay*", "*.shop"], "paths": ["/a", "/b/*"], "methods": ["GET", "HEAD"],
            "headers": {"X-Beta": ["1", "2*"], "x-any": "*"}}"#,
    );
    for (host, path, beta, any, expected) in [
        ("PAYments:80", "/a?x", "1", "", true),
        ("www.shop", "/b/c", "22", "x", true),
        ("other", "/a", "1", "", false),
        ("pay", "/b", "1", "", false),
        ("pay", "/a", "3", "", false),
    ] {
        let mut pairs = get(host, path).to_vec();
        pairs.extend([("x-beta", beta), ("x-any", any)]);
        let found = with_request(&pairs, |request| matcher.matches(request));
        assert_eq!(found, expected, "{host} {path} {beta}");
    }
    let pairs = [get("pay", "/a").as_slice(), &[("x-beta", "1")]].concat();
    assert!(!with_request(&pairs, |request| matcher.matches(request)));
}

#[test]
fn repeated_headers_count_as_one_value_joined_by_commas() {
    let pairs = [get("h", "/").as_slice(), &[("a", "1"), ("a", "2")]].concat();
    for (json, expected) in [
        (r#"{"headers": {"a": "1,2"}}"#, true),
        (r#"{"headers": {"a": "1*"}}"#, true),
        (r#"{"headers": {"a": "*2"}}"#, true),
        (r#"{"headers": {"a": "2"}}"#, false),
    ] {
        assert_eq!(with_request(&pairs, |r| read(json).matches(r)), expected);
    }
}

#[test]
fn what_can_never_match_is_a_problem_with_its_path() {
    assert_eq!(
        problems(
            r#"{"hosts": ["a:80", "http://b", ""], "paths": ["a", "/a?b", "/{*}x", "/{id}"], "methods": [],
                "headers": {"a b": "1", "c": 1}, "host": 1}"#
        ),
        [
            "hosts[0]: \"a:80\" can never match: hosts are compared without scheme, port and path",
            "hosts[1]: \"http://b\" can never match: hosts are compared without scheme, port and path",
            "hosts[2]: must not be empty",
            "paths[0]: \"a\" can never match: a path starts with /, or with * to match its end",
            "paths[1]: \"/a?b\" can never match: paths are compared without query and fragment",
            "paths[2]: \"/{*}x\" is not a path template: segment \"{*}x\" mixes a template with text: {*} and {**} must be whole segments",
            "paths[3]: \"/{id}\" is not a path template: segment \"{id}\" has a stray brace: only {*} and {**} are templates",
            "methods: is empty: give at least one entry or leave the key out",
            "headers[\"a b\"]: \"a b\" is not a header name",
            "headers.c: is a number, must be a string or a list of strings",
            "host: unknown key; known keys here: hosts, paths, methods, headers",
        ]
    );
}

#[test]
fn the_first_of_many_entries_wins() {
    let mut entries: Vec<_> = (0..1000)
        .map(|i| {
            read(&format!(
                r#"{{"hosts": ["svc-{i}", "*.svc-{i}.local"], "paths": ["/v{i}/*"]}}"#
            ))
        })
        .collect();
    entries.insert(500, read(r#"{"hosts": ["svc-7*"]}"#));
    entries.push(read("{}"));
    let index = MatchIndex::new(entries);
    assert_eq!(index.len(), 1002);
    for (host, path, expected) in [
        ("SVC-3:80", "/v3/x", 3),
        ("a.svc-3.local", "/v3/", 3),
        ("svc-7", "/v7/", 7),
        ("svc-7", "/", 500),
        ("svc-999", "/v999/", 1000),
        ("svc-999", "/v99/", 1001),
        ("", "", 1001),
    ] {
        let found = with_request(&get(host, path), |request| index.first(request));
        assert_eq!(found, Some(expected), "{host} {path}");
    }
}

#[test]
fn an_entry_with_very_many_values_is_still_found() {
    let list = |prefix: &str| {
        let items: Vec<_> = (0..5000).map(|i| format!("\"{prefix}{i}\"")).collect();
        items.join(",")
    };
    let wide = format!(
        r#"{{"hosts": [{}], "paths": [{}], "headers": {{"a": ["1", "2"]}}}}"#,
        list("h"),
        list("/p")
    );
    let mut entries = vec![read(r#"{"hosts": ["none"]}"#); 20];
    entries.push(read(&wide));
    let index = MatchIndex::new(entries);
    let pairs = [get("h4999", "/p4999").as_slice(), &[("a", "2")]].concat();
    assert_eq!(
        with_request(&pairs, |request| index.first(request)),
        Some(20)
    );
}

/// Texts from a small alphabet, so that entries overlap and requests hit.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ab]{1,3}",
        "[ab]{1,2}\\*",
        "\\*[ab]{1,2}",
        Just("*".to_owned())
    ]
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        "(/[ab]{0,2}){1,3}",
        "(/[ab]{1,2}){0,2}/[ab]\\*",
        "\\*[ab/]{1,2}",
        "(/[ab]{1,2}){0,2}/\\{\\*\\}(/[ab])?",
        "(/[ab]{1,2}){0,2}/\\{\\*\\*\\}(/[ab])?",
        Just("*".to_owned()),
    ]
}

fn entry() -> impl Strategy<Value = String> {
    let list = |item: BoxedStrategy<String>| {
        proptest::option::weighted(0.7, proptest::collection::vec(item, 1..3))
    };
    let headers = proptest::option::weighted(
        0.4,
        proptest::collection::btree_map("[xyz]", proptest::collection::vec(text(), 1..3), 1..3),
    );
    (
        list(text().boxed()),
        list(path().boxed()),
        proptest::option::weighted(0.3, "GET|P\\*"),
        headers,
    )
        .prop_map(|(hosts, paths, method, headers)| {
            let mut fields = Vec::new();
            if let Some(hosts) = hosts {
                fields.push(format!("\"hosts\": {hosts:?}"));
            }
            if let Some(paths) = paths {
                fields.push(format!("\"paths\": {paths:?}"));
            }
            if let Some(method) = method {
                fields.push(format!("\"methods\": [{method:?}]"));
            }
            if let Some(headers) = headers {
                fields.push(format!("\"headers\": {headers:?}"));
            }
            format!("{{{}}}", fields.join(", "))
        })
}

fn request() -> impl Strategy<Value = Vec<(String, String)>> {
    (
        "[abAB]{0,4}(:80)?",
        "(/[ab]{0,2}){0,4}(\\?[ab])?",
        "GET|POST|PUT",
        proptest::collection::vec(("[xyz]", "[ab]{0,3}"), 0..4),
    )
        .prop_map(|(host, path, method, headers)| {
            let mut pairs = vec![
                (":authority".to_owned(), host),
                (":path".to_owned(), path),
                (":method".to_owned(), method),
            ];
            pairs.extend(headers);
            pairs
        })
}

proptest! {
    #[test]
    fn the_index_agrees_with_trying_every_entry(
        entries in proptest::collection::vec(entry(), 0..40),
        requests in proptest::collection::vec(request(), 1..20),
    ) {
        let entries: Vec<_> = entries.iter().map(|json| read(json)).collect();
        let index = MatchIndex::new(entries.clone());
        for pairs in &requests {
            let pairs: Vec<_> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let (found, expected) = with_request(&pairs, |request| {
                (index.first(request), entries.iter().position(|entry| entry.matches(request)))
            });
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn any_bytes_are_matched_without_a_panic(pairs: Vec<(Vec<u8>, Vec<u8>)>, entries in proptest::collection::vec(entry(), 0..20)) {
        let pairs: Vec<_> = pairs.iter().map(|(n, v)| (n.as_slice(), v.as_slice())).collect();
        let raw = encode_pairs(&pairs);
        let headers = HeaderMap::decode(&raw).unwrap();
        let index = MatchIndex::new(entries.iter().map(|json| read(json)).collect());
        let _ = index.first(&RequestHead::new(&headers));
    }
}
