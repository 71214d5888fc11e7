//! What the console knows: the newest of everything, each with the moment it came. Pure: the
//! time is an argument, nothing is fetched here, and nothing is ever "fresh" in memory;
//! freshness is computed when something is drawn.
//!
//! Only data resets an age. A connection that comes back does not.

use fusebox_domain::{Decimal, Fresh, Limits, clean, clean_line};
use fusebox_wire::{append, feed, operator};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Points of the chart that are kept; at 1 Hz a little over two hours.
const MAX_POINTS: usize = 8_192;
/// Rows of the journal that are kept at once.
pub(crate) const MAX_ROWS: usize = 2_000;
/// Text from outside longer than this is cut.
const MAX_TEXT: usize = 400;
/// When the feed names no limits: the design's 3 s and 10 s.
const DEFAULT_LIMITS: Limits = Limits {
    aging_ms: 3_000,
    stale_ms: 10_000,
};
/// A breaker that says nothing for so long is gone (it sends a heartbeat every 2 s).
const HEARTBEAT: Limits = Limits {
    aging_ms: 4_000,
    stale_ms: 6_000,
};

/// A value and when it came.
#[derive(Debug, Clone)]
pub(crate) struct Sample<T> {
    pub(crate) value: T,
    pub(crate) at: Instant,
}

/// A connection to a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    Connecting,
    Live,
    Down { error: String },
}

impl Link {
    pub(crate) fn is_live(&self) -> bool {
        matches!(self, Self::Live)
    }
}

/// Which connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Feed,
    Revoker,
    Recorder,
    Journal,
}

/// A row of the journal as the console shows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    pub(crate) time_ms: i64,
    pub(crate) kind: String,
    pub(crate) author: String,
    /// One line, from the body.
    pub(crate) summary: String,
    /// What stands at the right end: `review open`, `thesis missing`.
    pub(crate) tail: String,
    pub(crate) body: serde_json::Value,
    pub(crate) hash: String,
    pub(crate) prev: String,
}

/// A trade as the journal knows it: for choosing what a thesis belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Trade {
    pub(crate) account: String,
    pub(crate) trade_id: String,
    /// The bot's name, `ETH/USDT:USDT`.
    pub(crate) pair: String,
    pub(crate) side: String,
    pub(crate) open: bool,
    pub(crate) has_thesis: bool,
    pub(crate) has_lesson: bool,
}

impl Trade {
    /// Whether this is a trade of the exchange's symbol (`ETHUSDT`).
    pub(crate) fn is_of(&self, symbol: &str) -> bool {
        let pair = self.pair.split(':').next().unwrap_or_default();
        pair.replace('/', "") == symbol
    }
}

/// A page of the journal.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page {
    /// Newest first.
    pub(crate) rows: Vec<Entry>,
    pub(crate) total: u64,
    /// No recorder has the file open; this is a still.
    pub(crate) stopped: bool,
    /// The filter that was used.
    pub(crate) filter: String,
    /// Trades, newest first, whatever the filter.
    pub(crate) trades: Vec<Trade>,
}

/// Everything that came from outside.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) feed: Link,
    pub(crate) revoker: Link,
    pub(crate) recorder: Link,
    pub(crate) journal: Link,
    /// When the feed last said anything.
    pub(crate) heard: Option<Instant>,
    /// The breaker's clock at that moment.
    pub(crate) sent_ms: Option<i64>,
    last_seq: Option<u64>,
    /// Messages that are missing in the feed's sequence since the start.
    pub(crate) gaps: u64,
    pub(crate) account: Option<feed::Account>,
    pub(crate) equity: Option<Sample<feed::Equity>>,
    pub(crate) history: VecDeque<feed::Point>,
    pub(crate) ladder: Option<Sample<feed::Ladder>>,
    pub(crate) positions: Option<Sample<Vec<fusebox_domain::Position>>>,
    pub(crate) orders: Vec<feed::OpenOrder>,
    pub(crate) actions: Vec<feed::Action>,
    pub(crate) alerts: Vec<feed::Alert>,
    pub(crate) health: Option<Sample<Vec<feed::Health>>>,
    pub(crate) sources: Option<Sample<Vec<feed::Source>>>,
    pub(crate) status: Option<Sample<operator::Status>>,
    pub(crate) keys: Option<Sample<operator::Keys>>,
    pub(crate) recorded: Option<Sample<append::Status>>,
    pub(crate) page: Page,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            feed: Link::Connecting,
            revoker: Link::Connecting,
            recorder: Link::Connecting,
            journal: Link::Connecting,
            heard: None,
            sent_ms: None,
            last_seq: None,
            gaps: 0,
            account: None,
            equity: None,
            history: VecDeque::new(),
            ladder: None,
            positions: None,
            orders: Vec::new(),
            actions: Vec::new(),
            alerts: Vec::new(),
            health: None,
            sources: None,
            status: None,
            keys: None,
            recorded: None,
            page: Page::default(),
        }
    }
}

fn ms(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

impl Store {
    /// A connection changed. Returns whether anything is different: trying again and failing in
    /// the same way is still the same outage.
    pub(crate) fn link(&mut self, peer: Peer, link: Link) -> bool {
        if peer == Peer::Feed && link == Link::Live {
            self.last_seq = None;
        }
        let slot = match peer {
            Peer::Feed => &mut self.feed,
            Peer::Revoker => &mut self.revoker,
            Peer::Recorder => &mut self.recorder,
            Peer::Journal => &mut self.journal,
        };
        let changed = *slot != link;
        *slot = link;
        changed
    }

    /// One message of the feed. Returns whether anything visible may have changed.
    pub(crate) fn feed(&mut self, message: feed::Message, now: Instant) -> bool {
        if let Some(last) = self.last_seq {
            self.gaps += message.seq.saturating_sub(last + 1);
        }
        self.last_seq = Some(message.seq);
        let was_silent = self
            .feed_age(now)
            .is_none_or(|age| age >= HEARTBEAT.aging_ms);
        self.heard = Some(now);
        self.sent_ms = Some(message.sent_ms);
        let at = now;
        match message.section {
            feed::Section::Account(value) => {
                // History follows the account section, whole: start anew.
                self.history.clear();
                self.account = Some(value);
            }
            feed::Section::Equity(value) => {
                self.extend_history(&value);
                self.equity = Some(Sample { value, at });
            }
            feed::Section::History(points) => {
                self.history.extend(points);
                self.trim_history();
            }
            feed::Section::Ladder(mut value) => {
                for rung in &mut value.rungs {
                    wash(&mut rung.action);
                    rung.done.iter_mut().for_each(wash);
                }
                self.ladder = Some(Sample { value, at });
            }
            feed::Section::Positions(value) => self.positions = Some(Sample { value, at }),
            feed::Section::Marks(marks) => return self.mark(&marks),
            feed::Section::Orders(value) => self.orders = value,
            feed::Section::Actions(mut value) => {
                value.iter_mut().for_each(|a| wash(&mut a.detail));
                self.actions = value;
            }
            feed::Section::Alerts(mut value) => {
                for alert in &mut value {
                    wash(&mut alert.title);
                    alert.detail = clean(&alert.detail, MAX_TEXT);
                    alert
                        .channels
                        .iter_mut()
                        .for_each(|(_, answer)| wash(answer));
                }
                self.alerts = value;
            }
            feed::Section::Health(mut value) => {
                for health in &mut value {
                    wash(&mut health.name);
                    wash(&mut health.detail);
                }
                self.health = Some(Sample { value, at });
            }
            feed::Section::Sources(mut value) => {
                for source in &mut value {
                    wash(&mut source.name);
                    wash(&mut source.link);
                }
                self.sources = Some(Sample { value, at });
            }
            // Alive, and nothing to see: no redraw unless silence was on screen.
            feed::Section::Heartbeat => return was_silent,
            feed::Section::Reply(_) => return false,
        }
        true
    }

    /// The revoker's state.
    pub(crate) fn revoker(
        &mut self,
        mut status: operator::Status,
        mut keys: Option<operator::Keys>,
        now: Instant,
    ) {
        status.services.iter_mut().for_each(|(_, word)| wash(word));
        for key in keys.iter_mut().flat_map(|keys| &mut keys.keys) {
            key.findings.iter_mut().for_each(wash);
            if let Some(observed) = &mut key.observed {
                wash(&mut observed.note);
            }
        }
        self.status = Some(Sample {
            value: status,
            at: now,
        });
        if let Some(value) = keys {
            self.keys = Some(Sample { value, at: now });
        }
    }

    fn mark(&mut self, marks: &[feed::Mark]) -> bool {
        let Some(positions) = &mut self.positions else {
            return false;
        };
        let mut changed = false;
        for position in &mut positions.value {
            let mark = marks.iter().find(|mark| mark.symbol == position.symbol);
            if let Some(mark) = mark {
                changed |= position.mark_price != Some(mark.price);
                position.mark_price = Some(mark.price);
                position.unrealised_usdt = position
                    .unrealised_at(mark.price)
                    .or(position.unrealised_usdt);
            }
        }
        changed
    }

    fn extend_history(&mut self, equity: &feed::Equity) {
        let Some(t_ms) = equity.exchange_ms else {
            return;
        };
        if self.history.back().is_some_and(|last| last.t_ms >= t_ms) {
            return;
        }
        self.history.push_back(feed::Point {
            t_ms,
            equity_usdt: equity.wallet_usdt,
        });
        self.trim_history();
    }

    fn trim_history(&mut self) {
        let surplus = self.history.len().saturating_sub(MAX_POINTS);
        self.history.drain(..surplus);
    }

    fn feed_age(&self, now: Instant) -> Option<u64> {
        self.heard
            .map(|heard| ms(now.saturating_duration_since(heard)))
    }

    /// How fresh the breaker's own voice is.
    pub(crate) fn voice(&self, now: Instant) -> Fresh {
        HEARTBEAT.judge(self.feed_age(now))
    }

    /// A source of the breaker by the beginning of its name, freshest first.
    fn source(&self, prefix: &str, now: Instant) -> Option<Fresh> {
        let sources = self.sources.as_ref()?;
        let since = ms(now.saturating_duration_since(sources.at));
        let all = sources.value.iter().filter(|s| s.name.starts_with(prefix));
        all.map(|s| {
            s.limits
                .judge(s.age_ms.map(|age| age.saturating_add(since)))
        })
        .min_by_key(|fresh| age_of(*fresh).unwrap_or(u64::MAX))
    }

    /// How old the equity is: the younger of its two sources.
    pub(crate) fn equity_fresh(&self, now: Instant) -> Fresh {
        let Some(equity) = &self.equity else {
            return Fresh::Never;
        };
        let since = ms(now.saturating_duration_since(equity.at));
        let wallet = equity.value.wallet_usdt.and(equity.value.wallet_age_ms);
        let replayed = equity.value.replayed_usdt.and(equity.value.replayed_age_ms);
        let age = match (wallet, replayed) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        DEFAULT_LIMITS.judge(age.map(|age| age.saturating_add(since)))
    }

    /// How old the ladder's verdict is.
    pub(crate) fn ladder_fresh(&self, now: Instant) -> Fresh {
        let Some(ladder) = &self.ladder else {
            return Fresh::Never;
        };
        let since = ms(now.saturating_duration_since(ladder.at));
        let age = ladder
            .value
            .sample_age_ms
            .map(|age| age.saturating_add(since));
        worse(DEFAULT_LIMITS.judge(age), self.voice(now))
    }

    /// How old the positions are: their source's age, and the breaker's own silence.
    pub(crate) fn positions_fresh(&self, now: Instant) -> Fresh {
        let Some(positions) = &self.positions else {
            return Fresh::Never;
        };
        let own = self.source("positions", now).unwrap_or_else(|| {
            DEFAULT_LIMITS.judge(Some(ms(now.saturating_duration_since(positions.at))))
        });
        worse(own, self.voice(now))
    }

    /// The whole picture: as old as the youngest equity, or as the breaker's last word.
    pub(crate) fn fresh(&self, now: Instant) -> Fresh {
        worse(self.equity_fresh(now), self.voice(now))
    }

    /// Equity to show: the wallet's, else the replayed.
    pub(crate) fn equity_usdt(&self) -> Option<Decimal> {
        let equity = &self.equity.as_ref()?.value;
        equity.wallet_usdt.or(equity.replayed_usdt)
    }

    /// When what is on screen next changes by age alone; `None` while nothing can age.
    pub(crate) fn next_ageing(&self, now: Instant) -> Option<Instant> {
        match self.fresh(now) {
            Fresh::Never => None,
            Fresh::Live { age_ms } => Some(now + until(age_ms, DEFAULT_LIMITS.aging_ms)),
            Fresh::Aging { age_ms } => Some(now + until(age_ms, (age_ms / 1000 + 1) * 1000)),
            // In words: seconds for two minutes, then minutes.
            Fresh::Stale { age_ms } => {
                let step = if age_ms < 120_000 { 1_000 } else { 60_000 };
                Some(now + until(age_ms, (age_ms / step + 1) * step))
            }
        }
    }

    /// The oldest alert that waits for an acknowledgement.
    pub(crate) fn open_review(&self) -> Option<String> {
        let of_ladder = self
            .ladder
            .iter()
            .flat_map(|l| &l.value.rungs)
            .find_map(|r| r.review.clone());
        let waiting = |a: &&feed::Alert| !a.acknowledged && a.ack_by_ms.is_some();
        of_ladder.or_else(|| self.alerts.iter().find(waiting).map(|a| a.id.clone()))
    }
}

fn until(age_ms: u64, boundary_ms: u64) -> Duration {
    Duration::from_millis(boundary_ms.saturating_sub(age_ms).max(20))
}

/// The age in milliseconds, if anything came.
pub(crate) fn age_of(fresh: Fresh) -> Option<u64> {
    match fresh {
        Fresh::Live { age_ms } | Fresh::Aging { age_ms } | Fresh::Stale { age_ms } => Some(age_ms),
        Fresh::Never => None,
    }
}

fn rank(fresh: Fresh) -> u8 {
    match fresh {
        Fresh::Live { .. } => 0,
        Fresh::Aging { .. } => 1,
        Fresh::Stale { .. } => 2,
        Fresh::Never => 3,
    }
}

/// The less trustworthy of two, with the greater age of the same class.
fn worse(a: Fresh, b: Fresh) -> Fresh {
    match rank(a).cmp(&rank(b)) {
        std::cmp::Ordering::Greater => a,
        std::cmp::Ordering::Less => b,
        std::cmp::Ordering::Equal if age_of(a) >= age_of(b) => a,
        std::cmp::Ordering::Equal => b,
    }
}

fn wash(text: &mut String) {
    *text = clean_line(text, MAX_TEXT);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    #[test]
    fn an_age_grows_while_nothing_comes_and_reconnecting_does_not_reset_it() {
        let start = Instant::now();
        let mut store = fake::store(start);
        assert!(matches!(store.fresh(start), Fresh::Live { .. }));
        let later = start + Duration::from_secs(14);
        assert!(matches!(store.fresh(later), Fresh::Stale { age_ms } if age_ms >= 14_000));
        store.link(Peer::Feed, Link::Live);
        assert!(!store.fresh(later).is_usable());
        assert!(!store.ladder_fresh(later).is_usable());
    }

    #[test]
    fn a_heartbeat_alone_keeps_the_breaker_alive_but_not_its_equity() {
        let start = Instant::now();
        let mut store = fake::store(start);
        let later = start + Duration::from_secs(20);
        store.feed(fake::message(99, feed::Section::Heartbeat), later);
        assert!(store.voice(later).is_usable());
        assert!(!store.equity_fresh(later).is_usable());
        assert!(!store.ladder_fresh(later).is_usable());
    }

    #[test]
    fn an_unchanged_position_stays_fresh_through_its_source() {
        let start = Instant::now();
        let mut store = fake::store(start);
        let later = start + Duration::from_secs(60);
        store.feed(
            fake::message(99, feed::Section::Sources(fake::sources())),
            later,
        );
        assert!(store.positions_fresh(later).is_usable());
    }

    #[test]
    fn gaps_in_the_sequence_are_counted() {
        let now = Instant::now();
        let mut store = Store::default();
        for seq in [1, 2, 5] {
            store.feed(fake::message(seq, feed::Section::Heartbeat), now);
        }
        assert_eq!(store.gaps, 2);
    }

    #[test]
    fn text_from_outside_cannot_steer_the_terminal() {
        let mut store = Store::default();
        let mut alerts = fake::alerts();
        alerts[0].title = "evil \x1b]52;c;aGk=\x07".to_owned();
        store.feed(
            fake::message(1, feed::Section::Alerts(alerts)),
            Instant::now(),
        );
        assert!(!store.alerts[0].title.contains('\x1b'));
    }

    #[test]
    fn history_is_bounded() {
        let mut store = Store::default();
        let point = |t_ms| feed::Point {
            t_ms,
            equity_usdt: None,
        };
        for n in 0..20 {
            let points = (0..1000).map(|t| point(n * 1000 + t)).collect();
            store.feed(
                fake::message(n as u64 + 1, feed::Section::History(points)),
                Instant::now(),
            );
        }
        assert_eq!(store.history.len(), MAX_POINTS);
    }
}
