//! What a touch proves: the document that is signed, the keys that may sign it, and the check.
//!
//! A touch is an assertion of a security key over a [`Challenge`]: one action, one plan (by its
//! SHA-256), one nonce, sixty seconds. The same credential answers over USB (CTAP2) and over a
//! forwarded SSH agent; both routes sign the same bytes, so there is one [`verify`].
//!
//! This crate does no I/O, reads no clock and keeps no state: the time, the stored counter and
//! whether the nonce was seen are handed in. It must never accept what it has not checked; the
//! only way to a [`Verified`] is [`verify`].
//!
//! Weak spots, on purpose visible: over an agent a plain credential always answers flags 1, so
//! user verification there is only as good as the credential's `verify-required`; and the laptop
//! shows no context at the touch, which is why everything is bound into the challenge and why a
//! second channel repeats the [`Fingerprint`] of the plan.
#![forbid(unsafe_code)]

mod assertion;
mod challenge;
mod enrolment;
mod fingerprint;
mod ssh;
mod verify;

#[cfg(test)]
mod vectors;

pub use assertion::{Assertion, AssertionError};
pub use challenge::{Action, Challenge, LIFETIME_MS, NAMESPACE, Nonce, PlanHash};
pub use enrolment::{Algorithm, Application, CredentialId, Enrolment, EnrolmentError, PublicKey};
pub use fingerprint::Fingerprint;
pub use verify::{Policy, Refusal, Verified, verify};

/// SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    for (to, from) in out.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    out
}
