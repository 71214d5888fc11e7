//! What is shown: the sections of the feed, and the metrics. A section goes out when it changed.

use super::tell::severity;
use super::{Engine, Hands, Stream};
use crate::Now;
use crate::edge::feed::Publish;
use crate::edge::metrics::Page;
use crate::money::{from_e8, from_unsigned_e8};
use crate::plan::{Plan, State};
use fusebox_domain::{Decimal, Limits, Position, Symbol};
use fusebox_ladder::{Basis, Rung, Verdict};
use fusebox_venue::stream::LinkState;
use fusebox_wire::feed;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::mem::discriminant;

/// Rows of one section, at most: a frame has a limit.
const ROWS: usize = 50;

/// Over how long the speed of loss is measured.
const SPEED_WINDOW_MS: i64 = 300_000;

/// Less than this tells no speed.
const SPEED_LEAST_MS: i64 = 30_000;

const DAY_MS: i64 = 86_400_000;

/// Ages of the feeds: (name, ageing, stale), milliseconds.
const WALLET_LIMITS: Limits = Limits {
    aging_ms: 3_000,
    stale_ms: 5_000,
};
const LISTING_LIMITS: Limits = Limits {
    aging_ms: 8_000,
    stale_ms: 15_000,
};
const STREAM_LIMITS: Limits = Limits {
    aging_ms: 2_000,
    stale_ms: 5_000,
};

/// The neighbours and whether they answer.
pub(super) struct Health {
    lines: Vec<feed::Health>,
}

impl Health {
    pub(super) fn new(hands: &Hands, wall_ms: i64) -> Self {
        let names = [
            ("exchange", true),
            ("revoker", hands.revoker.is_some()),
            ("recorder", hands.recorder.is_some()),
            ("bot", hands.bot.is_some()),
            ("k3s", hands.cluster.is_some()),
            ("telegram", hands.telegram.is_some()),
        ];
        let lines = names.map(|(name, configured)| feed::Health {
            name: name.to_owned(),
            up: feed::Up::Unknown,
            detail: match configured {
                true => "not asked yet".to_owned(),
                false => "not configured".to_owned(),
            },
            since_ms: wall_ms,
        });
        Self {
            lines: lines.into(),
        }
    }

    /// Notes an answer, or why there was none.
    pub(super) fn note(&mut self, name: &str, told: Result<String, String>, wall_ms: i64) {
        let Some(line) = self.lines.iter_mut().find(|line| line.name == name) else {
            return;
        };
        let (up, detail) = match told {
            Ok(detail) => (feed::Up::Up, detail),
            Err(why) => (feed::Up::Down, why),
        };
        if line.up != up {
            line.since_ms = wall_ms;
            tracing::info!(name, ?up, detail, "health");
        }
        line.up = up;
        line.detail = fusebox_domain::clean_line(&detail, 120);
    }
}

/// Equity of the last minutes, for the chart and the speed.
#[derive(Default)]
pub(super) struct Chart {
    /// Time, equity and all flows so far, in 10⁻⁸.
    recent: VecDeque<(i64, i128, i128)>,
    flows_e8: i128,
    /// The sample that is not on the chart yet.
    new: Option<feed::Point>,
}

impl Chart {
    /// Notes a sample and the flows in it.
    pub(super) fn sample(&mut self, verdict: &Verdict, flows_e8: &[i128]) {
        self.flows_e8 = flows_e8
            .iter()
            .fold(self.flows_e8, |sum, flow| sum.saturating_add(*flow));
        let (Some(t_ms), true) = (verdict.t_ms, verdict.reading.is_accepted()) else {
            return;
        };
        self.recent
            .push_back((t_ms, verdict.equity_e8, self.flows_e8));
        while self
            .recent
            .front()
            .is_some_and(|(first, ..)| t_ms.saturating_sub(*first) > SPEED_WINDOW_MS)
        {
            self.recent.pop_front();
        }
        self.new = Some(feed::Point {
            t_ms,
            equity_usdt: from_e8(verdict.equity_e8),
        });
    }

    /// Change per hour without flows, in 10⁻⁸.
    fn per_hour_e8(&self) -> Option<i128> {
        let (t0, e0, f0) = self.recent.front()?;
        let (t1, e1, f1) = self.recent.back()?;
        let span_ms = t1.saturating_sub(*t0);
        if span_ms < SPEED_LEAST_MS {
            return None;
        }
        let change = e1
            .saturating_sub(*f1)
            .saturating_sub(e0.saturating_sub(*f0));
        Some(change.saturating_mul(3_600_000) / i128::from(span_ms))
    }
}

/// What the consoles have been told.
#[derive(Default)]
pub(super) struct Shown {
    sections: Vec<feed::Section>,
}

impl Shown {
    /// Whether it is news; remembers it.
    fn is_new(&mut self, section: &feed::Section) -> bool {
        match self
            .sections
            .iter_mut()
            .find(|known| discriminant(*known) == discriminant(section))
        {
            Some(known) if known == section => false,
            Some(known) => {
                *known = section.clone();
                true
            }
            None => {
                self.sections.push(section.clone());
                true
            }
        }
    }
}

impl Engine {
    /// Sends every section that changed. A feed that is full is not waited for: the next tick
    /// brings the same again.
    pub(super) fn publish_all(&mut self, now: Now) {
        let sections = [
            feed::Section::Account(self.account_section()),
            feed::Section::Equity(self.equity_section(now)),
            feed::Section::Ladder(self.ladder_section(now)),
            feed::Section::Positions(self.positions_section()),
            feed::Section::Marks(self.marks_section()),
            feed::Section::Orders(self.orders_section()),
            feed::Section::Actions(self.actions_section()),
            feed::Section::Alerts(self.alerts_section()),
            feed::Section::Health(self.health.lines.clone()),
            feed::Section::Sources(self.sources_section(now)),
        ];
        for section in sections {
            if self.shown.is_new(&section) {
                let sent = self
                    .out
                    .feed
                    .try_send(Publish::Section(Box::new(section.clone())));
                if sent.is_err() {
                    self.shown
                        .sections
                        .retain(|s| discriminant(s) != discriminant(&section));
                }
            }
        }
        if let Some(point) = self.chart.new.take() {
            let _ = self.out.feed.try_send(Publish::Point(point));
        }
        let page = self.page(now);
        self.out.page.send_replace(page);
    }

    fn not_armed_because(&self) -> Option<String> {
        match &self.broken {
            Some(why) => Some(format!("the saved state cannot be read: {why}")),
            None if self.store.trouble().is_some() => self
                .store
                .trouble()
                .map(|why| format!("state is not durable: {why}")),
            None if !self.verdict.funded => Some("no confirmed equity yet".to_owned()),
            None => None,
        }
    }

    fn account_section(&self) -> feed::Account {
        let because = self.not_armed_because();
        feed::Account {
            account: self.config.account.clone(),
            uid: self.config.uid.clone(),
            venue: "bybit".to_owned(),
            environment: self.config.environment,
            auto_revoke: self.config.auto_revoke.as_str().to_owned(),
            armed: because.is_none(),
            not_armed_because: because,
            config_hash: self.config_hash.clone(),
            started_ms: self.started_ms,
        }
    }

    fn equity_section(&self, now: Now) -> feed::Equity {
        let age = |t: Option<i64>| t.map(|t| age_ms(t, now));
        let measured = self.measured.as_ref();
        let wallet = measured.map(|m| m.wallet.equity);
        let replayed = measured.and_then(|m| m.replayed.as_ref().ok());
        let second = replayed.map(|r| r.equity);
        let disagreement_bp = wallet.zip(second).and_then(|(a, b)| difference_bp(a, b));
        feed::Equity {
            wallet_usdt: wallet,
            wallet_age_ms: age(measured.map(|m| m.at_ms)),
            replayed_usdt: second,
            replayed_age_ms: age(replayed.and_then(|r| r.oldest_mark_ms.or(self.ledger_read_ms))),
            agree: disagreement_bp.map(|bp| bp <= 50),
            disagreement_bp,
            nav: self
                .verdict
                .funded
                .then(|| super::measure::nav_text(self.verdict.nav.e12())),
            per_hour_usdt: self
                .chart
                .per_hour_e8()
                .and_then(from_e8)
                .map(|d| d.round_dp(2)),
            exchange_ms: measured.map(|m| m.at_ms),
        }
    }

    fn ladder_section(&self, now: Now) -> feed::Ladder {
        let verdict = &self.verdict;
        let next_reset_ms = (now.exchange_ms.div_euclid(DAY_MS) + 1) * DAY_MS;
        let after = verdict.funded.then(|| self.after_reset()).flatten();
        feed::Ladder {
            rungs: Rung::DRAWDOWN.map(|rung| self.rung(rung)).into(),
            blind: verdict.blind.map(|rung| rung.name().to_owned()),
            sample_age_ms: verdict.t_ms.map(|t| age_ms(t, now)),
            integrity: self.integrity_reasons(),
            next_reset_ms: Some(next_reset_ms),
            after_reset: after,
        }
    }

    fn integrity_reasons(&self) -> Vec<String> {
        let x = self
            .plans
            .iter()
            .rev()
            .find(|plan| plan.rung == Rung::X.name() && plan.action != "release");
        let latched = self.ladder.latch_of(Rung::X).is_some() || self.unexplained;
        match latched {
            true => vec![x.map_or("integrity".to_owned(), |plan| plan.reason.clone())],
            false => Vec::new(),
        }
    }

    fn after_reset(&self) -> Option<String> {
        let room = |rung| from_unsigned_e8(self.verdict.room_after_roll_e8(rung));
        let now = |rung| from_unsigned_e8(self.verdict.room_e8(rung));
        let changes: Vec<String> = Rung::DRAWDOWN
            .into_iter()
            .filter(|rung| room(*rung) != now(*rung))
            .filter_map(|rung| Some(format!("{} room {:.2}", rung.name(), room(rung)?)))
            .collect();
        Some(match changes.is_empty() {
            true => "nothing changes".to_owned(),
            false => changes.join(", "),
        })
    }

    fn rung(&self, rung: Rung) -> feed::Rung {
        let verdict = &self.verdict;
        let threshold_bp = self.config.ladder().loss_bp(rung);
        let (basis, rolling) = rung.rule().bases.unwrap_or((Basis::Day, None));
        let change = |basis| i64::from(verdict.dd_bp(basis));
        let known = verdict.funded;
        let room = known
            .then(|| from_unsigned_e8(verdict.room_e8(rung)))
            .flatten()
            // Rounded down: the last cent of room is not promised.
            .map(|room| room.trunc_with_scale(2));
        let equity = from_e8(verdict.equity_e8);
        let latch = self.ladder.latch_of(rung);
        feed::Rung {
            rung: rung.name().to_owned(),
            basis: basis.name().replace("hwm", "peak"),
            threshold_bp,
            change_bp: known.then(|| change(basis)),
            rolling_change_bp: rolling.filter(|_| known).map(change),
            room_usdt: room,
            room_bp: room
                .zip(equity)
                .and_then(|(room, equity)| share_bp(room, equity)),
            trips_at_usdt: room
                .zip(equity)
                .and_then(|(room, equity)| equity.checked_sub(room)),
            state: match (latch, verdict.blind) {
                (Some(_), _) => feed::RungState::Latched,
                (None, None) if known => feed::RungState::Clear,
                _ => feed::RungState::Unknown,
            },
            since_ms: latch.map(|latch| latch.t_ms),
            action: action_words(rung).0.to_owned(),
            done: latch.and_then(|_| self.done(rung)),
            review: self.open_review(rung),
        }
    }

    /// What the rung's last plan has done; a rung contained in a graver one says which.
    fn done(&self, rung: Rung) -> Option<String> {
        let latch_ms = self.ladder.latch_of(rung)?.t_ms;
        let own = self
            .plans
            .iter()
            .rev()
            .find(|plan| plan.rung == rung.name() && plan.action != "release");
        let plan = own.or_else(|| self.plans.iter().find(|plan| plan.t_ms == latch_ms));
        plan.map(|plan| match plan.rung == rung.name() {
            true if plan.tasks.is_empty() => "alerted".to_owned(),
            true if plan.has_done_all() => action_words(rung).1.to_owned(),
            true => fusebox_domain::clean_line(&plan.detail(), 300),
            false => format!("by the plan of {}", plan.rung),
        })
    }

    fn open_review(&self, rung: Rung) -> Option<String> {
        self.ladder.latch_of(rung)?;
        self.desk
            .alerts()
            .iter()
            .rev()
            .find(|open| open.notice.rule == rung.name() && !open.acknowledged)
            .map(|open| open.id.clone())
    }

    fn positions_section(&self) -> Vec<Position> {
        let stops: BTreeMap<&Symbol, Decimal> = self
            .book
            .orders()
            .filter(|o| o.kind == fusebox_domain::OrderKind::ProtectiveStop)
            .filter_map(|o| Some((&o.symbol, o.trigger_price?)))
            .collect();
        let with_stop = |position: &Position| {
            let mut position = position.clone();
            let order = stops.get(&position.symbol).copied();
            position.stop_price = position.stop_price.or(order);
            if let Some((_, mark)) = self.marks.latest(&position.symbol) {
                position.mark_price = Some(mark);
                position.unrealised_usdt = position.unrealised_at(mark);
            }
            position
        };
        self.book.positions().take(ROWS).map(with_stop).collect()
    }

    fn marks_section(&self) -> Vec<feed::Mark> {
        let symbols = self.out.symbols.borrow();
        symbols
            .iter()
            .filter_map(|symbol| {
                Some(feed::Mark {
                    symbol: symbol.clone(),
                    price: self.marks.latest(symbol)?.1,
                })
            })
            .take(ROWS)
            .collect()
    }

    fn orders_section(&self) -> Vec<feed::OpenOrder> {
        let open = |order: &fusebox_domain::Order| feed::OpenOrder {
            foreign: self.orders.is_foreign(&order.order_id),
            not_post_only: self.orders.is_taker(&order.order_id),
            order: order.clone(),
        };
        self.book.orders().take(ROWS).map(open).collect()
    }

    fn actions_section(&self) -> Vec<feed::Action> {
        let skip = self.plans.len().saturating_sub(ROWS);
        self.plans.iter().skip(skip).map(action).collect()
    }

    fn alerts_section(&self) -> Vec<feed::Alert> {
        let alert = |open: &fusebox_notify::Open| feed::Alert {
            id: open.id.clone(),
            severity: match severity(open) {
                1 => feed::Severity::Critical,
                2 => feed::Severity::Warn,
                _ => feed::Severity::Info,
            },
            title: format!("{} {}", open.notice.rule, open.notice.title),
            detail: open.notice.text(),
            raised_ms: open.raised_ms,
            ack_by_ms: open.ack_by_ms,
            acknowledged: open.acknowledged,
            channels: self.delivered.get(&open.id).cloned().unwrap_or_default(),
        };
        self.desk.alerts().iter().map(alert).collect()
    }

    fn sources_section(&self, now: Now) -> Vec<feed::Source> {
        let rest = |name: &str, at: Option<i64>, limits: Limits| feed::Source {
            name: name.to_owned(),
            age_ms: at.map(|t| age_ms(t, now)),
            limits,
            link: "polled".to_owned(),
            reconnects: 0,
        };
        // The private stream speaks only when something happens: while it stands it is current.
        let private_age = match self.private.is_live() {
            true => Some(0),
            false => self.private.heard_ms.map(|t| age_ms(t, now)),
        };
        vec![
            rest(
                "wallet rest",
                self.measured.as_ref().map(|m| m.at_ms),
                WALLET_LIMITS,
            ),
            rest("ledger rest", self.ledger_read_ms, LISTING_LIMITS),
            rest("orders rest", self.listed_ms, LISTING_LIMITS),
            stream("positions ws", &self.private, private_age),
            stream(
                "tickers ws",
                &self.public,
                self.public.heard_ms.map(|t| age_ms(t, now)),
            ),
        ]
    }

    /// The metrics carry no balance and no position.
    fn page(&self, now: Now) -> Page {
        let mut text = String::new();
        let mut gauge = |name: &str, label: &str, value: i64| {
            let _ = writeln!(text, "fusebox_breaker_{name}{label} {value}");
        };
        gauge("armed", "", i64::from(self.not_armed_because().is_none()));
        for rung in Rung::ALL {
            let label = format!("{{rung=\"{}\"}}", rung.name());
            gauge(
                "latched",
                &label,
                i64::from(self.ladder.latch_of(rung).is_some()),
            );
        }
        for basis in Basis::ALL {
            let label = format!("{{basis=\"{}\"}}", basis.name());
            gauge("change_bp", &label, i64::from(self.verdict.dd_bp(basis)));
        }
        let age = self
            .verdict
            .t_ms
            .map_or(-1, |t| age_ms(t, now).try_into().unwrap_or(i64::MAX));
        gauge("sample_age_ms", "", age);
        for line in &self.health.lines {
            let label = format!("{{component=\"{}\"}}", line.name);
            gauge("up", &label, i64::from(line.up == feed::Up::Up));
        }
        gauge(
            "reconnects",
            "{stream=\"private\"}",
            i64::from(self.private.reconnects),
        );
        gauge(
            "reconnects",
            "{stream=\"public\"}",
            i64::from(self.public.reconnects),
        );
        let because = self.not_armed_because().or_else(|| {
            self.verdict
                .blind
                .map(|rung| format!("blind: {}", rung.name()))
        });
        Page {
            metrics: text,
            healthy: because.is_none(),
            health: because.unwrap_or_else(|| "ok".to_owned()),
        }
    }
}

fn action(plan: &Plan) -> feed::Action {
    let any = |state| plan.tasks.iter().any(|t| t.state == state);
    feed::Action {
        id: plan.id.clone(),
        rung: plan.rung.clone(),
        action: plan.action.clone(),
        state: match plan.is_open() {
            true if any(State::Running) || any(State::Done) => feed::ActionState::Running,
            true => feed::ActionState::Pending,
            false if any(State::Failed) => feed::ActionState::Failed,
            false => feed::ActionState::Done,
        },
        started_ms: plan.started_ms,
        ended_ms: plan.ended_ms,
        detail: fusebox_domain::clean_line(&plan.detail(), 500),
    }
}

fn stream(name: &str, stream: &Stream, age_ms: Option<u64>) -> feed::Source {
    let word = match stream.state {
        LinkState::Down => "down",
        LinkState::Stale => "stale",
        LinkState::Live => "live",
    };
    feed::Source {
        name: name.to_owned(),
        age_ms,
        limits: STREAM_LIMITS,
        link: match stream.state {
            LinkState::Live => word.to_owned(),
            _ => fusebox_domain::clean_line(&format!("{word}: {}", stream.detail), 120),
        },
        reconnects: stream.reconnects,
    }
}

fn age_ms(t_ms: i64, now: Now) -> u64 {
    u64::try_from(now.exchange_ms.saturating_sub(t_ms)).unwrap_or(0)
}

/// The difference in basis points of the larger, rounded up.
fn difference_bp(a: Decimal, b: Decimal) -> Option<i64> {
    let larger = a.abs().max(b.abs()).max(Decimal::ONE);
    let gap = a.checked_sub(b)?.abs();
    let bp = gap
        .checked_mul(Decimal::from(10_000))?
        .checked_div(larger)?;
    i64::try_from(bp.ceil()).ok()
}

/// A part in basis points of the whole, rounded down.
fn share_bp(part: Decimal, whole: Decimal) -> Option<i64> {
    if whole <= Decimal::ZERO {
        return None;
    }
    let bp = part
        .checked_mul(Decimal::from(10_000))?
        .checked_div(whole)?;
    i64::try_from(bp.floor()).ok()
}

/// What a rung does, and what it has done once that was seen. Of R4 the breaker sees only that
/// the revoker answered; the proof is the revoker's to show.
fn action_words(rung: Rung) -> (&'static str, &'static str) {
    match rung {
        Rung::R1 => ("alert", "alerted"),
        Rung::R2 => ("halve positions", "positions halved"),
        Rung::R3 => ("scale to zero", "bot at zero"),
        _ => ("revoke keys", "the revoker answered"),
    }
}
