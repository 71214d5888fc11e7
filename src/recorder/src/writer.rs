//! The one thread that writes the journal. Everybody else sends it drafts and waits.
//!
//! Rows of a higher urgency are followed by a signed checkpoint at once, all others within the
//! interval. A full disk refuses the row and leaves the journal as it was.

use crate::Error;
use crate::key::{beside, write_whole};
use fusebox_journal::{Appended, Chain, CheckpointKey, Draft, Kind, Reader, Store};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait for the writer.
const QUEUE: usize = 256;
/// After this long without a request the write-ahead log is moved into the database.
const IDLE: Duration = Duration::from_secs(2);
/// Under steady load it is moved after so many requests, so that it has a limit.
const BUSY: u32 = 1_000;

/// Asks the writer's thread.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    requests: mpsc::Sender<Request>,
}

/// A question about the journal, answered between two appends.
type Question = Box<dyn FnOnce(&Reader<'_>) + Send>;

enum Request {
    Append(Vec<Draft>, oneshot::Sender<Result<Vec<Appended>, Error>>),
    Checkpoint(oneshot::Sender<Result<String, Error>>),
    State(oneshot::Sender<State>),
    Ask(Question),
}

/// Where the journal stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct State {
    pub chain: Chain,
    pub checkpoint_ms: Option<i64>,
}

impl Writer {
    /// Writes drafts, all or none, and returns when they are durable.
    pub(crate) async fn append(&self, drafts: Vec<Draft>) -> Result<Vec<Appended>, Error> {
        self.request(|reply| Request::Append(drafts, reply)).await?
    }

    /// Signs a checkpoint now and returns the note.
    pub(crate) async fn checkpoint(&self) -> Result<String, Error> {
        self.request(Request::Checkpoint).await?
    }

    /// Where the journal stands.
    pub(crate) async fn state(&self) -> Result<State, Error> {
        self.request(Request::State).await
    }

    /// Reads something from the journal.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Reader<'_>) -> Result<T, fusebox_journal::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let answer = self
            .request(|reply: oneshot::Sender<_>| {
                Request::Ask(Box::new(move |reader| drop(reply.send(question(reader)))))
            })
            .await?;
        Ok(answer?)
    }

    async fn request<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.requests
            .send(make(reply))
            .await
            .map_err(|_| Error::Stopping)?;
        answer.await.map_err(|_| Error::Stopping)
    }
}

/// The thread's side.
struct Worker {
    store: Store,
    key: CheckpointKey,
    clock: fn() -> i64,
    interval: Duration,
    signed: Option<(Chain, i64)>,
}

/// Starts the writer's thread. It ends, closing the journal cleanly, when every [`Writer`] is
/// gone; the handle tells when. `clock` is the wall clock in UTC milliseconds.
pub(crate) fn start(
    store: Store,
    key: CheckpointKey,
    interval: Duration,
    clock: fn() -> i64,
) -> Result<(Writer, std::thread::JoinHandle<()>), Error> {
    let (requests, inbox) = mpsc::channel(QUEUE);
    let path = store.path().to_owned();
    let vkey = format!("{}\n", key.verifier());
    write_whole(&beside(&path, ".vkey"), vkey.as_bytes(), 0o444)?;
    let worker = Worker {
        store,
        key,
        clock,
        interval,
        signed: None,
    };
    let handle = std::thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || worker.run(inbox))
        .map_err(Error::file(&path))?;
    Ok((Writer { requests }, handle))
}

impl Worker {
    fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        let Ok(waiting) = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
        else {
            tracing::error!("the journal's thread has no timer; nothing is written");
            return;
        };
        let mut last_sign = Instant::now();
        let mut since_tidy = 0;
        loop {
            // Wakes for a request, else to tidy up and to sign what was not signed yet.
            let next = waiting.block_on(async { tokio::time::timeout(IDLE, inbox.recv()).await });
            match next {
                Ok(Some(request)) => {
                    since_tidy += 1;
                    let urgent = self.serve(request);
                    if urgent {
                        self.sign_or_warn();
                    }
                }
                Ok(None) => break,
                Err(_) if since_tidy > 0 => since_tidy = BUSY,
                Err(_) => {}
            }
            if since_tidy >= BUSY {
                since_tidy = 0;
                if let Err(error) = self.store.checkpoint_wal() {
                    tracing::warn!(%error, "tidying the write-ahead log");
                }
            }
            if last_sign.elapsed() >= self.interval {
                last_sign = Instant::now();
                self.sign_or_warn();
            }
        }
        self.sign_or_warn();
        if let Err(error) = self.store.close() {
            tracing::warn!(%error, "closing the journal");
        }
    }

    /// Answers one request; says whether a checkpoint is due at once. Nobody waiting for an answer
    /// any more is no error: the row is written all the same.
    fn serve(&mut self, request: Request) -> bool {
        match request {
            Request::Append(drafts, reply) => {
                let result = self.store.append((self.clock)(), &drafts);
                let urgent = result.is_ok() && drafts.iter().any(is_urgent);
                let _ = reply.send(result.map_err(Error::from));
                return urgent;
            }
            Request::Checkpoint(reply) => drop(reply.send(self.sign())),
            Request::State(reply) => drop(reply.send(State {
                chain: self.store.chain(),
                checkpoint_ms: self.signed.map(|(_, at_ms)| at_ms),
            })),
            Request::Ask(question) => question(&self.store.reader()),
        }
        false
    }

    /// Signs the journal's end, unless that was done already, and leaves the note beside it.
    fn sign(&mut self) -> Result<String, Error> {
        let path = beside(self.store.path(), ".checkpoint");
        let chain = self.store.chain();
        if self.signed.is_some_and(|(signed, _)| signed == chain) {
            return std::fs::read_to_string(&path).map_err(Error::file(&path));
        }
        let now_ms = (self.clock)();
        let note = self.key.sign(chain, now_ms);
        write_whole(&path, note.as_bytes(), 0o444)?;
        self.signed = Some((chain, now_ms));
        Ok(note)
    }

    fn sign_or_warn(&mut self) {
        if let Err(error) = self.sign() {
            tracing::warn!(%error, "the checkpoint could not be written; it is tried again");
        }
    }
}

/// Severity 1, a halt, and what a kill begins and ends with: what somebody would most like to
/// rewrite.
fn is_urgent(draft: &Draft) -> bool {
    let field = |name: &str| draft.body.get(name);
    match draft.kind {
        Kind::Halt => true,
        Kind::Plan => matches!(
            field("event").and_then(|event| event.as_str()),
            Some("intent" | "result" | "closed")
        ),
        _ => field("severity").and_then(serde_json::Value::as_u64) == Some(1),
    }
}
