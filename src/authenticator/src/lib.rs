//! Gets an assertion from a security key, for the console.
//!
//! Two routes so far: the SSH agent ([`agent`]), whose key is in the operator's laptop at the
//! other end of `ssh -A`, and the demo's software key ([`SoftKey`]), which stands in for a key
//! and is worth nothing outside the environment `sim`. USB on this machine comes later.
//!
//! It must never decide whether an assertion is good (that is `src/touch`, in the revoker), and
//! never ask for a second touch by itself: one question, one answer.
//!
//! Weak spots: an agent gives one word for "denied", "PIN needed" and "confirmation refused", and
//! a question once asked cannot be taken back from it.
#![forbid(unsafe_code)]

pub mod agent;
mod soft;

pub use soft::SoftKey;

use fusebox_touch::{Application, CredentialId, PublicKey};
use std::path::PathBuf;

/// A credential that the revoker would accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// What it was made for.
    pub application: Application,
    /// Its handle.
    pub credential_id: CredentialId,
    /// Its public key.
    pub public_key: PublicKey,
}

/// Why there is no assertion. Each has its own sentence and its own next step.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `SSH_AUTH_SOCK` is not set.
    #[error(
        "no SSH agent here: connect with `ssh -A`, with the security key's credential in the agent of your laptop (ssh-add)"
    )]
    NoAgent,
    /// The agent's socket does not answer.
    #[error("the SSH agent at {path} does not answer ({source}): the connection it came with may be gone; reconnect with `ssh -A`", path = .path.display())]
    AgentUnreachable {
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The agent answered something that is not its protocol.
    #[error("the SSH agent's answer was not understood ({what}); nothing was approved")]
    AgentConfused {
        /// What was wrong.
        what: &'static str,
    },
    /// None of the enrolled credentials is in the agent.
    #[error(
        "none of the {offered} enrolled credentials is in the SSH agent (it holds {held} keys): run ssh-add for the fusebox key on your laptop"
    )]
    NotInAgent {
        /// How many would do.
        offered: usize,
        /// How many keys the agent has.
        held: usize,
    },
    /// The agent said no.
    #[error(
        "the SSH agent refused: not touched in time, touch denied, or a PIN was needed and the laptop has no ssh-askpass; nothing was approved, ask again"
    )]
    AgentRefused,
    /// No answer before the challenge ended.
    #[error("no touch before the challenge ended; nothing was approved, ask again")]
    TimedOut,
    /// The software key is not among the offered ones.
    #[error(
        "this revoker does not accept the demo's software key; it is accepted only in environment sim"
    )]
    DemoNotAccepted,
    /// The software key's file is missing, damaged or not ours.
    #[error("the demo's software key {path} cannot be used: {what}", path = .path.display())]
    SoftKeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The answer was no assertion.
    #[error(transparent)]
    Assertion(#[from] fusebox_touch::AssertionError),
}
