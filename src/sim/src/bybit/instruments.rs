//! The four USDT perpetuals of the simulated exchange, with the filters a client rounds by.

use rust_decimal::Decimal;

/// Taker fee as a fraction of the traded value.
pub(crate) const TAKER_FEE: Decimal = Decimal::from_parts(55, 0, 0, false, 5);
/// Maker fee as a fraction of the traded value.
pub(crate) const MAKER_FEE: Decimal = Decimal::from_parts(20, 0, 0, false, 5);
/// Funding paid by longs every eight hours, as a fraction of the position's value.
pub(crate) const FUNDING_RATE: Decimal = Decimal::from_parts(1, 0, 0, false, 4);
/// Maintenance margin as a fraction of the position's value.
pub(crate) const MAINTENANCE: Decimal = Decimal::from_parts(5, 0, 0, false, 3);
/// The smallest order value, USDT.
pub(crate) const MIN_NOTIONAL: Decimal = Decimal::from_parts(5, 0, 0, false, 0);

/// One contract.
#[derive(Debug, Clone)]
pub(crate) struct Instrument {
    pub(crate) symbol: &'static str,
    pub(crate) base: &'static str,
    /// Price step, USDT.
    pub(crate) tick: Decimal,
    /// Quantity step and smallest quantity, in the base coin.
    pub(crate) step: Decimal,
    pub(crate) max_qty: Decimal,
    pub(crate) max_market_qty: Decimal,
    pub(crate) max_leverage: Decimal,
    /// Price at start, USDT.
    pub(crate) start: Decimal,
    /// How much of BTC's return this one follows.
    pub(crate) beta: f64,
    pub(crate) launch_ms: i64,
}

impl Instrument {
    /// A price rounded to this contract's step, never below one step.
    pub(crate) fn round_price(&self, price: Decimal) -> Decimal {
        let steps = price.checked_div(self.tick).unwrap_or_default().round();
        (steps * self.tick).max(self.tick)
    }

    /// A price as text with all its decimals.
    pub(crate) fn price_text(&self, price: Decimal) -> String {
        let mut price = price;
        price.rescale(self.tick.scale());
        price.to_string()
    }
}

/// All contracts, BTC first: the others follow it.
pub(crate) fn all() -> Vec<Instrument> {
    let d = Decimal::new;
    let make = |symbol,
                base,
                tick,
                step,
                max_qty,
                max_market_qty,
                max_leverage,
                start,
                beta,
                launch_ms| Instrument {
        symbol,
        base,
        tick,
        step,
        max_qty,
        max_market_qty,
        max_leverage,
        start,
        beta,
        launch_ms,
    };
    let limits = |max: i64, market: i64, leverage: i64| (d(max, 0), d(market, 0), d(leverage, 0));
    let (btc, eth) = (limits(1_190, 119, 100), limits(7_240, 724, 100));
    let (xrp, sol) = (limits(4_000_000, 500_000, 75), limits(79_770, 7_977, 75));
    vec![
        make(
            "BTCUSDT",
            "BTC",
            d(10, 2),
            d(1, 3),
            btc.0,
            btc.1,
            btc.2,
            d(6_500_000, 2),
            1.0,
            1_584_230_400_000,
        ),
        make(
            "ETHUSDT",
            "ETH",
            d(1, 2),
            d(1, 2),
            eth.0,
            eth.1,
            eth.2,
            d(320_000, 2),
            1.1,
            1_615_766_400_000,
        ),
        make(
            "XRPUSDT",
            "XRP",
            d(1, 4),
            d(1, 1),
            xrp.0,
            xrp.1,
            xrp.2,
            d(6_200, 4),
            0.9,
            1_620_950_400_000,
        ),
        make(
            "SOLUSDT",
            "SOL",
            d(10, 3),
            d(1, 1),
            sol.0,
            sol.1,
            sol.2,
            d(150_000, 3),
            1.3,
            1_634_256_000_000,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_round_to_the_step_and_print_all_decimals() {
        let all = all();
        let (btc, xrp) = (&all[0], &all[2]);
        assert_eq!(
            btc.price_text(btc.round_price(Decimal::new(6_500_013, 2))),
            "65000.10"
        );
        assert_eq!(xrp.price_text(Decimal::new(62, 2)), "0.6200");
        assert_eq!(btc.round_price(Decimal::ZERO), btc.tick);
    }
}
