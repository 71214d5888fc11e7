//! The public stream: mark prices.

use super::frame::{Frame, Op};
use super::link::{Line, pause};
use super::tickers::{Ticker, Tickers};
use super::watchdog::Watch;
use super::{Link, LinkState};
use crate::{Endpoints, Error};
use fusebox_domain::Symbol;
use std::collections::BTreeSet;
use tokio::sync::{mpsc, watch};

/// Always subscribed: it never rests, so its silence is the line's.
const PULSE: &str = "BTCUSDT";

/// Topics of one request; the exchange limits its length.
const TOPICS_PER_REQUEST: usize = 10;

/// What the public stream tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicEvent {
    /// The stream's state changed. From [`LinkState::Down`] on, every known price is of the past.
    Link(Link),
    /// An instrument's prices, merged.
    Ticker(Ticker),
}

/// Streams the prices of `symbols` (and BTCUSDT) until `out` is closed.
pub async fn public(
    endpoints: &Endpoints,
    mut symbols: watch::Receiver<BTreeSet<Symbol>>,
    limits: Watch,
    out: mpsc::Sender<PublicEvent>,
) {
    let (mut reconnects, mut failures) = (0u32, 0u32);
    while !out.is_closed() {
        let mut was_live = false;
        let run = connection(
            endpoints,
            &mut symbols,
            limits,
            &out,
            reconnects,
            &mut was_live,
        );
        let Err(error) = run.await else { return };
        failures = if was_live {
            1
        } else {
            failures.saturating_add(1)
        };
        reconnects = reconnects.saturating_add(1);
        let link = Link {
            state: LinkState::Down,
            reconnects,
            detail: error.to_string(),
        };
        if out.send(PublicEvent::Link(link)).await.is_err() {
            return;
        }
        pause(failures).await;
    }
}

/// One connection; `Ok` when nobody listens any more.
async fn connection(
    endpoints: &Endpoints,
    symbols: &mut watch::Receiver<BTreeSet<Symbol>>,
    limits: Watch,
    out: &mpsc::Sender<PublicEvent>,
    reconnects: u32,
    was_live: &mut bool,
) -> Result<(), Error> {
    let mut line = Line::open(endpoints.ws_public(), limits, "public stream").await?;
    let mut tickers = Tickers::default();
    let mut subscribed = BTreeSet::new();
    loop {
        for text in subscribe(&mut line, symbols, &mut subscribed).await? {
            if !tell(&text, &mut tickers, &mut line, out).await? {
                return Ok(());
            }
        }
        if !*was_live {
            *was_live = true;
            let link = Link {
                state: LinkState::Live,
                reconnects,
                detail: "following".to_owned(),
            };
            if out.send(PublicEvent::Link(link)).await.is_err() {
                return Ok(());
            }
        }
        tokio::select! {
            text = line.next() => {
                if !tell(&text?, &mut tickers, &mut line, out).await? {
                    return Ok(());
                }
            }
            changed = symbols.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// Subscribes to what is wanted and not subscribed yet. Superfluous symbols stay: they cost
/// little, and the next connection starts without them.
async fn subscribe(
    line: &mut Line,
    symbols: &mut watch::Receiver<BTreeSet<Symbol>>,
    subscribed: &mut BTreeSet<Symbol>,
) -> Result<Vec<tokio_tungstenite::tungstenite::Utf8Bytes>, Error> {
    let mut wanted = symbols.borrow_and_update().clone();
    wanted.insert(PULSE.into());
    let new: Vec<Symbol> = wanted.difference(subscribed).cloned().collect();
    let mut early = Vec::new();
    for chunk in new.chunks(TOPICS_PER_REQUEST) {
        let topics: Vec<String> = chunk.iter().map(|s| format!("tickers.{s}")).collect();
        let request = serde_json::json!({"op": "subscribe", "args": topics});
        early.extend(line.ask(request.to_string(), Op::Subscribe).await?);
        subscribed.extend(chunk.iter().cloned());
    }
    Ok(early)
}

/// `false` when nobody listens any more.
async fn tell(
    text: &str,
    tickers: &mut Tickers,
    line: &mut Line,
    out: &mpsc::Sender<PublicEvent>,
) -> Result<bool, Error> {
    let Frame::Data(data) = Frame::read(text)? else {
        return Ok(true);
    };
    if !data.topic.starts_with("tickers.") {
        return Ok(true);
    }
    let Some(ticker) = tickers.apply(&data)? else {
        return Ok(true);
    };
    line.fed();
    Ok(out.send(PublicEvent::Ticker(ticker)).await.is_ok())
}
