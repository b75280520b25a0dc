//! Numbers as people write them, without the standard library's float
//! formatting, which costs a module 15 KB.

use std::fmt::Write as _;

/// Largest whole number up to which a double tells all whole numbers apart.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Digits after the point at most; a double has 15 to 17 significant ones.
const PLACES: usize = 15;

/// A number in decimal: whole numbers up to 2^53 exactly, fractions with the
/// fewest digits (at most 15) that read back as the same double. Numbers beyond
/// either end are rounded and written as `1.5e300`.
#[must_use]
pub fn decimal(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() <= EXACT {
        return (value as i64).to_string();
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let size = value.abs();
    if !size.is_finite() {
        return format!("{sign}infinite");
    }
    if (1e-6..EXACT).contains(&size) {
        return format!("{sign}{}", fraction(size));
    }
    let (mut mantissa, mut exponent) = (size, 0);
    while mantissa >= 10.0 {
        mantissa /= 10.0;
        exponent += 1;
    }
    while mantissa < 1.0 {
        mantissa *= 10.0;
        exponent -= 1;
    }
    let mut rounded = (mantissa * 1e6).round() / 1e6;
    if rounded >= 10.0 {
        rounded /= 10.0;
        exponent += 1;
    }
    format!("{sign}{}e{exponent}", fraction(rounded))
}

/// A number below 2^53 with as many places as it needs.
fn fraction(size: f64) -> String {
    let mut scale = 1.0;
    for places in 0..=PLACES {
        let digits = (size * scale).round();
        if digits / scale == size || places == PLACES || digits > EXACT {
            return place_point(digits as u64, places);
        }
        scale *= 10.0;
    }
    String::new()
}

fn place_point(digits: u64, places: usize) -> String {
    let mut text = String::new();
    let _ = write!(text, "{digits:0width$}", width = places + 1);
    if places > 0 {
        text.insert(text.len() - places, '.');
        let kept = text.trim_end_matches('0').trim_end_matches('.').len();
        text.truncate(kept);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn numbers_read_as_they_are_written() {
        for text in [
            "0",
            "-1",
            "42",
            "0.1",
            "1.5",
            "-2.25",
            "99.99",
            "0.000125",
            "1234567.891",
            "9007199254740992",
            "0.3",
        ] {
            assert_eq!(decimal(text.parse().unwrap()), text);
        }
        assert_eq!(decimal(0.1 + 0.2), "0.3");
        assert_eq!(decimal(1.5e300), "1.5e300");
        assert_eq!(decimal(2.5e-9), "2.5e-9");
        assert_eq!(decimal(1e-12), "1e-12");
        assert_eq!(decimal(f64::INFINITY), "infinite");
    }

    proptest::proptest! {
        #[test]
        fn up_to_fifteen_digits_survive(digits in 0_u32.., places in 0_usize..6) {
            let value = f64::from(digits) / 10_f64.powi(places as i32);
            proptest::prop_assert_eq!(decimal(value).parse::<f64>(), Ok(value));
        }

        #[test]
        fn any_number_has_a_text(bits: u64) {
            let value = f64::from_bits(bits);
            proptest::prop_assume!(!value.is_nan());
            proptest::prop_assert!(decimal(value).len() < 40);
        }
    }
}
