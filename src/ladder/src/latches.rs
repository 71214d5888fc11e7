//! What is in force, and everything about it that does not come from a sample: reviews, certificates, latches
//! from another record, corrected history.

use crate::ladder::{Ladder, Phase};
use crate::rung::{Rung, Rungs};
use crate::verdict::{Latch, Reading, Verdict};
use crate::window::Confirmed;

/// What a signed release moves (L17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebase {
    /// Nothing.
    Keep,
    /// Day, week and month begin at the confirmed mid, and the rolling history is restarted.
    Month,
    /// The high-water mark as well.
    MonthAndPeak,
}

/// Why a release was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The rung is not in force.
    NotLatched,
    /// No confirmed value to judge by.
    NotConfirmed,
    /// This rung's test would be true afterwards.
    StillTrue(Rung),
}

impl Ladder {
    /// The state as it is, as if nothing had come.
    #[must_use]
    pub fn now(&self) -> Verdict {
        self.verdict(Reading::Missing, Rungs::NONE, Rungs::NONE)
    }

    /// R1–R4, B3 and X in force.
    #[must_use]
    pub fn latched(&self) -> Rungs {
        Rung::ALL
            .into_iter()
            .filter(|rung| self.latch_of(*rung).is_some())
            .collect()
    }

    /// Why a rung is in force.
    #[must_use]
    pub fn latch_of(&self, rung: Rung) -> Option<Latch> {
        self.latches.get(rung as usize).copied().flatten()
    }

    /// Puts a rung in force from outside: a latch known from another record at start, R3 when the reduction of
    /// R2 failed, X when integrity is lost. One already in force keeps its record.
    pub fn latch(&mut self, rung: Rung, t_ms: i64) {
        if self.latch_of(rung).is_none() {
            let value = self.confirmed.dn;
            let anchor = self
                .references
                .base(rung)
                .map_or(value, |(_, anchor)| anchor);
            self.set_latch(
                rung,
                Latch {
                    t_ms,
                    value,
                    anchor,
                    basis: None,
                    acknowledged: false,
                },
            );
        }
        if Rung::BLIND.contains(&rung) {
            self.blind.insert(rung);
        }
    }

    /// After a re-run over corrected history (L18): R1 and R2 are what the re-run gives, every other latch of
    /// the run before stands.
    pub fn uphold(&mut self, before: &Ladder) {
        for rung in [Rung::R3, Rung::R4, Rung::B3, Rung::X] {
            if let (None, Some(latch)) = (self.latch_of(rung), before.latch_of(rung)) {
                self.set_latch(rung, latch);
            }
        }
    }

    /// The review of R1 was acknowledged: it may end on the same day (L15).
    pub fn acknowledge_review(&mut self) {
        if let Some(latch) = self
            .latches
            .get_mut(Rung::R1 as usize)
            .and_then(Option::as_mut)
        {
            latch.acknowledged = true;
        }
    }

    /// Releases a rung on the strength of a signed certificate, which the caller has verified (L17).
    ///
    /// # Errors
    /// Refused, and nothing has changed, if any test would be true afterwards.
    pub fn release(&mut self, rung: Rung, rebase: Rebase) -> Result<(), Refusal> {
        self.latch_of(rung).ok_or(Refusal::NotLatched)?;
        let confirmed = self
            .window
            .confirmed()
            .filter(|_| self.phase != Phase::Founding);
        let fresh = !self.blind.contains(Rung::B1) && !self.blind.contains(Rung::B2);
        let Confirmed { t_ms, dn, mid, .. } =
            confirmed.filter(|_| fresh).ok_or(Refusal::NotConfirmed)?;
        let references = self.references;
        for tested in Rung::DRAWDOWN {
            let moved = match rebase {
                Rebase::Keep => false,
                Rebase::Month => tested != Rung::R4,
                Rebase::MonthAndPeak => true,
            };
            let anchor = references
                .base(tested)
                .map_or(mid, |(_, anchor)| if moved { mid } else { anchor });
            if dn.is_down(anchor, self.config.loss_bp(tested)) {
                return Err(Refusal::StillTrue(tested));
            }
        }
        if rebase != Rebase::Keep {
            self.rebase(t_ms, mid);
        }
        if rebase == Rebase::MonthAndPeak {
            self.peak = mid;
        }
        self.refer();
        self.tripped = Rungs::NONE;
        self.clear_latch(rung);
        Ok(())
    }

    pub(crate) fn set_latch(&mut self, rung: Rung, latch: Latch) {
        if let Some(place) = self.latches.get_mut(rung as usize) {
            *place = Some(latch);
        }
    }

    pub(crate) fn clear_latch(&mut self, rung: Rung) {
        if let Some(place) = self.latches.get_mut(rung as usize) {
            *place = None;
        }
        self.blind.remove(rung);
    }
}
