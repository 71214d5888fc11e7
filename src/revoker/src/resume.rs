//! A release: nothing is done here but to sign a certificate, which alone moves the breaker.

use crate::plan::Resume;
use crate::run::{End, Run};
use crate::world::{World, now_ms};
use fusebox_wire::feed::{CERTIFICATE, Certificate};
use fusebox_wire::operator::{Outcome, REPORT, Residual};

/// How long a certificate may be carried to the breaker, milliseconds.
const LIFETIME_MS: i64 = 300_000;

pub(crate) async fn certify(world: &World, plan: &Resume, run: &Run) {
    let now = now_ms();
    let certificate = Certificate {
        account: plan.account.clone(),
        rung: plan.rung.clone(),
        // Rises with every certificate, over restarts too: the clock in milliseconds.
        sequence: u64::try_from(now).unwrap_or(0),
        expires_ms: now.saturating_add(LIFETIME_MS),
        action: plan.release.clone(),
        config_hash: plan.config_hash.clone(),
        reason: plan.head.reason.clone(),
    };
    let outcome = match world.sign(CERTIFICATE, &certificate) {
        Ok(signed) => {
            run.certify(signed);
            run.ended(
                "certify",
                End::done("signed; the breaker decides whether it applies"),
            );
            Outcome::Done
        }
        Err(e) => {
            run.ended("certify", End::refused(e.to_string()));
            Outcome::Refused
        }
    };
    let report = run.report(outcome, Residual::default());
    match world.sign(REPORT, &report) {
        Ok(signed) => run.finish(&report, signed),
        Err(error) => tracing::error!(%error, "the report could not be signed"),
    }
    run.close(outcome, "a certificate was made".to_owned());
}
