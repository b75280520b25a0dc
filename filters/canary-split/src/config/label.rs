//! Names as metric labels.

use std::borrow::Cow;

use crate::policy::assign::siphash;

/// Longest label value, bytes.
pub const LONGEST: usize = 100;

/// What a name is called in metrics: itself or, if it is too long, its beginning
/// and a fingerprint of the whole, so that two names never share a series.
#[must_use]
pub fn label(name: &str) -> Cow<'_, str> {
    if name.len() <= LONGEST {
        return Cow::Borrowed(name);
    }
    tagged(name, '~', siphash([0, 0], name.as_bytes()))
}

/// The beginning of a name and a number behind it.
#[must_use]
pub fn tagged(name: &str, mark: char, number: u64) -> Cow<'static, str> {
    let mut end = name.len().min(LONGEST - 17);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let start = name.get(..end).unwrap_or_default();
    Cow::Owned(format!("{start}{mark}{number:016x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_keep_apart() {
        let long = |end: &str| format!("{}{end}", "é".repeat(60));
        assert_eq!(label("payments"), "payments");
        let (a, b) = (long("a"), long("b"));
        assert_ne!(label(&a), label(&b));
        assert!(label(&a).len() <= LONGEST && label(&a).starts_with("éé"));
        assert_eq!(tagged("s", '#', 255), "s#00000000000000ff");
    }
}
