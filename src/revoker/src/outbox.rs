//! Rows for the journal, on their way: kept in a spool until the recorder has them. Nothing ever
//! waits for it; what is authoritative for a plan is the intent log.

use crate::Error;
use crate::intents::Entry;
use fusebox_wire::append::{Draft, Reply, Request};
use fusebox_wire::{Component, Frames, connect};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::VecDeque;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// Rows kept while the recorder is away; beyond, the oldest go and that is logged.
const KEPT: usize = 10_000;
const RETRY: Duration = Duration::from_secs(2);

/// A line of the spool. A line without a row marks how far the numbers went.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    seq: u64,
    draft: Option<Draft>,
}

/// The way into the outbox.
#[derive(Clone)]
pub(crate) struct Outbox {
    rows: mpsc::UnboundedSender<Draft>,
}

impl Outbox {
    /// Reads the spool and starts the sender. Without a recorder in the configuration the rows
    /// stay in the spool.
    ///
    /// # Errors
    /// [`Error::State`] when the spool cannot be read.
    pub(crate) fn start(spool: &Path, append: Option<PathBuf>) -> Result<Self, Error> {
        let (rows, inbox) = mpsc::unbounded_channel();
        let sender = Sender::open(spool, append)?;
        tokio::spawn(sender.run(inbox));
        Ok(Self { rows })
    }

    pub(crate) fn row(&self, happened_ms: i64, kind: &str, body: Value) {
        let _ = self.rows.send(Draft {
            kind: kind.to_owned(),
            body,
            happened_ms,
            outbox: None,
        });
    }

    /// A copy of a row of the intent log.
    pub(crate) fn plan_row(&self, happened_ms: i64, action: &str, entry: &Entry) {
        // A row for every "sent" would double the journal and say nothing after the step's end.
        let noise = matches!(entry, Entry::Step { step, .. } if step.ended_ms.is_none());
        if !noise {
            self.row(happened_ms, "plan", crate::run::journal_body(action, entry));
        }
    }
}

struct Sender {
    spool: PathBuf,
    append: Option<PathBuf>,
    waiting: VecDeque<(u64, Draft)>,
    last_seq: u64,
    recorder: Option<Frames<UnixStream>>,
}

impl Sender {
    fn open(spool: &Path, append: Option<PathBuf>) -> Result<Self, Error> {
        let text = match std::fs::read_to_string(spool) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(Error::state(format!("reading {}", spool.display()))(e)),
        };
        // A torn last line is a row that was not promised to anyone.
        let lines: Vec<Line> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        Ok(Self {
            spool: spool.to_owned(),
            append,
            last_seq: lines.iter().map(|l| l.seq).max().unwrap_or(0),
            waiting: lines
                .into_iter()
                .filter_map(|l| Some((l.seq, l.draft?)))
                .collect(),
            recorder: None,
        })
    }

    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Draft>) {
        loop {
            let first = match self.waiting.is_empty() {
                true => inbox.recv().await,
                false => tokio::time::timeout(Duration::ZERO, inbox.recv())
                    .await
                    .ok()
                    .flatten(),
            };
            if let Some(draft) = first {
                self.keep(draft);
            } else if inbox.is_closed() {
                return;
            }
            while let Ok(draft) = inbox.try_recv() {
                self.keep(draft);
            }
            if !self.send_all().await {
                // Gather while the recorder is away.
                let _ = tokio::time::timeout(RETRY, async {
                    while let Some(draft) = inbox.recv().await {
                        self.keep(draft);
                    }
                })
                .await;
            }
        }
    }

    fn keep(&mut self, draft: Draft) {
        self.last_seq += 1;
        let line = Line {
            seq: self.last_seq,
            draft: Some(draft),
        };
        if let Err(error) = append_line(&self.spool, &line) {
            tracing::warn!(%error, "outbox: a row is in memory only");
        }
        self.waiting
            .extend(line.draft.map(|draft| (line.seq, draft)));
        if self.waiting.len() > KEPT {
            self.waiting.pop_front();
            tracing::error!("outbox: full, the oldest row is dropped");
        }
    }

    /// Sends what waits, in order. `false`: the recorder is away or asks to try later.
    async fn send_all(&mut self) -> bool {
        while let Some((seq, draft)) = self.waiting.front().cloned() {
            if !self.send(seq, draft).await {
                self.recorder = None;
                return false;
            }
            self.waiting.pop_front();
        }
        // Everything is in the journal: the spool keeps only how far the numbers went.
        let mark = Line {
            seq: self.last_seq,
            draft: None,
        };
        if let Err(error) = rewrite(&self.spool, &mark) {
            tracing::warn!(%error, "outbox: the spool could not be shortened");
        }
        true
    }

    async fn send(&mut self, seq: u64, mut draft: Draft) -> bool {
        let Some(path) = &self.append else {
            return false;
        };
        draft.outbox = Some(seq);
        let exchange = async {
            if self.recorder.is_none() {
                let connected =
                    connect(path, Component::Revoker, Component::Recorder, None).await?;
                self.recorder = Some(connected);
            }
            let frames = self.recorder.as_mut().ok_or(fusebox_wire::Error::Closed)?;
            frames.send(&Request::Append(draft)).await?;
            frames.recv::<Reply>().await
        };
        match tokio::time::timeout(Duration::from_secs(5), exchange).await {
            Ok(Ok(Reply::Refused {
                retry: false,
                message,
                ..
            })) => {
                tracing::error!(
                    seq,
                    message,
                    "outbox: the recorder will never take this row"
                );
                true
            }
            Ok(Ok(Reply::Appended { .. })) => true,
            Ok(Ok(_)) | Err(_) => false,
            Ok(Err(error)) => {
                tracing::debug!(%error, "outbox: the recorder is away");
                false
            }
        }
    }
}

fn append_line(path: &Path, line: &Line) -> std::io::Result<()> {
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?
        .write_all(text.as_bytes())
}

fn rewrite(path: &Path, line: &Line) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let _ = std::fs::remove_file(&beside);
    append_line(&beside, line)?;
    std::fs::rename(beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_wire::Listener;
    use serde_json::json;

    /// Takes `count` rows and says which numbers they had.
    async fn recorder(path: &Path, count: usize) -> Vec<u64> {
        let listener = Listener::bind(path, Component::Recorder, &[]).unwrap();
        let (mut frames, _) = listener.accept().await.unwrap().greet().await.unwrap();
        let mut seen = Vec::new();
        while seen.len() < count {
            let Request::Append(draft) = frames.recv().await.unwrap() else {
                panic!("not an append");
            };
            seen.push(draft.outbox.unwrap());
            let reply = Reply::Appended {
                seq: 1,
                hash: String::new(),
                duplicate: false,
            };
            frames.send(&reply).await.unwrap();
        }
        seen
    }

    #[tokio::test(start_paused = true)]
    async fn rows_wait_for_the_recorder_and_numbers_go_on_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (spool, socket) = (dir.path().join("outbox.jsonl"), dir.path().join("a.sock"));
        let mut sender = Sender::open(&spool, Some(socket.clone())).unwrap();
        for n in 0..3 {
            sender.keep(Draft {
                kind: "system".into(),
                body: json!({"n": n}),
                happened_ms: n,
                outbox: None,
            });
        }
        assert!(!sender.send_all().await, "nobody is there");
        drop(sender);

        let mut again = Sender::open(&spool, Some(socket.clone())).unwrap();
        assert_eq!(again.waiting.len(), 3);
        let (seen, sent) = tokio::join!(recorder(&socket, 3), async {
            while !again.send_all().await {
                tokio::task::yield_now().await;
            }
        });
        assert_eq!((seen, sent), (vec![1, 2, 3], ()));
        drop(again);
        let empty = Sender::open(&spool, Some(socket)).unwrap();
        assert_eq!((empty.waiting.len(), empty.last_seq), (0, 3));
    }
}
