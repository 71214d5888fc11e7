//! The right to act. A plan runs only with an [`Authorization`], and only the three checks in
//! this module make one.

use crate::intents::Touched;
use fusebox_touch::{Challenge, Verified};

/// Proof that a plan may run. It cannot be made outside of this module.
#[must_use]
pub(crate) struct Authorization {
    basis: Basis,
}

enum Basis {
    /// An assertion for exactly this plan.
    Touch(Touched),
    /// A breaker's request, confirmed by the revoker's own ladder (K11).
    LadderRequest(String),
    /// A key that can trade or move money and that nobody declared.
    Inventory(String),
}

/// What the revoker's own ladder measured on a request: all of K11's conditions in one value that
/// only [`Measured::of`] makes.
pub(crate) struct Measured {
    drawdowns_bp: Vec<u32>,
}

impl Measured {
    /// Three own samples, each at least `confirm_bp` below the own peak; `None` otherwise.
    pub(crate) fn of(drawdowns_bp: &[u32], confirm_bp: u32) -> Option<Self> {
        let enough = drawdowns_bp.len() >= 3 && drawdowns_bp.iter().all(|bp| *bp >= confirm_bp);
        enough.then(|| Self {
            drawdowns_bp: drawdowns_bp.to_vec(),
        })
    }
}

impl Authorization {
    /// From a verified touch and the challenge that it answered.
    pub(crate) fn touch(verified: &Verified, challenge: &Challenge) -> Self {
        Self {
            basis: Basis::Touch(Touched {
                credential_id: verified.credential_id().clone(),
                label: verified.label().to_owned(),
                counter: verified.counter(),
                nonce: challenge.nonce,
                id: hex::encode(verified.touch_id()),
            }),
        }
    }

    /// From a verified breaker request that the own ladder confirms.
    pub(crate) fn ladder(request: &fusebox_wire::stop::Stop, measured: &Measured) -> Self {
        Self {
            basis: Basis::LadderRequest(format!(
                "request {} of {} ({}); own drawdowns {:?} bp",
                request.sequence, request.account, request.rung, measured.drawdowns_bp
            )),
        }
    }

    /// From an inventory finding, where the configuration lets it act.
    pub(crate) fn inventory(finding: &str) -> Self {
        Self {
            basis: Basis::Inventory(finding.to_owned()),
        }
    }

    pub(crate) fn trigger(&self) -> &'static str {
        match self.basis {
            Basis::Touch(_) => "operator",
            Basis::LadderRequest(_) => "ladder",
            Basis::Inventory(_) => "inventory",
        }
    }

    pub(crate) fn words(&self) -> String {
        match &self.basis {
            Basis::Touch(touched) => format!("touch of {}", touched.label),
            Basis::LadderRequest(words) | Basis::Inventory(words) => words.clone(),
        }
    }

    pub(crate) fn touched(&self) -> Option<&Touched> {
        match &self.basis {
            Basis::Touch(touched) => Some(touched),
            Basis::LadderRequest(_) | Basis::Inventory(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_believed_only_on_three_own_samples_near_r4() {
        let table: [(&[u32], bool); 5] = [
            (&[1_700, 1_800, 2_000], true),
            (&[1_699, 1_800, 2_000], false),
            (&[2_000, 2_000], false),
            (&[], false),
            (&[2_000, 2_000, 0], false),
        ];
        for (samples, believed) in table {
            assert_eq!(
                Measured::of(samples, 1_700).is_some(),
                believed,
                "{samples:?}"
            );
        }
    }
}
