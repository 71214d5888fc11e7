//! `breaker.sock`: what the breaker asks of the revoker. Everything here stops something.

use crate::Signed;
use fusebox_domain::AccountName;
use serde::{Deserialize, Serialize};

/// What the breaker may say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// I live; every few seconds. Silence stops entries, then scales to zero.
    Heartbeat {
        /// The account.
        account: AccountName,
        /// Rises by one.
        beat: u64,
    },
    /// A signed [`Stop`], purpose [`STOP`].
    Stop {
        /// The request.
        request: Signed,
    },
}

/// Purpose under which a breaker signs a [`Stop`].
pub const STOP: &str = "fusebox/stop/v1";

/// What is to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopKind {
    /// Cancel resting entries, keep protective stops (R3). Granted on the signature alone.
    CancelEntries,
    /// Revoke keys (R4). Granted only beside the revoker's own ladder (K11).
    Kill,
}

/// A breaker's request. Its numbers are evidence for the journal, never the basis (K11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// What.
    pub kind: StopKind,
    /// The account.
    pub account: AccountName,
    /// Rises with every request; an older one is a replay.
    pub sequence: u64,
    /// `R3`, `R4`.
    pub rung: String,
    /// Exchange time of the sample that tripped, milliseconds.
    pub t_ms: i64,
    /// NAV, basis and anchor in words.
    pub evidence: String,
}

/// What the revoker answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Heard.
    Beat,
    /// Entries are cancelled, or how many remain.
    Cancelled {
        /// Entries still resting; 0 is done.
        remaining: u32,
        /// In words.
        detail: String,
    },
    /// The kill runs.
    Started {
        /// The run's id.
        run: String,
    },
    /// The keys were dead already and were proven dead again.
    AlreadyDead {
        /// The run that killed them.
        run: String,
    },
    /// Not done; entries were stopped and people told (K11).
    Refused {
        /// Short and stable: `signature`, `replayed`, `not_confirmed`, `unreadable`, `switched_off`.
        code: String,
        /// In words.
        message: String,
    },
}
