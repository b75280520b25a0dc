use serde_json::json;

use meshpack_sdk::HeaderMap;

use super::{Attribute, Request};
use crate::policy::model::Subject;
use crate::policy::testing::{Fixture, encoded, metadata_of};
use crate::policy::value::{Reading, Tri, Value};

/// The values of a subject, as text.
fn values(request: &Request<'_>, subject: &Subject) -> (Tri, Vec<String>) {
    let mut seen = Vec::new();
    let answer = request.any(subject, &mut |value| {
        seen.push(match value {
            Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
            Value::Element(text) => format!("[{}]", String::from_utf8_lossy(text)),
            Value::Identity(text) => String::from_utf8_lossy(text).into_owned(),
            other => format!("{other:?}"),
        });
        Tri::No
    });
    (answer, seen)
}

type Headers<'a> = &'a [(&'a [u8], &'a [u8])];

fn values_of(headers: Headers<'_>, fixture: &Fixture, subject: &Subject) -> Vec<String> {
    let raw = encoded(headers);
    let headers = HeaderMap::decode(&raw).unwrap();
    values(&Request::new(&headers, fixture, false), subject).1
}

#[test]
fn repeated_headers_are_values_of_their_own() {
    let headers: Headers<'_> = &[(b"x", b"a,b"), (b"y", b"c"), (b"x", b""), (b"x", b"d , e")];
    let header = |split| Subject::Header {
        name: "x".into(),
        split,
    };
    let none = Fixture::default();
    assert_eq!(
        values_of(headers, &none, &header(false)),
        ["a,b", "", "d , e"]
    );
    assert_eq!(
        values_of(headers, &none, &header(true)),
        ["a", "b", "", "d", "e"]
    );
}

#[test]
fn query_parameters_are_decoded_and_the_fragment_is_not_one() {
    let headers: Headers<'_> = &[(b":path", b"/p?a=1&b=x%20y+z&a=%zz&%61=2&flag&=v#a=3")];
    let none = Fixture::default();
    let query = |name: &str| values_of(headers, &none, &Subject::Query(name.into()));
    assert_eq!(query("a"), ["1", "%zz", "2"]);
    assert_eq!(query("b"), ["x y z"]);
    assert_eq!(query("flag"), [""]);
    assert_eq!(query("c"), [""; 0]);
}

#[test]
fn cookies_are_found_in_all_cookie_headers() {
    let headers: Headers<'_> = &[
        (b"cookie", b"a=1; b=\"two\"; a = 3"),
        (b"cookie", b"a=x=y; c"),
    ];
    let none = Fixture::default();
    let cookie = |name: &str| values_of(headers, &none, &Subject::Cookie(name.into()));
    assert_eq!(cookie("a"), ["1", "3", "x=y"]);
    assert_eq!(cookie("b"), ["two"]);
    assert_eq!(cookie("c"), [""]);
}

#[test]
fn claims_are_texts_and_lists_of_texts_unless_typed() {
    let fixture = Fixture::default().with(
        Attribute::Metadata,
        metadata_of(&json!({"envoy.filters.http.jwt_authn": {"payload": {
            "role": "admin", "groups": ["a", 1, true, null, ["x"]], "age": 42, "pi": 1.5,
            "big": 1e300, "ok": true, "realm": {"roles": ["r"]}
        }}})),
    );
    let claim = |path: &[&str], typed| {
        let path = path.iter().map(|&name| name.to_owned()).collect();
        values_of(&[], &fixture, &Subject::Claim { path, typed })
    };
    assert_eq!(claim(&["role"], false), ["admin"]);
    assert_eq!(claim(&["groups"], false), ["a"]);
    assert_eq!(claim(&["groups"], true), ["a", "1", "true"]);
    assert_eq!(claim(&["age"], false), [""; 0]);
    assert_eq!(claim(&["age"], true), ["42"]);
    assert_eq!(claim(&["pi"], true), ["1.5"]);
    assert_eq!(claim(&["ok"], true), ["true"]);
    assert_eq!(claim(&["realm", "roles"], false), ["r"]);
    assert_eq!(claim(&["realm"], true), [""; 0]);
    assert_eq!(claim(&["groups", "0"], true), [""; 0]);
}

#[test]
fn filter_metadata_tells_texts_from_lists() {
    let fixture = Fixture::default().with(
        Attribute::Metadata,
        metadata_of(&json!({"envoy.filters.a": {"k": "v", "l": ["x", 1]}})),
    );
    let meta = |key: &str| {
        let subject = Subject::FilterMetadata {
            filter: "envoy.filters.a".into(),
            key: key.into(),
        };
        values_of(&[], &fixture, &subject)
    };
    assert_eq!(meta("k"), ["v"]);
    assert_eq!(meta("l"), ["[x]"]);
}

#[test]
fn the_identity_is_the_uri_san_and_else_what_rbac_falls_back_to() {
    let uri = Fixture::default()
        .with(Attribute::UriSan, "spiffe://td/ns/a/sa/b")
        .with(Attribute::DnsSan, "dns")
        .with(Attribute::TunnelledPrincipal, "spiffe://other");
    assert_eq!(
        values_of(&[], &uri, &Subject::Principal),
        ["spiffe://td/ns/a/sa/b"]
    );
    let tunnel = Fixture::default().with(Attribute::TunnelledPrincipal, "spiffe://td/ns/t/sa/t");
    assert_eq!(
        values_of(&[], &tunnel, &Subject::Namespace),
        ["spiffe://td/ns/t/sa/t"]
    );
    let plain = Fixture::default()
        .with(Attribute::UriSan, "")
        .with(Attribute::DnsSan, "dns")
        .with(Attribute::CertificateSubject, "CN=x");
    assert_eq!(values_of(&[], &plain, &Subject::Principal), ["dns", "CN=x"]);
    let none = Fixture::default();
    assert_eq!(values_of(&[], &none, &Subject::Principal), [""; 0]);
}

#[test]
fn what_cannot_be_read_is_unknown_and_not_absent() {
    let answer = |fixture: &Fixture, subject: &Subject| {
        values(
            &Request::new(&HeaderMap::default(), fixture, false),
            subject,
        )
        .0
    };
    let absent = Fixture::default();
    // The publishing filter is not in the chain.
    assert_eq!(answer(&absent, &Subject::DirectIp), Tri::Unknown);
    assert_eq!(answer(&absent, &Subject::RemoteIp), Tri::No);
    assert_eq!(answer(&absent, &Subject::ServerName), Tri::No);

    let broken = Fixture::default()
        .with(Attribute::UriSan, "spiffe://td/ns/a\0/sa/b")
        .with(Attribute::SourceAddress, "not an address")
        .with(Attribute::DestinationAddress, "/var/run/socket")
        .with(Attribute::Metadata, [0xff; 20]);
    assert_eq!(answer(&broken, &Subject::Principal), Tri::Unknown);
    assert_eq!(answer(&broken, &Subject::RemoteIp), Tri::Unknown);
    assert_eq!(answer(&broken, &Subject::DestinationIp), Tri::No);
    assert_eq!(answer(&broken, &Subject::Port), Tri::No);
    assert_eq!(answer(&broken, &Subject::RequestPrincipal), Tri::Unknown);
    let claim = Subject::Claim {
        path: vec!["a".into()],
        typed: false,
    };
    assert_eq!(answer(&broken, &claim), Tri::Unknown);

    let failed = Fixture::default().failing(Attribute::ServerName);
    assert_eq!(answer(&failed, &Subject::ServerName), Tri::Unknown);
}

#[test]
fn an_attribute_is_read_once() {
    let fixture = Fixture::default().with(Attribute::SourceAddress, "10.0.0.1:80");
    let headers = HeaderMap::default();
    let request = Request::new(&headers, &fixture, false);
    for _ in 0..3 {
        assert_eq!(request.remote_ip(), Reading::Present([10, 0, 0, 1].into()));
    }
    assert_eq!(fixture.reads(), 1);
}

/// Whether a refusal of `value`, or a permission of it, takes the request.
fn hardened(headers: Headers<'_>, subject: &Subject, value: &str) -> (Tri, Tri) {
    let raw = encoded(headers);
    let headers = HeaderMap::decode(&raw).unwrap();
    let fixture = Fixture::default();
    let request = Request::new(&headers, &fixture, true);
    let mut test =
        |found: Value<'_>| matches!(found, Value::Text(text) if text == value.as_bytes());
    (
        request.any(subject, &mut |found| test(found).into()),
        request.every(subject, &mut test),
    )
}

#[test]
fn no_reading_of_a_cookie_gets_past_a_refusal() {
    let role = Subject::Cookie("role".into());
    for cookie in [
        "role=admin",
        "role=\"\\141dmin\"",
        "role=%61dmin",
        "role=%2561dmin",
        "a=b;role=admin",
        "a=b role=admin",
        "a=b,role=admin",
        "role=user; role=admin",
        "role=admin; role=user",
        "role = \"admin\" ",
        "role=\"admin",
        "role=\"adminx",
        "role=\"\\admin\"",
        "role=admin%00x",
        "%72ole=admin",
        "role[]=admin",
        "role[0]=admin",
        "$Version=1; role=admin; $Path=/",
        "role=\"%61dmin\"",
    ] {
        let headers: Headers<'_> = &[(b"cookie", cookie.as_bytes())];
        assert_eq!(hardened(headers, &role, "admin").0, Tri::Yes, "{cookie}");
    }
    for cookie in [
        "role=user",
        "xrole=admin",
        "role=administrator",
        "a=role; b=admin",
    ] {
        let headers: Headers<'_> = &[(b"cookie", cookie.as_bytes())];
        assert_eq!(hardened(headers, &role, "admin").0, Tri::No, "{cookie}");
    }
    // More readings than are tried.
    let deep = format!("role={}", "%25\\".repeat(20_000));
    let headers: Headers<'_> = &[(b"cookie", deep.as_bytes())];
    assert_eq!(hardened(headers, &role, "admin").0, Tri::Unknown);
    assert_eq!(
        hardened(headers, &Subject::Cookie("b".into()), "admin").0,
        Tri::No
    );
}

#[test]
fn no_reading_of_a_query_gets_past_a_refusal() {
    let role = Subject::Query("role".into());
    for path in [
        "/?role=admin",
        "/?role=user&role=admin",
        "/?a=b;role=admin",
        "/?r%6fle=%61dmin",
        "/?role=%2561dmin",
        "/?role=%u0061dmin",
        "/?role[]=admin",
        "/?role=admin%00",
        "/x%3frole=admin",
        "/x%3fa=b&role=admin",
    ] {
        let headers: Headers<'_> = &[(b":path", path.as_bytes())];
        assert_eq!(hardened(headers, &role, "admin").0, Tri::Yes, "{path}");
    }
    for path in [
        "/?role=user",
        "/role=admin",
        "/?xrole=admin",
        "/?q=role%3Dadmin",
    ] {
        let headers: Headers<'_> = &[(b":path", path.as_bytes())];
        assert_eq!(hardened(headers, &role, "admin").0, Tri::No, "{path}");
    }
    let spaced: Headers<'_> = &[(b":path", b"/?role=a+b")];
    assert_eq!(hardened(spaced, &role, "a+b").0, Tri::Yes);
    assert_eq!(hardened(spaced, &role, "a b"), (Tri::Yes, Tri::Yes));
}

#[test]
fn a_permission_needs_every_value_under_a_name() {
    let role = Subject::Query("role".into());
    for (path, expected) in [
        ("/?role=user", Tri::Yes),
        ("/?role=us%65r&role=user", Tri::Yes),
        ("/?role=user&role=admin", Tri::No),
        ("/?role=admin&role=user", Tri::No),
        ("/?a=b;role=admin&role=user", Tri::No),
        ("/?role[]=admin&role=user", Tri::No),
        ("/?a=b", Tri::No),
        ("/x%3frole=user", Tri::No),
    ] {
        let headers: Headers<'_> = &[(b":path", path.as_bytes())];
        assert_eq!(hardened(headers, &role, "user").1, expected, "{path}");
    }
    let role = Subject::Cookie("role".into());
    for (cookie, expected) in [
        ("a=b; role=user", Tri::Yes),
        ("role=\"user\"", Tri::Yes),
        ("role=user; role=admin", Tri::No),
        ("role=user; a=\"x role=admin\"", Tri::No),
        ("a=b", Tri::No),
    ] {
        let headers: Headers<'_> = &[(b"cookie", cookie.as_bytes())];
        assert_eq!(hardened(headers, &role, "user").1, expected, "{cookie}");
    }
}

#[test]
fn of_several_payloads_each_must_give_the_same_answer() {
    let claim = Subject::Claim {
        path: vec!["role".into()],
        typed: false,
    };
    let guest = json!({"iss": "i", "sub": "s", "role": "guest"});
    let admin = json!({"iss": "i", "sub": "t", "role": "admin"});
    let is = |expected: &'static [u8]| {
        move |value: Value<'_>| match value {
            Value::Text(text) => Tri::from(text == expected),
            Value::Token { subject, .. } => Tri::from(subject == expected),
            _ => Tri::No,
        }
    };
    let keys = |keys: &[&str]| keys.iter().map(|&key| key.to_owned()).collect::<Vec<_>>();
    for (payloads, named, role, expected) in [
        (json!({}), keys(&[]), "admin", Tri::No),
        (json!({"payload": admin}), keys(&[]), "admin", Tri::Yes),
        (json!({"provider": admin}), keys(&[]), "admin", Tri::Yes),
        (json!({"provider": guest}), keys(&[]), "admin", Tri::No),
        (
            json!({"a": guest, "b": admin}),
            keys(&[]),
            "admin",
            Tri::Unknown,
        ),
        (
            json!({"b": guest, "a": admin}),
            keys(&[]),
            "admin",
            Tri::Unknown,
        ),
        (
            json!({"a": admin, "b": admin}),
            keys(&[]),
            "admin",
            Tri::Yes,
        ),
        (json!({"a": guest, "b": {}}), keys(&[]), "admin", Tri::No),
        (
            json!({"a": guest, "b": admin}),
            keys(&["a"]),
            "admin",
            Tri::No,
        ),
        (
            json!({"a": guest, "b": admin}),
            keys(&["b"]),
            "admin",
            Tri::Yes,
        ),
        (
            json!({"a": guest, "b": admin}),
            keys(&["a", "b"]),
            "admin",
            Tri::Unknown,
        ),
        (json!({"a": admin}), keys(&["b"]), "admin", Tri::No),
        (json!({"a": "admin"}), keys(&[]), "admin", Tri::No),
    ] {
        let fixture = Fixture::default().with(
            Attribute::Metadata,
            metadata_of(&json!({"envoy.filters.http.jwt_authn": payloads})),
        );
        let headers = HeaderMap::default();
        let request = Request::new(&headers, &fixture, false).payload_keys(&named);
        let what = format!("{payloads} {named:?}");
        let found = request.any(&claim, &mut is(b"admin"));
        assert_eq!(found, expected, "{role} {what}");
        let subject = request.any(&Subject::RequestPrincipal, &mut is(b"t"));
        assert_eq!(subject, expected, "sub {what}");
        let several = payloads.as_object().unwrap().len() > 1;
        assert_eq!(
            request.met_several_payloads(),
            several && named.is_empty(),
            "{what}"
        );
    }
}
