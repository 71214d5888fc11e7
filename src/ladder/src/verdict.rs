//! What a sample leads to.

use crate::nav::Nav;
use crate::rung::{Action, Basis, Config, Rung, Rungs};
use crate::window::Confirmed;

/// How a line of input was taken (L4). Only the first two are samples; the others count as missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Accepted, and a second source agrees: may use the fast path.
    Agreed,
    /// Accepted from one source.
    Single,
    /// The two sources differ by more than 0.5 %.
    Disputed,
    /// Not newer than the last accepted sample.
    NotNewer,
    /// Outside what the arithmetic is proven for, see [`MAX_EQUITY_E8`](crate::MAX_EQUITY_E8).
    OutOfRange,
    /// There was no sample.
    Missing,
}

impl Reading {
    /// Whether this is a sample.
    #[must_use]
    pub const fn is_accepted(self) -> bool {
        matches!(self, Reading::Agreed | Reading::Single)
    }
}

/// Why a rung is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latch {
    /// Exchange time of the sample whose test was true, or of the moment a blind limit was reached, in ms.
    pub t_ms: i64,
    /// The value that was tested.
    pub value: Nav,
    /// What it was compared with.
    pub anchor: Nav,
    /// Where that came from; `None` for B3, X and latches set from outside.
    pub basis: Option<Basis>,
    /// Its review was acknowledged (R1).
    pub acknowledged: bool,
}

/// The values that NAV is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct References {
    /// In the order of [`Basis::ALL`].
    pub(crate) values: [Nav; 7],
}

impl References {
    /// The value of one basis.
    #[must_use]
    pub fn of(&self, basis: Basis) -> Nav {
        let [
            day,
            week,
            month,
            hwm,
            day_rolling,
            week_rolling,
            month_rolling,
        ] = self.values;
        match basis {
            Basis::Day => day,
            Basis::Week => week,
            Basis::Month => month,
            Basis::Hwm => hwm,
            Basis::DayRolling => day_rolling,
            Basis::WeekRolling => week_rolling,
            Basis::MonthRolling => month_rolling,
        }
    }

    /// The basis that counts for a rung: the higher of calendar and rolling (L14), the calendar if they are
    /// equal. `None`: the rung tests no loss.
    #[must_use]
    pub fn base(&self, rung: Rung) -> Option<(Basis, Nav)> {
        let (calendar, rolling) = rung.rule().bases?;
        let anchor = self.of(calendar);
        match rolling.map(|basis| (basis, self.of(basis))) {
            Some((basis, value)) if value.compare(anchor).is_gt() => Some((basis, value)),
            _ => Some((calendar, anchor)),
        }
    }
}

/// The state after a line of input. Figures are computed when asked for. After a line that is no sample they are
/// those of the last sample, and `reading` and `blind` say so.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// How this line was taken.
    pub reading: Reading,
    /// Whether the account has its first value yet; before, everything below is neutral.
    pub funded: bool,
    /// Exchange time of the last accepted sample, in ms.
    pub t_ms: Option<i64>,
    /// Equity of the last accepted sample, in 10⁻⁸.
    pub equity_e8: i128,
    /// Value of the last accepted sample, unconfirmed.
    pub nav: Nav,
    /// The last confirmed values.
    pub confirmed: Confirmed,
    /// What they are compared with.
    pub references: References,
    /// Tests that are true now.
    pub tripped: Rungs,
    /// R1–R4, B3 and X in force.
    pub latched: Rungs,
    /// What this line put in force.
    pub begun: Rungs,
    /// R1, R2 that this line released.
    pub released: Rungs,
    /// The gravest blind rung in force.
    pub blind: Option<Rung>,
    pub(crate) config: Config,
}

impl Verdict {
    /// What to begin now, gravest first after the blind timers; a release last, once (L12).
    pub fn actions(&self) -> impl Iterator<Item = Action> {
        let release = (!self.released.is_empty()).then_some(Action::Release);
        self.begun.actions().chain(release)
    }

    /// Confirmed change against a basis, in basis points, truncated towards zero.
    #[must_use]
    pub fn dd_bp(&self, basis: Basis) -> i32 {
        self.confirmed.dn.change_bp(self.references.of(basis))
    }

    /// Money left before a rung trips, by this sample, in 10⁻⁸, rounded down; 0 for a rung that tests no loss.
    #[must_use]
    pub fn room_e8(&self, rung: Rung) -> u128 {
        self.room_from(rung, self.references.base(rung).map(|(_, anchor)| anchor))
    }

    /// The same if every calendar period rolled now: anchors at the confirmed mid, rolling references as they
    /// are.
    #[must_use]
    pub fn room_after_roll_e8(&self, rung: Rung) -> u128 {
        let anchor = rung.rule().bases.map(|(calendar, rolling)| match rolling {
            Some(basis) => self.references.of(basis).max(self.confirmed.mid),
            None => self.references.of(calendar),
        });
        self.room_from(rung, anchor)
    }

    fn room_from(&self, rung: Rung, anchor: Option<Nav>) -> u128 {
        anchor.map_or(0, |anchor| {
            self.nav
                .room_e8(self.equity_e8, anchor, self.config.loss_bp(rung))
        })
    }
}
