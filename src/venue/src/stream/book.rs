//! Positions and open orders, from REST listings and the private stream together.

use crate::PositionRow;
use fusebox_domain::{Order, OrderStatus, Position, Symbol};
use std::collections::{BTreeMap, HashSet};

/// A row that changed this shortly before a listing may be missing in it: REST may be a moment
/// behind the stream.
const LAG_MS: i64 = 1_000;

/// What the account holds. Rows older than what is known change nothing, whichever way they come.
#[derive(Debug, Clone, Default)]
pub struct Book {
    positions: BTreeMap<(Symbol, i64), PositionRow>,
    orders: BTreeMap<String, Order>,
    listed_ms: i64,
}

impl Book {
    /// Takes a complete listing, made at `at_ms` of exchange time. What is not in it and has not
    /// changed since is gone.
    pub fn list(&mut self, at_ms: i64, positions: Vec<PositionRow>, orders: Vec<Order>) {
        if at_ms < self.listed_ms {
            return;
        }
        self.listed_ms = at_ms;
        let listed: HashSet<_> = positions.iter().map(place).collect();
        self.positions.retain(|place, row| {
            listed.contains(place) || row.updated_ms > at_ms.saturating_sub(LAG_MS)
        });
        for row in positions {
            self.put(row);
        }
        let listed: HashSet<_> = orders.iter().map(|o| o.order_id.clone()).collect();
        self.orders.retain(|id, order| {
            listed.contains(id) || order.updated_ms > at_ms.saturating_sub(LAG_MS)
        });
        for order in orders {
            self.put_order(order);
        }
    }

    /// Takes a row of the `position` topic; `false` if it was old.
    pub fn position(&mut self, row: PositionRow) -> bool {
        let unknown = !self.positions.contains_key(&place(&row));
        if unknown && row.updated_ms < self.listed_ms.saturating_sub(LAG_MS) {
            return false;
        }
        self.put(row)
    }

    /// Takes a row of the `order` topic; `false` if it was old.
    pub fn order(&mut self, order: Order) -> bool {
        let unknown = !self.orders.contains_key(&order.order_id);
        if unknown && order.updated_ms < self.listed_ms.saturating_sub(LAG_MS) {
            return false;
        }
        self.put_order(order)
    }

    /// Open positions by symbol.
    pub fn positions(&self) -> impl Iterator<Item = &Position> {
        self.positions
            .values()
            .filter_map(|row| row.position.as_ref())
    }

    /// Orders that can still trade.
    pub fn orders(&self) -> impl Iterator<Item = &Order> {
        self.orders
            .values()
            .filter(|order| order.status == OrderStatus::Open)
    }

    fn put(&mut self, row: PositionRow) -> bool {
        let newer = self.positions.get(&place(&row)).is_none_or(|known| {
            (row.seq, row.updated_ms) >= (known.seq, known.updated_ms) || row.seq < 0
        });
        if newer {
            self.positions.insert(place(&row), row);
        }
        newer
    }

    fn put_order(&mut self, order: Order) -> bool {
        let newer = self
            .orders
            .get(&order.order_id)
            .is_none_or(|known| order.updated_ms >= known.updated_ms);
        if newer {
            self.orders.insert(order.order_id.clone(), order);
        }
        newer
    }
}

fn place(row: &PositionRow) -> (Symbol, i64) {
    (row.symbol.clone(), row.idx)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_domain::{Decimal, OrderKind, Side};

    fn row(size: i64, seq: i64, updated_ms: i64) -> PositionRow {
        PositionRow {
            symbol: "X".into(),
            idx: 0,
            seq,
            updated_ms,
            position: (size > 0).then(|| Position {
                symbol: "X".into(),
                side: Side::Buy,
                size: Decimal::from(size),
                entry_price: Decimal::ONE,
                mark_price: None,
                liquidation_price: None,
                leverage: None,
                unrealised_usdt: None,
                stop_price: None,
                opened_ms: None,
                updated_ms,
                seq,
            }),
        }
    }

    fn order(id: &str, status: OrderStatus, updated_ms: i64) -> Order {
        Order {
            order_id: id.into(),
            link_id: None,
            symbol: "X".into(),
            side: Side::Buy,
            kind: OrderKind::Entry,
            time_in_force: None,
            qty: Decimal::ONE,
            price: None,
            trigger_price: None,
            status,
            created_ms: 0,
            updated_ms,
        }
    }

    fn sizes(book: &Book) -> Vec<i64> {
        book.positions()
            .map(|p| p.size.try_into().unwrap())
            .collect()
    }

    #[test]
    fn an_older_sequence_changes_nothing() {
        let mut book = Book::default();
        book.list(10_000, vec![row(2, 7, 9_000)], vec![]);
        assert!(!book.position(row(5, 6, 8_900)));
        assert_eq!(sizes(&book), [2]);
        assert!(book.position(row(0, 8, 11_000)));
        assert_eq!(sizes(&book), [0i64; 0]);
        assert!(
            !book.position(row(2, 7, 9_000)),
            "a late row does not reopen it"
        );
    }

    #[test]
    fn what_a_listing_lacks_is_gone_unless_it_changed_just_now() {
        let mut book = Book::default();
        book.list(
            1_000,
            vec![row(2, 7, 900)],
            vec![order("a", OrderStatus::Open, 900)],
        );
        book.list(5_000, vec![], vec![]);
        assert!(sizes(&book).is_empty() && book.orders().next().is_none());
        assert!(book.position(row(3, 9, 6_000)));
        assert!(book.order(order("b", OrderStatus::Open, 6_000)));
        book.list(6_500, vec![], vec![]);
        assert_eq!((sizes(&book), book.orders().count()), (vec![3], 1));
    }

    #[test]
    fn rows_buffered_from_before_a_listing_do_not_resurrect_anything() {
        let mut book = Book::default();
        book.list(10_000, vec![], vec![]);
        assert!(!book.order(order("a", OrderStatus::Open, 5_000)));
        assert!(!book.position(row(1, 3, 5_000)));
        assert!(book.order(order("c", OrderStatus::Open, 10_500)));
        assert!(book.order(order("c", OrderStatus::Filled, 10_600)));
        assert!(
            !book.order(order("c", OrderStatus::Open, 10_500)),
            "it stays filled"
        );
        assert_eq!(book.orders().count(), 0);
    }
}
