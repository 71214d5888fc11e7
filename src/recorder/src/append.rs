//! The append sockets: who may write what.
//!
//! The author of a row is the socket's role and the peer's uid as the kernel tells it; nothing in
//! a message can change that. A refusal says whether the sender should keep the row and try
//! again: nothing is ever half accepted.

use crate::config::Append;
use crate::coverage::Coverer;
use crate::status::Board;
use crate::writer::Writer;
use crate::{Error, now_ms};
use fusebox_journal::{Draft, Kind};
use fusebox_wire::append::{Reply, Request, Status};
use fusebox_wire::{Component, Listener, Peer, append as wire};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;

/// Connections per socket.
const CONNECTIONS: usize = 16;
/// A fact this far in the future is a broken clock.
const FUTURE_MS: i64 = 24 * 3_600_000;
/// Seconds of the long-run rate that may come at once.
const BURST_S: f32 = 10.0;

/// What a connection needs.
#[derive(Clone)]
pub(crate) struct Desk {
    pub writer: Writer,
    pub board: Board,
    pub coverer: Arc<Coverer>,
}

/// Serves one append socket until the task is dropped.
pub(crate) async fn serve(config: Append, listener: Listener, desk: Desk) {
    let config = Arc::new(config);
    let bucket = Arc::new(Mutex::new(Bucket::new(config.rows_per_s)));
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // Dropped with this task, so that no connection outlives the journal.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let pending = match listener.accept().await {
            Ok(pending) => pending,
            Err(error) => {
                tracing::warn!(%error, "an append socket; trying again in a second");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                continue;
            }
        };
        let (config, desk, bucket) = (config.clone(), desk.clone(), bucket.clone());
        connections.spawn(async move {
            let _place = place;
            let (mut frames, peer) = match pending.greet().await {
                Ok(greeted) => greeted,
                Err(error) => return tracing::warn!(%error, "a caller was turned away"),
            };
            loop {
                use fusebox_wire::Error::{Closed, NotUnderstood, NotUtf8};
                let reply = match frames.recv::<Request>().await {
                    Ok(request) => answer(request, &config, &peer, &desk, &bucket).await,
                    Err(Closed) => return,
                    Err(error @ (NotUnderstood(_) | NotUtf8 { .. })) => {
                        refuse("message", &error.to_string(), false)
                    }
                    Err(error) => return tracing::warn!(%error, uid = peer.uid, "a caller"),
                };
                if let Err(error) = frames.send(&reply).await {
                    return tracing::warn!(%error, uid = peer.uid, "an answer was not delivered");
                }
            }
        });
    }
}

async fn answer(
    request: Request,
    config: &Append,
    peer: &Peer,
    desk: &Desk,
    bucket: &Mutex<Bucket>,
) -> Reply {
    match request {
        Request::Append(row) => {
            if !bucket.lock().await.take(Instant::now()) {
                return refuse(
                    "busy",
                    "too many rows at once; send it again in a second",
                    true,
                );
            }
            match accept(row, config, peer, now_ms()) {
                Ok(draft) => append(&desk.writer, draft).await,
                Err(refusal) => *refusal,
            }
        }
        Request::Coverage => match desk.coverer.measure().await {
            Ok(coverage) => Reply::Coverage(coverage),
            Err(error) => refuse("coverage", &error.to_string(), true),
        },
        Request::Checkpoint => match desk.writer.checkpoint().await {
            Ok(note) => Reply::Checkpoint { note },
            Err(error) => refuse("disk", &error.to_string(), true),
        },
        Request::Status => match desk.writer.state().await {
            Ok(state) => Reply::Status(Status {
                entries: state.chain.size,
                head: state.chain.head.to_string(),
                checkpoint_ms: state.checkpoint_ms,
                sources: desk.board.read(now_ms()),
            }),
            Err(error) => refuse("stopping", &error.to_string(), true),
        },
    }
}

/// Turns a row from outside into a draft, or says why not.
fn accept(
    row: wire::Draft,
    config: &Append,
    peer: &Peer,
    now_ms: i64,
) -> Result<Draft, Box<Reply>> {
    let no = |code, message: String| Err(Box::new(refuse(code, &message, false)));
    let role = config.role.as_str();
    let Some(kind) = Kind::parse(&row.kind).filter(|kind| config.permits(*kind)) else {
        let word = fusebox_domain::clean_line(&row.kind, 40);
        return no("kind", format!("the {role} may not write {word:?} rows"));
    };
    let serde_json::Value::Object(body) = row.body else {
        return no("body", "a row's body must be a JSON object".to_owned());
    };
    if row.happened_ms < 0 || row.happened_ms > now_ms.saturating_add(FUTURE_MS) {
        let at = row.happened_ms;
        return no(
            "body",
            format!("happened_ms {at} is not a time of this world"),
        );
    }
    let mut draft = Draft {
        happened_ms: row.happened_ms,
        kind,
        author: format!("{role}:{}", peer.uid),
        body,
    };
    // These say where a row comes from and are the recorder's to give.
    for reserved in ["key", "source", "late_ms", "happened_ms"] {
        draft.body.remove(reserved);
    }
    Ok(match row.outbox {
        Some(seq) => draft.from_outbox(role, seq, peer.uid),
        None => draft,
    })
}

async fn append(writer: &Writer, draft: Draft) -> Reply {
    use fusebox_journal::Error as Journal;
    match writer
        .append(vec![draft])
        .await
        .map(|rows| rows.into_iter().next())
    {
        Ok(Some(row)) => Reply::Appended {
            seq: row.seq,
            hash: row.hash.to_string(),
            duplicate: row.duplicate,
        },
        Ok(None) => refuse("stopping", "nothing was written; send it again", true),
        Err(error) => {
            tracing::warn!(%error, "a row was refused");
            let (code, retry) = match &error {
                Error::Journal(Journal::TooLong { .. }) => ("too_long", false),
                Error::Journal(Journal::NotAnObject) => ("body", false),
                Error::Journal(Journal::Broken(_)) => ("broken", true),
                _ => ("disk", true),
            };
            refuse(code, &error.to_string(), retry)
        }
    }
}

fn refuse(code: &str, message: &str, retry: bool) -> Reply {
    Reply::Refused {
        code: code.to_owned(),
        message: message.to_owned(),
        retry,
    }
}

/// Binds a configured socket.
pub(crate) fn bind(config: &Append) -> Result<Listener, Error> {
    Ok(Listener::bind(
        &config.path,
        Component::Recorder,
        &config.uids,
    )?)
}

/// A rate in the long run with room for a burst (an outbox that is sent after an outage).
#[derive(Debug)]
struct Bucket {
    per_s: f32,
    tokens: f32,
    last: Option<Instant>,
}

impl Bucket {
    fn new(rows_per_s: u32) -> Self {
        let per_s = rows_per_s.max(1) as f32;
        Self {
            per_s,
            tokens: per_s * BURST_S,
            last: None,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        if let Some(last) = self.last {
            let earned = now.saturating_duration_since(last).as_secs_f32() * self.per_s;
            self.tokens = (self.tokens + earned).min(self.per_s * BURST_S);
        }
        self.last = Some(now);
        let free = self.tokens >= 1.0;
        if free {
            self.tokens -= 1.0;
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Role;
    use serde_json::json;
    use std::time::Duration;

    const NOW_MS: i64 = 1_790_000_000_000;

    fn socket(role: Role) -> Append {
        Append {
            path: "x".into(),
            role,
            uids: vec![],
            kinds: vec![],
            rows_per_s: 10,
        }
    }

    fn judge(role: Role, kind: &str, body: serde_json::Value) -> Result<Draft, String> {
        let row = wire::Draft {
            kind: kind.into(),
            body,
            happened_ms: NOW_MS,
            outbox: Some(3),
        };
        let peer = Peer {
            uid: 1000,
            pid: None,
            component: Component::Console,
        };
        accept(row, &socket(role), &peer, NOW_MS).map_err(|refusal| match *refusal {
            Reply::Refused { code, retry, .. } => format!("{code} {retry}"),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn the_author_is_the_socket_and_the_uid_whatever_the_message_claims() {
        let body =
            json!({"thesis": "t", "trade_id": "1", "source": {"uid": 0}, "key": "execution/x"});
        let draft = judge(Role::Operator, "annotation", body).unwrap();
        assert_eq!(draft.author, "operator:1000");
        assert_eq!(draft.body["source"]["uid"], 1000);
        assert!(draft.key().unwrap().starts_with("outbox/operator/3/"));
    }

    #[test]
    fn kinds_bodies_and_times_that_may_not_be_are_refused_for_good() {
        let refused = |role, kind, body| judge(role, kind, body).unwrap_err();
        assert_eq!(refused(Role::Operator, "halt", json!({})), "kind false");
        assert_eq!(refused(Role::Breaker, "trade", json!({})), "kind false");
        assert_eq!(refused(Role::Breaker, "nonsense", json!({})), "kind false");
        assert_eq!(refused(Role::Breaker, "halt", json!([1])), "body false");
        assert!(judge(Role::Revoker, "plan", json!({})).is_ok());
    }

    #[test]
    fn a_burst_passes_and_a_flood_does_not() {
        let mut bucket = Bucket::new(10);
        let start = Instant::now();
        let passed = (0..500).filter(|_| bucket.take(start)).count();
        assert_eq!(passed, 100);
        let later = start + Duration::from_secs(1);
        assert_eq!((0..500).filter(|_| bucket.take(later)).count(), 10);
    }
}
