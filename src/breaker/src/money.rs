//! Between the exchange's decimals and the ladder's integers of 10⁻⁸.

use fusebox_domain::Decimal;

/// The amount in 10⁻⁸, rounded half to even beyond; `None` if it is out of range.
pub(crate) fn to_e8(amount: Decimal) -> Option<i128> {
    let mut amount = amount.round_dp(8);
    amount.rescale(8);
    (amount.scale() == 8).then(|| amount.mantissa())
}

/// The amount of 10⁻⁸ as a decimal; `None` if it is out of range.
pub(crate) fn from_e8(amount_e8: i128) -> Option<Decimal> {
    Decimal::try_from_i128_with_scale(amount_e8, 8)
        .ok()
        .map(|d| d.normalize())
}

/// The same for an unsigned amount.
pub(crate) fn from_unsigned_e8(amount_e8: u128) -> Option<Decimal> {
    i128::try_from(amount_e8).ok().and_then(from_e8)
}

/// Two decimals for people.
pub(crate) fn cents(amount: Decimal) -> String {
    format!("{:.2}", amount.round_dp(2))
}

/// `-5.02 %` of -502 basis points.
pub(crate) fn percent(bp: i64) -> String {
    let sign = if bp < 0 { "-" } else { "" };
    let bp = bp.unsigned_abs();
    format!("{sign}{}.{:02} %", bp / 100, bp % 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    #[test]
    fn amounts_go_there_and_back() {
        let amount = |text| Decimal::from_str(text).unwrap();
        assert_eq!(to_e8(amount("3800.01")), Some(380_001_000_000));
        assert_eq!(to_e8(amount("-0.00000001")), Some(-1));
        assert_eq!(from_e8(380_001_000_000), Some(amount("3800.01")));
        assert_eq!(to_e8(Decimal::MAX), None, "out of range is not wrapped");
        assert_eq!(percent(-502), "-5.02 %");
        assert_eq!(percent(7), "0.07 %");
    }
}
