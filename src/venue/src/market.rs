//! Public facts: instruments and mark prices.

use crate::Error;
use crate::fields::Row;
use fusebox_domain::{Decimal, Symbol};

/// What can be traded, and in which steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instrument {
    /// Its name.
    pub symbol: Symbol,
    /// `Trading`, `PreLaunch`, `Delivering`, `Closed` …
    pub status: String,
    /// The coin of its margin and result, `USDT`.
    pub settle_coin: String,
    /// Price step.
    pub tick_size: Option<Decimal>,
    /// Size step, in the base coin.
    pub qty_step: Option<Decimal>,
    /// Smallest order, in the base coin.
    pub min_qty: Option<Decimal>,
    /// Largest market order, in the base coin: a bigger close must be cut.
    pub max_market_qty: Option<Decimal>,
}

/// One row of `instruments-info`.
pub(crate) fn instrument(row: &Row<'_>) -> Result<Instrument, Error> {
    let inner = |object: &str, name: &str| match row.value(object) {
        Some(value) => Row::top(name, value)?.decimal(name),
        None => Ok(None),
    };
    Ok(Instrument {
        symbol: Symbol::new(row.need_text("symbol")?),
        status: row.text("status").unwrap_or_default().to_owned(),
        settle_coin: row.text("settleCoin").unwrap_or_default().to_owned(),
        tick_size: inner("priceFilter", "tickSize")?,
        qty_step: inner("lotSizeFilter", "qtyStep")?,
        min_qty: inner("lotSizeFilter", "minOrderQty")?,
        max_market_qty: inner("lotSizeFilter", "maxMktOrderQty")?,
    })
}

/// Symbol and mark price of one row of `tickers`.
pub(crate) fn mark(row: &Row<'_>) -> Result<(Symbol, Decimal), Error> {
    Ok((
        Symbol::new(row.need_text("symbol")?),
        row.need_decimal("markPrice")?,
    ))
}
