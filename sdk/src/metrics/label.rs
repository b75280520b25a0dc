//! Labels inside stat names: `<metric><label>=.=<value>;.;<label>=.=<value>;.;`.
//!
//! The form is the one whose extractor, `(<label>=\.=(.*?);\.;)`, Istio's
//! `extraStatTags` generates, so the same names work there and in Envoy's own
//! `stats_tags`.

/// Between a label and its value.
const EQUALS: &str = "=.=";
/// After a value.
const END: &str = ";.;";

/// The stat name of one series, labels in the order given.
#[must_use]
pub fn stat_name<'a>(
    metric: &str,
    labels: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    max_value_length: usize,
) -> String {
    let mut out = String::with_capacity(metric.len() + 64);
    out.push_str(metric);
    for (label, value) in labels {
        out.push_str(label);
        out.push_str(EQUALS);
        push_value(&mut out, value, max_value_length);
        out.push_str(END);
    }
    out
}

/// Appends a label value with everything that could break the extraction
/// replaced by `_`: `;` and `=` (the separators), control bytes and bytes that
/// are not UTF-8. Cut at `max_length` bytes, on a character boundary. Dots at
/// the end are left out, because Envoy shows a value without them: two series
/// would else be one and the same in Prometheus.
pub fn push_value(out: &mut String, value: &[u8], max_length: usize) {
    let start = out.len();
    push_clean(out, value, start + max_length);
    let Some(pushed) = out.get(start..) else {
        return;
    };
    match pushed.trim_end_matches('.').len() {
        0 if !pushed.is_empty() => out.replace_range(start.., "_"),
        length => out.truncate(start + length),
    }
}

fn push_clean(out: &mut String, value: &[u8], end: usize) {
    for chunk in value.utf8_chunks() {
        for c in chunk.valid().chars() {
            let c = if c == ';' || c == '=' || c.is_control() {
                '_'
            } else {
                c
            };
            if out.len() + c.len_utf8() > end {
                return;
            }
            out.push(c);
        }
        for _ in chunk.invalid() {
            if out.len() >= end {
                return;
            }
            out.push('_');
        }
    }
}

/// The regular expression with which `stats_tags` extracts `label`.
#[must_use]
pub fn extractor(label: &str) -> String {
    format!("({label}=\\.=(.*?);\\.;)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stand_in_the_given_order() {
        let name = stat_name("m_total", [("split", &b"a"[..]), ("arm", b"v1")], 100);
        assert_eq!(name, "m_totalsplit=.=a;.;arm=.=v1;.;");
    }

    #[test]
    fn hostile_values_cannot_break_the_extraction() {
        for (value, expected) in [
            (&b"a;.;b=.=c"[..], "a_._b_._c"),
            (b"\xff\xfea", "__a"),
            (b"a\nb\0", "a_b_"),
            ("é".as_bytes(), "é"),
            (b"", ""),
            (b"example.com.", "example.com"),
            (b"...", "_"),
        ] {
            let mut out = String::new();
            push_value(&mut out, value, 100);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let mut out = String::new();
        push_value(&mut out, "aéé".as_bytes(), 4);
        assert_eq!(out, "aé");
    }

    proptest::proptest! {
        #[test]
        fn no_value_holds_a_separator_or_exceeds_its_length(value: Vec<u8>, max in 1_usize..40) {
            let mut out = String::new();
            push_value(&mut out, &value, max);
            proptest::prop_assert!(out.len() <= max);
            proptest::prop_assert!(!out.contains([';', '=']));
        }
    }
}
