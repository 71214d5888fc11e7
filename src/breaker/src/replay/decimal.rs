//! Exact decimals: text to 10⁻⁸ and back to the two forms of the output. Never through a float.

use fusebox_ladder::MAX_EQUITY_E8;

/// Reads `[+-]digits[.digits]` as a multiple of 10⁻⁸. More decimals are taken only if they are zeros: nothing is
/// rounded silently.
pub(super) fn parse_e8(text: &str) -> Result<i128, String> {
    let refuse = |why: &str| Err(format!("{:?} is not an amount: {why}", shortened(text)));
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let numeric = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !numeric(whole) || !numeric(fraction) {
        return refuse("expected digits with at most one point, such as \"-3800.25\"");
    }
    let exact = fraction.trim_end_matches('0');
    if exact.len() > 8 {
        return refuse("more than 8 decimals");
    }
    let scaled = whole
        .bytes()
        .chain(format!("{exact:0<8}").bytes())
        .try_fold(0i128, |value, byte| {
            let value = value * 10 + i128::from(byte - b'0');
            (value <= MAX_EQUITY_E8).then_some(value)
        });
    match scaled {
        Some(value) => Ok(if negative { -value } else { value }),
        None => refuse("larger than 10^20"),
    }
}

/// Untrusted text for a message: no control characters, not long.
pub(super) fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

/// 10⁻¹² with all twelve decimals.
pub(super) fn e12(value: u128) -> String {
    format!(
        "{}.{:012}",
        value / 1_000_000_000_000,
        value % 1_000_000_000_000
    )
}

/// 10⁻⁸, floored to cents.
pub(super) fn cents(value_e8: u128) -> String {
    let cents = value_e8 / 1_000_000;
    format!("{}.{:02}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_exactly_or_not_at_all() {
        for (text, value) in [
            ("3800.00", 380_000_000_000),
            ("-0.00000001", -1),
            ("+1000", 100_000_000_000),
            ("0", 0),
            ("-0", 0),
            ("007.5000000000", 750_000_000),
            ("100000000000000000000", MAX_EQUITY_E8),
        ] {
            assert_eq!(parse_e8(text), Ok(value), "{text}");
        }
        for text in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "1e3",
            "NaN",
            "inf",
            "1,000",
            " 1",
            "0x10",
            "--1",
            "1.2.3",
            "٣",
            "0.000000001",
            "100000000000000000000.00000001",
            "999999999999999999999999999999999999999999",
        ] {
            assert!(parse_e8(text).is_err(), "{text}");
        }
    }

    #[test]
    fn writes_truncated() {
        assert_eq!(e12(949_999_999_691), "0.949999999691");
        assert_eq!(e12(12_000_000_000_001), "12.000000000001");
        assert_eq!(cents(45_666_666_666), "456.66");
        assert_eq!(cents(999_999), "0.00");
    }
}
