//! The console's side of every socket, and the journal's file. Each task owns its connection,
//! comes back by itself with backoff, and sends values; none of them knows the screen. The verbs
//! of the command line use the same calls.
//!
//! It must never hold a secret or decide anything: the worst that it can do is ask.

pub(crate) mod feed;
pub(crate) mod journal;
pub(crate) mod recorder;
pub(crate) mod revoker;
pub(crate) mod run;

use crate::store::{Link, Page, Peer};
use fusebox_wire::{Component, Error, Frames, append, operator};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// How long an answer may take that needs no touch and no exchange.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// First and longest pause between two attempts to connect.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// What the clients tell the one owner of the picture.
#[derive(Debug)]
pub(crate) enum Event {
    Link(Peer, Link),
    Feed(Box<fusebox_wire::feed::Message>),
    Revoker(Box<operator::Status>, Option<Box<operator::Keys>>),
    Recorder(append::Status),
    Page(Page),
    /// To the dialog of this number.
    Run(u64, Box<run::Event>),
    /// An entry was written; its number and which draft it was.
    Appended {
        seq: u64,
        draft: String,
    },
    /// It was not.
    NotAppended(String),
    /// Something to tell in the bottom line.
    Note(String),
}

/// Where events go. Full means that the screen is behind; the sender waits.
pub(crate) type Events = mpsc::Sender<Event>;

/// Where one component is.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) path: PathBuf,
    pub(crate) component: Component,
    /// Who must own the socket, if that was configured.
    pub(crate) owner: Option<u32>,
}

impl Address {
    pub(crate) fn new(path: &Path, component: Component, owner: Option<u32>) -> Self {
        Self {
            path: path.into(),
            component,
            owner,
        }
    }

    /// Connects and greets.
    pub(crate) async fn connect(&self) -> Result<Frames<UnixStream>, Error> {
        fusebox_wire::connect(&self.path, Component::Console, self.component, self.owner).await
    }
}

/// Runs `session` for ever: again after every end, with a growing pause.
async fn keep<S>(peer: Peer, address: Address, events: Events, mut session: S)
where
    S: AsyncFnMut(Frames<UnixStream>, &Events) -> Error,
{
    let mut pause = PAUSE.0;
    loop {
        let ended = match address.connect().await {
            Ok(frames) => {
                pause = PAUSE.0;
                if events.send(Event::Link(peer, Link::Live)).await.is_err() {
                    return;
                }
                session(frames, &events).await
            }
            Err(e) => e,
        };
        let link = Link::Down {
            error: ended.to_string(),
        };
        if events.send(Event::Link(peer, link)).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// One question, one answer, within [`ANSWER_LIMIT`].
async fn ask<Q: serde::Serialize, A: serde::de::DeserializeOwned>(
    frames: &mut Frames<UnixStream>,
    question: &Q,
) -> Result<A, Error> {
    let exchange = async {
        frames.send(question).await?;
        frames.recv::<A>().await
    };
    tokio::time::timeout(ANSWER_LIMIT, exchange)
        .await
        .map_err(|_| Error::Io {
            what: "waiting for an answer".to_owned(),
            source: std::io::ErrorKind::TimedOut.into(),
        })?
}
