//! The replayed ledger: its balance, and which flows a wallet reading contains (L5, L6). Pure.
//!
//! A transfer appears in the wallet and in the ledger at different moments. A flow that is handed
//! to the ladder with a sample whose equity does not contain it yet would shift NAV for ever. So
//! each flow waits until the wallet balance fits the ledger with it better than without it.
//!
//! Weak spot: a flow smaller than half of what trading does between two readings can be stamped a
//! sample too early or too late; the error is at most the flow itself.

use fusebox_domain::{Decimal, LedgerKind, LedgerRow};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Ids are remembered this long; the exchange never lists a row later than this.
const REMEMBER_MS: i64 = 8 * 24 * 3_600_000;

/// How far each reading of the ledger looks back behind the newest row.
const OVERLAP_MS: i64 = 15 * 60_000;

/// The coin in which the account is measured.
const NUMERAIRE: &str = "USDT";

/// A flow that no accepted sample contains yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flow {
    pub(crate) id: String,
    pub(crate) time_ms: i64,
    pub(crate) type_name: String,
    /// Positive came in.
    pub(crate) amount: Decimal,
}

/// Something in the ledger that a person should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Oddity {
    /// A type that nobody knows: a credit was taken as flow, a debit as loss.
    UnknownType(String),
    /// A capital movement in another coin than the numeraire; it is not netted.
    OtherCoin(String),
}

/// What is known of the ledger. Saved and restored together with the ladder, so that a flow is
/// applied once however the process ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    seen: BTreeMap<String, i64>,
    newest_ms: i64,
    balance: Option<Decimal>,
    waiting: Vec<Flow>,
    started: bool,
}

impl Ledger {
    /// From when the next reading must look, given exchange time now.
    pub(crate) fn since_ms(&self, now_ms: i64) -> i64 {
        match self.started {
            true => self.newest_ms.min(now_ms).saturating_sub(OVERLAP_MS),
            false => now_ms.saturating_sub(REMEMBER_MS),
        }
    }

    /// Begins at the wallet's own balance if no row tells one: an account that has not moved for
    /// a week. From the first row on the ledger stands by itself.
    pub(crate) fn adopt(&mut self, wallet_balance: Decimal) {
        if self.started {
            self.balance.get_or_insert(wallet_balance);
        }
    }

    /// Balance after the newest row, in the numeraire; `None` before the first row.
    pub(crate) fn balance(&self) -> Option<Decimal> {
        self.balance
    }

    /// Takes a listing, newest row first, as the exchange sends it. The first listing of all is
    /// history: what it contains is in the equity that funds the account.
    pub(crate) fn read(&mut self, rows: &[LedgerRow]) -> Vec<Oddity> {
        let mut oddities = Vec::new();
        if let Some(row) = rows.iter().find(|row| row.currency == NUMERAIRE)
            && row.time_ms >= self.newest_ms
        {
            self.balance = Some(row.cash_balance);
        }
        // Oldest first, as they happened.
        for row in rows.iter().rev() {
            self.newest_ms = self.newest_ms.max(row.time_ms);
            if self.seen.insert(row.id.clone(), row.time_ms).is_some() || !self.started {
                continue;
            }
            self.take(row, &mut oddities);
        }
        self.started = true;
        let oldest_ms = self.newest_ms.saturating_sub(REMEMBER_MS);
        self.seen.retain(|_, time_ms| *time_ms >= oldest_ms);
        oddities
    }

    fn take(&mut self, row: &LedgerRow, oddities: &mut Vec<Oddity>) {
        let credit = row.change > Decimal::ZERO;
        let flow = match row.kind {
            LedgerKind::Flow => true,
            LedgerKind::Unknown => {
                oddities.push(Oddity::UnknownType(row.type_name.clone()));
                credit
            }
            LedgerKind::Result | LedgerKind::Conversion => false,
        };
        if !flow || row.change.is_zero() {
            return;
        }
        if row.currency != NUMERAIRE {
            oddities.push(Oddity::OtherCoin(row.currency.clone()));
            return;
        }
        self.waiting.push(Flow {
            id: row.id.clone(),
            time_ms: row.time_ms,
            type_name: row.type_name.clone(),
            amount: row.change,
        });
    }

    /// How many of the waiting flows, in their order, a wallet reading contains: the number with
    /// which its balance lies nearest to the ledger's.
    fn contained(&self, wallet_balance: Decimal, at_ms: i64) -> usize {
        let Some(balance) = self.balance else {
            return 0;
        };
        let mut without = balance;
        // From all of them down to none: without the last one, without the last two …
        let mut best = (self.waiting.len(), distance(wallet_balance, without));
        for (count, flow) in self.waiting.iter().enumerate().rev() {
            without = without.checked_sub(flow.amount).unwrap_or(without);
            let gap = distance(wallet_balance, without);
            if gap < best.1 {
                best = (count, gap);
            }
        }
        let due = self.waiting.iter().take_while(|flow| flow.time_ms <= at_ms);
        best.0.min(due.count())
    }

    /// Takes out the flows that a wallet reading contains. The caller hands them to the ladder
    /// with the sample made of this reading.
    pub(crate) fn stamp(&mut self, wallet_balance: Decimal, at_ms: i64) -> Vec<Flow> {
        let count = self.contained(wallet_balance, at_ms);
        self.waiting.drain(..count).collect()
    }

    /// By how much a wallet balance lies below the replayed ledger: a debit that no row explains.
    pub(crate) fn shortfall(&self, wallet_balance: Decimal) -> Option<Decimal> {
        let missing = self.balance?.checked_sub(wallet_balance)?;
        (missing > Decimal::ZERO).then_some(missing)
    }
}

fn distance(a: Decimal, b: Decimal) -> Decimal {
    a.checked_sub(b).map_or(Decimal::MAX, |d| d.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, time_ms: i64, type_name: &str, change: i64, balance: i64) -> LedgerRow {
        LedgerRow {
            id: id.into(),
            time_ms,
            type_name: type_name.into(),
            kind: fusebox_venue::ledger_kind(type_name),
            currency: NUMERAIRE.into(),
            change: Decimal::from(change),
            cash_balance: Decimal::from(balance),
            symbol: None,
            order_id: None,
            trade_id: None,
        }
    }

    fn started(balance: i64) -> Ledger {
        let mut ledger = Ledger::default();
        let _ = ledger.read(&[row("start", 1, "TRANSFER_IN", balance, balance)]);
        ledger
    }

    fn amounts(flows: &[Flow]) -> Vec<i64> {
        flows.iter().map(|f| f.amount.try_into().unwrap()).collect()
    }

    #[test]
    fn what_was_there_at_the_start_is_not_a_flow() {
        let mut ledger = started(4_000);
        assert_eq!(ledger.balance(), Some(Decimal::from(4_000)));
        assert!(ledger.stamp(Decimal::from(4_000), 10).is_empty());
    }

    #[test]
    fn a_row_before_its_balance_waits_for_the_balance() {
        let mut ledger = started(4_000);
        let _ = ledger.read(&[row("a", 10, "TRANSFER_IN", 1_000, 5_000)]);
        assert!(
            ledger.stamp(Decimal::from(4_000), 20).is_empty(),
            "wallet is behind"
        );
        assert_eq!(amounts(&ledger.stamp(Decimal::from(5_000), 30)), [1_000]);
        assert!(ledger.stamp(Decimal::from(5_000), 40).is_empty(), "once");
    }

    #[test]
    fn of_several_flows_the_wallet_may_contain_the_first_only() {
        let mut ledger = started(4_000);
        let rows = [
            row("b", 20, "TRANSFER_OUT", -500, 4_500),
            row("a", 10, "TRANSFER_IN", 1_000, 5_000),
        ];
        let _ = ledger.read(&rows);
        assert_eq!(amounts(&ledger.stamp(Decimal::from(5_000), 30)), [1_000]);
        assert_eq!(
            amounts(&ledger.stamp(Decimal::from(4_497), 40)),
            [-500],
            "nearest"
        );
    }

    #[test]
    fn the_same_row_on_two_pages_counts_once() {
        let mut ledger = started(4_000);
        let rows = [row("a", 10, "TRANSFER_OUT", -1_000, 3_000)];
        let _ = ledger.read(&rows);
        let _ = ledger.read(&rows);
        assert_eq!(amounts(&ledger.stamp(Decimal::from(3_000), 30)), [-1_000]);
    }

    #[test]
    fn a_flow_is_never_stamped_on_a_sample_before_its_time() {
        let mut ledger = started(4_000);
        let _ = ledger.read(&[row("a", 100, "TRANSFER_IN", 1_000, 5_000)]);
        assert!(ledger.stamp(Decimal::from(5_000), 99).is_empty());
        assert_eq!(ledger.stamp(Decimal::from(5_000), 100).len(), 1);
    }

    #[test]
    fn an_unknown_credit_is_a_flow_and_an_unknown_debit_is_a_loss() {
        let mut ledger = started(4_000);
        let odd = ledger.read(&[
            row("b", 20, "NEW_DEBIT", -50, 4_050),
            row("a", 10, "NEW_CREDIT", 100, 4_100),
        ]);
        assert_eq!(odd.len(), 2);
        assert_eq!(amounts(&ledger.stamp(Decimal::from(4_050), 30)), [100]);
    }

    #[test]
    fn trading_moves_the_balance_and_is_no_flow() {
        let mut ledger = started(4_000);
        let _ = ledger.read(&[row("t", 10, "TRADE", -7, 3_993)]);
        assert_eq!(ledger.balance(), Some(Decimal::from(3_993)));
        assert!(ledger.stamp(Decimal::from(3_993), 30).is_empty());
    }

    #[test]
    fn money_that_left_without_a_row_is_a_shortfall() {
        let ledger = started(4_000);
        assert_eq!(
            ledger.shortfall(Decimal::from(3_000)),
            Some(Decimal::from(1_000))
        );
        assert_eq!(ledger.shortfall(Decimal::from(4_001)), None);
        assert_eq!(Ledger::default().shortfall(Decimal::ZERO), None);
    }

    #[test]
    fn a_restart_reads_on_where_it_stopped() {
        let ledger = started(4_000);
        let text = serde_json::to_string(&ledger).unwrap();
        let mut ledger: Ledger = serde_json::from_str(&text).unwrap();
        assert_eq!(ledger.since_ms(5_000_000), 1 - OVERLAP_MS);
        let _ = ledger.read(&[
            row("away", 9_000, "TRANSFER_OUT", -1_000, 3_000),
            row("start", 1, "TRANSFER_IN", 4_000, 4_000),
        ]);
        assert_eq!(
            amounts(&ledger.stamp(Decimal::from(3_000), 9_500)),
            [-1_000]
        );
    }
}
