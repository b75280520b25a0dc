use std::time::Duration;

use meshpack_sdk::config::Node;
use meshpack_sdk::matching::RequestHead;
use meshpack_sdk::{HeaderMap, config, encode_pairs, metadata};

use super::{CookieId, Decision, MintedCookie, Outside, Reason, cookie_value};
use crate::config::Config;
use crate::policy::Split;

/// A world that answers what a test has put into it, and counts the questions.
#[derive(Debug, Default)]
struct World {
    metadata: &'static [u8],
    address: Option<&'static [u8]>,
    now: Duration,
    random: u32,
    aborted: bool,
    questions: u32,
}

impl<'r> Outside<'r> for World {
    fn metadata(&mut self) -> Option<&'r [u8]> {
        self.questions += 1;
        Some(self.metadata)
    }

    fn source_address(&mut self) -> Option<&'r [u8]> {
        self.questions += 1;
        self.address
    }

    fn now(&mut self) -> Duration {
        self.questions += 1;
        self.now
    }

    fn random(&mut self) -> u32 {
        self.questions += 1;
        self.random
    }

    fn secure_random(&mut self) -> u64 {
        self.questions += 1;
        7
    }

    fn is_aborted(&mut self, _split: usize) -> bool {
        self.questions += 1;
        self.aborted
    }
}

fn split(fields: &str) -> Split {
    let json = format!(
        r#"{{"splits": [{{"name": "s", "arms": [{{"value": "v1", "weight": 50}}, {{"value": "v2", "weight": 50}}], {fields}}}]}}"#
    );
    let mut config = config::parse(json.as_bytes(), |value| Config::read(&value)).unwrap();
    config.splits.remove(0)
}

fn decide(split: &mut Split, world: &mut World, headers: &[(&str, &[u8])]) -> Decision {
    let pairs: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), *value))
        .collect();
    let raw = encode_pairs(&pairs);
    let map = HeaderMap::decode(&raw).unwrap();
    split.decide(0, &RequestHead::new(&map), world)
}

/// Ids that the even split named "s" puts into its first and second arm.
const FIRST: &[u8] = b"user-2";
const SECOND: &[u8] = b"user-1";

/// What jwt_authn leaves: payloads by their keys, a JSON object.
fn tokens(payloads: &str) -> &'static [u8] {
    metadata_of(Node::from_plugin_configuration(payloads.as_bytes()).unwrap())
}

fn metadata_of(payloads: Node) -> &'static [u8] {
    let other = Node::from_plugin_configuration(br#"{"a": {"sub": "x"}}"#).unwrap();
    let filters = Node::Object(vec![
        ("other".to_owned(), other),
        ("envoy.filters.http.jwt_authn".to_owned(), payloads),
    ]);
    metadata::encode(&filters).leak()
}

fn by_header(value: &[u8]) -> (usize, Reason) {
    let mut split = split(r#""stickyBy": [{"header": "x-user"}], "onMissingKey": "default""#);
    let decision = decide(&mut split, &mut World::default(), &[("x-user", value)]);
    (decision.arm, decision.reason)
}

#[test]
fn a_key_decides_and_an_empty_one_counts_as_missing() {
    assert_eq!(by_header(FIRST), (0, Reason::Sticky));
    assert_eq!(by_header(SECOND), (1, Reason::Sticky));
    assert_eq!(by_header(b""), (0, Reason::Default));
    assert_eq!(by_header(b"\xff\x00\xfe").1, Reason::Sticky);
}

#[test]
fn the_first_key_present_wins_whatever_its_source() {
    let mut split = split(
        r#""stickyBy": [{"header": "x-user"}, {"cookie": "session"}, {"claim": "sub"}, "sourceIp"]"#,
    );
    let mut world = World {
        metadata: tokens(r#"{"payload": {"sub": "user-1"}}"#),
        address: Some(b"user-2:80"),
        ..World::default()
    };
    let mut arm = |headers: &[(&str, &[u8])]| {
        let decision = decide(&mut split, &mut world, headers);
        assert_eq!(decision.reason, Reason::Sticky);
        decision.arm
    };
    assert_eq!(arm(&[("x-user", FIRST), ("cookie", b"session=user-1")]), 0);
    assert_eq!(
        arm(&[("x-user", b""), ("cookie", b"a=b; session=user-2")]),
        0
    );
    assert_eq!(arm(&[("cookie", b"session=")]), 1, "the claim");
    world.metadata = &[];
    let decision = decide(&mut split, &mut world, &[]);
    assert_eq!(
        (decision.arm, decision.reason),
        (0, Reason::Sticky),
        "the address"
    );
}

/// Each case is a set of payloads; the id that they are to give, `None` for none, and
/// whether that is because they differ. Whatever the order that Envoy wrote them in.
#[test]
fn a_claim_is_read_under_any_key_and_where_tokens_differ_none_is() {
    let one = |payloads| (payloads, Some("user-1"), false);
    for (payloads, id, differ) in [
        one(r#"{"payload": {"sub": "user-1"}}"#),
        one(r#"{"okta": {"sub": "user-1"}}"#),
        one(r#"{"okta": {"sub": "user-1"}, "google": {"sub": "user-1"}}"#),
        one(r#"{"okta": {"sub": "user-1"}, "google": {"iss": "g"}}"#),
        one(r#"{"okta": {"sub": "user-1"}, "google": {"sub": ""}}"#),
        one(r#"{"okta": {"sub": "user-1"}, "note": "user-2", "list": [{"sub": "x"}]}"#),
        (r#"{"a": {"sub": 12345}}"#, Some("12345"), false),
        (
            r#"{"a": {"sub": 12345}, "b": {"sub": 12345.0}}"#,
            Some("12345"),
            false,
        ),
        (r#"{"a": {"sub": 1.5}}"#, Some("1.5"), false),
        (r#"{"a": {"sub": true}}"#, Some("true"), false),
        (r#"{"a": {"sub": null}}"#, None, false),
        (
            r#"{"a": {"sub": ["user-1"]}, "b": {"sub": {"x": 1}}}"#,
            None,
            false,
        ),
        ("{}", None, false),
        (
            r#"{"a": {"sub": "user-1"}, "b": {"sub": "user-2"}}"#,
            None,
            true,
        ),
        (r#"{"a": {"sub": "1"}, "b": {"sub": 1}}"#, None, true),
        (
            r#"{"a": {"sub": "x"}, "b": {"sub": "y"}, "c": {"sub": "x"}}"#,
            None,
            true,
        ),
    ] {
        for turned in [false, true] {
            let read = Node::from_plugin_configuration(payloads.as_bytes());
            let Ok(Node::Object(mut entries)) = read else {
                panic!("an object: {payloads}");
            };
            if turned {
                entries.reverse();
            }
            let mut split = split(r#""stickyBy": [{"claim": "sub"}], "onMissingKey": "default""#);
            let mut world = World {
                metadata: metadata_of(Node::Object(entries)),
                ..World::default()
            };
            let found = decide(&mut split, &mut world, &[]);
            let expected = id.map(|id| split.salt.hash(split.hash, id.as_bytes()));
            assert_eq!(found.client, expected, "{payloads}");
            assert_eq!(found.tokens_differ, differ, "{payloads}");
        }
    }
}

#[test]
fn named_payloads_are_those_that_count_and_the_next_source_is_asked_where_they_differ() {
    let decision = |keys: &str, payloads: &str| {
        let json = format!(
            r#"{{"jwtPayloadKeys": {keys}, "splits": [{{"name": "s", "stickyBy": [{{"claim": "sub"}}, {{"header": "x-user"}}], "arms": [{{"value": "v1", "weight": 50}}, {{"value": "v2", "weight": 50}}]}}]}}"#
        );
        let mut config = config::parse(json.as_bytes(), |value| Config::read(&value)).unwrap();
        let mut world = World {
            metadata: tokens(payloads),
            ..World::default()
        };
        let found = decide(&mut config.splits[0], &mut world, &[("x-user", FIRST)]);
        assert_eq!(found.reason, Reason::Sticky);
        (found.arm, found.tokens_differ)
    };
    let both = r#"{"a": {"sub": "user-1"}, "b": {"sub": "user-2"}}"#;
    assert_eq!(decision(r#"["a"]"#, both), (1, false));
    assert_eq!(decision(r#"["b"]"#, both), (0, false));
    assert_eq!(decision(r#"["c"]"#, both), (0, false));
    assert_eq!(decision(r#"["a", "b"]"#, both), (0, true), "the header");
}

#[cfg(not(target_arch = "wasm32"))]
proptest::proptest! {
    #[test]
    fn any_metadata_is_read_without_a_panic(bytes: Vec<u8>) {
        let mut split = split(r#""stickyBy": [{"claim": "sub"}]"#);
        let mut world = World { metadata: bytes.leak(), ..World::default() };
        decide(&mut split, &mut world, &[]);
    }
}

#[test]
fn only_what_the_configuration_needs_is_asked() {
    let mut split = split(
        r#""stickyBy": [{"header": "x-user"}, "sourceIp"], "abort": {"arm": "v2", "baseline": "v1"}"#,
    );
    let mut world = World::default();
    decide(&mut split, &mut world, &[("x-user", FIRST)]);
    assert_eq!(world.questions, 0);
    decide(&mut split, &mut world, &[("x-user", SECOND)]);
    assert_eq!(world.questions, 1, "the latch, for a request of the canary");
}

#[test]
fn without_a_key_the_configured_mode_decides() {
    let mut world = World {
        random: u32::MAX,
        ..World::default()
    };
    let decision = decide(&mut split(r#""onMissingKey": "random""#), &mut world, &[]);
    assert_eq!((decision.arm, decision.reason), (1, Reason::Random));
    world.random = 0;
    let decision = decide(&mut split(r#""onMissingKey": "random""#), &mut world, &[]);
    assert_eq!((decision.arm, decision.client), (0, None));
    let decision = decide(&mut split(r#""onMissingKey": "default""#), &mut world, &[]);
    assert_eq!((decision.arm, decision.reason), (0, Reason::Default));
}

#[test]
fn a_minted_id_keeps_its_client_in_the_arm() {
    let mut split = split(r#""onMissingKey": "cookie", "cookie": {"name": "sid"}"#);
    let first = decide(&mut split, &mut World::default(), &[]);
    let id = first.minted.unwrap();
    assert_eq!(first.reason, Reason::Sticky);
    let cookie = format!("sid={id}");
    let second = decide(
        &mut split,
        &mut World::default(),
        &[("cookie", cookie.as_bytes())],
    );
    assert_eq!((second.arm, second.client), (first.arm, first.client));
    assert_eq!(second.minted, None);
}

#[test]
fn set_cookie_carries_the_attributes() {
    let cookie = MintedCookie {
        name: "sid".into(),
        ttl: Some(Duration::from_secs(3600)),
        path: "/shop".into(),
    };
    let id = CookieId([1, 0xff]);
    assert_eq!(
        cookie.set_cookie(id, false),
        "sid=000000000000000100000000000000ff; Max-Age=3600; Path=/shop; HttpOnly; SameSite=Lax"
    );
    let session = MintedCookie {
        ttl: None,
        path: "/".into(),
        ..cookie
    };
    assert!(
        session
            .set_cookie(id, true)
            .ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure")
    );
}

#[test]
fn force_goes_first_and_its_header_before_its_cookie() {
    let mut split = split(
        r#""stickyBy": [{"header": "x-user"}], "force": {"header": "x-canary", "cookie": "canary"},
           "rules": [{"match": {}, "value": "v1"}], "abort": {"arm": "v2", "baseline": "v1"}"#,
    );
    let mut world = World {
        aborted: true,
        ..World::default()
    };
    for (header, cookie, arm) in [
        (&b"v2"[..], &b"canary=v1"[..], Some(1)),
        (b"always", b"", Some(1)),
        (b"never", b"canary=always", Some(0)),
        (b"v9", b"canary=v2", Some(1)),
        (b"", b"canary=\"always\"", Some(1)),
        (b"v9", b"canary=v9", None),
    ] {
        let headers = [("x-user", SECOND), ("x-canary", header), ("cookie", cookie)];
        let decision = decide(&mut split, &mut world, &headers);
        let expected = arm.map_or((0, Reason::Rule), |arm| (arm, Reason::Force));
        assert_eq!(
            (decision.arm, decision.reason),
            expected,
            "{header:?} {cookie:?}"
        );
    }
}

#[test]
fn rules_go_before_keys() {
    let mut split = split(
        r#""stickyBy": [{"header": "x-user"}],
           "rules": [{"match": {"headers": {"x-beta": "1"}}, "value": "v2"}, {"match": {"paths": ["/v1/*"]}, "value": "v1"}]"#,
    );
    let mut arm = |headers: &[(&str, &[u8])]| {
        let decision = decide(&mut split, &mut World::default(), headers);
        (decision.arm, decision.reason)
    };
    assert_eq!(
        arm(&[("x-user", FIRST), ("x-beta", b"1")]),
        (1, Reason::Rule)
    );
    assert_eq!(
        arm(&[("x-user", SECOND), (":path", b"/v1/a")]),
        (0, Reason::Rule)
    );
    assert_eq!(
        arm(&[("x-user", SECOND), (":path", b"/")]),
        (1, Reason::Sticky)
    );
}

#[test]
fn an_aborted_canary_gets_nothing_but_what_is_forced() {
    let mut split = split(
        r#""stickyBy": [{"header": "x-user"}], "force": {"header": "x-canary"},
           "rules": [{"match": {"headers": {"x-beta": "1"}}, "value": "v2"}],
           "abort": {"arm": "v2", "baseline": "v1"}"#,
    );
    let mut world = World {
        aborted: true,
        random: u32::MAX,
        ..World::default()
    };
    let mut arm = |headers: &[(&str, &[u8])]| {
        let decision = decide(&mut split, &mut world, headers);
        (decision.arm, decision.reason)
    };
    assert_eq!(arm(&[("x-user", SECOND)]), (0, Reason::Abort));
    assert_eq!(arm(&[("x-beta", b"1")]), (0, Reason::Abort));
    assert_eq!(arm(&[]), (0, Reason::Abort), "random");
    assert_eq!(arm(&[("x-user", FIRST)]), (0, Reason::Sticky));
    assert_eq!(arm(&[("x-canary", b"v2")]), (1, Reason::Force));
}

#[test]
fn cookies_are_found_as_envoy_finds_them() {
    let value = |headers: &[&[u8]], name: &str| {
        let pairs: Vec<_> = headers
            .iter()
            .map(|value| (&b"cookie"[..], *value))
            .collect();
        let raw = encode_pairs(&pairs);
        let map = HeaderMap::decode(&raw).unwrap();
        cookie_value(&map, name.as_bytes()).map(<[u8]>::to_vec)
    };
    for (headers, name, expected) in [
        (&[&b"a=1; b=2"[..]][..], "b", Some(&b"2"[..])),
        (&[b"a=1;b=2"], "b", Some(b"2")),
        (&[b"a=1", b"b=2"], "b", Some(b"2")),
        (&[b"b=1; b=2"], "b", Some(b"1")),
        (&[b"b=\"q\""], "b", Some(b"q")),
        (&[b"b=x=y"], "b", Some(b"x=y")),
        (&[b"b="], "b", Some(b"")),
        (&[b"bb=1; ab=2; b"], "b", None),
        (&[b"b=\xff\x80"], "b", Some(b"\xff\x80")),
        (&[b";;; =; b=\""], "b", Some(b"\"")),
    ] {
        assert_eq!(value(headers, name).as_deref(), expected, "{headers:?}");
    }
}
