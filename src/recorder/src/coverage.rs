//! Whether the journal has everything that the exchange executed.
//!
//! One listing cannot vouch for itself: a dropped page looks like a short list. So executions are
//! listed twice, cut into different windows, and the account's ledger, which books every fill, is
//! listed as a third witness. What any of them shows must be in the journal; where they differ,
//! the result says so.

use crate::Error;
use crate::exchange::{Follower, execution_key, is_order_fill, ledger_fills};
use crate::status::Board;
use crate::writer::Writer;
use fusebox_domain::Execution;
use fusebox_wire::append::Coverage;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Width of the second listing's windows: neither a week nor a divisor of one.
const WINDOW_MS: i64 = 31 * 3_600_000;
/// How far back the second listing goes; before that, week-long windows and the ledger remain.
const CLOSE_LOOK_MS: i64 = 14 * 24 * 3_600_000;
/// Most ids named in each list of an answer.
const MAX_NAMED: usize = 100;

/// Measures coverage on request.
pub(crate) struct Coverer {
    writer: Writer,
    board: Board,
    /// Filled as accounts are reached for the first time.
    followers: Mutex<Vec<Arc<Mutex<Follower>>>>,
    /// Accounts that are configured.
    accounts: Vec<String>,
}

/// What the three listings of one account say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Witnesses {
    weekly: BTreeSet<String>,
    close: BTreeSet<String>,
    ledger: BTreeSet<String>,
}

impl Coverer {
    pub(crate) fn new(writer: Writer, board: Board, accounts: Vec<String>) -> Self {
        Self {
            writer,
            board,
            followers: Mutex::default(),
            accounts,
        }
    }

    /// Takes part in coverage from now on.
    pub(crate) async fn add(&self, follower: Arc<Mutex<Follower>>) {
        self.followers.lock().await.push(follower);
    }

    /// Compares every account. What could not be compared stands in `doubts`.
    pub(crate) async fn measure(&self) -> Result<Coverage, Error> {
        let mut total = Coverage::default();
        if self.accounts.is_empty() {
            total
                .doubts
                .push("no exchange account is configured".to_owned());
        }
        let followers = self.followers.lock().await.clone();
        if followers.len() < self.accounts.len() {
            let lacking = self.accounts.len().saturating_sub(followers.len());
            total
                .doubts
                .push(format!("{lacking} accounts could not be reached yet"));
        }
        for follower in followers {
            let mut follower = follower.lock().await;
            let account = follower.account.clone();
            if let Err(error) = self.account(&mut follower, &mut total).await {
                total.doubts.push(format!("{account}: {error}"));
            }
        }
        shorten(&mut total.missing);
        shorten(&mut total.foreign);
        Ok(total)
    }

    async fn account(&self, follower: &mut Follower, total: &mut Coverage) -> Result<(), Error> {
        let until_ms = follower.reader.server_time().await?.value;
        // What happened since the last poll is no gap.
        follower.poll(&self.writer, &self.board).await?;
        let since_ms = follower.since_ms;
        let listed = follower.reader.executions(since_ms, until_ms).await?.value;
        let (close, close_from) = close_look(follower, since_ms, until_ms).await?;
        let ledger = follower.reader.ledger(since_ms, until_ms).await?.value;
        let in_window = |e: &&Execution| e.time_ms >= since_ms && e.time_ms <= until_ms;
        let witnesses = Witnesses {
            weekly: ids(listed.iter().filter(in_window)),
            close: ids(close.iter().filter(in_window)),
            ledger: ledger_fills(&ledger).map(Into::into).collect(),
        };
        let prefix = execution_key(&follower.account, "");
        let journal: BTreeSet<String> = self
            .writer
            .ask(move |reader| reader.keys_with_prefix(&prefix))
            .await?
            .into_iter()
            .collect();
        total.doubts.extend(
            witnesses
                .differences(&listed, close_from)
                .into_iter()
                .map(|doubt| format!("{}: {doubt}", follower.account)),
        );
        let exchange = witnesses.all();
        total.exchange += exchange.len() as u64;
        total.journal += exchange.intersection(&journal).count() as u64;
        total.missing.extend(exchange.difference(&journal).cloned());
        match &follower.orders {
            Some(orders) if orders.checked().is_some() => {
                let all: BTreeMap<&str, &Execution> = listed
                    .iter()
                    .chain(&close)
                    .map(|e| (e.exec_id.as_str(), e))
                    .collect();
                let grace_ms = until_ms.saturating_sub(5_000);
                total.foreign.extend(
                    all.into_values()
                        .filter(|e| is_order_fill(e) && e.time_ms < grace_ms)
                        .filter(|e| !orders.has(&e.order_id))
                        .map(|e| e.exec_id.clone()),
                );
            }
            _ => total.doubts.push(format!(
                "{}: the bot's database was not read, so foreign executions cannot be told",
                follower.account
            )),
        }
        Ok(())
    }
}

/// The second listing, in narrow windows, of the newer part; and where that part begins.
async fn close_look(
    follower: &Follower,
    since_ms: i64,
    until_ms: i64,
) -> Result<(Vec<Execution>, i64), Error> {
    let close_from = since_ms.max(until_ms.saturating_sub(CLOSE_LOOK_MS));
    let mut close = Vec::new();
    let mut from = close_from;
    while from < until_ms {
        let to = from.saturating_add(WINDOW_MS).min(until_ms);
        close.extend(follower.reader.executions(from, to).await?.value);
        from = to;
    }
    Ok((close, close_from))
}

fn ids<'a>(executions: impl Iterator<Item = &'a Execution>) -> BTreeSet<String> {
    executions.map(|e| e.exec_id.clone()).collect()
}

impl Witnesses {
    fn all(&self) -> BTreeSet<String> {
        let (weekly, close) = (self.weekly.iter(), self.close.iter());
        weekly.chain(close).chain(&self.ledger).cloned().collect()
    }

    /// Where the listings disagree, in words.
    fn differences(&self, listed: &[Execution], close_from: i64) -> Vec<String> {
        let newer: BTreeSet<String> = ids(listed.iter().filter(|e| e.time_ms >= close_from));
        let listed: BTreeSet<String> = self.weekly.union(&self.close).cloned().collect();
        let cases = [
            (
                self.close.difference(&self.weekly).count(),
                "a listing by weeks lacks executions that one by hours has",
            ),
            (
                newer.difference(&self.close).count(),
                "a listing by hours lacks executions that one by weeks has",
            ),
            (
                self.ledger.difference(&listed).count(),
                "the execution list lacks fills that the ledger has",
            ),
        ];
        cases
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, words)| format!("{words}: {count}"))
            .collect()
    }
}

/// At most [`MAX_NAMED`] ids, then how many more there are.
fn shorten(ids: &mut Vec<String>) {
    let surplus = ids.len().saturating_sub(MAX_NAMED);
    if surplus > 0 {
        ids.truncate(MAX_NAMED);
        ids.push(format!("and {surplus} more"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn a_page_dropped_by_every_listing_is_still_seen_in_the_ledger() {
        let witnesses = Witnesses {
            weekly: set(&["a"]),
            close: set(&["a"]),
            ledger: set(&["a", "b"]),
        };
        assert_eq!(witnesses.all(), set(&["a", "b"]));
        let doubts = witnesses.differences(&[], 0);
        assert_eq!(doubts.len(), 1);
        assert!(doubts[0].contains("ledger") && doubts[0].ends_with(": 1"));
    }

    #[test]
    fn agreeing_witnesses_leave_no_doubt() {
        let same = set(&["a", "b"]);
        let witnesses = Witnesses {
            weekly: same.clone(),
            close: same.clone(),
            ledger: set(&["a"]),
        };
        assert!(witnesses.differences(&[], 0).is_empty());
    }

    #[test]
    fn long_lists_are_cut_and_say_so() {
        let mut ids: Vec<String> = (0..103).map(|n| n.to_string()).collect();
        shorten(&mut ids);
        assert_eq!(ids.len(), 101);
        assert_eq!(ids.last().unwrap(), "and 3 more");
    }
}
