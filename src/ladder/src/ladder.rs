//! The order of a sample (L12): timers → flows → NAV → window → roll → peak → trips → releases.

use crate::calendar::Period;
use crate::nav::Nav;
use crate::rolling::Rolling;
use crate::rung::{Config, ConfigError, Rung, Rungs};
use crate::verdict::{Latch, Reading, References, Verdict};
use crate::window::{Confirmed, Window};

/// Largest equity and largest flow the arithmetic is proven for: 10²⁰ of the numeraire, in 10⁻⁸.
pub const MAX_EQUITY_E8: i128 = 10_000_000_000_000_000_000_000_000_000;
/// Last millisecond of the year 9999.
pub(crate) const MAX_T_MS: i64 = 253_402_300_799_999;
/// 1 in 10⁻⁸: an account worth less is not funded (L8).
const ONE_E8: i128 = 100_000_000;
/// Consecutive samples that make an account unfunded, or funded without a credit row (L8).
const RUN: u8 = 3;
/// From 10⁻⁸ to 10⁻¹⁸: at funding U = E.
const UNITS_PER_E8: u128 = 10_000_000_000;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 1_440 * MINUTE_MS;

/// One reading of the account.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// Exchange time, in ms since 1970, 0 to the end of 9999.
    pub t_ms: i64,
    /// Equity, in 10⁻⁸; may be negative.
    pub equity_e8: i128,
    /// Equity by the second source.
    pub second_e8: Option<i128>,
    /// Flows (deposits positive) with a time after the last accepted sample's and up to `t_ms`, in 10⁻⁸, each
    /// once. If the sample is not accepted they wait for the next that is.
    pub flows_e8: &'a [i128],
}

/// What the account is (L3, L7, L8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Live start: the first confirmed window will fund it.
    Founding,
    Funded,
    /// Worth less than 1: NAV is frozen.
    Unfunded(Nav),
    /// A confirmed window of zeros: NAV is 0 until a new epoch.
    Ruined,
}

/// The value at the beginning of a calendar period (L13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) id: i64,
    pub(crate) nav: Nav,
    /// Made from an old value: the first confirmation may raise it.
    pub(crate) provisional: bool,
}

/// The last accepted sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) t_ms: i64,
    pub(crate) equity_e8: i128,
    pub(crate) nav: Nav,
    pub(crate) agreed: bool,
}

/// The ladder of one account. It allocates (200 KB) when made or cloned, never for a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Ladder {
    pub(crate) config: Config,
    pub(crate) phase: Phase,
    /// U, in 10⁻¹⁸.
    pub(crate) units_e18: u128,
    /// Flows that could not be applied yet (L7), in 10⁻⁸.
    pub(crate) waiting_e8: i128,
    /// Consecutive samples towards leaving the phase (L8).
    pub(crate) run: u8,
    pub(crate) last: Option<Last>,
    /// From when the age of the data counts: the last accepted sample, or the first line of all.
    pub(crate) heard_ms: Option<i64>,
    /// Blind rungs in force.
    pub(crate) blind: Rungs,
    pub(crate) window: Window,
    pub(crate) confirmed: Confirmed,
    pub(crate) day: Anchor,
    pub(crate) week: Anchor,
    pub(crate) month: Anchor,
    pub(crate) peak: Nav,
    pub(crate) day_rolling: Rolling,
    pub(crate) week_rolling: Rolling,
    pub(crate) month_rolling: Rolling,
    /// Made of the above for the last accepted sample.
    pub(crate) references: References,
    pub(crate) tripped: Rungs,
    /// In the order of [`Rung::ALL`].
    pub(crate) latches: [Option<Latch>; 8],
}

impl Ladder {
    /// A ladder that funds itself with the median equity of its first confirmed window (live start, L3).
    ///
    /// # Errors
    /// The first value of `config` out of its range.
    pub fn new(config: Config) -> Result<Ladder, ConfigError> {
        config.validate()?;
        let anchor = Anchor {
            id: 0,
            nav: Nav::ONE,
            provisional: false,
        };
        Ok(Ladder {
            config,
            phase: Phase::Founding,
            units_e18: Nav::ONE.units_e18,
            waiting_e8: 0,
            run: 0,
            last: None,
            heard_ms: None,
            blind: Rungs::NONE,
            window: Window::new(),
            confirmed: Confirmed {
                t_ms: 0,
                dn: Nav::ONE,
                mid: Nav::ONE,
                up: Nav::ONE,
            },
            day: anchor,
            week: anchor,
            month: anchor,
            peak: Nav::ONE,
            day_rolling: Rolling::new(DAY_MS, MINUTE_MS),
            week_rolling: Rolling::new(7 * DAY_MS, 10 * MINUTE_MS),
            month_rolling: Rolling::new(30 * DAY_MS, 60 * MINUTE_MS),
            references: References {
                values: [Nav::ONE; 7],
            },
            tripped: Rungs::NONE,
            latches: [None; 8],
        })
    }

    /// A ladder funded by a declared sample, whatever its second source says (L3). Its flows are part of the
    /// funding.
    ///
    /// # Errors
    /// The first value of `config` out of its range.
    pub fn funded(config: Config, sample: &Sample<'_>) -> Result<(Ladder, Verdict), ConfigError> {
        let mut ladder = Ladder::new(config)?;
        let agreed = ladder.reading(sample) == Reading::Agreed;
        let equity_e8 = sample.equity_e8.clamp(-MAX_EQUITY_E8, MAX_EQUITY_E8);
        let t_ms = sample.t_ms.clamp(0, MAX_T_MS);
        let nav = ladder.fund(t_ms, equity_e8);
        ladder.heard_ms = Some(t_ms);
        ladder.last = Some(Last {
            t_ms,
            equity_e8,
            nav,
            agreed,
        });
        ladder.window.push(t_ms, nav);
        let reading = if agreed {
            Reading::Agreed
        } else {
            Reading::Single
        };
        let verdict = ladder.verdict(reading, Rungs::NONE, Rungs::NONE);
        Ok((ladder, verdict))
    }

    /// How [`Ladder::step`] would take this sample.
    #[must_use]
    pub fn reading(&self, sample: &Sample<'_>) -> Reading {
        let in_range = |value: i128| (-MAX_EQUITY_E8..=MAX_EQUITY_E8).contains(&value);
        let newer = self.last.is_none_or(|last| sample.t_ms > last.t_ms);
        let (first, second) = (
            sample.equity_e8,
            sample.second_e8.unwrap_or(sample.equity_e8),
        );
        if !(0..=MAX_T_MS).contains(&sample.t_ms) || !in_range(first) || !in_range(second) {
            Reading::OutOfRange
        } else if !newer {
            Reading::NotNewer
        } else if (first - second).abs() * 200 > first.abs().max(second.abs()).max(ONE_E8) {
            Reading::Disputed
        } else if sample.second_e8.is_some() {
            Reading::Agreed
        } else {
            Reading::Single
        }
    }

    /// Takes a sample.
    pub fn step(&mut self, sample: &Sample<'_>) -> Verdict {
        let flow_e8 = sample
            .flows_e8
            .iter()
            .fold(self.waiting_e8, |sum, flow| sum.saturating_add(*flow));
        let mut reading = self.reading(sample);
        if reading.is_accepted() && !(-MAX_EQUITY_E8..=MAX_EQUITY_E8).contains(&flow_e8) {
            reading = Reading::OutOfRange;
        }
        if !reading.is_accepted() {
            self.waiting_e8 = flow_e8;
            return self.missing(sample.t_ms, reading);
        }
        let credit = self.waiting_e8 > 0 || sample.flows_e8.iter().any(|flow| *flow > 0);
        let t_ms = sample.t_ms;

        let mut begun = self.timers(t_ms);
        let nav = self.value(sample.equity_e8, flow_e8, credit);
        let before = self.last.replace(Last {
            t_ms,
            equity_e8: sample.equity_e8,
            nav,
            agreed: reading == Reading::Agreed,
        });
        self.heard_ms = Some(t_ms);
        let confirmed = self.confirm(t_ms, before);
        if self.phase == Phase::Founding {
            return self.verdict(reading, begun, Rungs::NONE);
        }
        self.roll(t_ms);
        if let Some(confirmed) = confirmed {
            self.settle(confirmed);
        }
        self.refer();
        begun = begun.with(self.trips(t_ms, confirmed, before));
        let released = confirmed.map_or(Rungs::NONE, |confirmed| self.releases(t_ms, confirmed));
        self.verdict(reading, begun, released)
    }

    /// Lets time pass without a sample.
    pub fn tick(&mut self, t_ms: i64) -> Verdict {
        self.missing(t_ms, Reading::Missing)
    }

    fn missing(&mut self, t_ms: i64, reading: Reading) -> Verdict {
        let begun = self.timers(t_ms.clamp(0, MAX_T_MS));
        self.verdict(reading, begun, Rungs::NONE)
    }

    /// L19: ages reached by now, also those nobody was awake for.
    fn timers(&mut self, t_ms: i64) -> Rungs {
        let heard_ms = *self.heard_ms.get_or_insert(t_ms);
        let mut begun = Rungs::NONE;
        for (rung, limit_ms) in Rung::BLIND.into_iter().zip(self.config.blind_ms) {
            if t_ms - heard_ms >= limit_ms && !self.blind.contains(rung) {
                self.blind.insert(rung);
                begun.insert(rung);
                if rung == Rung::B3 {
                    self.latch(rung, heard_ms + limit_ms);
                }
            }
        }
        if t_ms - heard_ms >= self.config.stale_ms() {
            self.tripped = Rungs::NONE;
        }
        begun
    }

    /// L1, L7, L8: the value of this sample, and the units after it.
    fn value(&mut self, equity_e8: i128, flow_e8: i128, credit: bool) -> Nav {
        self.waiting_e8 = 0;
        match self.phase {
            Phase::Founding => Nav::new(equity_e8, Nav::ONE.units_e18),
            Phase::Ruined => Nav::new(0, self.units_e18),
            Phase::Unfunded(frozen) => {
                self.run = if equity_e8 >= ONE_E8 {
                    self.run.saturating_add(1)
                } else {
                    0
                };
                let ends = equity_e8 >= ONE_E8 && (credit || self.run >= RUN);
                if let Some(units_e18) = frozen.units_for(equity_e8).filter(|_| ends) {
                    self.units_e18 = units_e18;
                    self.enter(Phase::Funded);
                }
                frozen
            }
            Phase::Funded => {
                self.run = if equity_e8 < ONE_E8 {
                    self.run.saturating_add(1)
                } else {
                    0
                };
                let nav = Nav::new(equity_e8 - flow_e8, self.units_e18);
                if nav.is_zero() {
                    self.waiting_e8 = flow_e8;
                } else if equity_e8 < ONE_E8 && (flow_e8 != 0 || self.run >= RUN) {
                    self.enter(Phase::Unfunded(nav));
                } else if flow_e8 != 0 && equity_e8 > 0 {
                    let Some(units_e18) = nav.units_for(equity_e8) else {
                        // Not representable: worth nothing that could be counted.
                        self.waiting_e8 = flow_e8;
                        return Nav::new(0, self.units_e18);
                    };
                    self.units_e18 = units_e18;
                }
                nav
            }
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.run = 0;
    }

    /// L9: the window, and what the first confirmation after a silence ends.
    fn confirm(&mut self, t_ms: i64, before: Option<Last>) -> Option<Confirmed> {
        let nav = self.last.map_or(Nav::ONE, |last| last.nav);
        if before.is_some_and(|before| t_ms - before.t_ms > self.config.stale_ms()) {
            self.window.clear();
        }
        self.window.push(t_ms, nav);
        let mut confirmed = self.window.confirmed()?;
        if self.phase == Phase::Founding {
            self.found(t_ms, confirmed.mid);
            confirmed = self.window.confirmed()?;
        }
        self.blind.remove(Rung::B1);
        self.blind.remove(Rung::B2);
        if confirmed.dn.is_zero() && self.phase == Phase::Funded {
            self.enter(Phase::Ruined);
        }
        Some(confirmed)
    }

    /// Sets value 1 for an account worth `equity_e8` at `t_ms`.
    fn fund(&mut self, t_ms: i64, equity_e8: i128) -> Nav {
        let units_e18 = u128::try_from(equity_e8).unwrap_or(0) * UNITS_PER_E8;
        let nav = if equity_e8 < ONE_E8 {
            self.enter(Phase::Unfunded(Nav::ONE));
            Nav::ONE
        } else {
            self.units_e18 = units_e18;
            self.enter(Phase::Funded);
            Nav::new(equity_e8, units_e18)
        };
        self.confirmed = Confirmed {
            t_ms,
            dn: nav,
            mid: nav,
            up: nav,
        };
        self.rebase(t_ms, nav);
        self.peak = nav;
        self.refer();
        nav
    }

    /// L3: the first confirmed window of a live start, whose values were raw equities until now.
    fn found(&mut self, t_ms: i64, median: Nav) {
        let equity_e8 = i128::try_from(median.equity_e8).unwrap_or(MAX_EQUITY_E8);
        let base = self.fund(t_ms, equity_e8);
        let funded = self.phase == Phase::Funded;
        let revalue = |nav: Nav| {
            if funded {
                Nav {
                    units_e18: base.units_e18,
                    ..nav
                }
            } else {
                base
            }
        };
        for (nav, _) in &mut self.window.entries {
            *nav = revalue(*nav);
        }
        if let Some(last) = &mut self.last {
            last.nav = revalue(last.nav);
        }
    }

    /// Begins every period, and the rolling history, at `nav`.
    pub(crate) fn rebase(&mut self, t_ms: i64, nav: Nav) {
        for (period, anchor) in self.anchors() {
            *anchor = Anchor {
                id: period.id(t_ms),
                nav,
                provisional: false,
            };
        }
        self.day_rolling.restart(t_ms, nav);
        self.week_rolling.restart(t_ms, nav);
        self.month_rolling.restart(t_ms, nav);
    }

    fn anchors(&mut self) -> [(Period, &mut Anchor); 3] {
        [
            (Period::Day, &mut self.day),
            (Period::Week, &mut self.week),
            (Period::Month, &mut self.month),
        ]
    }

    /// L13: periods that begin with this sample take the last mid before it.
    fn roll(&mut self, t_ms: i64) {
        let (mid, stale_ms) = (self.confirmed, self.config.stale_ms());
        for (period, anchor) in self.anchors() {
            let id = period.id(t_ms);
            if id > anchor.id {
                let age_ms = period.start_ms(id) - mid.t_ms;
                *anchor = Anchor {
                    id,
                    nav: mid.mid,
                    provisional: age_ms > stale_ms,
                };
            }
        }
    }

    /// L10, L13, L14: what a confirmed window moves.
    fn settle(&mut self, confirmed: Confirmed) {
        self.confirmed = confirmed;
        for (_, anchor) in self.anchors() {
            if core::mem::take(&mut anchor.provisional) {
                anchor.nav = anchor.nav.max(confirmed.mid);
            }
        }
        self.day_rolling.record(confirmed.t_ms, confirmed.mid);
        self.week_rolling.record(confirmed.t_ms, confirmed.mid);
        self.month_rolling.record(confirmed.t_ms, confirmed.mid);
        self.peak = self.peak.max(confirmed.up);
    }

    /// L2, L11, L12: the tests, gravest first.
    fn trips(&mut self, t_ms: i64, confirmed: Option<Confirmed>, before: Option<Last>) -> Rungs {
        let mut begun = Rungs::NONE;
        self.tripped = Rungs::NONE;
        let references = self.references;
        let fast = self.fast_value(before);
        for rung in Rung::DRAWDOWN.into_iter().rev() {
            let Some((basis, anchor)) = references.base(rung) else {
                continue;
            };
            let loss_bp = self.config.loss_bp(rung);
            let value = confirmed
                .map(|confirmed| confirmed.dn)
                .filter(|dn| dn.is_down(anchor, loss_bp))
                .or(fast.filter(|larger| larger.is_far_down(anchor, loss_bp)));
            let Some(value) = value else { continue };
            self.tripped.insert(rung);
            if self.latch_of(rung).is_none() {
                begun.insert(rung);
                self.set_latch(
                    rung,
                    Latch {
                        t_ms,
                        value,
                        anchor,
                        basis: Some(basis),
                        acknowledged: false,
                    },
                );
            }
        }
        begun
    }

    /// L11: the larger of the last two samples, if both sources agree on both and they are neighbours.
    fn fast_value(&self, before: Option<Last>) -> Option<Nav> {
        let (last, before) = (self.last?, before?);
        let near = last.t_ms - before.t_ms <= self.config.stale_ms();
        (near && last.agreed && before.agreed).then(|| last.nav.max(before.nav))
    }

    /// L15, L16: what ends by itself.
    fn releases(&mut self, t_ms: i64, confirmed: Confirmed) -> Rungs {
        let references = self.references;
        let mut released = Rungs::NONE;
        for (rung, period) in [(Rung::R1, Period::Day), (Rung::R2, Period::Week)] {
            let (Some(latch), Some((_, anchor)), Some(margin_bp)) = (
                self.latch_of(rung),
                references.base(rung),
                rung.rule().release_margin_bp,
            ) else {
                continue;
            };
            let back = confirmed
                .up
                .against(anchor, self.config.loss_bp(rung).saturating_sub(margin_bp));
            let better = if rung == Rung::R1 {
                back.is_ge()
            } else {
                back.is_gt()
            };
            let due = latch.acknowledged || period.id(t_ms) > period.id(latch.t_ms);
            // In ruin 0 is at once down and back: a test that is true releases nothing.
            if better && due && !self.tripped.contains(rung) {
                self.clear_latch(rung);
                released.insert(rung);
            }
        }
        released
    }

    /// Gathers what values are compared with from now on.
    pub(crate) fn refer(&mut self) {
        let t_ms = self.last.map_or(0, |last| last.t_ms);
        self.references = References {
            values: [
                self.day.nav,
                self.week.nav,
                self.month.nav,
                self.peak,
                self.day_rolling.reference(t_ms),
                self.week_rolling.reference(t_ms),
                self.month_rolling.reference(t_ms),
            ],
        };
    }

    pub(crate) fn verdict(&self, reading: Reading, begun: Rungs, released: Rungs) -> Verdict {
        let funded = self.phase != Phase::Founding;
        let nav = self
            .last
            .filter(|_| funded)
            .map_or(Nav::ONE, |last| last.nav);
        Verdict {
            reading,
            funded,
            t_ms: self.last.map(|last| last.t_ms),
            equity_e8: self.last.map_or(0, |last| last.equity_e8),
            nav,
            confirmed: self.confirmed,
            references: self.references,
            tripped: self.tripped,
            latched: self.latched(),
            begun,
            released,
            blind: Rung::BLIND
                .into_iter()
                .rev()
                .find(|rung| self.blind.contains(*rung)),
            config: self.config,
        }
    }
}
