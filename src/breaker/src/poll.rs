//! The loops that read the world again and again and hand what they read to the engine.

use crate::edge::bot::Bot;
use crate::edge::cluster::Cluster;
use crate::engine::{Input, Listing};
use fusebox_venue::{Error, Reaction, Reader};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

const WALLET_EVERY: Duration = Duration::from_secs(1);
const LEDGER_EVERY: Duration = Duration::from_secs(1);
const LISTING_EVERY: Duration = Duration::from_secs(3);
const BOT_EVERY: Duration = Duration::from_secs(2);
const CLUSTER_EVERY: Duration = Duration::from_secs(3);
const TICK_EVERY: Duration = Duration::from_millis(250);

/// Most readings of the ledger look back only this far; every [`LONG_LOOK`]th looks back as far as
/// the engine wants.
const SHORT_LOOK_MS: i64 = 60_000;
const LONG_LOOK: u32 = 20;

/// The engine's heartbeat.
pub(crate) async fn tick(out: mpsc::Sender<Input>) {
    let mut beat = every(TICK_EVERY);
    loop {
        beat.tick().await;
        if out.send(Input::Tick).await.is_err() {
            return;
        }
    }
}

/// The wallet: each answer is a sample.
pub(crate) async fn wallet(reader: Arc<Reader>, out: mpsc::Sender<Input>) {
    let mut beat = every(WALLET_EVERY);
    loop {
        beat.tick().await;
        let read = reader.wallet().await;
        let pause = pause_after(&read);
        if out.send(Input::Wallet(read)).await.is_err() {
            return;
        }
        wait(pause).await;
    }
}

/// The ledger, from where the engine wants it.
pub(crate) async fn ledger(
    reader: Arc<Reader>,
    since: watch::Receiver<Option<i64>>,
    first_look_ms: i64,
    out: mpsc::Sender<Input>,
) {
    let mut beat = every(LEDGER_EVERY);
    let mut count = 0u32;
    loop {
        beat.tick().await;
        if reader.exchange_now_ms().is_none() {
            let _ = reader.server_time().await;
        }
        let Some(now_ms) = reader.exchange_now_ms() else {
            continue;
        };
        let wanted = *since.borrow();
        let from = match wanted {
            None => now_ms.saturating_sub(first_look_ms),
            Some(from) if count.is_multiple_of(LONG_LOOK) => from,
            Some(from) => from.max(now_ms.saturating_sub(SHORT_LOOK_MS)),
        };
        count = count.wrapping_add(1);
        let read = reader.ledger(from, now_ms.saturating_add(1_000)).await;
        let pause = pause_after(&read);
        if out.send(Input::Ledger(read)).await.is_err() {
            return;
        }
        wait(pause).await;
    }
}

/// Positions and orders by REST: the check on the private stream.
pub(crate) async fn listing(reader: Arc<Reader>, out: mpsc::Sender<Input>) {
    let mut beat = every(LISTING_EVERY);
    loop {
        beat.tick().await;
        let both = tokio::try_join!(reader.positions("USDT"), reader.open_orders("USDT"));
        let read = both.map(|(positions, orders)| Listing {
            at_ms: positions.at_ms.min(orders.at_ms),
            positions: positions.value,
            orders: orders.value,
        });
        let pause = pause_after(&read);
        if out.send(Input::Listing(read)).await.is_err() {
            return;
        }
        wait(pause).await;
    }
}

/// The bot: its trades and the orders it knows.
pub(crate) async fn bot(bot: Arc<Bot>, reader: Arc<Reader>, out: mpsc::Sender<Input>) {
    let mut beat = every(BOT_EVERY);
    loop {
        beat.tick().await;
        let began_ms = reader.exchange_now_ms();
        let view = bot.view().await;
        // Without the exchange's time nothing can be said about its orders.
        let read = match began_ms {
            Some(began_ms) => view.map(|view| (view, began_ms)),
            None => Err("the exchange's clock is not known yet".to_owned()),
        };
        if out.send(Input::Bot(read)).await.is_err() {
            return;
        }
    }
}

/// The cluster: how many replicas are wanted and run.
pub(crate) async fn cluster(cluster: Arc<Cluster>, out: mpsc::Sender<Input>) {
    let mut beat = every(CLUSTER_EVERY);
    loop {
        beat.tick().await;
        if out
            .send(Input::Cluster(cluster.view().await))
            .await
            .is_err()
        {
            return;
        }
    }
}

/// A loop that was held up does not hurry afterwards.
fn every(period: Duration) -> tokio::time::Interval {
    let mut beat = interval(period);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat
}

/// The exchange's own "not before", so that a limit is not run into again and again.
fn pause_after<T>(read: &Result<T, Error>) -> Duration {
    match read.as_ref().map_err(Error::reaction) {
        Err(Reaction::WaitUntil { pause_ms, .. }) => Duration::from_millis(pause_ms.max(500)),
        _ => Duration::ZERO,
    }
}

async fn wait(pause: Duration) {
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
}
