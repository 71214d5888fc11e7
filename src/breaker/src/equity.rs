//! Equity from two sources: the exchange's wallet, and ledger plus positions at the mark. Pure.

use fusebox_domain::{Decimal, Position, Symbol};
use fusebox_venue::WalletReading;
use fusebox_venue::stream::Ticker;
use std::collections::{BTreeMap, VecDeque};

/// Mark prices kept per instrument: about two seconds at ten a second.
const KEPT: usize = 20;

/// A mark further than this from the wallet's time says nothing about it.
pub(crate) const MARK_LIMIT_MS: i64 = 5_000;

/// The edge hands at most four samples a second to the ladder (L9).
const SAMPLE_GAP_MS: i64 = 250;

/// The exchange's own view, in USDT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WalletEquity {
    /// All coins at the exchange's value.
    pub(crate) equity: Decimal,
    /// Balance of USDT without unrealised result: what the ledger's rows lead to.
    pub(crate) usdt_balance: Decimal,
    /// Value of the other coins; the same in both sources.
    pub(crate) other_coins: Decimal,
}

/// Measures the wallet in USDT: a depeg of USDT itself is no loss (example 36).
pub(crate) fn wallet_equity(reading: &WalletReading) -> Result<WalletEquity, String> {
    let too_large = || "a sum is out of range".to_owned();
    let usdt = reading.coins.iter().find(|c| c.coin == "USDT");
    let (usdt_equity, usdt_balance) = usdt.map_or((Decimal::ZERO, Decimal::ZERO), |c| {
        (c.equity, c.wallet_balance)
    });
    // USD per USDT, where the exchange tells it.
    let rate = usdt
        .and_then(|c| c.value_usd?.checked_div(c.equity))
        .filter(|rate| *rate > Decimal::ZERO)
        .unwrap_or(Decimal::ONE);
    let mut other_coins = Decimal::ZERO;
    for coin in reading.coins.iter().filter(|c| c.coin != "USDT") {
        if coin.equity.is_zero() {
            continue;
        }
        let value = coin
            .value_usd
            .ok_or_else(|| format!("the wallet gives no value for its {}", coin.coin))?;
        let value = value.checked_div(rate).ok_or_else(too_large)?;
        other_coins = other_coins.checked_add(value).ok_or_else(too_large)?;
    }
    Ok(WalletEquity {
        equity: usdt_equity.checked_add(other_coins).ok_or_else(too_large)?,
        usdt_balance,
        other_coins,
    })
}

/// The last mark prices of every instrument.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks {
    known: BTreeMap<Symbol, VecDeque<(i64, Decimal)>>,
}

impl Marks {
    /// Notes a price.
    pub(crate) fn note(&mut self, ticker: &Ticker) {
        let marks = self.known.entry(ticker.symbol.clone()).or_default();
        if marks.back().is_some_and(|(at_ms, _)| *at_ms > ticker.at_ms) {
            return;
        }
        if marks.len() == KEPT {
            marks.pop_front();
        }
        marks.push_back((ticker.at_ms, ticker.mark));
    }

    /// Forgets everything: the line was lost.
    pub(crate) fn clear(&mut self) {
        self.known.clear();
    }

    /// The newest price and its time.
    pub(crate) fn latest(&self, symbol: &Symbol) -> Option<(i64, Decimal)> {
        self.known.get(symbol)?.back().copied()
    }

    /// The price that stood at `at_ms`: the last one up to then, else the first after.
    fn at(&self, symbol: &Symbol, at_ms: i64) -> Option<(i64, Decimal)> {
        let marks = self.known.get(symbol)?;
        let before = marks.iter().rev().find(|(t, _)| *t <= at_ms);
        before.or_else(|| marks.front()).copied()
    }
}

/// Equity as ledger and marks tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replayed {
    pub(crate) equity: Decimal,
    /// Exchange time of its oldest mark, milliseconds; `None` without positions.
    pub(crate) oldest_mark_ms: Option<i64>,
}

/// Ledger balance + Σ size × (mark − entry) + other coins, with the marks of `at_ms`.
pub(crate) fn replayed<'a>(
    balance: Decimal,
    positions: impl Iterator<Item = &'a Position>,
    marks: &Marks,
    other_coins: Decimal,
    at_ms: i64,
) -> Result<Replayed, String> {
    let too_large = || "a sum is out of range".to_owned();
    let mut equity = balance.checked_add(other_coins).ok_or_else(too_large)?;
    let mut oldest_mark_ms: Option<i64> = None;
    for position in positions {
        let (mark_ms, mark) = marks
            .at(&position.symbol, at_ms)
            .ok_or_else(|| format!("no mark price of {} yet", position.symbol))?;
        if at_ms.abs_diff(mark_ms) > MARK_LIMIT_MS.unsigned_abs() {
            return Err(format!("the mark price of {} is old", position.symbol));
        }
        let result = position.unrealised_at(mark).ok_or_else(too_large)?;
        equity = equity.checked_add(result).ok_or_else(too_large)?;
        oldest_mark_ms = Some(oldest_mark_ms.map_or(mark_ms, |t| t.min(mark_ms)));
    }
    Ok(Replayed {
        equity,
        oldest_mark_ms,
    })
}

/// Lets at most four samples a second through.
#[derive(Debug, Clone, Default)]
pub(crate) struct Decimator {
    last_ms: Option<i64>,
}

impl Decimator {
    /// Whether a sample of this exchange time goes on.
    pub(crate) fn passes(&mut self, at_ms: i64) -> bool {
        let passes = self
            .last_ms
            .is_none_or(|last| at_ms.saturating_sub(last) >= SAMPLE_GAP_MS);
        if passes {
            self.last_ms = Some(at_ms);
        }
        passes
    }
}

/// How long a wallet below the ledger is not believed (L19).
const UNEXPLAINED_MS: i64 = 30_000;

/// Consecutive readings that make a shortfall: the ledger may be a poll behind a closing trade.
const SHORT_READINGS: u32 = 3;

/// What a shortfall means now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Shortfall {
    /// None, or too short to say.
    None,
    /// Money left without a ledger row: entries stop, the reading stays disputed.
    Unexplained,
    /// For 30 s: it counts as loss, on the wallet's word alone.
    Loss,
}

/// Watches the wallet's balance against the ledger's (examples 21 and 22).
#[derive(Debug, Clone, Default)]
pub(crate) struct ShortfallWatch {
    since_ms: Option<i64>,
    readings: u32,
}

impl ShortfallWatch {
    /// Takes one reading; `short` is whether the missing amount exceeds half a per cent of equity.
    pub(crate) fn observe(&mut self, short: bool, at_ms: i64) -> Shortfall {
        if !short {
            *self = Self::default();
            return Shortfall::None;
        }
        self.readings = self.readings.saturating_add(1);
        let since_ms = *self.since_ms.get_or_insert(at_ms);
        if at_ms.saturating_sub(since_ms) >= UNEXPLAINED_MS {
            Shortfall::Loss
        } else if self.readings >= SHORT_READINGS {
            Shortfall::Unexplained
        } else {
            Shortfall::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_domain::{Side, Wallet};
    use fusebox_venue::CoinBalance;
    use std::str::FromStr;

    fn d(text: &str) -> Decimal {
        Decimal::from_str(text).unwrap()
    }

    fn coin(coin: &str, equity: &str, balance: &str, usd: Option<&str>) -> CoinBalance {
        CoinBalance {
            coin: coin.into(),
            equity: d(equity),
            wallet_balance: d(balance),
            unrealised: None,
            value_usd: usd.map(d),
        }
    }

    fn reading(coins: Vec<CoinBalance>) -> WalletReading {
        WalletReading {
            wallet: Wallet {
                time_ms: 0,
                total_equity_usdt: Decimal::ZERO,
                wallet_balance_usdt: Decimal::ZERO,
                unrealised_usdt: Decimal::ZERO,
                maintenance_margin_usdt: None,
            },
            coins,
        }
    }

    fn position(side: Side, size: &str, entry: &str) -> Position {
        Position {
            symbol: "X".into(),
            side,
            size: d(size),
            entry_price: d(entry),
            mark_price: None,
            liquidation_price: None,
            leverage: None,
            unrealised_usdt: None,
            stop_price: None,
            opened_ms: None,
            updated_ms: 0,
            seq: 0,
        }
    }

    fn tick(at_ms: i64, mark: &str) -> Ticker {
        Ticker {
            symbol: "X".into(),
            mark: d(mark),
            last: None,
            at_ms,
        }
    }

    #[test]
    fn a_depeg_of_the_numeraire_is_no_loss() {
        let wallet = reading(vec![coin("USDT", "4000", "4100", Some("3880"))]);
        let got = wallet_equity(&wallet).unwrap();
        assert_eq!((got.equity, got.usdt_balance), (d("4000"), d("4100")));
    }

    #[test]
    fn other_coins_count_at_their_value_and_one_without_value_is_not_zero() {
        let usdt = coin("USDT", "4000", "4000", Some("4000"));
        let both = vec![usdt.clone(), coin("BTC", "0.01", "0.01", Some("600"))];
        assert_eq!(wallet_equity(&reading(both)).unwrap().equity, d("4600"));
        let unknown = vec![usdt.clone(), coin("DOGE", "7", "7", None)];
        assert!(
            wallet_equity(&reading(unknown))
                .unwrap_err()
                .contains("DOGE")
        );
        let dust = vec![usdt, coin("DOGE", "0", "0", None)];
        assert!(wallet_equity(&reading(dust)).is_ok());
    }

    #[test]
    fn the_replay_uses_the_mark_of_the_wallets_moment() {
        let mut marks = Marks::default();
        for (at_ms, mark) in [(1_000, "100"), (2_000, "90"), (3_000, "80")] {
            marks.note(&tick(at_ms, mark));
        }
        let positions = [
            position(Side::Buy, "2", "100"),
            position(Side::Sell, "1", "95"),
        ];
        let at =
            |at_ms| replayed(d("4000"), positions.iter(), &marks, Decimal::ZERO, at_ms).unwrap();
        assert_eq!(at(2_500).equity, d("4000") - d("20") + d("5"));
        assert_eq!(at(2_500).oldest_mark_ms, Some(2_000));
        assert_eq!(at(9_000 - 1_000).equity, d("4000") - d("40") + d("15"));
    }

    #[test]
    fn an_old_or_missing_mark_gives_no_second_source() {
        let mut marks = Marks::default();
        let positions = [position(Side::Buy, "2", "100")];
        let at = |marks: &Marks, at_ms| {
            replayed(d("4000"), positions.iter(), marks, Decimal::ZERO, at_ms)
        };
        assert!(at(&marks, 0).unwrap_err().contains("no mark"));
        marks.note(&tick(1_000, "100"));
        assert!(at(&marks, 6_000).is_ok());
        assert!(at(&marks, 6_001).unwrap_err().contains("old"));
        marks.clear();
        assert!(at(&marks, 1_000).is_err());
        let flat = replayed(d("7"), [].iter(), &marks, Decimal::ZERO, 9).unwrap();
        assert_eq!((flat.equity, flat.oldest_mark_ms), (d("7"), None));
    }

    #[test]
    fn at_most_four_samples_a_second() {
        let mut decimator = Decimator::default();
        let passed = (0..1_000).filter(|ms| decimator.passes(*ms)).count();
        assert_eq!(passed, 4);
    }

    #[test]
    fn an_unexplained_debit_stops_entries_and_after_half_a_minute_is_a_loss() {
        let mut watch = ShortfallWatch::default();
        assert_eq!(watch.observe(true, 0), Shortfall::None);
        assert_eq!(watch.observe(true, 1_000), Shortfall::None);
        assert_eq!(watch.observe(true, 2_000), Shortfall::Unexplained);
        assert_eq!(watch.observe(true, 29_999), Shortfall::Unexplained);
        assert_eq!(watch.observe(true, 30_000), Shortfall::Loss);
        assert_eq!(watch.observe(false, 31_000), Shortfall::None, "explained");
        assert_eq!(watch.observe(true, 32_000), Shortfall::None, "a new story");
    }
}
