//! The revoker's state and the key registry, asked for now and then.

use super::{Address, Event, Events, ask, keep};
use crate::store::Peer;
use fusebox_wire::operator::{Keys, Reply, Request, Status};
use fusebox_wire::{Error, Frames};
use std::time::Duration;
use tokio::net::UnixStream;

/// How often. The revoker's own checks are not faster.
const INTERVAL: Duration = Duration::from_secs(5);

/// Follows the revoker's state for ever.
pub(crate) async fn follow(address: Address, events: Events) {
    keep(
        Peer::Revoker,
        address,
        events,
        async |mut frames, events| loop {
            let event = match look(&mut frames).await {
                Ok((status, keys)) => Event::Revoker(Box::new(status), keys.map(Box::new)),
                Err(e) => return e,
            };
            if events.send(event).await.is_err() {
                return Error::Closed;
            }
            tokio::time::sleep(INTERVAL).await;
        },
    )
    .await;
}

async fn look(frames: &mut Frames<UnixStream>) -> Result<(Status, Option<Keys>), Error> {
    let status = status(frames).await?;
    Ok((status, keys(frames).await.ok().flatten()))
}

/// Who it is and what it knows.
pub(crate) async fn status(frames: &mut Frames<UnixStream>) -> Result<Status, Error> {
    loop {
        if let Reply::Status(status) = ask(frames, &Request::Status).await? {
            return Ok(status);
        }
    }
}

/// The registry; `None` when the revoker has none to show.
pub(crate) async fn keys(frames: &mut Frames<UnixStream>) -> Result<Option<Keys>, Error> {
    match ask(frames, &Request::Keys).await? {
        Reply::Keys(keys) => Ok(Some(keys)),
        _ => Ok(None),
    }
}
