//! The engine's encoding of a list.

use std::ops::Range;

/// Splits a list result into its elements. A list arrives in the layout of
/// header pairs: a count, two lengths per element (the second one 0), then each
/// element followed by a NUL and an empty value followed by a NUL, all
/// little-endian.
///
/// False when the bytes are no list of `count` elements.
pub fn split_list(bytes: &[u8], count: usize, out: &mut Vec<Range<usize>>) -> bool {
    out.clear();
    let Some((found, lengths)) = bytes.split_first_chunk::<4>() else {
        return false;
    };
    let Some((lengths, _)) = lengths.split_at_checked(count * 8) else {
        return false;
    };
    if u32::from_le_bytes(*found) as usize != count {
        return false;
    }
    let mut at = 4 + count * 8;
    for pair in lengths.chunks_exact(8) {
        let Some((length, rest)) = pair.split_first_chunk::<4>() else {
            return false;
        };
        let Some((value, _)) = rest.split_first_chunk::<4>() else {
            return false;
        };
        let end = at.saturating_add(u32::from_le_bytes(*length) as usize);
        if end >= bytes.len() {
            return false;
        }
        out.push(at..end);
        at = end
            .saturating_add(u32::from_le_bytes(*value) as usize)
            .saturating_add(2);
    }
    at == bytes.len()
}

/// Encodes a list as Envoy does, for tests.
#[cfg(test)]
pub(crate) fn join_list(elements: &[Vec<u8>]) -> Vec<u8> {
    let mut out = (elements.len() as u32).to_le_bytes().to_vec();
    for element in elements {
        out.extend_from_slice(&(element.len() as u32).to_le_bytes());
        out.extend_from_slice(&0_u32.to_le_bytes());
    }
    for element in elements {
        out.extend_from_slice(element);
        out.extend_from_slice(&[0, 0]);
    }
    out
}

#[cfg(test)]
mod tests {
    #[cfg(not(target_arch = "wasm32"))]
    use super::join_list;
    use super::split_list;

    #[test]
    fn a_list_from_envoy_is_taken_apart() {
        // `[response.code, request.path]`, from Envoy 1.40.0.
        let bytes = [
            2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, //
            200, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'/', b'a', 0, 0,
        ];
        let mut spans = Vec::new();
        assert!(split_list(&bytes, 2, &mut spans));
        assert_eq!(spans, [20..28, 30..32]);
        assert!(!split_list(&bytes, 3, &mut spans));
        assert!(!split_list(&bytes[..33], 2, &mut spans));
        assert!(!split_list(b"", 0, &mut spans));
    }

    #[test]
    fn lengths_beyond_the_address_space_are_refused() {
        for (first, second) in [(u32::MAX, 0), (0, u32::MAX), (u32::MAX, u32::MAX)] {
            let mut bytes = 1_u32.to_le_bytes().to_vec();
            bytes.extend_from_slice(&first.to_le_bytes());
            bytes.extend_from_slice(&second.to_le_bytes());
            bytes.extend_from_slice(&[0; 8]);
            assert!(!split_list(&bytes, 1, &mut Vec::new()), "{first}, {second}");
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn what_is_joined_is_split(elements: Vec<Vec<u8>>) {
            let bytes = join_list(&elements);
            let mut spans = Vec::new();
            proptest::prop_assert!(split_list(&bytes, elements.len(), &mut spans));
            let split: Vec<Vec<u8>> = spans.into_iter().map(|s| bytes[s].to_vec()).collect();
            proptest::prop_assert_eq!(split, elements);
        }

        #[test]
        fn any_bytes_split_or_are_refused(bytes: Vec<u8>, count in 0_usize..5) {
            let mut spans = Vec::new();
            if split_list(&bytes, count, &mut spans) {
                for span in spans {
                    proptest::prop_assert!(bytes.get(span).is_some());
                }
            }
        }
    }
}
