//! Follows one freqtrade database and hands what is new to the writer.

use crate::config::Freqtrade;
use crate::freqtrade::{self, Picture, Watcher};
use crate::status::Board;
use crate::writer::Writer;
use crate::{Error, now_ms};
use fusebox_journal::Draft;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Rows per transaction while an old database is taken in.
pub(crate) const BATCH: usize = 200;

/// The exchange's order ids that the bot's database has had so far; shared with whoever looks
/// for foreign orders. An id stays known when freqtrade deletes the order.
#[derive(Debug, Clone, Default)]
pub(crate) struct BotOrders(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    ids: HashSet<String>,
    checked: Option<Instant>,
}

impl BotOrders {
    pub(crate) fn saw(&self, picture: Option<&Picture>, at: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for id in picture.into_iter().flat_map(|p| &p.order_ids) {
            if !known.ids.contains(id) {
                known.ids.insert(id.clone());
            }
        }
        known.checked = Some(at);
    }

    /// Whether the database has this order.
    pub(crate) fn has(&self, order_id: &str) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.ids.contains(order_id)
    }

    /// When the database was last read or found unchanged.
    pub(crate) fn checked(&self) -> Option<Instant> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .checked
    }
}

/// Follows the database until the task is dropped.
pub(crate) async fn follow(config: Freqtrade, writer: Writer, board: Board, orders: BotOrders) {
    let source = format!("freqtrade {}", config.account);
    let mut watcher = Watcher::new(config.db.clone());
    let mut written = HashSet::new();
    let mut unwritten: Option<Picture> = None;
    let mut tick = tokio::time::interval(Duration::from_millis(config.poll_ms.max(50)));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let at = Instant::now();
        let polled = tokio::task::spawn_blocking(move || {
            let picture = watcher.poll();
            (watcher, picture)
        })
        .await;
        let Ok((returned, picture)) = polled else {
            return board.bad(
                &source,
                now_ms(),
                "the follower ended; restart the recorder",
            );
        };
        watcher = returned;
        match picture {
            Ok(picture) => {
                orders.saw(picture.as_ref(), at);
                unwritten = picture.or(unwritten);
            }
            Err(error) => {
                board.bad(&source, now_ms(), error.to_string());
                continue;
            }
        }
        if let Some(picture) = unwritten.take() {
            let drafts = freqtrade::drafts(&config.account, &picture);
            match write_new(&writer, drafts, &mut written).await {
                Ok(_) => report(&board, &source, &picture),
                Err(error) => {
                    board.bad(&source, now_ms(), error.to_string());
                    unwritten = Some(picture);
                }
            }
        } else {
            board.touch(&source, now_ms());
        }
    }
}

fn report(board: &Board, source: &str, picture: &Picture) {
    let trades = picture.trades.len();
    match picture.problems.as_slice() {
        [] => board.ok(source, now_ms(), format!("{trades} trades")),
        [first, ..] => {
            let n = picture.problems.len();
            let text = format!("{trades} trades read, {n} rows not understood, first: {first}");
            board.bad(source, now_ms(), text);
        }
    }
}

/// Writes the drafts whose keys are not in `written`, in batches, and says how many were new to
/// the journal.
pub(crate) async fn write_new(
    writer: &Writer,
    drafts: Vec<Draft>,
    written: &mut HashSet<String>,
) -> Result<usize, Error> {
    let is_new = |draft: &Draft| draft.key().is_none_or(|key| !written.contains(key));
    let mut drafts: Vec<Draft> = drafts.into_iter().filter(is_new).collect();
    let mut new = 0;
    while !drafts.is_empty() {
        let rest = drafts.split_off(drafts.len().min(BATCH));
        let keys: Vec<String> = drafts
            .iter()
            .filter_map(|d| d.key().map(Into::into))
            .collect();
        let rows = writer.append(drafts).await?;
        new += rows.iter().filter(|row| !row.duplicate).count();
        written.extend(keys);
        drafts = rest;
    }
    Ok(new)
}
