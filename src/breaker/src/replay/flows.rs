//! Rows of the exchange's transaction log: which are flows, each once, and when they are due (L5).

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

/// Types that are capital. A trailing `*` stands for any ending, a leading one for any beginning.
const CAPITAL: [&str; 16] = [
    "TRANSFER_IN*",
    "TRANSFER_OUT*",
    "DEPOSIT*",
    "WITHDRAW*",
    "BONUS*",
    "AIRDROP*",
    "*_INS_LOAN",
    "INSTITUTION_LOAN_*",
    "LOANS_*",
    "LOAN*",
    "BORROW*",
    "REPAY*",
    "CUSTODY_*",
    "PEF_*",
    "*_SUBSCRIPTION",
    "*_REDEMPTION",
];
/// Types that are result: trading, its costs, and conversions. Asked first: interest on a loan is no principal.
const RESULT: [&str; 13] = [
    "TRADE",
    "SETTLEMENT",
    "FUNDING*",
    "DELIVERY",
    "LIQUIDATION",
    "ADL",
    "FEE*",
    "*_FEE",
    "INTEREST*",
    "*INTEREST_REPAYMENT_INS_LOAN",
    "CURRENCY_*",
    "CONVERT*",
    "PEF_PROFIT_SHARE",
];

fn matches(pattern: &str, kind: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(ending), _) => kind.ends_with(ending),
        (_, Some(beginning)) => kind.starts_with(beginning),
        _ => kind == pattern,
    }
}

/// Whether a row is a flow. A type nobody knows fails safe: a credit is a flow (it cannot hide a loss or lift the
/// peak), a debit is a loss.
pub(crate) fn is_flow(kind: &str, amount_e8: i128) -> bool {
    if RESULT.iter().any(|pattern| matches(pattern, kind)) {
        return false;
    }
    CAPITAL.iter().any(|pattern| matches(pattern, kind)) || amount_e8 > 0
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
            ("DEPOSIT", true, true),
            ("WITHDRAW", true, true),
            ("WITHDRAWAL", true, true),
            ("BONUS", true, true),
            ("BONUS_RECOLLECT", true, true),
            ("AIRDROP", true, true),
            ("BORROWED_AMOUNT_INS_LOAN", true, true),
            ("AUTO_PRINCIPLE_REPAYMENT_INS_LOAN", true, true),
            ("LOANS_BORROW_FUNDS", true, true),
            ("INTEREST_REPAYMENT_INS_LOAN", false, false),
            ("TRADE", false, false),
            ("SETTLEMENT", false, false),
            ("FEE", false, false),
            ("FEE_REFUND", false, false),
            ("CUSTODY_NETWORK_FEE", false, false),
            ("LIQUIDATION", false, false),
            ("ADL", false, false),
            ("DELIVERY", false, false),
            ("INTEREST", false, false),
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
