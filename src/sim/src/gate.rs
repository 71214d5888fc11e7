//! The gate every request passes: latency, faults ([`crate::faults`]) and the request log.
//!
//! Must never: touch the control API (it takes faults away again) or log a secret. Weak: the log is a ring of
//! [`LOG_LIMIT`] rows and the memory for `stale` answers holds [`MEMORY_LIMIT`]; both say what they dropped.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::clock::Clock;
pub(crate) use crate::faults::{Ending, Verdict};
use crate::faults::{Fault, Faults, Strike};
use crate::http::{Reply, Request, Service};

/// Rows the request log keeps; older ones are dropped and counted.
const LOG_LIMIT: usize = 20_000;
/// Answers remembered for the fault `stale`.
const MEMORY_LIMIT: usize = 512;

/// One request on its way in: what faults match on and what the log shows.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) service: &'static str,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    /// Key or token name.
    pub(crate) key: Option<String>,
    /// Wall clock at arrival, Unix ms (the machine's clock, not the skewed one).
    pub(crate) t_ms: i64,
}

struct Inner {
    faults: Faults,
    log: VecDeque<Value>,
    /// Number of the log's first row: rows dropped so far.
    dropped: u64,
    memory: BTreeMap<String, Reply>,
}

/// Latency, faults and log; one for the whole simulator.
pub(crate) struct Gate {
    clock: Clock,
    latency: Duration,
    inner: Mutex<Inner>,
}

impl Gate {
    /// `latency` is added to every request, half before and half after it takes effect.
    pub(crate) fn new(clock: Clock, latency: Duration) -> Self {
        let inner = Inner {
            faults: Faults::default(),
            log: VecDeque::new(),
            dropped: 0,
            memory: BTreeMap::new(),
        };
        Self {
            clock,
            latency,
            inner: Mutex::new(inner),
        }
    }

    /// The latency of every request, both ways together.
    pub(crate) fn latency(&self) -> Duration {
        self.latency
    }

    /// Describes a request for [`Gate::judge`] and [`Gate::log`].
    pub(crate) fn arrival(&self, service: &dyn Service, request: &Request) -> Arrival {
        Arrival {
            service: service.name(),
            method: request.method.clone(),
            path: service.shown_path(request),
            query: request.query.clone(),
            key: service.caller(request),
            t_ms: self.clock.wall_ms(),
        }
    }

    /// What happens to this request. Counts it against the faults that match.
    pub(crate) fn judge(&self, arrival: &Arrival) -> Verdict {
        let mut verdict = self.lock().faults.judge(arrival, Instant::now());
        verdict.latency += self.latency;
        verdict
    }

    /// The fault, if any, that strikes the next message of a WebSocket session.
    pub(crate) fn judge_ws(&self, path: &str, key: Option<&str>, is_data: bool) -> Option<Strike> {
        self.lock()
            .faults
            .judge_ws(path, key, is_data, Instant::now())
    }

    /// Whether a fault closes this WebSocket session now.
    pub(crate) fn judge_ws_drop(&self, path: &str, key: Option<&str>) -> bool {
        self.lock().faults.judge_ws_drop(path, key, Instant::now())
    }

    /// The machine's time, Unix ms, for log rows.
    pub(crate) fn wall_ms(&self) -> i64 {
        self.clock.wall_ms()
    }

    /// The answer from before a `stale` fault began, when one is known.
    pub(crate) fn remembered(&self, arrival: &Arrival, verdict: &Verdict) -> Option<Reply> {
        if !verdict.stale {
            return None;
        }
        self.lock().memory.get(&memory_key(arrival)).cloned()
    }

    /// Keeps a good answer to a read, for a later `stale` fault. While such a fault lasts the first answer stays.
    pub(crate) fn remember(&self, arrival: &Arrival, reply: &Reply) {
        if arrival.method != "GET" || reply.status != 200 {
            return;
        }
        let mut inner = self.lock();
        let key = memory_key(arrival);
        if inner.memory.len() >= MEMORY_LIMIT && !inner.memory.contains_key(&key) {
            inner.memory.pop_first();
        }
        inner.memory.insert(key, reply.clone());
    }

    /// Writes the log row. `status` 0 means that no answer was given.
    pub(crate) fn log(&self, arrival: &Arrival, code: i64, status: u16) {
        let took_ms = self.clock.wall_ms() - arrival.t_ms;
        let row = json!({
            "t_ms": arrival.t_ms, "service": arrival.service, "method": arrival.method, "path": arrival.path,
            "key": arrival.key, "code": code, "status": status, "took_ms": took_ms,
        });
        let mut inner = self.lock();
        if inner.log.len() == LOG_LIMIT {
            inner.log.pop_front();
            inner.dropped += 1;
        }
        inner.log.push_back(row);
    }

    /// Log rows from number `since` on, the number of the next row, and how many were dropped in between.
    pub(crate) fn log_since(&self, since: u64) -> (Vec<Value>, u64, u64) {
        let inner = self.lock();
        let skip = usize::try_from(since.saturating_sub(inner.dropped)).unwrap_or(usize::MAX);
        let rows = inner.log.iter().skip(skip).cloned().collect();
        let next = inner.dropped + inner.log.len() as u64;
        (rows, next, inner.dropped.saturating_sub(since))
    }

    /// Adds a fault and returns its number.
    pub(crate) fn add_fault(&self, fault: Fault) -> u64 {
        self.lock().faults.add(fault, Instant::now())
    }

    /// Takes one fault away, or all of them.
    pub(crate) fn clear_faults(&self, id: Option<u64>) {
        self.lock().faults.clear(id);
    }

    /// The faults in force, for `GET /state`.
    pub(crate) fn faults(&self) -> Value {
        self.lock().faults.show(Instant::now())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counts as the same question: windows of time move on between two polls and are left out.
fn memory_key(arrival: &Arrival) -> String {
    let fixed = |pair: &&str| {
        !["startTime=", "endTime=", "start=", "end="]
            .iter()
            .any(|name| pair.starts_with(name))
    };
    let query: Vec<&str> = arrival.query.split('&').filter(fixed).collect();
    let key = arrival.key.as_deref().unwrap_or("-");
    format!(
        "{} {}?{} {key}",
        arrival.service,
        arrival.path,
        query.join("&")
    )
}
