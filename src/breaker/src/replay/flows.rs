//! Rows of the exchange's transaction log: which are flows, each once, and when they are due (L5).

use fusebox_domain::LedgerKind;
use fusebox_venue::ledger_kind;
use std::collections::{BTreeMap, HashMap};

/// One row of the transaction log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The exchange's id, unique per row.
    pub id: String,
    /// Exchange time, in ms.
    pub t_ms: i64,
    /// The exchange's type.
    pub kind: String,
    /// Change of the wallet, in 10⁻⁸; its sign is the direction, whatever the type says.
    pub amount_e8: i128,
}

/// Whether a row is a flow. A type nobody knows fails safe: a credit is a flow (it cannot hide a
/// loss or lift the peak), a debit is a loss.
fn is_flow(kind: &str, amount_e8: i128) -> bool {
    match ledger_kind(kind) {
        LedgerKind::Flow => true,
        LedgerKind::Result | LedgerKind::Conversion => false,
        LedgerKind::Unknown => amount_e8 > 0,
    }
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Seen before, no flow, or part of the funding: nothing to do.
    Ignored,
    /// Kept until its sample.
    Waiting,
    /// Belongs to a sample that was already taken.
    Late,
    /// The id came before with another content; the first one stands.
    Conflict,
}

/// Every row once, and the flows that are not due yet.
#[derive(Debug, Default)]
pub(crate) struct FlowBook {
    seen: HashMap<String, Row>,
    waiting: BTreeMap<i64, Vec<i128>>,
}

impl FlowBook {
    /// Takes a row in. `funded_ms` and `last_ms`: times of the funding and of the last accepted sample.
    pub(crate) fn arrive(&mut self, row: &Row, funded_ms: i64, last_ms: i64) -> Arrival {
        if let Some(before) = self.seen.get(&row.id) {
            return if before == row {
                Arrival::Ignored
            } else {
                Arrival::Conflict
            };
        }
        self.seen.insert(row.id.clone(), row.clone());
        if row.t_ms <= funded_ms || row.amount_e8 == 0 || !is_flow(&row.kind, row.amount_e8) {
            Arrival::Ignored
        } else if row.t_ms <= last_ms {
            Arrival::Late
        } else {
            self.waiting
                .entry(row.t_ms)
                .or_default()
                .push(row.amount_e8);
            Arrival::Waiting
        }
    }

    /// Removes and returns the flows up to and at `t_ms`.
    pub(crate) fn due(&mut self, t_ms: i64) -> Vec<i128> {
        let later = self.waiting.split_off(&t_ms.saturating_add(1));
        std::mem::replace(&mut self.waiting, later)
            .into_values()
            .flatten()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_says_flow_or_not_and_the_unknown_fails_safe() {
        for (kind, credit, debit) in [
            ("TRANSFER_IN", true, true),
            ("TRANSFER_OUT", true, true),
            ("BONUS_RECOLLECT", true, true),
            ("TRADE", false, false),
            ("CURRENCY_BUY", false, false),
            ("SOMETHING_NEW", true, false),
            ("", true, false),
        ] {
            assert_eq!(
                (is_flow(kind, 1), is_flow(kind, -1)),
                (credit, debit),
                "{kind}"
            );
        }
    }

    #[test]
    fn each_id_counts_once_and_a_changed_content_is_noticed() {
        let mut book = FlowBook::default();
        let row = Row {
            id: "a".into(),
            t_ms: 2_000,
            kind: "DEPOSIT".into(),
            amount_e8: 5,
        };
        assert_eq!(book.arrive(&row, 0, 1_000), Arrival::Waiting);
        assert_eq!(book.arrive(&row, 0, 1_000), Arrival::Ignored);
        assert_eq!(
            book.arrive(
                &Row {
                    amount_e8: 6,
                    ..row.clone()
                },
                0,
                1_000
            ),
            Arrival::Conflict
        );
        assert_eq!(book.due(1_999), Vec::<i128>::new());
        assert_eq!(book.due(2_000), [5]);
        assert_eq!(book.due(2_000), Vec::<i128>::new());
        assert_eq!(book.arrive(&row, 0, 2_000), Arrival::Ignored);
        assert_eq!(
            book.arrive(
                &Row {
                    id: "b".into(),
                    ..row.clone()
                },
                0,
                2_000
            ),
            Arrival::Late
        );
        assert_eq!(
            book.arrive(
                &Row {
                    id: "c".into(),
                    ..row
                },
                2_000,
                2_000
            ),
            Arrival::Ignored
        );
    }
}
