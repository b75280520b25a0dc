//! Dynamic metadata, and tests of its reader with what requests carry.

pub use meshpack_sdk::metadata::*;

#[cfg(test)]
mod tests {
    use super::{MetaValue, field, filter, items, lookup, payloads};
    use crate::policy::testing::metadata_of;
    use meshpack_sdk::protobuf::Malformed;
    use serde_json::json;

    #[test]
    fn values_keep_their_types() {
        let bytes = metadata_of(&json!({"jwt": {"payload": {
            "sub": "a", "age": 42, "admin": true, "none": null,
            "groups": ["x", 7, false], "realm": {"roles": ["r"]}
        }}}));
        let jwt = filter(&bytes, b"jwt").unwrap().unwrap();
        let at = |path: &[&str]| lookup(jwt, path).unwrap();
        assert_eq!(at(&["payload", "sub"]), Some(MetaValue::Text(b"a")));
        assert_eq!(at(&["payload", "age"]), Some(MetaValue::Number(42.0)));
        assert_eq!(at(&["payload", "admin"]), Some(MetaValue::Bool(true)));
        assert_eq!(at(&["payload", "none"]), Some(MetaValue::Null));
        assert_eq!(at(&["payload", "missing"]), None);
        assert_eq!(at(&["payload", "sub", "deeper"]), None);
        let Some(MetaValue::List(list)) = at(&["payload", "groups"]) else {
            panic!("a list")
        };
        let list: Vec<MetaValue<'_>> = items(list).map(Result::unwrap).collect();
        assert_eq!(
            list,
            [
                MetaValue::Text(b"x"),
                MetaValue::Number(7.0),
                MetaValue::Bool(false)
            ]
        );
        assert!(matches!(
            at(&["payload", "realm", "roles"]),
            Some(MetaValue::List(_))
        ));
        assert_eq!(filter(&bytes, b"other"), Ok(None));
    }

    #[test]
    fn payloads_are_found_under_any_key_or_the_named_ones() {
        let bytes = metadata_of(&json!({"envoy.filters.http.jwt_authn": {
            "a": {"sub": "1"}, "b": {"sub": "2"}, "note": "x", "list": [{}]
        }, "other": {"c": {"sub": "3"}}}));
        let found = |keys: &[&str]| {
            let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
            let mut found = Vec::new();
            payloads(&bytes, &keys, &mut |key, payload| {
                let sub = field(payload, b"sub").unwrap();
                found.push((String::from_utf8(key.to_vec()).unwrap(), sub));
            })
            .unwrap();
            found.sort_by(|a, b| a.0.cmp(&b.0));
            found
        };
        let text = |text: &'static [u8]| Some(MetaValue::Text(text));
        let (a, b) = (("a".to_owned(), text(b"1")), ("b".to_owned(), text(b"2")));
        assert_eq!(found(&[]), [a, b.clone()]);
        assert_eq!(found(&["b", "none", "note"]), [b]);
        assert_eq!(found(&["c"]), []);
        let mut visited = 0;
        for end in 1..bytes.len() {
            let _ = payloads(&bytes[..end], &[], &mut |_, _| visited += 1);
        }
        assert!(payloads(&[0x0b], &[], &mut |_, _| ()).is_err());
    }

    #[test]
    fn fields_that_are_not_known_are_skipped() {
        let mut bytes = metadata_of(&json!({"f": {"k": "v"}}));
        bytes.extend([0x12, 2, 8, 1, 0x1d, 1, 2, 3, 4]);
        let fields = filter(&bytes, b"f").unwrap().unwrap();
        assert_eq!(field(fields, b"k"), Ok(Some(MetaValue::Text(b"v"))));
    }

    #[test]
    fn broken_bytes_are_an_error_and_not_an_absence() {
        let bytes = metadata_of(&json!({"f": {"k": "v"}}));
        for end in 1..bytes.len() {
            assert_eq!(filter(&bytes[..end], b"f"), Err(Malformed), "{end}");
        }
        assert_eq!(filter(&[0x0b], b"f"), Err(Malformed));
        assert_eq!(filter(&[0xff; 12], b"f"), Err(Malformed));
    }

    #[test]
    fn the_last_of_repeated_keys_counts_as_protobuf_says() {
        let mut bytes = metadata_of(&json!({"f": {"k": "first"}}));
        bytes.extend(metadata_of(&json!({"f": {"k": "last"}})));
        let fields = filter(&bytes, b"f").unwrap().unwrap();
        assert_eq!(field(fields, b"k"), Ok(Some(MetaValue::Text(b"last"))));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            if let Ok(Some(fields)) = filter(&bytes, b"") {
                let _ = lookup(fields, ["", "a"]);
                let _ = items(fields).count();
            }
        }
    }
}
