//! The journal: rows, canonical bytes, a SHA-256 chain, signed checkpoints, and a verifier.
//!
//! | module | what it is |
//! |---|---|
//! | `row` | a row, its canonical bytes, the chain |
//! | `body` | what rows of each kind say |
//! | `verify` | checks rows in order and names the first bad one |
//! | `checkpoint` | signed statements about the chain's end, and what remembering one means |
//! | `log` | a chained log in a plain file, for a component's own record |
//! | `store` | `journal.db` in SQLite: one writer, many readers (feature `store`) |
//!
//! It must never change or remove a row, read a clock, or decide what may be written: that is
//! the recorder's. `FORMAT.md` describes every byte well enough for a verifier in another
//! language; `tests/verifier/verify_journal.py` is one.
//!
//! Weak spot: a chain proves that nothing *before* a remembered head was changed. Rows after the
//! last checkpoint that left the machine can be rewritten by whoever owns the file.
#![forbid(unsafe_code)]

mod body;
mod checkpoint;
mod error;
mod log;
mod row;
#[cfg(feature = "store")]
mod store;
mod verify;

pub use body::{
    Ack, Alert, Annotation, Body, Capital, Config, Draft, Execution, Extra, Halt, Incident, Kind,
    Plan, System, Trade,
};
pub use checkpoint::{Checkpoint, CheckpointKey, Remembered, VerifierKey};
pub use error::Error;
pub use log::ChainLog;
pub use row::{Chain, Hash, MAX_BODY_BYTES, Row};
#[cfg(feature = "store")]
pub use store::{Appended, Filter, Reader, Report, Store, Table, sqlite_uri, verify_file};
pub use verify::{Fault, Found, Reason, Verifier};
