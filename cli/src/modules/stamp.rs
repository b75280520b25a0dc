//! What a module says about itself: the custom sections `version` and `revision`, as
//! WebAssembly tools read and show them.

/// The version of a module and the commit it was built from, as far as it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) version: Option<String>,
    pub(crate) revision: Option<String>,
}

impl Stamp {
    /// Reads a module. One that is cut off or no module says what stands before the cut.
    pub(crate) fn of(wasm: &[u8]) -> Self {
        let mut stamp = Self::default();
        let Some(mut rest) = wasm.strip_prefix(b"\0asm\x01\0\0\0") else {
            return stamp;
        };
        while let Some((id, section, after)) = section(rest) {
            rest = after;
            let Some((name, text)) = (id == 0).then(|| custom(section)).flatten() else {
                continue;
            };
            match name {
                b"version" => stamp.version = printable(text),
                b"revision" => stamp.revision = printable(text),
                _ => {}
            }
        }
        stamp
    }
}

/// Whether `version` is newer than `than`; `None` for equal ones, and where one is not of
/// the form 1.2.3.
pub(crate) fn newer(version: &str, than: &str) -> Option<bool> {
    let (version, than) = (triple(version)?, triple(than)?);
    (version != than).then_some(version > than)
}

fn triple(version: &str) -> Option<[u64; 3]> {
    let mut parts = version.splitn(3, '.').map(|part| part.parse().ok());
    let mut next = || parts.next().flatten();
    Some([next()?, next()?, next()?])
}

/// Shown on terminals, so it is short, and nothing but a word.
fn printable(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let word = text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_graphic());
    (word && !text.is_empty()).then(|| text.to_owned())
}

/// The first section, its id, and what comes after it.
fn section(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (id, rest) = bytes.split_first()?;
    let (content, after) = sized(rest)?;
    Some((*id, content, after))
}

/// Name and content of a custom section.
fn custom(section: &[u8]) -> Option<(&[u8], &[u8])> {
    sized(section)
}

/// A length in LEB128, that many bytes, and what comes after them.
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    // 32 bits take five bytes at most.
    for (at, byte) in bytes.iter().enumerate().take(5) {
        length |= usize::from(byte & 0x7f).checked_shl(7 * u32::try_from(at).ok()?)?;
        if byte & 0x80 == 0 {
            return bytes.get(at + 1..)?.split_at_checked(length);
        }
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leb(mut value: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let byte = u8::try_from(value & 0x7f).unwrap();
            value >>= 7;
            if value == 0 {
                bytes.push(byte);
                return bytes;
            }
            bytes.push(byte | 0x80);
        }
    }

    pub(crate) fn section(name: &str, content: &[u8]) -> Vec<u8> {
        let mut inner = leb(name.len());
        inner.extend(name.bytes());
        inner.extend(content);
        let mut bytes = vec![0];
        bytes.extend(leb(inner.len()));
        bytes.extend(inner);
        bytes
    }

    #[test]
    fn newer_and_older() {
        assert_eq!(newer("0.10.0", "0.9.9"), Some(true));
        assert_eq!(newer("0.1.0", "0.1.1"), Some(false));
        assert_eq!(newer("0.1.0", "0.1.0"), None);
        for odd in ["", "main", "1.2", "1.2.3-rc1"] {
            assert_eq!(newer(odd, "0.1.0"), None, "{odd}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            rng_seed: proptest::test_runner::RngSeed::Fixed(20),
            ..ProptestConfig::default()
        })]

        /// Whatever other sections there are, before and after.
        #[test]
        fn a_stamp_is_found_among_sections(
            before in proptest::collection::vec(any::<u8>(), 0..300),
            version in "[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}",
        ) {
            let mut wasm = b"\0asm\x01\0\0\0".to_vec();
            wasm.extend(section("other", &before));
            wasm.extend(section("version", version.as_bytes()));
            wasm.extend(section("revision", b"abc123"));
            let stamp = Stamp::of(&wasm);
            prop_assert_eq!(stamp.version, Some(version));
            prop_assert_eq!(stamp.revision.as_deref(), Some("abc123"));
        }

        /// Any bytes are read without a trap, and what is shown is a word.
        #[test]
        fn any_bytes_are_no_more_than_unknown(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut wasm = b"\0asm\x01\0\0\0".to_vec();
            wasm.extend(bytes);
            let stamp = Stamp::of(&wasm);
            for word in [stamp.version, stamp.revision].into_iter().flatten() {
                prop_assert!(word.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
