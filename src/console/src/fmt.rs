//! Numbers and times as the screen shows them: the field's notation, a real minus sign, units by
//! the caller.

use fusebox_domain::Decimal;

/// `3,612.40`: two decimals, cut towards zero so that room is never overstated.
pub(crate) fn money(value: Decimal) -> String {
    decimals(value.trunc_with_scale(2), 2)
}

/// `−16.01`, `+4.20`.
pub(crate) fn signed_money(value: Decimal) -> String {
    let text = money(value);
    let plus = value.trunc_with_scale(2) > Decimal::ZERO;
    if plus { format!("+{text}") } else { text }
}

/// A price with as many decimals as its size needs.
pub(crate) fn price(value: Decimal) -> String {
    let places = match value.abs() {
        v if v >= Decimal::from(1_000) => 1,
        v if v >= Decimal::from(10) => 2,
        v if v >= Decimal::ONE => 3,
        _ => 5,
    };
    decimals(value.round_dp(places), places)
}

/// A size: its own decimals, at most eight characters' worth.
pub(crate) fn size(value: Decimal) -> String {
    let places = match value.abs() {
        v if v >= Decimal::from(10_000) => 0,
        v if v >= Decimal::from(100) => 1,
        v if v >= Decimal::ONE => 3,
        _ => 5,
    };
    let value = value.round_dp(places).normalize();
    decimals(value, value.scale())
}

/// A rate in few characters: `−74`, `+1,204`, `−18.3k`.
pub(crate) fn compact(value: Decimal) -> String {
    let sign = if value.is_sign_negative() { "−" } else { "+" };
    let value = value.abs();
    match value {
        v if v >= Decimal::from(10_000) => {
            let thousands = (v / Decimal::from(1_000)).trunc_with_scale(1);
            format!("{sign}{}k", decimals(thousands, 1))
        }
        v => format!("{sign}{}", decimals(v.trunc(), 0)),
    }
}

fn decimals(value: Decimal, places: u32) -> String {
    let text = format!("{:.*}", usize::try_from(places).unwrap_or(0), value.abs());
    let (whole, rest) = match text.split_once('.') {
        Some((whole, rest)) => (whole, format!(".{rest}")),
        None => (text.as_str(), String::new()),
    };
    let mut out = String::new();
    let is_zero = text.chars().all(|c| matches!(c, '0' | '.'));
    if value.is_sign_negative() && !is_zero {
        out.push('−');
    }
    out.push_str(&group(whole));
    out + &rest
}

/// `1,204`.
pub(crate) fn count(value: u64) -> String {
    group(&value.to_string())
}

fn group(digits: &str) -> String {
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Basis points as `−6.21 %`.
pub(crate) fn percent(bp: i64) -> String {
    let sign = if bp < 0 { "−" } else { "" };
    let bp = bp.unsigned_abs();
    format!("{sign}{}.{:02} %", bp / 100, bp % 100)
}

/// Basis points in short: `−5 %`, `−2.5 %`.
pub(crate) fn percent_short(bp: i64) -> String {
    let sign = if bp < 0 { "−" } else { "" };
    let bp = bp.unsigned_abs();
    match (bp / 100, bp % 100) {
        (whole, 0) => format!("{sign}{whole} %"),
        (whole, rest) => format!("{sign}{whole}.{} %", rest / 10),
    }
}

/// An age in words: `0.3s`, `14 s`, `3 min`, `2 h`.
pub(crate) fn age(age_ms: u64) -> String {
    match age_ms {
        0..=9_949 => format!("{}.{}s", age_ms / 1000, age_ms % 1000 / 100),
        9_950..120_000 => format!("{} s", age_ms / 1000),
        120_000..7_200_000 => format!("{} min", age_ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", age_ms / 3_600_000),
        _ => format!("{} d", age_ms / 86_400_000),
    }
}

/// A duration in at most four characters: `41m`, `2h14`, `3d`.
pub(crate) fn lived(age_ms: u64) -> String {
    let minutes = age_ms / 60_000;
    match minutes {
        0 => format!("{}s", age_ms / 1000),
        1..60 => format!("{minutes}m"),
        60..1_440 => format!("{}h{:02}", minutes / 60, minutes % 60),
        _ => format!("{}d", minutes / 1_440),
    }
}

/// Milliseconds of a step: `0.004 s`, `0.41 s`, `12.3 s`.
pub(crate) fn seconds(ms: u64) -> String {
    match ms {
        ..10 => format!("0.00{ms} s"),
        10..10_000 => format!("{}.{:02} s", ms / 1000, ms % 1000 / 10),
        _ => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
    }
}

/// `12:04:31`, UTC.
pub(crate) fn clock(wall_ms: i64) -> String {
    strftime(wall_ms, "%H:%M:%S")
}

/// `12:04`, UTC.
pub(crate) fn clock_short(wall_ms: i64) -> String {
    strftime(wall_ms, "%H:%M")
}

/// `2026-11-21 12:04:31Z`.
pub(crate) fn date_time(wall_ms: i64) -> String {
    strftime(wall_ms, "%Y-%m-%d %H:%M:%SZ")
}

fn strftime(wall_ms: i64, format: &str) -> String {
    match jiff::Timestamp::from_millisecond(wall_ms) {
        Ok(time) => time.strftime(format).to_string(),
        Err(_) => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn money_is_grouped_signed_and_never_rounded_up() {
        for (value, shown) in [
            ("3612.4", "3,612.40"),
            ("65.109", "65.10"),
            ("-16.019", "−16.01"),
            ("-0.001", "0.00"),
            ("1234567", "1,234,567.00"),
            ("999.99", "999.99"),
        ] {
            assert_eq!(money(d(value)), shown);
        }
        assert_eq!(signed_money(d("4.2")), "+4.20");
        assert_eq!(signed_money(d("0.001")), "0.00");
        assert_eq!(compact(d("-74.9")), "−74");
        assert_eq!(compact(d("-18297.4")), "−18.2k");
        assert_eq!(compact(d("1204")), "+1,204");
    }

    #[test]
    fn prices_sizes_and_percentages() {
        assert_eq!(price(d("59870.14")), "59,870.1");
        assert_eq!(price(d("151.2")), "151.20");
        assert_eq!(price(d("0.5901")), "0.59010");
        assert_eq!(size(d("0.0120")), "0.012");
        assert_eq!(size(d("812")), "812");
        assert_eq!(percent(-621), "−6.21 %");
        assert_eq!(percent(-5), "−0.05 %");
        assert_eq!(percent_short(-500), "−5 %");
        assert_eq!(percent_short(-1250), "−12.5 %");
    }

    #[test]
    fn ages_and_times() {
        assert_eq!(age(300), "0.3s");
        assert_eq!(age(14_200), "14 s");
        assert_eq!(age(180_000), "3 min");
        assert_eq!(lived(8_040_000), "2h14");
        assert_eq!(seconds(4), "0.004 s");
        assert_eq!(seconds(910), "0.91 s");
        assert_eq!(seconds(12_345), "12.3 s");
        assert_eq!(clock(1_795_262_671_000), "12:04:31");
        assert_eq!(date_time(0), "1970-01-01 00:00:00Z");
    }
}
