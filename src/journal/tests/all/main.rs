//! The store as its users see it, and every tampering named alike by both verifiers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod store;
mod tamper;

use fusebox_journal::{Annotation, Capital, Config, Draft, Halt, Incident, Store, System, Trade};
use std::path::{Path, PathBuf};

pub const NOW_MS: i64 = 1_790_000_000_000;

/// A journal in a directory of its own.
pub struct Scratch {
    dir: tempfile::TempDir,
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Scratch {
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn db(&self) -> PathBuf {
        self.path("journal.db")
    }
}

pub fn system(n: i64) -> Draft {
    let body = System {
        event: "started".into(),
        component: "recorder".into(),
        detail: Some(format!("Δ number {n}")),
        ..System::default()
    };
    Draft::new(NOW_MS + n, "recorder", &body)
}

pub fn trade(
    event: &str,
    trade_id: &str,
    opening_order: &str,
    open: &str,
    close: Option<&str>,
) -> Draft {
    let body = Trade {
        event: event.into(),
        trade_id: trade_id.into(),
        account: "trading-1".into(),
        pair: "BTC/USDT:USDT".into(),
        side: "short".into(),
        opening_order: opening_order.into(),
        open_rate: Some(open.into()),
        close_rate: close.map(Into::into),
        ..Trade::default()
    };
    Draft::new(NOW_MS, "recorder", &body)
}

pub fn note(trade_id: &str, thesis: Option<&str>, lesson: Option<&str>) -> Draft {
    let body = Annotation {
        trade_id: trade_id.into(),
        thesis: thesis.map(Into::into),
        lesson: lesson.map(Into::into),
        ..Annotation::default()
    };
    Draft::new(NOW_MS, "operator:1000", &body)
}

pub fn capital(id: &str, status: &str, confirm: Option<&str>) -> Draft {
    let body = Capital {
        id: id.into(),
        direction: "in".into(),
        amount: "500.00".into(),
        coin: "USDT".into(),
        status: status.into(),
        confirm_txn: confirm.map(Into::into),
        ..Capital::default()
    };
    Draft::new(NOW_MS, "recorder", &body)
}

pub fn halt(id: &str, reason: &str, resolved_at: Option<&str>) -> Draft {
    let body = Halt {
        id: id.into(),
        reason: reason.into(),
        trigger_value: (!reason.is_empty()).then(|| "0.8499".into()),
        resolved_at: resolved_at.map(Into::into),
        ..Halt::default()
    };
    Draft::new(NOW_MS, "breaker:1001", &body)
}

pub fn incident(id: &str, kind: &str, mitigated_at: Option<&str>) -> Draft {
    let body = Incident {
        id: id.into(),
        r#type: kind.into(),
        severity: (!kind.is_empty()).then_some(1),
        mitigated_at: mitigated_at.map(Into::into),
        ..Incident::default()
    };
    Draft::new(NOW_MS, "recorder", &body)
}

pub fn config() -> Draft {
    let body = Config {
        service: "breaker".into(),
        field: "ladder.r1_bp".into(),
        old_value: Some("500".into()),
        new_value: Some("400".into()),
        ..Config::default()
    };
    Draft::new(NOW_MS, "breaker:1001", &body)
}

/// Writes a closed journal of `n` rows.
pub fn journal_of(path: &Path, n: i64) {
    let mut store = Store::open(path).unwrap();
    for i in 0..n {
        store.append(NOW_MS + i, &[system(i)]).unwrap();
    }
    store.close().unwrap();
}
