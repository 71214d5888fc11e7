//! `fusebox-recorder ingest`: a freqtrade database into a journal, once, without a daemon.

use crate::Error;
use crate::bot::BATCH;
use crate::freqtrade;
use fusebox_journal::Store;
use std::path::Path;

/// What was taken in; prints as one JSON object.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Report {
    schema: u32,
    /// Trades in the database.
    pub trades: usize,
    /// Rows that these trades demand.
    pub rows: usize,
    /// Of these, rows that the journal did not have.
    pub new: usize,
    /// Rows of the database that were not understood.
    pub problems: Vec<String>,
}

impl Report {
    /// Whether everything was understood.
    pub(crate) fn complete(&self) -> bool {
        self.problems.is_empty()
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(self).unwrap_or_default())
    }
}

/// Takes the database in; what the journal has already is left alone.
pub(crate) fn ingest(
    db: &Path,
    journal: &Path,
    account: &str,
    now_ms: i64,
) -> Result<Report, Error> {
    let picture = freqtrade::read(db)?;
    let drafts = freqtrade::drafts(account, &picture);
    let mut store = Store::open(journal)?;
    let mut new = 0;
    for batch in drafts.chunks(BATCH) {
        let rows = store.append(now_ms, batch)?;
        new += rows.iter().filter(|row| !row.duplicate).count();
    }
    store.close()?;
    Ok(Report {
        schema: 1,
        trades: picture.trades.len(),
        rows: drafts.len(),
        new,
        problems: picture.problems,
    })
}
