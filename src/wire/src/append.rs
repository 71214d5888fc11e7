//! `append-*.sock`: how rows reach the journal. The recorder is its one writer.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a component may ask of the recorder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// Write this row.
    Append(Draft),
    /// Compare the exchange's executions with the journal (may take seconds).
    Coverage,
    /// Sign a checkpoint now.
    Checkpoint,
    /// How are you?
    Status,
}

/// A row to be written. Its author is the socket's role and the peer's uid, never a field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    /// Kind of row: `annotation`, `halt`, `incident`, `plan`, `alert`, `ack`, `config`, `system` …
    pub kind: String,
    /// The body; its form depends on the kind (`src/journal`).
    pub body: Value,
    /// When it happened, wall-clock milliseconds; the row's own time is when it was written.
    pub happened_ms: i64,
    /// Number in the sender's outbox, from 1; a number seen before is answered, not written
    /// again. `None` for a sender without an outbox (the console).
    pub outbox: Option<u64>,
}

/// What the recorder answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Durable.
    Appended {
        /// Number of the row.
        seq: u64,
        /// Its hash, hex.
        hash: String,
        /// It was there before; nothing was written.
        duplicate: bool,
    },
    /// To [`Request::Coverage`].
    Coverage(Coverage),
    /// To [`Request::Checkpoint`].
    Checkpoint {
        /// The signed note.
        note: String,
    },
    /// To [`Request::Status`].
    Status(Status),
    /// Not written.
    Refused {
        /// Short and stable: `kind`, `body`, `too_long`, `busy`, `disk`.
        code: String,
        /// In words.
        message: String,
        /// Whether the sender should keep the row and try again.
        retry: bool,
    },
}

/// Whether the journal has everything that the exchange executed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Executions at the exchange.
    pub exchange: u64,
    /// Of these, in the journal.
    pub journal: u64,
    /// Ids that the journal lacks, at most 100, then a note how many more.
    pub missing: Vec<String>,
    /// Ids of executions whose order the bot's database does not know.
    pub foreign: Vec<String>,
    /// Why the count may be incomplete; empty when the listing was complete.
    pub doubts: Vec<String>,
}

/// The recorder's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Rows.
    pub entries: u64,
    /// Hash of the last row, hex.
    pub head: String,
    /// When the last checkpoint was signed, wall-clock milliseconds.
    pub checkpoint_ms: Option<i64>,
    /// What it follows: ("freqtrade", "ok, 12 trades"), ("executions", "stale 40 s").
    pub sources: Vec<(String, String)>,
}
