//! What happens to prices, and who misbehaves when.
//!
//! A falling scenario steers the true drawdown of the first account, not a price path: however much the bot has bought
//! or the breaker has sold, the account reaches the figure the scenario names. [`Driver::tick`] is pure but for the
//! state it moves; what needs the network comes back as an [`Action`]. Weak: without a net position nothing can be
//! steered, so a fall waits (for a bounded time); a bot whose own stops lie nearer than 25 % below its entries may be
//! flat before the last rung.

use std::collections::BTreeMap;

use clap::ValueEnum;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::bybit::{MASTER_UID, State};
use crate::candles::Replay;
use crate::rng::Rng;

/// A net position below this share of the account's reference cannot steer it.
const STEERABLE: f64 = 0.1;
/// The bot counts as invested from this share on.
const INVESTED: f64 = 0.8;
/// A fall that does not get there (nothing to steer by) is given up after twice its length and this, s.
const PATIENCE_S: f64 = 5.0;
/// BTC never moves further from its start than this.
const FURTHEST: f64 = 0.6;
/// When misbehaviour begins, real s.
const TROUBLE_S: f64 = 15.0;

/// What plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Noise.
    Calm,
    /// A slow loss through R1 and R2, then sideways.
    Slide,
    /// A loss through all four rungs, with rests between them.
    Crash,
    /// Calm prices; the bot's key places foreign orders, later an unknown key appears.
    Rogue,
    /// Calm prices; the breaker's feeds die for half a minute.
    Blind,
}

/// One part of a scenario. Lengths in seconds at speed 1; a least length in real seconds where reactions take time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Step {
    /// Until the bot is invested, but not shorter or longer than this in real time.
    Await { least_s: f64, most_s: f64 },
    /// Prices rest.
    Hold { s: f64, least_s: f64 },
    /// The account falls to this drawdown (0.05 is 5 %).
    FallTo { drawdown: f64, s: f64 },
    /// Prices rest for ever.
    Rest,
}

impl Scenario {
    fn steps(self) -> &'static [Step] {
        use Step::{Await, FallTo, Hold, Rest};
        const START: Step = Await {
            least_s: 10.0,
            most_s: 30.0,
        };
        match self {
            Self::Calm | Self::Rogue | Self::Blind => &[Rest],
            Self::Slide => &[
                START,
                FallTo {
                    drawdown: 0.054,
                    s: 40.0,
                },
                Hold {
                    s: 15.0,
                    least_s: 6.0,
                },
                FallTo {
                    drawdown: 0.088,
                    s: 30.0,
                },
                Rest,
            ],
            Self::Crash => &[
                START,
                FallTo {
                    drawdown: 0.054,
                    s: 30.0,
                },
                Hold {
                    s: 20.0,
                    least_s: 6.0,
                },
                FallTo {
                    drawdown: 0.084,
                    s: 20.0,
                },
                // The breaker halves the positions here.
                Hold {
                    s: 20.0,
                    least_s: 8.0,
                },
                FallTo {
                    drawdown: 0.155,
                    s: 30.0,
                },
                // The operator reads, touches and kills here.
                Hold {
                    s: 25.0,
                    least_s: 16.0,
                },
                FallTo {
                    drawdown: 0.186,
                    s: 15.0,
                },
                Rest,
            ],
        }
    }

    fn actions(self) -> &'static [(f64, Action)] {
        match self {
            Self::Rogue => &[
                (TROUBLE_S, Action::ForeignOrders),
                (TROUBLE_S + 5.0, Action::MintKey),
            ],
            Self::Blind => &[(TROUBLE_S, Action::Blind)],
            Self::Calm | Self::Slide | Self::Crash => &[],
        }
    }
}

/// What a scenario does besides moving prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Someone uses the bot's own key.
    ForeignOrders,
    /// Someone makes a key nobody declared.
    MintKey,
    /// The breaker's feeds die.
    Blind,
}

/// Moves the prices.
pub(crate) struct Driver {
    scenario: Scenario,
    speed: f64,
    step: usize,
    in_step_s: f64,
    elapsed_s: f64,
    done_actions: usize,
    /// BTC's return since the start, without noise.
    shift: f64,
    fallen: bool,
    rng: Rng,
    common: f64,
    own: BTreeMap<&'static str, f64>,
    replay: Option<Replay>,
    /// Prices set by hand; they stay until released.
    pinned: BTreeMap<String, Decimal>,
}

impl Driver {
    /// `replay` drives BTC instead of the scenario's own path.
    pub(crate) fn new(scenario: Scenario, seed: u64, speed: f64, replay: Option<Replay>) -> Self {
        Self {
            scenario,
            speed,
            step: 0,
            in_step_s: 0.0,
            elapsed_s: 0.0,
            done_actions: 0,
            shift: 0.0,
            fallen: false,
            rng: Rng::new(seed, "prices"),
            common: 0.0,
            own: BTreeMap::new(),
            replay,
            pinned: BTreeMap::new(),
        }
    }

    /// Holds a symbol at a price, or lets it go.
    pub(crate) fn pin(&mut self, symbol: &str, mark: Option<Decimal>) {
        match mark {
            Some(mark) => self.pinned.insert(symbol.to_owned(), mark),
            None => self.pinned.remove(symbol),
        };
    }

    /// Where the scenario is, for `GET /state`.
    pub(crate) fn show(&self) -> String {
        match self.replay.as_ref().map(Replay::is_over) {
            Some(true) => "candles: over".to_owned(),
            Some(false) => "candles".to_owned(),
            None => self
                .current()
                .map_or("over".to_owned(), |s| format!("{s:?}")),
        }
    }

    fn current(&self) -> Option<Step> {
        self.scenario.steps().get(self.step).copied()
    }

    /// `dt_s` of real time has passed. Moves every price; returns what else is due.
    pub(crate) fn tick(&mut self, state: &mut State, dt_s: f64, now_ms: i64) -> Vec<Action> {
        self.elapsed_s += dt_s;
        self.in_step_s += dt_s;
        let points = match &mut self.replay {
            Some(replay) => replay.advance(dt_s * self.speed),
            None => {
                self.advance(state, dt_s);
                Vec::new()
            }
        };
        self.stir();
        if self.replay.is_none() || points.is_empty() {
            self.apply(state, None, now_ms);
        }
        for point in points {
            self.apply(state, Some(point), now_ms);
        }
        let all = self.scenario.actions();
        let due = all.iter().filter(|(at, _)| *at <= self.elapsed_s).count();
        let new: Vec<Action> = all
            .iter()
            .take(due)
            .skip(self.done_actions)
            .map(|(_, a)| *a)
            .collect();
        self.done_actions = due;
        new
    }

    /// One step of the plan.
    fn advance(&mut self, state: &State, dt_s: f64) {
        let Some(step) = self.current() else { return };
        let Some(account) = Steering::of(state, MASTER_UID + 1) else {
            return;
        };
        let over = match step {
            Step::Rest => false,
            Step::Await { least_s, most_s } => {
                let invested = account.slope.abs() >= INVESTED * account.reference;
                self.in_step_s >= most_s || (self.in_step_s >= least_s && invested)
            }
            Step::Hold { s, least_s } => self.in_step_s >= (s / self.speed).max(least_s),
            Step::FallTo { drawdown, s } => {
                self.fallen = true;
                // Not faster than a confirmed window (three samples over two seconds) can follow.
                let length_s = (s / self.speed).max(2.0);
                let goal = account.reference * (1.0 - drawdown);
                if account.slope.abs() >= STEERABLE * account.reference {
                    let share = dt_s / (length_s - self.in_step_s).max(dt_s);
                    let change = (goal - account.equity) / account.slope * share;
                    self.shift = (self.shift + change).clamp(-FURTHEST, FURTHEST);
                }
                account.equity <= goal * 1.000_2 || self.in_step_s >= 2.0 * length_s + PATIENCE_S
            }
        };
        if over {
            self.step += 1;
            self.in_step_s = 0.0;
        }
    }

    /// Lets the noise wander: bounded, leaning back to nothing.
    fn stir(&mut self) {
        let mut wander = |from: f64, most: f64| {
            (from * 0.97 + self.rng.signed() * most * 0.12).clamp(-most, most)
        };
        self.common = wander(self.common, 0.001_2);
        for symbol in ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"] {
            let own = self.own.entry(symbol).or_default();
            *own = wander(*own, 0.000_5);
        }
    }

    /// Sets every price: BTC by the replayed point or the plan, the others after it.
    fn apply(&mut self, state: &mut State, btc: Option<Decimal>, now_ms: i64) {
        if let (Some(point), Some(first)) = (btc, self.replay.as_ref().map(Replay::first)) {
            self.shift = (point / first).to_f64().unwrap_or(1.0) - 1.0;
        }
        // After a fall the market is quiet, so that noise alone crosses no rung.
        let noise = if self.fallen { 0.3 } else { 1.0 };
        let all: Vec<(&'static str, Decimal, f64)> = state
            .markets
            .values()
            .map(|m| (m.instrument.symbol, m.instrument.start, m.instrument.beta))
            .collect();
        for (symbol, start, beta) in all {
            let own = self.own.get(symbol).copied().unwrap_or(0.0);
            let change = beta * self.shift + noise * (beta * self.common + own);
            let followed = Decimal::try_from(1.0 + change)
                .map(|factor| start * factor)
                .unwrap_or(start);
            let replayed = self
                .replay
                .as_ref()
                .filter(|_| symbol == "BTCUSDT")
                .map(Replay::last);
            let mark = self
                .pinned
                .get(symbol)
                .copied()
                .or(btc.filter(|_| symbol == "BTCUSDT"))
                .or(replayed);
            state.set_mark(symbol, mark.unwrap_or(followed), now_ms);
        }
    }
}

/// What is needed to steer an account's equity: floats, because only an invented price comes of them.
struct Steering {
    equity: f64,
    reference: f64,
    /// Change of equity when BTC moves by its whole start price.
    slope: f64,
}

impl Steering {
    fn of(state: &State, uid: u64) -> Option<Self> {
        let account = state.account(uid).ok()?;
        let slope = account
            .positions
            .iter()
            .filter_map(|(symbol, p)| {
                let instrument = &state.market(symbol).ok()?.instrument;
                Some((p.size * instrument.start).to_f64()? * instrument.beta)
            })
            .sum();
        Some(Self {
            equity: account.equity(&state.markets).to_f64()?,
            reference: account.reference.to_f64()?,
            slope,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bybit::State;
    use serde_json::json;

    const DT_S: f64 = 0.1;

    fn invested(scenario: Scenario, speed: f64) -> (State, Driver, i64) {
        let mut state = State::new(1, 1, 3, 1_790_000_000_000);
        state.order_for_test(
            100_001,
            json!({"symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.05"}),
        );
        state.order_for_test(
            100_001,
            json!({"symbol": "ETHUSDT", "side": "Buy", "orderType": "Market", "qty": "1"}),
        );
        (
            state,
            Driver::new(scenario, 1, speed, None),
            1_790_000_000_100,
        )
    }

    /// Runs for this long in real time; gives the drawdown at each tick.
    fn run(state: &mut State, driver: &mut Driver, now_ms: &mut i64, s: f64) -> Vec<f64> {
        let mut path = Vec::new();
        for _ in 0..(s / DT_S) as usize {
            *now_ms += 100;
            state.step(*now_ms);
            driver.tick(state, DT_S, *now_ms);
            let account = state.account(100_001).unwrap();
            path.push(account.drawdown(&state.markets).to_f64().unwrap());
        }
        path
    }

    #[test]
    fn calm_stays_within_half_a_per_cent() {
        let (mut state, mut driver, mut now) = invested(Scenario::Calm, 1.0);
        let path = run(&mut state, &mut driver, &mut now, 300.0);
        assert!(
            path.iter().all(|dd| dd.abs() < 0.006),
            "{:?}",
            path.iter().cloned().fold(0.0, f64::max)
        );
    }

    #[test]
    fn the_same_seed_gives_the_same_path() {
        let path = || {
            let (mut state, mut driver, mut now) = invested(Scenario::Crash, 10.0);
            run(&mut state, &mut driver, &mut now, 30.0)
        };
        assert_eq!(path(), path());
    }

    #[test]
    fn crash_reaches_its_figures_even_when_half_is_sold_on_the_way() {
        let (mut state, mut driver, mut now) = invested(Scenario::Crash, 10.0);
        let mut path = run(&mut state, &mut driver, &mut now, 23.0);
        assert!(path.iter().any(|dd| *dd > 0.053) && path.iter().all(|dd| *dd < 0.09));
        state.order_for_test(
            100_001,
            json!({"symbol": "ETHUSDT", "side": "Sell", "orderType": "Market", "qty": "1", "reduceOnly": true}),
        );
        path.extend(run(&mut state, &mut driver, &mut now, 60.0));
        assert!(path.iter().any(|dd| (0.154..0.160).contains(dd)));
        // Sixteen seconds and more between the third figure and the last, whatever the speed.
        let ticks = path
            .iter()
            .filter(|dd| (0.153..0.160).contains(*dd))
            .count();
        assert!(ticks >= 160, "{ticks}");
        assert!(
            (path.last().unwrap() - 0.186).abs() < 0.002,
            "{:?}",
            path.last()
        );
    }

    #[test]
    fn slide_ends_below_the_second_rung_and_above_the_third() {
        let (mut state, mut driver, mut now) = invested(Scenario::Slide, 10.0);
        let path = run(&mut state, &mut driver, &mut now, 60.0);
        assert!((path.last().unwrap() - 0.088).abs() < 0.002);
    }

    #[test]
    fn without_a_position_a_fall_is_given_up() {
        let mut state = State::new(1, 1, 3, 0);
        let mut driver = Driver::new(Scenario::Crash, 1, 10.0, None);
        run(&mut state, &mut driver, &mut 0, 200.0);
        assert_eq!(driver.show(), "Rest");
        assert!(driver.shift.abs() < f64::EPSILON);
    }

    #[test]
    fn trouble_comes_once() {
        let (mut state, mut driver, now) = invested(Scenario::Rogue, 1.0);
        let mut seen = Vec::new();
        for i in 0..400 {
            seen.extend(driver.tick(&mut state, DT_S, now + i * 100));
        }
        assert_eq!(seen, [Action::ForeignOrders, Action::MintKey]);
    }

    #[test]
    fn a_pinned_price_stays() {
        let (mut state, mut driver, mut now) = invested(Scenario::Calm, 1.0);
        driver.pin("BTCUSDT", Some(Decimal::from(61_000)));
        run(&mut state, &mut driver, &mut now, 2.0);
        assert_eq!(state.market("BTCUSDT").unwrap().mark, Decimal::from(61_000));
    }
}
