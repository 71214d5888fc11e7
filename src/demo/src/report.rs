//! The report of a headless run (contract in the design, "Machine-readable contracts").

use crate::watch::Fired;
use fusebox_wire::operator;
use serde::Serialize;
use serde_json::Value;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) schema: u32,
    pub(crate) ok: bool,
    pub(crate) scenario: &'static str,
    pub(crate) seed: u64,
    /// How many times faster than shown the price moved.
    pub(crate) speed: f64,
    /// What did not happen as it must, in words; empty when `ok`.
    pub(crate) failures: Vec<String>,
    pub(crate) rungs: Vec<Fired>,
    /// The `kill` object of `fusebox kill --json`, or null.
    pub(crate) kill: Option<operator::Report>,
    pub(crate) journal: Journal,
    pub(crate) processes: Vec<ProcessRow>,
    /// Limits that the demo shortens, in milliseconds.
    pub(crate) shortened: Value,
    pub(crate) duration_ms: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Journal {
    pub(crate) entries: u64,
    pub(crate) verified: bool,
    pub(crate) head: String,
    pub(crate) coverage: Option<Coverage>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Coverage {
    pub(crate) exchange: u64,
    pub(crate) journal: u64,
    pub(crate) missing: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct ProcessRow {
    pub(crate) name: &'static str,
    pub(crate) pid: Option<u32>,
    pub(crate) rss_kib: Option<u64>,
}
