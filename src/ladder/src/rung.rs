//! The rungs: one table of name, action, basis, threshold and release, and sets of them.

/// What is compared with the confirmed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Value at 00:00 UTC.
    Day,
    /// Value at Monday 00:00 UTC.
    Week,
    /// Value at 00:00 UTC of the first of the month.
    Month,
    /// High-water mark.
    Hwm,
    /// Value 24 hours ago.
    DayRolling,
    /// Value 7 days ago.
    WeekRolling,
    /// Value 30 days ago.
    MonthRolling,
}

impl Basis {
    /// All, in the order of reports.
    pub const ALL: [Basis; 7] = [
        Basis::Day,
        Basis::Week,
        Basis::Month,
        Basis::Hwm,
        Basis::DayRolling,
        Basis::WeekRolling,
        Basis::MonthRolling,
    ];

    /// The name in reports, journal and feed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Basis::Day => "day",
            Basis::Week => "week",
            Basis::Month => "month",
            Basis::Hwm => "hwm",
            Basis::DayRolling => "day_rolling",
            Basis::WeekRolling => "week_rolling",
            Basis::MonthRolling => "month_rolling",
        }
    }
}

/// What a rung makes the breaker begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Alert on all channels and open a review (R1).
    Alert,
    /// Halve the positions and verify it (R2).
    Reduce,
    /// Cancel entries, keep stops, scale the bot to zero (R3).
    ScaleZero,
    /// Ask the revoker for the full kill (R4).
    Kill,
    /// R1 or R2 no longer holds.
    Release,
    /// Say that the data is old (B1).
    BlindWarn,
    /// Stop entries (B2, X).
    BlindStop,
    /// Scale the bot to zero (B3).
    BlindZero,
}

impl Action {
    /// The name in reports, journal and feed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Action::Alert => "alert",
            Action::Reduce => "reduce",
            Action::ScaleZero => "scale_zero",
            Action::Kill => "kill",
            Action::Release => "release",
            Action::BlindWarn => "blind_warn",
            Action::BlindStop => "blind_stop",
            Action::BlindZero => "blind_zero",
        }
    }
}

/// A step of the ladder. No rung implies another (L12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// Daily loss.
    R1,
    /// Weekly loss.
    R2,
    /// Monthly loss.
    R3,
    /// Loss from the high-water mark.
    R4,
    /// Data old: warn.
    B1,
    /// Data older: stop entries.
    B2,
    /// Data gone: scale to zero.
    B3,
    /// Integrity lost (journal chain, clock, unknown key, foreign order): as B2.
    X,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The name in reports, journal and feed.
    pub name: &'static str,
    /// What it begins.
    pub action: Action,
    /// The calendar basis (or the peak) and the rolling companion; the higher value of the two counts (L14).
    pub bases: Option<(Basis, Option<Basis>)>,
    /// Default threshold: a loss in basis points for R1–R4, an age in ms for B1–B3.
    pub default: i64,
    /// How far inside the threshold the value must be for an automatic release, in basis points.
    pub release_margin_bp: Option<u32>,
}

impl Rung {
    /// All, in the order of reports.
    pub const ALL: [Rung; 8] = [
        Rung::R1,
        Rung::R2,
        Rung::R3,
        Rung::R4,
        Rung::B1,
        Rung::B2,
        Rung::B3,
        Rung::X,
    ];
    /// Those that test a loss.
    pub const DRAWDOWN: [Rung; 4] = [Rung::R1, Rung::R2, Rung::R3, Rung::R4];
    /// Those that test the age of the data.
    pub const BLIND: [Rung; 3] = [Rung::B1, Rung::B2, Rung::B3];

    /// The table.
    #[must_use]
    pub const fn rule(self) -> Rule {
        use Action::{Alert, BlindStop, BlindWarn, BlindZero, Kill, Reduce, ScaleZero};
        use Basis::{Day, DayRolling, Hwm, Month, MonthRolling, Week, WeekRolling};
        let (name, action, bases, default, release_margin_bp) = match self {
            Rung::R1 => ("R1", Alert, Some((Day, Some(DayRolling))), 500, Some(100)),
            Rung::R2 => (
                "R2",
                Reduce,
                Some((Week, Some(WeekRolling))),
                800,
                Some(200),
            ),
            Rung::R3 => (
                "R3",
                ScaleZero,
                Some((Month, Some(MonthRolling))),
                1_500,
                None,
            ),
            Rung::R4 => ("R4", Kill, Some((Hwm, None)), 1_800, None),
            Rung::B1 => ("B1", BlindWarn, None, 15_000, None),
            Rung::B2 => ("B2", BlindStop, None, 60_000, None),
            Rung::B3 => ("B3", BlindZero, None, 300_000, None),
            Rung::X => ("X", BlindStop, None, 0, None),
        };
        Rule {
            name,
            action,
            bases,
            default,
            release_margin_bp,
        }
    }

    /// The name in reports, journal and feed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.rule().name
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of rungs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rungs(pub(crate) u8);

impl Rungs {
    /// No rung.
    pub const NONE: Rungs = Rungs(0);

    /// Whether `rung` is in the set.
    #[must_use]
    pub const fn contains(self, rung: Rung) -> bool {
        self.0 & rung.bit() != 0
    }

    /// Whether the set has no rung.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those of `self` that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Rungs) -> Rungs {
        Rungs(self.0 & !other.0)
    }

    /// Those of either.
    #[must_use]
    pub const fn with(self, other: Rungs) -> Rungs {
        Rungs(self.0 | other.0)
    }

    /// The rungs, in the order of [`Rung::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Rung> {
        Rung::ALL
            .into_iter()
            .filter(move |rung| self.contains(*rung))
    }

    /// The actions that these rungs begin, in the order of L12: blind timers, then the gravest rung first.
    pub fn actions(self) -> impl Iterator<Item = Action> {
        const ORDER: [Rung; 8] = [
            Rung::B1,
            Rung::B2,
            Rung::B3,
            Rung::X,
            Rung::R4,
            Rung::R3,
            Rung::R2,
            Rung::R1,
        ];
        ORDER
            .into_iter()
            .filter(move |rung| self.contains(*rung))
            .map(|rung| rung.rule().action)
    }

    pub(crate) fn insert(&mut self, rung: Rung) {
        self.0 |= rung.bit();
    }

    pub(crate) fn remove(&mut self, rung: Rung) {
        self.0 &= !rung.bit();
    }
}

impl FromIterator<Rung> for Rungs {
    fn from_iter<I: IntoIterator<Item = Rung>>(rungs: I) -> Rungs {
        Rungs(rungs.into_iter().fold(0, |bits, rung| bits | rung.bit()))
    }
}

/// Thresholds and limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Loss at which R1 … R4 trip, in basis points, 200 to 8000.
    pub threshold_bp: [u32; 4],
    /// Age of the last accepted sample at which B1, B2, B3 begin, in ms, rising, from 2000 on. The first is also
    /// the longest gap over which samples count as neighbours (L9, L11, L13).
    pub blind_ms: [i64; 3],
}

impl Default for Config {
    fn default() -> Config {
        Config {
            threshold_bp: Rung::DRAWDOWN.map(|rung| rung.rule().default as u32),
            blind_ms: Rung::BLIND.map(|rung| rung.rule().default),
        }
    }
}

/// A configuration the ladder will not run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// A threshold is below 200 or above 8000 basis points.
    Threshold(Rung),
    /// Blind limits must rise, begin at 2000 ms or later, and end below a day.
    Blind(Rung),
}

impl core::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ConfigError::Threshold(rung) => {
                write!(
                    f,
                    "the threshold of {} must be from 200 to 8000 basis points",
                    rung.name()
                )
            }
            ConfigError::Blind(rung) => write!(
                f,
                "the limit of {} must be above the one before it, from 2000 ms and below a day",
                rung.name()
            ),
        }
    }
}

impl core::error::Error for ConfigError {}

impl Config {
    /// Whether the ladder can run with it.
    ///
    /// # Errors
    /// The first value out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (rung, loss_bp) in Rung::DRAWDOWN.into_iter().zip(self.threshold_bp) {
            if !(200..=8_000).contains(&loss_bp) {
                return Err(ConfigError::Threshold(rung));
            }
        }
        let mut least = 2_000;
        for (rung, limit_ms) in Rung::BLIND.into_iter().zip(self.blind_ms) {
            if !(least..86_400_000).contains(&limit_ms) {
                return Err(ConfigError::Blind(rung));
            }
            least = limit_ms + 1;
        }
        Ok(())
    }

    /// The loss at which a rung trips, in basis points; 0 for one that tests no loss.
    #[must_use]
    pub fn loss_bp(&self, rung: Rung) -> u32 {
        let [r1, r2, r3, r4] = self.threshold_bp;
        match rung {
            Rung::R1 => r1,
            Rung::R2 => r2,
            Rung::R3 => r3,
            Rung::R4 => r4,
            _ => 0,
        }
    }

    pub(crate) fn stale_ms(&self) -> i64 {
        let [warn_ms, ..] = self.blind_ms;
        warn_ms
    }
}
