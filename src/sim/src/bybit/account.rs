//! One account: wallet, positions, orders, executions, ledger; and how the exchange shows them.

use std::collections::{BTreeMap, VecDeque};

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::instruments::MAINTENANCE;
use super::ledger::Ledger;
use super::market::Market;
use super::order::{Execution, Order, Position, Side, Status, StopKind};

/// All markets by symbol.
pub(crate) type Markets = BTreeMap<&'static str, Market>;

/// Closed orders, executions and closed profits kept per account.
const HISTORY: usize = 5_000;
/// Leverage of a symbol nobody set it for.
const LEVERAGE: Decimal = Decimal::from_parts(10, 0, 0, false, 0);

/// A row of `/v5/position/closed-pnl`.
#[derive(Debug, Clone)]
pub(crate) struct ClosedPnl {
    pub(crate) seq: u64,
    pub(crate) time_ms: i64,
    pub(crate) row: Value,
}

/// One sub-account, or the master.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) uid: u64,
    pub(crate) name: String,
    pub(crate) frozen: bool,
    /// USDT in the trading wallet.
    pub(crate) wallet: Decimal,
    /// USDT in the funding wallet; not part of equity.
    pub(crate) fund: Decimal,
    /// Equity that counts as no loss: what it started with, scaled by every capital movement since.
    pub(crate) reference: Decimal,
    pub(crate) realised_ever: Decimal,
    pub(crate) leverage: BTreeMap<&'static str, Decimal>,
    pub(crate) margin_mode: String,
    pub(crate) positions: BTreeMap<&'static str, Position>,
    /// Open orders, oldest first.
    pub(crate) orders: Vec<Order>,
    pub(crate) closed_orders: VecDeque<Order>,
    pub(crate) executions: VecDeque<Execution>,
    pub(crate) closed_pnl: VecDeque<ClosedPnl>,
    pub(crate) ledger: Ledger,
    /// Rows of the transfer lists, with time and number.
    pub(crate) transfers: Vec<(i64, u64, Value)>,
}

impl Account {
    /// An account that has traded nothing yet. Its first deposit is before the ledger begins.
    pub(crate) fn new(uid: u64, name: String, wallet: Decimal) -> Self {
        Self {
            uid,
            name,
            frozen: false,
            wallet,
            fund: Decimal::ZERO,
            reference: wallet,
            realised_ever: Decimal::ZERO,
            leverage: BTreeMap::new(),
            margin_mode: "REGULAR_MARGIN".to_owned(),
            positions: BTreeMap::new(),
            orders: Vec::new(),
            closed_orders: VecDeque::new(),
            executions: VecDeque::new(),
            closed_pnl: VecDeque::new(),
            ledger: Ledger::default(),
            transfers: Vec::new(),
        }
    }

    /// Profit of all open positions, USDT.
    pub(crate) fn unrealised(&self, markets: &Markets) -> Decimal {
        self.sum(markets, |p, m| p.unrealised(m.mark))
    }

    /// Wallet plus open profit, USDT.
    pub(crate) fn equity(&self, markets: &Markets) -> Decimal {
        self.wallet + self.unrealised(markets)
    }

    /// Value of all open positions without sign, USDT.
    pub(crate) fn gross(&self, markets: &Markets) -> Decimal {
        self.sum(markets, |p, m| p.size.abs() * m.mark)
    }

    /// Drawdown from the reference, as a fraction (0.05 is 5 % lost).
    pub(crate) fn drawdown(&self, markets: &Markets) -> Decimal {
        Decimal::ONE
            - self
                .equity(markets)
                .checked_div(self.reference)
                .unwrap_or(Decimal::ONE)
    }

    fn sum(&self, markets: &Markets, of: impl Fn(&Position, &Market) -> Decimal) -> Decimal {
        let open = self.positions.iter().filter(|(_, p)| !p.size.is_zero());
        open.filter_map(|(s, p)| Some(of(p, markets.get(s)?))).sum()
    }

    pub(crate) fn leverage_of(&self, symbol: &str) -> Decimal {
        self.leverage.get(symbol).copied().unwrap_or(LEVERAGE)
    }

    fn margin(&self, markets: &Markets) -> (Decimal, Decimal) {
        let positions: Decimal = self
            .positions
            .iter()
            .filter_map(|(s, p)| {
                (p.size.abs() * markets.get(s)?.mark).checked_div(self.leverage_of(s))
            })
            .sum();
        let orders: Decimal = self
            .orders
            .iter()
            .filter(|o| o.status != Status::Untriggered && !o.reduce_only)
            .filter_map(|o| (o.leaves() * o.price).checked_div(self.leverage_of(o.symbol)))
            .sum();
        (positions, orders)
    }

    /// What new orders may still bind, USDT.
    pub(crate) fn available(&self, markets: &Markets) -> Decimal {
        let (positions, orders) = self.margin(markets);
        (self.equity(markets) - positions - orders).max(Decimal::ZERO)
    }

    pub(crate) fn position(&self, symbol: &str) -> Position {
        self.positions.get(symbol).cloned().unwrap_or_default()
    }

    /// Price of the position's full stop of this kind.
    fn stop_price(&self, symbol: &str, stop: StopKind) -> Option<Decimal> {
        let order = self
            .orders
            .iter()
            .find(|o| o.symbol == symbol && o.stop == stop)?;
        order.trigger.map(|t| t.price)
    }

    pub(crate) fn keep_closed(&mut self, order: Order) {
        if self.closed_orders.len() == HISTORY {
            self.closed_orders.pop_front();
        }
        self.closed_orders.push_back(order);
    }

    pub(crate) fn keep_execution(&mut self, execution: Execution) {
        if self.executions.len() == HISTORY {
            self.executions.pop_front();
        }
        self.executions.push_back(execution);
    }

    pub(crate) fn keep_closed_pnl(&mut self, row: ClosedPnl) {
        if self.closed_pnl.len() == HISTORY {
            self.closed_pnl.pop_front();
        }
        self.closed_pnl.push_back(row);
    }

    /// The wallet as the topic `wallet` and the row of `wallet-balance` show it.
    pub(crate) fn wallet_row(&self, markets: &Markets) -> Value {
        let text = |d: Decimal| d.round_dp(8).normalize().to_string();
        let (equity, unrealised) = (self.equity(markets), self.unrealised(markets));
        let (position_margin, order_margin) = self.margin(markets);
        let initial = position_margin + order_margin;
        let maintenance = self.gross(markets) * MAINTENANCE;
        let rate = |d: Decimal| {
            d.checked_div(equity)
                .unwrap_or_default()
                .round_dp(4)
                .normalize()
                .to_string()
        };
        json!({
            "accountType": "UNIFIED", "accountLTV": "0", "accountIMRate": rate(initial), "accountIMRateByMp": rate(initial),
            "accountMMRate": rate(maintenance), "accountMMRateByMp": rate(maintenance), "totalEquity": text(equity),
            "totalWalletBalance": text(self.wallet), "totalMarginBalance": text(equity),
            "totalAvailableBalance": text(self.available(markets)), "totalPerpUPL": text(unrealised),
            "totalInitialMargin": text(initial), "totalInitialMarginByMp": text(initial),
            "totalMaintenanceMargin": text(maintenance), "totalMaintenanceMarginByMp": text(maintenance),
            "coin": [{
                "coin": "USDT", "equity": text(equity), "usdValue": text(equity), "walletBalance": text(self.wallet),
                "availableToWithdraw": "", "availableToBorrow": "", "borrowAmount": "0", "accruedInterest": "0",
                "totalOrderIM": text(order_margin), "totalPositionIM": text(position_margin),
                "totalPositionMM": text(maintenance), "unrealisedPnl": text(unrealised),
                "cumRealisedPnl": text(self.realised_ever), "bonus": "0", "collateralSwitch": true,
                "marginCollateral": true, "locked": "0", "spotHedgingQty": "0", "spotBorrow": "0", "colRes": "0",
            }],
        })
    }

    /// Price of `market` at which equity would just cover the maintenance margin, all other prices
    /// unchanged: the estimate that cross margin shows. `None` outside of what can be a price.
    fn liquidation(&self, market: &Market, markets: &Markets) -> Option<Decimal> {
        let size = self.position(market.instrument.symbol).size;
        let spare = self.equity(markets) - self.gross(markets) * MAINTENANCE;
        let per_point = size - size.abs() * MAINTENANCE;
        let price = market.mark - spare.checked_div(per_point)?;
        (price > Decimal::ZERO && price < market.mark * Decimal::TEN).then_some(price)
    }

    /// The position as `/v5/position/list` shows it.
    pub(crate) fn position_row(&self, market: &Market, markets: &Markets) -> Value {
        let symbol = market.instrument.symbol;
        let p = self.position(symbol);
        let text = |d: Decimal| d.round_dp(8).normalize().to_string();
        let price = |d: Decimal| market.instrument.price_text(d);
        let flat = p.size.is_zero();
        let value = p.size.abs() * p.entry;
        let margin = value
            .checked_div(self.leverage_of(symbol))
            .unwrap_or_default();
        let maintenance = value * MAINTENANCE;
        let stop = |kind| {
            self.stop_price(symbol, kind)
                .map_or("0.00".to_owned(), price)
        };
        let liquidation = self
            .liquidation(market, markets)
            .map_or(String::new(), price);
        let break_even = p.entry
            + (p.open_fee * Decimal::TWO)
                .checked_div(p.size)
                .unwrap_or_default();
        json!({
            "positionIdx": 0, "riskId": 1, "riskLimitValue": "2000000", "symbol": symbol,
            "side": if flat { "" } else { Side::of(p.size).as_str() }, "size": text(p.size.abs()),
            "avgPrice": text(p.entry), "positionValue": text(value), "tradeMode": 0, "positionStatus": "Normal",
            "autoAddMargin": 0, "adlRankIndicator": if flat { 0 } else { 2 },
            "leverage": text(self.leverage_of(symbol)),
            "breakEvenPrice": if flat { String::new() } else { text(break_even) }, "positionBalance": "0",
            "markPrice": price(market.mark), "liqPrice": liquidation, "bustPrice": "", "positionMM": text(maintenance),
            "positionMMByMp": text(maintenance), "positionIM": text(margin), "positionIMByMp": text(margin),
            "tpslMode": "Full", "takeProfit": stop(StopKind::TakeProfit), "stopLoss": stop(StopKind::StopLoss),
            "trailingStop": "0.00", "unrealisedPnl": text(p.unrealised(market.mark)),
            "curRealisedPnl": text(p.realised), "cumRealisedPnl": text(p.realised_ever),
            "seq": if p.seq == 0 { -1 } else { p.seq }, "isReduceOnly": false, "mmrSysUpdateTime": "",
            "leverageSysUpdatedTime": "", "sessionAvgPrice": "", "createdTime": p.created_ms.to_string(),
            "updatedTime": p.updated_ms.to_string(), "openTime": p.opened_ms,
        })
    }

    /// The position as the topic `position` shows it: two fields are called otherwise there.
    pub(crate) fn position_event(&self, market: &Market, markets: &Markets) -> Value {
        let mut row = self.position_row(market, markets);
        if let Value::Object(fields) = &mut row {
            for (rest, ws) in [
                ("avgPrice", "entryPrice"),
                ("mmrSysUpdateTime", "mmrSysUpdatedTime"),
            ] {
                if let Some(value) = fields.remove(rest) {
                    fields.insert(ws.to_owned(), value);
                }
            }
            fields.insert("category".to_owned(), "linear".into());
        }
        row
    }
}
