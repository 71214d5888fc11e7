//! The revoker's own record: what it was authorised to do and how far it came. Chained and
//! fsynced, independent of the recorder, authoritative for its plans.
//!
//! One thread owns the file. The intent of a run is waited for (at most 100 ms, K12); later rows
//! are queued in order, since the intent alone decides what resumes after a crash.

use crate::Error;
use fusebox_domain::{ApiKeyId, KeyName};
use fusebox_journal::ChainLog;
use fusebox_touch::{CredentialId, Nonce};
use fusebox_wire::operator::{KeyProof, Outcome, Report, Step};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::oneshot;

/// What a run waits for its intent to become durable.
pub(crate) const DURABLE_WITHIN: Duration = Duration::from_millis(100);

/// One row. Ids of keys are their public halves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Entry {
    /// A run was authorised. Nonce and intent are one row: neither stands without the other.
    Intent(Box<Intent>),
    Step {
        run: String,
        step: Step,
    },
    Key {
        run: String,
        key: KeyProof,
    },
    /// Rotation: a key was made; its secret is in no record, so it counts only once stored.
    Made {
        run: String,
        key: KeyName,
        api_key: ApiKeyId,
    },
    /// Rotation: this key is the current one from here on.
    Current {
        run: String,
        key: KeyName,
        api_key: ApiKeyId,
    },
    Result {
        run: String,
        report: Box<Report>,
    },
    Closed {
        run: String,
        outcome: Outcome,
        detail: String,
    },
    /// The highest sequence of a breaker's request that was looked at.
    Heard {
        account: String,
        sequence: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Intent {
    pub run: String,
    /// `operator`, `ladder`, `inventory`.
    pub trigger: String,
    /// The canonical plan.
    pub plan: String,
    pub started_ms: i64,
    pub touch: Option<Touched>,
    /// What else authorised it, in words.
    pub basis: String,
}

/// The touch behind an intent: never usable a second time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Touched {
    pub credential_id: CredentialId,
    pub label: String,
    pub counter: u32,
    pub nonce: Nonce,
    /// SHA-256 of the assertion, hex.
    pub id: String,
}

impl Entry {
    /// The word in the log's `kind` column and in the journal's `event` field.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Intent(_) => "intent",
            Self::Step { .. } => "step",
            Self::Key { .. } => "key",
            Self::Made { .. } => "made",
            Self::Current { .. } => "current",
            Self::Result { .. } => "result",
            Self::Closed { .. } => "closed",
            Self::Heard { .. } => "heard",
        }
    }
}

struct Order {
    time_ms: i64,
    /// `None` only asks to be told when everything before it is durable.
    entry: Option<Entry>,
    durable: Option<oneshot::Sender<bool>>,
}

/// The way to the log.
#[derive(Clone)]
pub(crate) struct Intents {
    orders: mpsc::Sender<Order>,
}

impl Intents {
    /// Opens the log and reads what is in it.
    ///
    /// # Errors
    /// [`Error::Intents`] when it does not verify or has another writer.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Entry>), Error> {
        let (mut log, rows) = ChainLog::open(path)?;
        // A row of a later release that this one does not know is left standing and not acted on.
        let entries = rows
            .iter()
            .filter_map(|row| serde_json::from_str(&row.body).ok())
            .collect();
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::Builder::new()
            .name("intents".to_owned())
            .spawn(move || {
                while let Ok(order) = inbox.recv() {
                    let written = write(&mut log, &order);
                    if let Err(error) = &written {
                        tracing::error!(%error, "intent log: a row was not written");
                    }
                    if let Some(durable) = order.durable {
                        let _ = durable.send(written.is_ok());
                    }
                }
            })
            .map_err(Error::state("starting the intent log's thread"))?;
        Ok((Self { orders }, entries))
    }

    /// Writes a row in its turn, without waiting.
    pub(crate) fn note(&self, time_ms: i64, entry: Entry) {
        let _ = self.orders.send(Order {
            time_ms,
            entry: Some(entry),
            durable: None,
        });
    }

    /// Writes a row and waits until it is durable, at most `within`. `false`: it may come later,
    /// or never.
    #[must_use = "what is not durable must not be loosened on"]
    pub(crate) async fn durable(&self, time_ms: i64, entry: Entry, within: Duration) -> bool {
        self.ordered(time_ms, Some(entry), within).await
    }

    /// Waits until every row so far is durable, at most `within`.
    pub(crate) async fn caught_up(&self, within: Duration) -> bool {
        self.ordered(0, None, within).await
    }

    async fn ordered(&self, time_ms: i64, entry: Option<Entry>, within: Duration) -> bool {
        let (tell, told) = oneshot::channel();
        let order = Order {
            time_ms,
            entry,
            durable: Some(tell),
        };
        self.orders.send(order).is_ok()
            && matches!(tokio::time::timeout(within, told).await, Ok(Ok(true)))
    }
}

fn write(log: &mut ChainLog, order: &Order) -> Result<(), fusebox_journal::Error> {
    let Some(entry) = &order.entry else {
        return Ok(());
    };
    let body = serde_json::to_string(entry)
        .map_err(|e| fusebox_journal::Error::Malformed(e.to_string()))?;
    log.append(order.time_ms, entry.word(), "revoker", body)
        .map(drop)
}

/// What the record says, put together.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// Runs in order; unfinished ones lack `closed`.
    pub runs: Vec<PastRun>,
    /// Highest sequence heard, by account.
    pub heard: std::collections::BTreeMap<String, u64>,
}

#[derive(Debug)]
pub(crate) struct PastRun {
    pub intent: Intent,
    pub steps: Vec<Step>,
    pub keys: Vec<KeyProof>,
    /// Keys made by a rotation, in order.
    pub made: Vec<(KeyName, ApiKeyId)>,
    pub current: Vec<(KeyName, ApiKeyId)>,
    pub report: Option<Report>,
    pub closed: bool,
}

impl Past {
    pub(crate) fn of(entries: Vec<Entry>) -> Self {
        let mut past = Self::default();
        for entry in entries {
            past.add(entry);
        }
        past
    }

    fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Intent(intent) => self.runs.push(PastRun {
                intent: *intent,
                steps: Vec::new(),
                keys: Vec::new(),
                made: Vec::new(),
                current: Vec::new(),
                report: None,
                closed: false,
            }),
            Entry::Step { run, step } => self.with(&run, |r| {
                r.steps.retain(|s| s.step != step.step);
                r.steps.push(step);
            }),
            Entry::Key { run, key } => self.with(&run, |r| {
                r.keys.retain(|k| k.name != key.name);
                r.keys.push(key);
            }),
            Entry::Made { run, key, api_key } => self.with(&run, |r| r.made.push((key, api_key))),
            Entry::Current { run, key, api_key } => {
                self.with(&run, |r| r.current.push((key, api_key)));
            }
            Entry::Result { run, report } => self.with(&run, |r| r.report = Some(*report)),
            Entry::Closed { run, .. } => self.with(&run, |r| r.closed = true),
            Entry::Heard { account, sequence } => {
                let heard = self.heard.entry(account).or_default();
                *heard = sequence.max(*heard);
            }
        }
    }

    fn with(&mut self, run: &str, change: impl FnOnce(&mut PastRun)) {
        if let Some(found) = self.runs.iter_mut().find(|r| r.intent.run == run) {
            change(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_wire::operator::StepState;

    fn intent(run: &str) -> Entry {
        Entry::Intent(Box::new(Intent {
            run: run.into(),
            trigger: "operator".into(),
            plan: "{}".into(),
            started_ms: 5,
            touch: None,
            basis: String::new(),
        }))
    }

    #[tokio::test]
    async fn what_was_durable_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("intents.jsonl");
        {
            let (log, past) = Intents::open(&path).unwrap();
            assert!(past.is_empty());
            let step = |state| Step {
                step: "sweep".into(),
                state,
                started_ms: Some(1),
                ended_ms: None,
                detail: String::new(),
            };
            let run = || "a".to_owned();
            log.note(1, intent("a"));
            for state in [StepState::Sent, StepState::Done] {
                log.note(
                    2,
                    Entry::Step {
                        run: run(),
                        step: step(state),
                    },
                );
            }
            assert!(log.durable(3, intent("b"), Duration::from_secs(5)).await);
        }
        // The thread ends when its last sender does; the lock goes with it.
        let entries = loop {
            match Intents::open(&path) {
                Ok((_, entries)) => break entries,
                Err(Error::Intents(fusebox_journal::Error::Locked(_))) => std::thread::yield_now(),
                Err(e) => panic!("{e}"),
            }
        };
        let past = Past::of(entries);
        assert_eq!(past.runs.len(), 2);
        assert_eq!(past.runs[0].steps.len(), 1);
        assert_eq!(past.runs[0].steps[0].state, StepState::Done);
        assert!(past.runs.iter().all(|r| !r.closed && r.report.is_none()));
    }
}
