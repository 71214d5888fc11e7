//! The recorder: takes rows of the outbox one after the other and sees that each is durable there.

use crate::engine::Input;
use fusebox_wire::append::{Draft, Reply, Request};
use fusebox_wire::{Component, Frames, connect};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// How long one append may take.
const APPEND_LIMIT: Duration = Duration::from_secs(10);

/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// A connection is opened now and then even without rows, so that the health line is true.
const CHECK: Duration = Duration::from_secs(5);

/// What became of the rows.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// The recorder answers.
    Up,
    /// It does not.
    Down(String),
    /// The row of this number is in the journal.
    Appended(u64),
    /// The recorder will never take it; with its reason.
    Refused(u64, String),
}

/// Delivers rows until the sender is gone.
pub(crate) async fn deliver(
    path: PathBuf,
    mut rows: mpsc::Receiver<(u64, Draft)>,
    out: mpsc::Sender<Input>,
) {
    let mut line = None;
    let mut row: Option<(u64, Draft)> = None;
    loop {
        if row.is_none() {
            row = match tokio::time::timeout(CHECK, rows.recv()).await {
                Ok(Some(next)) => Some(next),
                Ok(None) => return,
                Err(_) => None,
            };
        }
        let told = match step(&path, &mut line, row.as_ref()).await {
            Ok(delivery) => {
                if matches!(delivery, Delivery::Appended(_) | Delivery::Refused(..)) {
                    row = None;
                }
                delivery
            }
            Err(why) => {
                line = None;
                Delivery::Down(why)
            }
        };
        let failed = matches!(told, Delivery::Down(_));
        if out.send(Input::Recorder(told)).await.is_err() {
            return;
        }
        if failed {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// One row, or a look whether anybody is there.
async fn step(
    path: &Path,
    line: &mut Option<Frames<UnixStream>>,
    row: Option<&(u64, Draft)>,
) -> Result<Delivery, String> {
    let frames = match line {
        Some(frames) => frames,
        None => line.insert(
            connect(path, Component::Breaker, Component::Recorder, None)
                .await
                .map_err(|e| e.to_string())?,
        ),
    };
    let request = match row {
        Some((seq, draft)) => Request::Append(Draft {
            outbox: Some(*seq),
            ..draft.clone()
        }),
        None => Request::Status,
    };
    let exchange = async {
        frames.send(&request).await?;
        frames.recv::<Reply>().await
    };
    let reply = tokio::time::timeout(APPEND_LIMIT, exchange)
        .await
        .map_err(|_| format!("no answer within {} s", APPEND_LIMIT.as_secs()))?
        .map_err(|e| e.to_string())?;
    match (reply, row) {
        (Reply::Appended { .. }, Some((seq, _))) => Ok(Delivery::Appended(*seq)),
        (Reply::Status(_), None) => Ok(Delivery::Up),
        (
            Reply::Refused {
                retry: false,
                code,
                message,
            },
            Some((seq, _)),
        ) => Ok(Delivery::Refused(*seq, format!("{code}: {message}"))),
        (Reply::Refused { code, message, .. }, _) => Err(format!("{code}: {message}")),
        (other, _) => Err(format!("an unexpected answer: {other:?}")),
    }
}
