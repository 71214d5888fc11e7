//! Faults on demand: which requests they strike, how often, and what they do to them.
//!
//! One table ([`Kind`]) for the control API and the scenarios. A fault strikes when service, path prefix and key
//! prefix match; it lets `after` matches pass, then strikes `count` times or `for_ms` long (both: whichever ends
//! first; none: until cleared). Weak: `retcode` outside Bybit is an HTTP status, because the others have no code.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::gate::Arrival;
use crate::http::Reply;

/// What a fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// `ms` more latency.
    Latency,
    /// No answer, the connection stays open; with `done` the request still takes effect.
    Timeout,
    /// The connection is reset; with `done` the request still takes effect.
    Reset,
    /// HTTP `status` (500) with a body that is not JSON.
    Http,
    /// Bybit envelope with `code` (10016) and `msg`.
    Retcode,
    /// The right answer, cut in half.
    Malformed,
    /// The answer given before the fault began.
    Stale,
    /// Says success, does nothing.
    Lie,
    /// A listing lacks its next page, or half of its only one, and does not say so.
    DropPage,
    /// HTTP 403 as of a banned address.
    IpBan,
    /// WebSocket sessions are closed.
    WsDrop,
    /// WebSocket sessions stay open and say nothing, not even a pong.
    WsSilent,
    /// WebSocket messages are lost.
    WsGap,
}

/// A fault as asked for by `POST /faults`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// Absent: every service.
    #[serde(default)]
    pub(crate) service: Option<String>,
    /// Path prefix (a `*` at its end changes nothing). Absent: every path.
    #[serde(default)]
    pub(crate) path: Option<String>,
    /// Prefix of the caller's key name. Absent: every caller.
    #[serde(default)]
    pub(crate) key: Option<String>,
    /// Matches that pass unharmed first.
    #[serde(default)]
    pub(crate) after: u64,
    /// Strikes before it ends.
    #[serde(default)]
    pub(crate) count: Option<u64>,
    /// Real time before it ends.
    #[serde(default)]
    pub(crate) for_ms: Option<u64>,
    /// Of `latency`.
    #[serde(default, alias = "latency_ms")]
    pub(crate) ms: Option<u64>,
    /// Of `http`.
    #[serde(default)]
    pub(crate) status: Option<u16>,
    /// Of `retcode`.
    #[serde(default, alias = "retCode")]
    pub(crate) code: Option<i64>,
    /// Of `retcode`.
    #[serde(default)]
    pub(crate) msg: Option<String>,
    /// Of `timeout` and `reset`: the request takes effect, only its answer is lost.
    #[serde(default)]
    pub(crate) done: bool,
}

impl Fault {
    /// A fault of this kind that strikes everything for ever; narrow it with struct update.
    pub(crate) fn of(kind: Kind) -> Self {
        Self {
            kind,
            service: None,
            path: None,
            key: None,
            after: 0,
            count: None,
            for_ms: None,
            ms: None,
            status: None,
            code: None,
            msg: None,
            done: false,
        }
    }

    fn is_ws(&self) -> bool {
        matches!(self.kind, Kind::WsDrop | Kind::WsSilent | Kind::WsGap)
    }
}

/// How a request ends other than by its own answer.
#[derive(Debug, Clone)]
pub(crate) enum Ending {
    /// Never answered.
    Timeout { done: bool },
    /// Connection reset.
    Reset { done: bool },
    /// Answered by the gate; the service never sees the request.
    Answer(Reply),
}

/// What happens to one request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verdict {
    pub(crate) latency: Duration,
    pub(crate) lie: bool,
    pub(crate) stale: bool,
    pub(crate) malformed: bool,
    pub(crate) drop_page: bool,
    pub(crate) ending: Option<Ending>,
}

impl Verdict {
    /// Applies what changes the answer itself.
    pub(crate) fn spoil(&self, mut reply: Reply) -> Reply {
        if self.drop_page
            && let Ok(mut value) = serde_json::from_slice::<Value>(&reply.body)
        {
            drop_page(&mut value);
            reply.body = value.to_string().into();
        }
        if self.malformed {
            reply.body = reply.body.slice(..reply.body.len() / 2);
        }
        reply
    }
}

/// What happens to one WebSocket message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strike {
    Silent,
    Gap,
}

struct Active {
    id: u64,
    fault: Fault,
    passed: u64,
    struck: u64,
    since: Instant,
}

impl Active {
    fn over(&self, now: Instant) -> bool {
        self.fault.count.is_some_and(|n| self.struck >= n)
            || self
                .fault
                .for_ms
                .is_some_and(|ms| now.duration_since(self.since) >= Duration::from_millis(ms))
    }

    fn matches(&self, service: &str, path: &str, key: Option<&str>) -> bool {
        let fault = &self.fault;
        fault
            .service
            .as_deref()
            .is_none_or(|s| s == service || s == "*")
            && fault
                .path
                .as_deref()
                .is_none_or(|p| path.starts_with(p.trim_end_matches('*')))
            && fault
                .key
                .as_deref()
                .is_none_or(|prefix| key.is_some_and(|key| key.starts_with(prefix)))
    }

    /// Counts one match; true when it strikes.
    fn strikes(&mut self) -> bool {
        if self.passed < self.fault.after {
            self.passed += 1;
            return false;
        }
        self.struck += 1;
        true
    }
}

/// The faults in force.
#[derive(Default)]
pub(crate) struct Faults {
    active: Vec<Active>,
    last_id: u64,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault, now: Instant) -> u64 {
        self.last_id += 1;
        self.active.push(Active {
            id: self.last_id,
            fault,
            passed: 0,
            struck: 0,
            since: now,
        });
        self.last_id
    }

    pub(crate) fn clear(&mut self, id: Option<u64>) {
        self.active.retain(|a| id.is_some_and(|id| a.id != id));
    }

    pub(crate) fn show(&self, now: Instant) -> Value {
        self.active
            .iter()
            .filter(|a| !a.over(now))
            .map(|a| json!({"id": a.id, "fault": a.fault, "struck": a.struck}))
            .collect()
    }

    /// Counts and combines every fault that strikes; of several endings the oldest fault's wins.
    pub(crate) fn judge(&mut self, arrival: &Arrival, now: Instant) -> Verdict {
        self.active.retain(|a| !a.over(now));
        let mut verdict = Verdict::default();
        for active in &mut self.active {
            let hit = !active.fault.is_ws()
                && active.matches(arrival.service, &arrival.path, arrival.key.as_deref())
                && active.strikes();
            if hit {
                strike(&mut verdict, &active.fault, arrival);
            }
        }
        verdict
    }

    /// What strikes the next WebSocket message; a gap strikes data only.
    pub(crate) fn judge_ws(
        &mut self,
        path: &str,
        key: Option<&str>,
        is_data: bool,
        now: Instant,
    ) -> Option<Strike> {
        self.ws(path, key, now, |kind| match kind {
            Kind::WsSilent => Some(Strike::Silent),
            Kind::WsGap if is_data => Some(Strike::Gap),
            _ => None,
        })
    }

    /// Whether a WebSocket session is to be closed.
    pub(crate) fn judge_ws_drop(&mut self, path: &str, key: Option<&str>, now: Instant) -> bool {
        self.ws(path, key, now, |kind| (kind == Kind::WsDrop).then_some(()))
            .is_some()
    }

    /// The first fault of a wanted kind that strikes.
    fn ws<T>(
        &mut self,
        path: &str,
        key: Option<&str>,
        now: Instant,
        want: impl Fn(Kind) -> Option<T>,
    ) -> Option<T> {
        self.active.retain(|a| !a.over(now));
        self.active.iter_mut().find_map(|a| {
            let wanted = want(a.fault.kind).filter(|_| a.matches("bybit", path, key))?;
            a.strikes().then_some(wanted)
        })
    }
}

fn strike(verdict: &mut Verdict, fault: &Fault, arrival: &Arrival) {
    let ending = match fault.kind {
        Kind::Latency => {
            verdict.latency += Duration::from_millis(fault.ms.unwrap_or(1_000));
            return;
        }
        Kind::Stale => return verdict.stale = true,
        Kind::Lie => return verdict.lie = true,
        Kind::Malformed => return verdict.malformed = true,
        Kind::DropPage => return verdict.drop_page = true,
        Kind::WsDrop | Kind::WsSilent | Kind::WsGap => return,
        Kind::Timeout => Ending::Timeout { done: fault.done },
        Kind::Reset => Ending::Reset { done: fault.done },
        Kind::Http => Ending::Answer(Reply::text(
            fault.status.unwrap_or(500),
            "<html>upstream error</html>",
        )),
        Kind::IpBan => Ending::Answer(Reply::text(403, "403, access too frequent")),
        Kind::Retcode => Ending::Answer(retcode(fault, arrival)),
    };
    verdict.ending.get_or_insert(ending);
}

fn retcode(fault: &Fault, arrival: &Arrival) -> Reply {
    let code = fault.code.unwrap_or(10016);
    let msg = fault.msg.as_deref().unwrap_or("Server error.");
    if arrival.service == "bybit" {
        let body = json!({"retCode": code, "retMsg": msg, "result": {}, "retExtInfo": {}, "time": arrival.t_ms});
        let mut reply = Reply::json(200, &body);
        reply.code = code;
        reply
    } else {
        let status = u16::try_from(code)
            .ok()
            .filter(|s| (400..600).contains(s))
            .unwrap_or(500);
        Reply::json(status, &json!({"errors": [msg]}))
    }
}

/// Hides the rest of a listing: the cursor to the next page, or half of the rows when this page is the only one.
fn drop_page(value: &mut Value) {
    let Value::Object(fields) = value else { return };
    if let Some(Value::String(cursor)) = fields.get_mut("nextPageCursor")
        && !cursor.is_empty()
    {
        cursor.clear();
        return;
    }
    for field in fields.values_mut() {
        match field {
            Value::Array(rows) if !rows.is_empty() => {
                rows.truncate(rows.len() / 2);
                return;
            }
            Value::Object(_) => drop_page(field),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(path: &str, key: &str) -> Arrival {
        Arrival {
            service: "bybit",
            method: "GET".into(),
            path: path.into(),
            query: String::new(),
            key: Some(key.into()),
            t_ms: 0,
        }
    }

    #[test]
    fn a_fault_lets_after_pass_then_strikes_count_times() {
        let now = Instant::now();
        let mut faults = Faults::default();
        faults.add(
            Fault {
                path: Some("/v5/user".into()),
                after: 1,
                count: Some(2),
                ..Fault::of(Kind::Lie)
            },
            now,
        );
        let mut lies = || {
            faults
                .judge(&arrival("/v5/user/delete-sub-api", "manager"), now)
                .lie
        };
        assert_eq!([lies(), lies(), lies(), lies()], [false, true, true, false]);
    }

    #[test]
    fn a_fault_can_strike_one_caller_for_a_while() {
        let now = Instant::now();
        let mut faults = Faults::default();
        faults.add(
            Fault {
                key: Some("eye-breaker".into()),
                for_ms: Some(100),
                ..Fault::of(Kind::Timeout)
            },
            now,
        );
        assert!(
            faults
                .judge(&arrival("/x", "eye-breaker-1"), now)
                .ending
                .is_some()
        );
        assert!(
            faults
                .judge(&arrival("/x", "eye-recorder-1"), now)
                .ending
                .is_none()
        );
        let later = now + Duration::from_millis(100);
        assert!(
            faults
                .judge(&arrival("/x", "eye-breaker-1"), later)
                .ending
                .is_none()
        );
    }

    #[test]
    fn a_dropped_page_leaves_no_cursor_behind() {
        let mut two = json!({"result": {"list": [1, 2], "nextPageCursor": "9"}});
        drop_page(&mut two);
        assert_eq!(
            two,
            json!({"result": {"list": [1, 2], "nextPageCursor": ""}})
        );
        drop_page(&mut two);
        assert_eq!(two, json!({"result": {"list": [1], "nextPageCursor": ""}}));
    }

    #[test]
    fn websocket_faults_do_not_touch_requests() {
        let now = Instant::now();
        let mut faults = Faults::default();
        faults.add(Fault::of(Kind::WsSilent), now);
        assert!(faults.judge(&arrival("/x", "k"), now).ending.is_none());
        assert_eq!(
            faults.judge_ws("/v5/private", None, false, now),
            Some(Strike::Silent)
        );
        assert!(!faults.judge_ws_drop("/v5/private", None, now));
        faults.clear(None);
        assert_eq!(faults.judge_ws("/v5/private", None, false, now), None);
    }

    #[test]
    fn a_gap_loses_data_but_no_answers() {
        let now = Instant::now();
        let mut faults = Faults::default();
        faults.add(
            Fault {
                count: Some(1),
                ..Fault::of(Kind::WsGap)
            },
            now,
        );
        assert_eq!(faults.judge_ws("/v5/private", None, false, now), None);
        assert_eq!(
            faults.judge_ws("/v5/private", None, true, now),
            Some(Strike::Gap)
        );
        assert_eq!(faults.judge_ws("/v5/private", None, true, now), None);
    }
}
