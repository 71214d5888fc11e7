//! Wallet and ledger.

use crate::Error;
use crate::fields::Row;
use fusebox_domain::{Decimal, LedgerKind, LedgerRow, Wallet};

/// The wallet with its coins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletReading {
    /// The account as a whole, USD.
    pub wallet: Wallet,
    /// Each coin held.
    pub coins: Vec<CoinBalance>,
}

/// One coin of the wallet, in units of that coin unless the name says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoinBalance {
    /// The coin, `USDT`.
    pub coin: String,
    /// Wallet balance plus unrealised result.
    pub equity: Decimal,
    /// Balance without the unrealised result.
    pub wallet_balance: Decimal,
    /// Unrealised result, where given.
    pub unrealised: Option<Decimal>,
    /// Value of `equity` in USD, where given.
    pub value_usd: Option<Decimal>,
}

/// `result.list[0]` of `wallet-balance`, or one row of the `wallet` topic.
pub(crate) fn wallet(row: &Row<'_>, at_ms: i64) -> Result<WalletReading, Error> {
    let wallet = Wallet {
        time_ms: at_ms,
        total_equity_usdt: row.need_decimal("totalEquity")?,
        wallet_balance_usdt: row.need_decimal("totalWalletBalance")?,
        // Isolated margin leaves it empty; then the coins tell it.
        unrealised_usdt: match row.decimal("totalPerpUPL")? {
            Some(total) => total,
            None => sum_unrealised(row)?,
        },
        maintenance_margin_usdt: row.decimal("totalMaintenanceMargin")?,
    };
    let coins = row
        .rows("coin")?
        .iter()
        .map(coin)
        .collect::<Result<_, _>>()?;
    Ok(WalletReading { wallet, coins })
}

fn sum_unrealised(row: &Row<'_>) -> Result<Decimal, Error> {
    row.rows("coin")?.iter().try_fold(Decimal::ZERO, |sum, c| {
        let one = c.decimal("unrealisedPnl")?.unwrap_or_default();
        sum.checked_add(one)
            .ok_or_else(|| c.wrong("unrealisedPnl", "is out of range"))
    })
}

fn coin(row: &Row<'_>) -> Result<CoinBalance, Error> {
    Ok(CoinBalance {
        coin: row.need_text("coin")?.to_owned(),
        equity: row.need_decimal("equity")?,
        wallet_balance: row.need_decimal("walletBalance")?,
        unrealised: row.decimal("unrealisedPnl")?,
        value_usd: row.decimal("usdValue")?,
    })
}

/// A type of the ledger and its meaning here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LedgerType {
    /// The exchange's word; with a `*` at an end it stands for everything that ends or begins so.
    word: &'static str,
    /// What it means.
    kind: LedgerKind,
}

const fn of(kind: LedgerKind, word: &'static str) -> LedgerType {
    LedgerType { word, kind }
}

/// First match wins, so results come first: interest on a loan is no principal. About 130 types
/// exist and more come: what is not here is [`LedgerKind::Unknown`] (credit is a flow, debit is a
/// loss, both are reported).
const LEDGER: &[LedgerType] = &[
    of(LedgerKind::Result, "TRADE"),
    of(LedgerKind::Result, "SETTLEMENT"),
    of(LedgerKind::Result, "FUNDING*"),
    of(LedgerKind::Result, "DELIVERY"),
    of(LedgerKind::Result, "LIQUIDATION"),
    of(LedgerKind::Result, "ADL"),
    of(LedgerKind::Result, "INTEREST*"),
    of(LedgerKind::Result, "*INTEREST_REPAYMENT_INS_LOAN"),
    of(LedgerKind::Result, "FEE*"),
    of(LedgerKind::Result, "*_FEE"),
    of(LedgerKind::Result, "PEF_PROFIT_SHARE"),
    of(LedgerKind::Conversion, "CURRENCY_*"),
    of(LedgerKind::Conversion, "CONVERT*"),
    of(LedgerKind::Flow, "TRANSFER_IN*"),
    of(LedgerKind::Flow, "TRANSFER_OUT*"),
    of(LedgerKind::Flow, "DEPOSIT*"),
    of(LedgerKind::Flow, "WITHDRAW*"),
    of(LedgerKind::Flow, "BONUS*"),
    of(LedgerKind::Flow, "AIRDROP*"),
    of(LedgerKind::Flow, "BORROW*"),
    of(LedgerKind::Flow, "REPAY*"),
    of(LedgerKind::Flow, "LOAN*"),
    of(LedgerKind::Flow, "INSTITUTION_LOAN_*"),
    of(LedgerKind::Flow, "*_INS_LOAN"),
    of(LedgerKind::Flow, "CUSTODY_*"),
    of(LedgerKind::Flow, "PEF_*"),
    of(LedgerKind::Flow, "*_SUBSCRIPTION"),
    of(LedgerKind::Flow, "*_REDEMPTION"),
];

/// What a ledger type means here (rule L5).
pub fn ledger_kind(type_name: &str) -> LedgerKind {
    LEDGER
        .iter()
        .find(
            |t| match (t.word.strip_suffix('*'), t.word.strip_prefix('*')) {
                (Some(start), _) => type_name.starts_with(start),
                (_, Some(end)) => type_name.ends_with(end),
                _ => t.word == type_name,
            },
        )
        .map_or(LedgerKind::Unknown, |t| t.kind)
}

/// One row of `transaction-log`. The exchange's `id` alone repeats, so the key is made of
/// everything that tells two rows apart.
pub(crate) fn ledger_row(row: &Row<'_>) -> Result<LedgerRow, Error> {
    let type_name = row.need_text("type")?;
    let currency = row.need_text("currency")?;
    let change = row.need_decimal("change")?;
    let part = |name| row.text(name).unwrap_or_default();
    let id = format!(
        "{}/{type_name}/{}/{}/{currency}/{}",
        part("id"),
        part("tradeId"),
        part("orderId"),
        change.normalize(),
    );
    Ok(LedgerRow {
        id,
        time_ms: row.need_integer("transactionTime")?,
        type_name: type_name.to_owned(),
        kind: ledger_kind(type_name),
        currency: currency.to_owned(),
        change,
        cash_balance: row.need_decimal("cashBalance")?,
        symbol: row.text("symbol").map(str::to_owned),
        order_id: row.text("orderId").map(str::to_owned),
        trade_id: row.text("tradeId").map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_knows_flows_results_and_what_it_does_not_know() {
        for (word, kind) in [
            ("TRANSFER_OUT", LedgerKind::Flow),
            ("BONUS_RECOLLECT", LedgerKind::Flow),
            ("FLEXIBLE_STAKING_SUBSCRIPTION", LedgerKind::Flow),
            ("SETTLEMENT", LedgerKind::Result),
            ("CURRENCY_BUY", LedgerKind::Conversion),
            ("SOMETHING_NEW", LedgerKind::Unknown),
            ("TRADE_BONUS", LedgerKind::Unknown),
        ] {
            assert_eq!(ledger_kind(word), kind, "{word}");
        }
    }
}
