//! Prices of one contract: mark, best bid and ask, and one-minute candles.
//!
//! Marks come from the scenario; history before the start is seeded noise. Weak: last, index and mark are one figure,
//! the book is one step wide and has no depth.

use std::collections::VecDeque;

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::instruments::{FUNDING_RATE, Instrument};
use crate::rng::Rng;

pub(crate) const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const FUNDING_MS: i64 = 8 * HOUR_MS;
/// One-minute candles kept, and invented at the start.
const HISTORY: usize = 5_000;

/// One candle.
#[derive(Debug, Clone)]
pub(crate) struct Candle {
    pub(crate) start_ms: i64,
    pub(crate) open: Decimal,
    pub(crate) high: Decimal,
    pub(crate) low: Decimal,
    pub(crate) close: Decimal,
    pub(crate) volume: Decimal,
}

impl Candle {
    fn at(start_ms: i64, price: Decimal) -> Self {
        Self {
            start_ms,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: Decimal::ZERO,
        }
    }

    fn absorb(&mut self, later: &Self) {
        self.high = self.high.max(later.high);
        self.low = self.low.min(later.low);
        self.close = later.close;
        self.volume += later.volume;
    }

    /// Time and four prices.
    fn prices(&self, instrument: &Instrument) -> Vec<String> {
        let text = |p| instrument.price_text(p);
        vec![
            self.start_ms.to_string(),
            text(self.open),
            text(self.high),
            text(self.low),
            text(self.close),
        ]
    }
}

/// One contract's market.
#[derive(Debug, Clone)]
pub(crate) struct Market {
    pub(crate) instrument: Instrument,
    pub(crate) mark: Decimal,
    /// Rises with every change; the book's update id.
    pub(crate) updates: u64,
    up: bool,
    candles: VecDeque<Candle>,
    /// The last 24 hours as one candle, so that a ticker need not add them up.
    day: Candle,
}

impl Market {
    /// A market with an invented past that ends at the contract's start price.
    pub(crate) fn new(instrument: Instrument, seed: u64, now_ms: i64) -> Self {
        let mut rng = Rng::new(seed, instrument.symbol);
        let mut candles = VecDeque::with_capacity(HISTORY);
        let mut close = instrument.start;
        let this_minute = now_ms - now_ms.rem_euclid(MINUTE_MS);
        for back in 0..HISTORY as i64 {
            // Walking backwards, leaning to the start price so that the walk stays near it.
            let drift = (instrument.start - close)
                .checked_div(instrument.start)
                .unwrap_or_default()
                * Decimal::new(2, 2);
            let step = Decimal::try_from(rng.signed() * 0.000_8).unwrap_or_default() + drift;
            let open = instrument.round_price(close * (Decimal::ONE + step));
            let wick = |r: f64| Decimal::try_from(r.abs() * 0.000_3).unwrap_or_default();
            let high =
                instrument.round_price(open.max(close) * (Decimal::ONE + wick(rng.signed())));
            let low = instrument.round_price(open.min(close) * (Decimal::ONE - wick(rng.signed())));
            candles.push_front(Candle {
                start_ms: this_minute - back * MINUTE_MS,
                open,
                high,
                low,
                close,
                volume: Decimal::from(20 + rng.below(180)),
            });
            close = open;
        }
        let mark = instrument.start;
        let mut market = Self {
            instrument,
            mark,
            updates: 1,
            up: true,
            candles,
            day: Candle::at(now_ms, mark),
        };
        market.add_up(now_ms);
        market
    }

    /// Sums the last 24 hours.
    fn add_up(&mut self, now_ms: i64) {
        let mut day = self
            .candles
            .iter()
            .filter(|c| c.start_ms >= now_ms - 24 * HOUR_MS);
        if let Some(mut sum) = day.next().cloned() {
            day.for_each(|c| sum.absorb(c));
            self.day = sum;
        }
    }

    /// The next price.
    pub(crate) fn tick(&mut self, mark: Decimal, now_ms: i64) {
        let mark = self.instrument.round_price(mark);
        if mark != self.mark {
            self.up = mark > self.mark;
            self.mark = mark;
            self.updates += 1;
        }
        let start_ms = now_ms - now_ms.rem_euclid(MINUTE_MS);
        if self.candles.back().is_none_or(|c| c.start_ms < start_ms) {
            let open = self.candles.back().map_or(mark, |c| c.close);
            self.candles.push_back(Candle::at(start_ms, open));
            if self.candles.len() > HISTORY {
                self.candles.pop_front();
            }
            self.add_up(now_ms);
        }
        let step = Candle {
            volume: self.instrument.step * Decimal::from(7),
            ..Candle::at(start_ms, mark)
        };
        if let Some(last) = self.candles.back_mut() {
            last.absorb(&step);
        }
        self.day.absorb(&step);
    }

    pub(crate) fn bid(&self) -> Decimal {
        (self.mark - self.instrument.tick).max(self.instrument.tick)
    }

    pub(crate) fn ask(&self) -> Decimal {
        self.mark + self.instrument.tick
    }

    /// Candles of `minutes` each that begin in the window, newest first, at most `limit`.
    pub(crate) fn candles(
        &self,
        minutes: i64,
        start_ms: i64,
        end_ms: i64,
        limit: usize,
    ) -> Vec<Candle> {
        let width = minutes.max(1) * MINUTE_MS;
        let mut grouped: Vec<Candle> = Vec::new();
        for candle in &self.candles {
            let bucket = candle.start_ms - candle.start_ms.rem_euclid(width);
            match grouped.last_mut() {
                Some(last) if last.start_ms == bucket => last.absorb(candle),
                _ => grouped.push(Candle {
                    start_ms: bucket,
                    ..candle.clone()
                }),
            }
        }
        let inside = |c: &Candle| (start_ms..=end_ms).contains(&c.start_ms);
        grouped
            .into_iter()
            .rev()
            .filter(inside)
            .take(limit)
            .collect()
    }

    /// Rows of `/v5/market/kline`; without volume they are those of `mark-price-kline`.
    pub(crate) fn kline_rows(&self, candles: &[Candle], with_volume: bool) -> Value {
        candles
            .iter()
            .map(|c| {
                let mut row = c.prices(&self.instrument);
                if with_volume {
                    row.push(c.volume.to_string());
                    row.push((c.volume * c.close).round_dp(4).to_string());
                }
                row
            })
            .collect()
    }

    /// The fields of a ticker, as in the first message of the stream.
    pub(crate) fn ticker(&self, now_ms: i64) -> Map<String, Value> {
        let price = |p| self.instrument.price_text(p);
        let prev_1h = self
            .candles
            .iter()
            .rev()
            .nth(60)
            .map_or(self.mark, |c| c.close);
        let (day, prev_24h) = (&self.day, self.day.open);
        let change = (self.mark - prev_24h)
            .checked_div(prev_24h)
            .unwrap_or_default();
        let fields = json!({
            "symbol": self.instrument.symbol, "tickDirection": if self.up { "PlusTick" } else { "MinusTick" },
            "price24hPcnt": change.round_dp(6).to_string(), "lastPrice": price(self.mark),
            "prevPrice24h": price(prev_24h),
            "highPrice24h": price(day.high),
            "lowPrice24h": price(day.low),
            "prevPrice1h": price(prev_1h), "markPrice": price(self.mark), "indexPrice": price(self.mark),
            "openInterest": "50000", "openInterestValue": (self.mark * Decimal::from(50_000)).round_dp(4).to_string(),
            "turnover24h": (day.volume * self.mark).round_dp(4).to_string(), "volume24h": day.volume.to_string(),
            "fundingIntervalHour": "8", "fundingCap": "0.005",
            "nextFundingTime": next_funding_ms(now_ms).to_string(), "fundingRate": FUNDING_RATE.to_string(),
            "bid1Price": price(self.bid()), "bid1Size": self.depth(), "ask1Price": price(self.ask()),
            "ask1Size": self.depth(), "preOpenPrice": "", "preQty": "", "curPreListingPhase": "",
        });
        match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }

    /// The same as a row of `/v5/market/tickers`, which has a few fields more.
    pub(crate) fn ticker_row(&self, now_ms: i64) -> Value {
        let mut row = self.ticker(now_ms);
        for (name, value) in [
            ("predictedDeliveryPrice", ""),
            ("basisRate", ""),
            ("deliveryFeeRate", ""),
            ("deliveryTime", "0"),
            ("basis", ""),
        ] {
            row.insert(name.to_owned(), value.into());
        }
        row.remove("tickDirection");
        Value::Object(row)
    }

    /// `data` of an order book message or answer.
    pub(crate) fn book(&self, now_ms: i64) -> Value {
        let price = |p| self.instrument.price_text(p);
        json!({
            "s": self.instrument.symbol, "b": [[price(self.bid()), self.depth()]],
            "a": [[price(self.ask()), self.depth()]], "ts": now_ms, "u": self.updates, "seq": 7_961_638_000 + self.updates,
            "cts": now_ms,
        })
    }

    /// Size at the best price, in steps that change with the price.
    fn depth(&self) -> String {
        (self.instrument.step * Decimal::from(2_000 + self.updates % 500)).to_string()
    }

    /// The row of `/v5/market/instruments-info`.
    pub(crate) fn info(&self) -> Value {
        let i = &self.instrument;
        let tick = i.tick.to_string();
        json!({
            "symbol": i.symbol, "symbolId": i.launch_ms / 1_000_000_000, "contractType": "LinearPerpetual",
            "status": "Trading", "baseCoin": i.base, "quoteCoin": "USDT", "settleCoin": "USDT",
            "launchTime": i.launch_ms.to_string(), "deliveryTime": "0", "deliveryFeeRate": "",
            "priceScale": tick.trim_end_matches('0').len().saturating_sub(2).to_string(),
            "leverageFilter": {"minLeverage": "1", "maxLeverage": format!("{}.00", i.max_leverage), "leverageStep": "0.01"},
            "priceFilter": {"minPrice": tick, "maxPrice": "1999999.80", "tickSize": tick},
            "lotSizeFilter": {
                "maxOrderQty": i.max_qty.to_string(), "minOrderQty": i.step.to_string(), "qtyStep": i.step.to_string(),
                "postOnlyMaxOrderQty": i.max_qty.to_string(), "maxMktOrderQty": i.max_market_qty.to_string(),
                "minNotionalValue": "5",
            },
            "unifiedMarginTrade": true, "fundingInterval": 480, "copyTrading": "none", "upperFundingRate": "0.005",
            "lowerFundingRate": "-0.005", "displayName": "", "isPreListing": false, "preListingInfo": null,
            "riskParameters": {"priceLimitRatioX": "0.05", "priceLimitRatioY": "0.1"},
        })
    }
}

/// When funding is exchanged next: at 00, 08 and 16 o'clock UTC.
pub(crate) fn next_funding_ms(now_ms: i64) -> i64 {
    now_ms - now_ms.rem_euclid(FUNDING_MS) + FUNDING_MS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bybit::instruments::all;

    #[test]
    fn candles_group_and_come_newest_first() {
        let now = 100 * HOUR_MS;
        let mut market = Market::new(all()[0].clone(), 1, now);
        market.tick(Decimal::from(66_000), now);
        let minute = market.candles(1, 0, i64::MAX, 1_000);
        assert_eq!(minute.len(), 1_000);
        assert_eq!(
            (minute[0].start_ms, minute[0].close),
            (now, Decimal::from(66_000))
        );
        let hour = market.candles(60, 0, i64::MAX, 200);
        assert_eq!(hour[0].high, Decimal::from(66_000));
        assert!(hour[1].volume >= Decimal::from(60 * 20));
        assert_eq!(hour[0].start_ms - hour[1].start_ms, HOUR_MS);
    }

    #[test]
    fn the_invented_past_ends_at_the_start_price_and_stays_near_it() {
        let market = Market::new(all()[0].clone(), 3, 100 * HOUR_MS);
        let past = market.candles(1, 0, i64::MAX, HISTORY);
        assert_eq!(past[0].close, market.mark);
        assert!(
            past.iter()
                .all(|c| c.low > Decimal::from(60_000) && c.high < Decimal::from(70_000))
        );
    }
}
