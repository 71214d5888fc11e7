//! How the sources are doing, for `Status` and the log. A source that is not heard of for a while
//! says so by itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A line per source; shared by all tasks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Board(Arc<Mutex<BTreeMap<String, Line>>>);

#[derive(Debug, Clone)]
struct Line {
    good: bool,
    text: String,
    at_ms: i64,
}

impl Board {
    /// A source is well.
    pub(crate) fn ok(&self, source: &str, at_ms: i64, text: impl Into<String>) {
        self.set(source, true, at_ms, text.into());
    }

    /// Nothing new, and still well: only the age changes.
    pub(crate) fn touch(&self, source: &str, at_ms: i64) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get_mut(source) {
            line.at_ms = at_ms;
        }
    }

    /// A source is not; logged when that is news.
    pub(crate) fn bad(&self, source: &str, at_ms: i64, text: impl Into<String>) {
        self.set(source, false, at_ms, text.into());
    }

    fn set(&self, source: &str, good: bool, at_ms: i64, text: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let was = lines.get(source).map(|line| (line.good, line.text.clone()));
        match (good, was) {
            (false, Some((false, old))) if old == text => {}
            (false, _) => tracing::warn!(source, "{text}"),
            (true, Some((false, _))) => tracing::info!(source, "well again: {text}"),
            (true, _) => {}
        }
        lines.insert(source.to_owned(), Line { good, text, at_ms });
    }

    /// Every source with its state and age.
    pub(crate) fn read(&self, now_ms: i64) -> Vec<(String, String)> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .map(|(source, line)| {
                let age_s = now_ms.saturating_sub(line.at_ms).max(0) / 1000;
                let word = if line.good { "ok" } else { "FAILED" };
                (
                    source.clone(),
                    format!("{word} {age_s} s ago: {}", line.text),
                )
            })
            .collect()
    }
}
