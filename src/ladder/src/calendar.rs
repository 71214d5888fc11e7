//! Calendar periods of the exchange clock: UTC days, ISO weeks (from Monday), months.
//!
//! An id is a count that rises by one a period, so "later" is "greater". No time zone, no leap second.

const DAY_MS: i64 = 86_400_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Period {
    Day,
    Week,
    Month,
}

impl Period {
    /// The id of the period that contains `t_ms`; its first millisecond belongs to it (L13).
    pub(crate) fn id(self, t_ms: i64) -> i64 {
        let day = t_ms.div_euclid(DAY_MS);
        match self {
            Period::Day => day,
            // 1970-01-01 was a Thursday: day −3 is the Monday of week 0.
            Period::Week => (day + 3).div_euclid(7),
            Period::Month => month_of(day),
        }
    }

    /// The first millisecond of the period.
    pub(crate) fn start_ms(self, id: i64) -> i64 {
        let day = match self {
            Period::Day => id,
            Period::Week => id * 7 - 3,
            Period::Month => first_day_of(id),
        };
        day * DAY_MS
    }
}

// In the proleptic Gregorian calendar 400 years are 146 097 days. Years here begin in March, so that the
// leap day is the last of its year and month m (0 = March) begins at day (153 m + 2) / 5.

/// Months since January 1970 of a day since 1970-01-01.
fn month_of(day: i64) -> i64 {
    let since_march_0 = day + 719_468;
    let cycle = since_march_0.div_euclid(146_097);
    let in_cycle = since_march_0.rem_euclid(146_097);
    let year = (in_cycle - in_cycle / 1_460 + in_cycle / 36_524 - in_cycle / 146_096) / 365;
    let in_year = in_cycle - (365 * year + year / 4 - year / 100);
    let march_month = (5 * in_year + 2) / 153;
    (cycle * 400 + year) * 12 + march_month + 2 - 1970 * 12
}

/// The day since 1970-01-01 on which a month since January 1970 begins.
fn first_day_of(month: i64) -> i64 {
    let march_months = month + 1970 * 12 - 2;
    let (year, march_month) = (march_months.div_euclid(12), march_months.rem_euclid(12));
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leap_days + (153 * march_month + 2) / 5 - 719_468
}

#[cfg(test)]
mod tests {
    use super::Period::{Day, Month, Week};
    use super::*;

    fn days_in(year: i64, month: i64) -> i64 {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        match month {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    #[test]
    fn agrees_with_counting_day_by_day_from_1970_to_2470() {
        let (mut day, mut month) = (0, 0);
        for year in 1970..2470 {
            for month_of_year in 1..=12 {
                assert_eq!(
                    Month.start_ms(month),
                    day * DAY_MS,
                    "{year}-{month_of_year}"
                );
                for _ in 0..days_in(year, month_of_year) {
                    assert_eq!(Month.id(day * DAY_MS), month, "day {day}");
                    assert_eq!(Month.id(day * DAY_MS + DAY_MS - 1), month, "day {day}");
                    day += 1;
                }
                month += 1;
            }
        }
    }

    #[test]
    fn weeks_begin_on_monday() {
        let monday_2026_11_16 = 1_794_787_200_000;
        let week = Week.id(monday_2026_11_16);
        assert_eq!(Week.id(monday_2026_11_16 - 1), week - 1);
        assert_eq!(Week.id(monday_2026_11_16 + 7 * DAY_MS - 1), week);
        assert_eq!(Week.start_ms(week), monday_2026_11_16);
    }

    #[test]
    fn a_period_contains_its_first_millisecond_only() {
        for period in [Day, Week, Month] {
            for id in [-700, -1, 0, 1, 680, 20_000] {
                let start = period.start_ms(id);
                assert_eq!(
                    (period.id(start), period.id(start - 1)),
                    (id, id - 1),
                    "{period:?}"
                );
            }
        }
    }
}
