//! Orders that the bot did not place, and entries that are not maker-only (rule X). Pure.
//!
//! An order is foreign when a reading of the bot that began well after the order was made does not
//! know it. While the bot does not answer nothing is judged: unknown is not foreign.
//!
//! Weak spot: an order that was placed and filled while the bot was unreachable is judged only
//! when the bot answers again.

use fusebox_domain::{Execution, Order, OrderKind, OrderStatus, TimeInForce};
use std::collections::{BTreeMap, HashSet, VecDeque};

/// A bot writes an order down a moment after it was placed.
const GRACE_MS: i64 = 5_000;

/// The bot's order ids remembered.
const KNOWN: usize = 20_000;

/// Orders waiting for a judgement.
const SUSPECTS: usize = 1_000;

/// An order that is an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) order_id: String,
    /// `XRPUSDT sell 12.0`.
    pub(crate) what: String,
}

#[derive(Debug)]
struct Suspect {
    made_ms: i64,
    what: String,
}

/// Compares the exchange's orders with the bot's.
#[derive(Debug, Default)]
pub(crate) struct OrderWatch {
    /// Whether entries must be maker-only.
    post_only: bool,
    known: HashSet<String>,
    known_order: VecDeque<String>,
    suspects: BTreeMap<String, Suspect>,
    foreign: HashSet<String>,
    takers: HashSet<String>,
    /// Exchange time at which the last successful reading of the bot began.
    bot_read_ms: Option<i64>,
}

impl OrderWatch {
    pub(crate) fn new(post_only: bool) -> Self {
        Self {
            post_only,
            ..Self::default()
        }
    }

    /// The bot answered: these are its orders, read from `began_ms` of exchange time on.
    pub(crate) fn bot_orders(&mut self, ids: impl IntoIterator<Item = String>, began_ms: i64) {
        for id in ids {
            self.suspects.remove(&id);
            if self.known.insert(id.clone()) {
                self.known_order.push_back(id);
            }
        }
        while self.known_order.len() > KNOWN {
            if let Some(oldest) = self.known_order.pop_front() {
                self.known.remove(&oldest);
            }
        }
        self.bot_read_ms = Some(began_ms);
    }

    /// An order on the exchange. Tells at once if it is an entry that may take.
    pub(crate) fn order(&mut self, order: &Order) -> Option<Finding> {
        let price = order
            .price
            .map_or("at market".to_owned(), |p| format!("limit {p}"));
        let what = format!(
            "{} {} {} {price}",
            order.symbol,
            order.side.order_word(),
            order.qty
        );
        self.suspect(&order.order_id, order.created_ms, &what);
        let entry = matches!(order.kind, OrderKind::Entry | OrderKind::ConditionalEntry);
        let taker = entry
            && order.status != OrderStatus::Gone
            && order.time_in_force != Some(TimeInForce::PostOnly);
        (self.post_only && taker && self.takers.insert(order.order_id.clone())).then(|| Finding {
            order_id: order.order_id.clone(),
            what,
        })
    }

    /// An execution: its order may have been filled before it was ever seen resting.
    pub(crate) fn execution(&mut self, execution: &Execution) {
        // Funding, liquidation and settlement have orders of the exchange's own.
        if execution.exec_type != "Trade" || execution.order_id.is_empty() {
            return;
        }
        let what = format!(
            "{} {} {} filled at {}",
            execution.symbol,
            execution.side.order_word(),
            execution.qty,
            execution.price
        );
        self.suspect(&execution.order_id, execution.time_ms, &what);
    }

    /// The orders that are found to be foreign now.
    pub(crate) fn judge(&mut self) -> Vec<Finding> {
        let Some(read_ms) = self.bot_read_ms else {
            return Vec::new();
        };
        let ripe = |s: &Suspect| s.made_ms.saturating_add(GRACE_MS) <= read_ms;
        let ids: Vec<String> = self
            .suspects
            .iter()
            .filter(|(_, s)| ripe(s))
            .map(|(id, _)| id.clone())
            .collect();
        ids.into_iter()
            .filter_map(|order_id| {
                let suspect = self.suspects.remove(&order_id)?;
                self.foreign.insert(order_id.clone());
                Some(Finding {
                    order_id,
                    what: suspect.what,
                })
            })
            .collect()
    }

    pub(crate) fn is_foreign(&self, order_id: &str) -> bool {
        self.foreign.contains(order_id)
    }

    pub(crate) fn is_taker(&self, order_id: &str) -> bool {
        self.takers.contains(order_id)
    }

    fn suspect(&mut self, order_id: &str, made_ms: i64, what: &str) {
        let judged = self.known.contains(order_id) || self.foreign.contains(order_id);
        if judged || self.suspects.contains_key(order_id) || self.suspects.len() >= SUSPECTS {
            return;
        }
        self.suspects.insert(
            order_id.to_owned(),
            Suspect {
                made_ms,
                what: what.to_owned(),
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_domain::{Decimal, Side};

    fn order(id: &str, created_ms: i64, kind: OrderKind, tif: TimeInForce) -> Order {
        Order {
            order_id: id.into(),
            link_id: None,
            symbol: "SOLUSDT".into(),
            side: Side::Sell,
            kind,
            time_in_force: Some(tif),
            qty: Decimal::from(12),
            price: Some(Decimal::from(151)),
            trigger_price: None,
            status: OrderStatus::Open,
            created_ms,
            updated_ms: created_ms,
        }
    }

    fn entry(id: &str, created_ms: i64) -> Order {
        order(id, created_ms, OrderKind::Entry, TimeInForce::PostOnly)
    }

    fn bot(watch: &mut OrderWatch, ids: &[&str], began_ms: i64) {
        watch.bot_orders(ids.iter().map(|id| (*id).to_owned()), began_ms);
    }

    #[test]
    fn an_order_unknown_to_a_later_reading_of_the_bot_is_foreign_once() {
        let mut watch = OrderWatch::new(true);
        assert_eq!(watch.order(&entry("a", 10_000)), None);
        bot(&mut watch, &[], 14_999);
        assert!(watch.judge().is_empty(), "within the grace");
        bot(&mut watch, &[], 15_000);
        let found = watch.judge();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].what, "SOLUSDT sell 12 limit 151");
        assert!(watch.is_foreign("a"));
        let _ = watch.order(&entry("a", 10_000));
        bot(&mut watch, &[], 20_000);
        assert!(watch.judge().is_empty(), "told once");
    }

    #[test]
    fn the_bots_own_order_is_not_foreign_even_if_it_left_the_bots_list() {
        let mut watch = OrderWatch::new(true);
        bot(&mut watch, &["a"], 11_000);
        let _ = watch.order(&entry("a", 10_000));
        bot(&mut watch, &[], 60_000);
        assert!(watch.judge().is_empty());
    }

    #[test]
    fn while_the_bot_is_silent_nothing_is_judged() {
        let mut watch = OrderWatch::new(true);
        let _ = watch.order(&entry("a", 10_000));
        assert!(watch.judge().is_empty());
    }

    #[test]
    fn an_execution_of_an_order_that_never_rested_is_judged_too() {
        let mut watch = OrderWatch::new(true);
        let mut fill = Execution {
            exec_id: "e".into(),
            order_id: "m".into(),
            link_id: None,
            symbol: "X".into(),
            side: Side::Buy,
            exec_type: "Funding".into(),
            qty: Decimal::ONE,
            price: Decimal::ONE,
            fee_usdt: Decimal::ZERO,
            maker: false,
            time_ms: 10_000,
        };
        watch.execution(&fill);
        bot(&mut watch, &[], 20_000);
        assert!(watch.judge().is_empty(), "funding has no order of the bot");
        fill.exec_type = "Trade".into();
        watch.execution(&fill);
        assert_eq!(watch.judge().len(), 1);
    }

    #[test]
    fn an_entry_that_may_take_is_told_at_once_and_an_exit_may_take() {
        let mut watch = OrderWatch::new(true);
        let taker = order("t", 0, OrderKind::Entry, TimeInForce::Gtc);
        assert_eq!(watch.order(&taker).unwrap().order_id, "t");
        assert!(watch.is_taker("t") && !watch.is_foreign("t"));
        assert_eq!(watch.order(&taker), None, "told once");
        for kind in [OrderKind::Exit, OrderKind::ProtectiveStop] {
            assert_eq!(watch.order(&order("x", 0, kind, TimeInForce::Gtc)), None);
        }
        let mut lenient = OrderWatch::new(false);
        assert_eq!(lenient.order(&taker), None);
    }
}
