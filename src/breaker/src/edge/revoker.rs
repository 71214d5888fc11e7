//! The revoker, over `breaker.sock`: a heartbeat, and requests that stop something.

use crate::engine::Input;
use crate::plan::Outcome;
use fusebox_domain::AccountName;
use fusebox_wire::stop::{Reply, Request};
use fusebox_wire::{Component, Frames, Signed, connect};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// How often the breaker says that it lives.
const BEAT: Duration = Duration::from_secs(3);

/// How long the answer to a beat may take.
const BEAT_LIMIT: Duration = Duration::from_secs(5);

/// How long the answer to a request may take: the revoker measures by itself first (K11).
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// Beats for ever and tells whether the revoker hears it.
pub(crate) async fn beat(path: PathBuf, account: AccountName, out: mpsc::Sender<Input>) {
    let mut number = 0;
    loop {
        let Err(why) = beats(&path, &account, &mut number, &out).await else {
            return;
        };
        if out.send(Input::Revoker(Err(why))).await.is_err() {
            return;
        }
        tokio::time::sleep(BEAT).await;
    }
}

/// One connection; `Ok` when nobody listens any more.
async fn beats(
    path: &Path,
    account: &AccountName,
    number: &mut u64,
    out: &mpsc::Sender<Input>,
) -> Result<(), String> {
    let mut frames = open(path).await?;
    loop {
        *number += 1;
        let beat = Request::Heartbeat {
            account: account.clone(),
            beat: *number,
        };
        match ask(&mut frames, &beat, BEAT_LIMIT).await? {
            Reply::Beat => {}
            other => return Err(format!("an unexpected answer to a heartbeat: {other:?}")),
        }
        if out.send(Input::Revoker(Ok(()))).await.is_err() {
            return Ok(());
        }
        tokio::time::sleep(BEAT).await;
    }
}

/// Sends a signed request to cancel resting entries.
pub(crate) async fn cancel_entries(path: &Path, request: Signed) -> Outcome {
    match stop(path, request).await {
        Ok(Reply::Cancelled {
            remaining: 0,
            detail,
        }) => Outcome::Done(detail),
        Ok(Reply::Cancelled { remaining, detail }) => {
            Outcome::Again(format!("{remaining} entries remain: {detail}"))
        }
        Ok(Reply::Refused { code, message }) => {
            Outcome::Later(format!("the revoker refused ({code}): {message}"))
        }
        Ok(other) => Outcome::Later(format!("an unexpected answer: {other:?}")),
        Err(why) => Outcome::Again(why),
    }
}

/// Sends a signed kill request. Answered means over: the run is the revoker's own affair, and a
/// refusal after its own measurement is an answer too.
pub(crate) async fn request_kill(path: &Path, request: Signed) -> Outcome {
    match stop(path, request).await {
        Ok(Reply::Started { run }) => Outcome::Done(format!("started {run}")),
        Ok(Reply::AlreadyDead { run }) => Outcome::Done(format!("already dead by {run}")),
        Ok(Reply::Refused { code, message })
            if matches!(code.as_str(), "not_confirmed" | "switched_off") =>
        {
            Outcome::Failed(format!("refused ({code}): {message}"))
        }
        Ok(Reply::Refused { code, message }) => {
            Outcome::Again(format!("refused ({code}): {message}"))
        }
        Ok(other) => Outcome::Later(format!("an unexpected answer: {other:?}")),
        Err(why) => Outcome::Again(why),
    }
}

async fn stop(path: &Path, request: Signed) -> Result<Reply, String> {
    let mut frames = open(path).await?;
    ask(&mut frames, &Request::Stop { request }, REQUEST_LIMIT).await
}

async fn open(path: &Path) -> Result<Frames<UnixStream>, String> {
    connect(path, Component::Breaker, Component::Revoker, None)
        .await
        .map_err(|e| e.to_string())
}

async fn ask(
    frames: &mut Frames<UnixStream>,
    request: &Request,
    limit: Duration,
) -> Result<Reply, String> {
    let exchange = async {
        frames.send(request).await?;
        frames.recv::<Reply>().await
    };
    match tokio::time::timeout(limit, exchange).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(e)) => Err(e.to_string()),
        Err(_) => Err(format!("no answer within {} s", limit.as_secs())),
    }
}
