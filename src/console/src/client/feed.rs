//! The breaker's feed, and the two things that a console may say there.

use super::{ANSWER_LIMIT, Address, Event, Events, keep};
use crate::store::Peer;
use fusebox_wire::feed::{Message, Reply, Request, Section};
use fusebox_wire::{Error, Frames};
use tokio::net::UnixStream;

/// Follows the feed for ever.
pub(crate) async fn follow(address: Address, events: Events) {
    keep(Peer::Feed, address, events, async |mut frames, events| {
        loop {
            match frames.recv::<Message>().await {
                Ok(message) => {
                    if events.send(Event::Feed(Box::new(message))).await.is_err() {
                        return Error::Closed;
                    }
                }
                Err(e) => return e,
            }
        }
    })
    .await;
}

/// Sends one request on a connection of its own and waits for its answer.
pub(crate) async fn request(address: &Address, request: &Request) -> Result<Reply, Error> {
    let mut frames = address.connect().await?;
    let exchange = async {
        frames.send(request).await?;
        loop {
            if let Section::Reply(reply) = frames.recv::<Message>().await?.section {
                return Ok(reply);
            }
        }
    };
    tokio::time::timeout(ANSWER_LIMIT, exchange)
        .await
        .map_err(|_| Error::Io {
            what: "waiting for the breaker's answer".to_owned(),
            source: std::io::ErrorKind::TimedOut.into(),
        })?
}

/// The first picture: every section that comes within the first moments.
pub(crate) async fn first_picture(
    frames: &mut Frames<UnixStream>,
    store: &mut crate::store::Store,
) -> Result<(), Error> {
    let whole = async {
        while store.ladder.is_none() || store.positions.is_none() || store.equity.is_none() {
            let message = frames.recv::<Message>().await?;
            store.feed(message, std::time::Instant::now());
        }
        Ok(())
    };
    // What is not there by then is reported as unknown.
    tokio::time::timeout(std::time::Duration::from_secs(3), whole)
        .await
        .unwrap_or(Ok(()))
}
