//! The check. It reads as the list it is: what was asked, who may answer, what the key says, the
//! signature. The first thing that is wrong is the refusal.

use crate::assertion::{AUTH_DATA_LEN, Assertion};
use crate::challenge::{Action, Challenge, PlanHash};
use crate::enrolment::{Algorithm, Application, CredentialId, Enrolment};
use crate::sha256;
use fusebox_domain::Environment;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm};

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const ATTESTED_OR_EXTENDED: u8 = 0xC0;

/// What the verifier cannot know by itself: the world, and what is about to run.
#[derive(Debug, Clone, Copy)]
pub struct Policy<'a> {
    /// The time now, milliseconds since 1970 UTC.
    pub now_ms: u64,
    /// The typed environment of this revoker.
    pub environment: Environment,
    /// The name of this revoker.
    pub host_id: &'a str,
    /// The hash of exactly the plan that is about to run.
    pub plan: PlanHash,
    /// Whether the challenge's nonce was already spent.
    pub nonce_spent: bool,
}

/// Proof that a touch was checked. Only [`verify`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Verified {
    credential_id: CredentialId,
    label: String,
    action: Action,
    plan: PlanHash,
    counter: u32,
    user_verified: bool,
    touch_id: [u8; 32],
}

impl Verified {
    /// Which credential answered.
    pub fn credential_id(&self) -> &CredentialId {
        &self.credential_id
    }

    /// The operator's name of the credential.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What was approved.
    pub fn action(&self) -> Action {
        self.action
    }

    /// The plan that was approved.
    pub fn plan(&self) -> PlanHash {
        self.plan
    }

    /// The counter to store: the next assertion must be above it.
    pub fn counter(&self) -> u32 {
        self.counter
    }

    /// Whether the key verified its user (PIN, finger), not only a presence.
    pub fn user_verified(&self) -> bool {
        self.user_verified
    }

    /// SHA-256 of the assertion: equal for the same touch sent twice, different otherwise (K10).
    pub fn touch_id(&self) -> &[u8; 32] {
        &self.touch_id
    }
}

/// Why a touch was refused. Nothing has been done in any of these cases.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The challenge has a form this build does not know.
    #[error("the challenge has version {0}, which this revoker does not know; update the console")]
    Version(u8),
    /// The challenge was made by another revoker.
    #[error("the challenge was made for host {0}, not for this one; ask for a new plan here")]
    OtherHost(String),
    /// The nonce was used before.
    #[error("this touch was used already; ask for a new plan and touch again")]
    Replayed,
    /// Too late.
    #[error("the challenge expired {late_ms} ms ago; ask for a new plan and touch within 60 s")]
    Expired {
        /// By how much, in milliseconds.
        late_ms: u64,
    },
    /// Issued in the future: one of the clocks is wrong.
    #[error("the challenge was issued in the future; this host's clock went backwards; check it")]
    NotYet,
    /// Signed for a plan that is not the one about to run.
    #[error(
        "the touch approves another plan than the one shown; ask for a new plan and compare the six words"
    )]
    OtherPlan,
    /// Not the credential that the assertion names.
    #[error("the assertion names another credential than the enrolled one; run fusebox enroll")]
    OtherCredential,
    /// The credential may not approve this.
    #[error(
        "{label} is not enrolled for {action}; use another security key, or enrol this one for it"
    )]
    ActionNotAllowed {
        /// The operator's name of the credential.
        label: String,
        /// What was asked.
        action: Action,
    },
    /// A demo key outside of the simulator.
    #[error(
        "{label} is a demo key (application ssh:fusebox-demo); environment {environment} accepts only ssh:fusebox"
    )]
    DemoKey {
        /// The operator's name of the credential.
        label: String,
        /// The revoker's environment.
        environment: Environment,
    },
    /// Authenticator data is not what a plain assertion carries.
    #[error("the security key answered {0} bytes of authenticator data instead of 37; touch again")]
    AuthDataLength(usize),
    /// The key answered for another application.
    #[error(
        "the security key answered for another application than {0}; use the credential made for Fusebox"
    )]
    OtherApplication(Application),
    /// Attested data or extensions announced.
    #[error(
        "the security key announced extra data (flags {0:#04x}); this is not a plain assertion; touch again"
    )]
    ExtraData(u8),
    /// Nobody touched it.
    #[error(
        "the security key says that nobody touched it; make the credential without no-touch-required"
    )]
    NotPresent,
    /// The PIN is missing.
    #[error("{0} needs the PIN as well as the touch; use the verify-required credential")]
    NotVerified(Action),
    /// The counter did not rise: a cloned key or a replay.
    #[error(
        "the security key's counter is {got}, not above {stored}: it may be cloned; use another key and remove this one"
    )]
    Counter {
        /// What was stored.
        stored: u32,
        /// What the key said.
        got: u32,
    },
    /// The signature is not of this key over this challenge.
    #[error(
        "the signature does not belong to this challenge and this key; nothing was approved; touch again"
    )]
    Signature,
}

/// Checks one assertion against one challenge and one enrolment.
///
/// # Errors
/// The first [`Refusal`] in the order of the checks.
pub fn verify(
    challenge: &Challenge,
    enrolment: &Enrolment,
    assertion: &Assertion,
    policy: &Policy<'_>,
) -> Result<Verified, Refusal> {
    the_question_is_ours(challenge, policy)?;
    the_key_may_answer(challenge, enrolment, assertion, policy)?;
    let (flags, counter) = the_answer_is_plain(enrolment, assertion)?;
    let user_verified = flags & USER_VERIFIED != 0;
    if flags & USER_PRESENT == 0 {
        return Err(Refusal::NotPresent);
    }
    if (challenge.action.needs_verification() || enrolment.uv) && !user_verified {
        return Err(Refusal::NotVerified(challenge.action));
    }
    let stored = enrolment.counter;
    // Some keys have no counter and always say 0; others rise by more than one a signature.
    if counter <= stored && (counter, stored) != (0, 0) {
        return Err(Refusal::Counter {
            stored,
            got: counter,
        });
    }
    the_signature_holds(challenge, enrolment, assertion)?;
    Ok(Verified {
        credential_id: enrolment.credential_id.clone(),
        label: enrolment.label.clone(),
        action: challenge.action,
        plan: challenge.plan,
        counter,
        user_verified,
        touch_id: assertion.id(),
    })
}

fn the_question_is_ours(challenge: &Challenge, policy: &Policy<'_>) -> Result<(), Refusal> {
    if !challenge.is_known_version() {
        return Err(Refusal::Version(challenge.version));
    }
    if challenge.host_id != policy.host_id {
        return Err(Refusal::OtherHost(challenge.host_id.clone()));
    }
    if policy.nonce_spent {
        return Err(Refusal::Replayed);
    }
    if policy.now_ms >= challenge.expires_ms {
        let late_ms = policy.now_ms.saturating_sub(challenge.expires_ms);
        return Err(Refusal::Expired { late_ms });
    }
    if policy.now_ms < challenge.issued_ms {
        return Err(Refusal::NotYet);
    }
    if policy.plan != challenge.plan {
        return Err(Refusal::OtherPlan);
    }
    Ok(())
}

fn the_key_may_answer(
    challenge: &Challenge,
    enrolment: &Enrolment,
    assertion: &Assertion,
    policy: &Policy<'_>,
) -> Result<(), Refusal> {
    if assertion.credential_id != enrolment.credential_id {
        return Err(Refusal::OtherCredential);
    }
    if enrolment.application == Application::Demo && !policy.environment.accepts_demo_key() {
        return Err(Refusal::DemoKey {
            label: enrolment.label.clone(),
            environment: policy.environment,
        });
    }
    if !enrolment.actions.contains(&challenge.action) {
        return Err(Refusal::ActionNotAllowed {
            label: enrolment.label.clone(),
            action: challenge.action,
        });
    }
    Ok(())
}

/// Splits authenticator data into flags and counter, and refuses anything else in it.
fn the_answer_is_plain(enrolment: &Enrolment, assertion: &Assertion) -> Result<(u8, u32), Refusal> {
    let wrong_length = || Refusal::AuthDataLength(assertion.auth_data.len());
    let data: &[u8; AUTH_DATA_LEN] = assertion
        .auth_data
        .as_slice()
        .try_into()
        .map_err(|_| wrong_length())?;
    let (application, rest) = data.split_first_chunk::<32>().ok_or_else(wrong_length)?;
    let (flags, counter) = rest.split_first_chunk::<1>().ok_or_else(wrong_length)?;
    let counter: [u8; 4] = counter.try_into().map_err(|_| wrong_length())?;
    let [flags] = *flags;
    if *application != sha256(enrolment.application.as_str().as_bytes()) {
        return Err(Refusal::OtherApplication(enrolment.application));
    }
    if flags & ATTESTED_OR_EXTENDED != 0 {
        return Err(Refusal::ExtraData(flags));
    }
    Ok((flags, u32::from_be_bytes(counter)))
}

fn the_signature_holds(
    challenge: &Challenge,
    enrolment: &Enrolment,
    assertion: &Assertion,
) -> Result<(), Refusal> {
    let algorithm: &dyn VerificationAlgorithm = match enrolment.public_key.algorithm() {
        Algorithm::Ed25519 => &ED25519,
        Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
    };
    UnparsedPublicKey::new(algorithm, enrolment.public_key.as_bytes())
        .verify(
            &challenge.signed_bytes(&assertion.auth_data),
            &assertion.signature,
        )
        .map_err(|_| Refusal::Signature)
}
