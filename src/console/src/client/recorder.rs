//! The recorder: rows go in here, and it tells how it is.

use super::{Address, Event, Events, ask, keep};
use crate::store::Peer;
use fusebox_wire::Error;
use fusebox_wire::append::{Draft, Reply, Request};
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(5);

/// Follows the recorder's state for ever.
pub(crate) async fn follow(address: Address, events: Events) {
    keep(
        Peer::Recorder,
        address,
        events,
        async |mut frames, events| loop {
            match ask(&mut frames, &Request::Status).await {
                Ok(Reply::Status(status)) => {
                    if events.send(Event::Recorder(status)).await.is_err() {
                        return Error::Closed;
                    }
                }
                Ok(_) => {}
                Err(e) => return e,
            }
            tokio::time::sleep(INTERVAL).await;
        },
    )
    .await;
}

/// Has one row written. The inner error is the recorder's own refusal, in words.
pub(crate) async fn append(address: &Address, draft: Draft) -> Result<Result<u64, String>, Error> {
    match question(address, &Request::Append(draft)).await? {
        Reply::Appended { seq, .. } => Ok(Ok(seq)),
        Reply::Refused { message, .. } => Ok(Err(message)),
        other => Ok(Err(format!(
            "the recorder answered something else: {other:?}"
        ))),
    }
}

/// Asks one question on a connection of its own.
pub(crate) async fn question(address: &Address, request: &Request) -> Result<Reply, Error> {
    let mut frames = address.connect().await?;
    // A comparison with the exchange may take seconds.
    let limit = Duration::from_secs(40);
    let exchange = async {
        frames.send(request).await?;
        frames.recv().await
    };
    tokio::time::timeout(limit, exchange)
        .await
        .map_err(|_| Error::Io {
            what: "waiting for the recorder's answer".to_owned(),
            source: std::io::ErrorKind::TimedOut.into(),
        })?
}
