//! A picture for tests: the one of the design's sketch.

use crate::client::run::Finished;
use crate::store::{Entry, Link, Page, Peer, Store, Trade};
use fusebox_domain::{
    ApiKeyId, Decimal, Environment, KeyRole, Limits, ObservedKey, Order, OrderKind, OrderStatus,
    Position, Scope, Side, Uid,
};
use fusebox_touch::{Action, Challenge as Document, Nonce, PlanHash};
use fusebox_wire::{Signed, append, feed, operator};
use std::time::Instant;

/// 2026-11-21 12:04:31 UTC.
pub(crate) const WALL_MS: i64 = 1_795_262_671_000;

fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub(crate) fn message(seq: u64, section: feed::Section) -> feed::Message {
    feed::Message {
        seq,
        sent_ms: WALL_MS,
        section,
    }
}

pub(crate) fn sources() -> Vec<feed::Source> {
    let limits = Limits {
        aging_ms: 3_000,
        stale_ms: 10_000,
    };
    ["wallet rest", "positions ws", "tickers ws"]
        .map(|name| feed::Source {
            name: name.to_owned(),
            age_ms: Some(200),
            limits,
            link: "live".to_owned(),
            reconnects: 0,
        })
        .into()
}

pub(crate) fn alerts() -> Vec<feed::Alert> {
    vec![feed::Alert {
        id: "alert-1".to_owned(),
        severity: feed::Severity::Warn,
        title: "R1 day −5.02 % on trading-1".to_owned(),
        detail: "equity 3,659.31 USDT".to_owned(),
        raised_ms: WALL_MS - 32_000,
        ack_by_ms: Some(WALL_MS + 568_000),
        acknowledged: false,
        channels: vec![("telegram".to_owned(), "ok".to_owned())],
    }]
}

fn rung(rung: &str, basis: &str, bp: u32, change: i64, room: &str, action: &str) -> feed::Rung {
    feed::Rung {
        rung: rung.to_owned(),
        basis: basis.to_owned(),
        threshold_bp: bp,
        change_bp: Some(change),
        rolling_change_bp: Some(if rung == "R3" {
            change - 40
        } else {
            change + 10
        }),
        room_usdt: Some(d(room)),
        room_bp: Some(i64::from(bp) + change),
        trips_at_usdt: Some(d("3612.40") - d(room)),
        state: feed::RungState::Clear,
        since_ms: None,
        action: action.to_owned(),
        done: None,
        review: None,
    }
}

pub(crate) fn ladder() -> feed::Ladder {
    let mut rungs = vec![
        rung("R1", "day", 500, -621, "0", "alert"),
        rung("R2", "week", 800, -621, "65.10", "halve positions"),
        rung("R3", "month", 1500, -621, "317.62", "scale to zero"),
        rung("R4", "peak", 1800, -969, "300.05", "revoke keys"),
    ];
    rungs[0].state = feed::RungState::Latched;
    rungs[0].since_ms = Some(WALL_MS - 391_000);
    rungs[0].done = Some("alerted".to_owned());
    rungs[0].review = Some("alert-1".to_owned());
    rungs[0].trips_at_usdt = Some(d("3659.31"));
    feed::Ladder {
        rungs,
        blind: None,
        sample_age_ms: Some(300),
        integrity: Vec::new(),
        next_reset_ms: Some(1_795_305_600_000),
        after_reset: Some("R1 clears, room 180.62 USDT".to_owned()),
    }
}

fn position(
    symbol: &str,
    side: Side,
    numbers: [&str; 4],
    stop: Option<&str>,
    minutes: i64,
) -> Position {
    let [size, entry, mark, liquidation] = numbers.map(d);
    let mut position = Position {
        symbol: symbol.into(),
        side,
        size,
        entry_price: entry,
        mark_price: Some(mark),
        liquidation_price: Some(liquidation),
        leverage: Some(Decimal::from(5)),
        unrealised_usdt: None,
        stop_price: stop.map(d),
        opened_ms: Some(WALL_MS - minutes * 60_000),
        updated_ms: WALL_MS,
        seq: 1,
    };
    position.unrealised_usdt = position.unrealised_at(mark);
    position
}

pub(crate) fn positions() -> Vec<Position> {
    vec![
        position(
            "BTCUSDT",
            Side::Buy,
            ["0.012", "61204.5", "59870.1", "49112.0"],
            Some("58014.1"),
            134,
        ),
        position(
            "ETHUSDT",
            Side::Buy,
            ["0.42", "3011.2", "2904.7", "2420.5"],
            None,
            41,
        ),
        position(
            "XRPUSDT",
            Side::Sell,
            ["812", "0.5901", "0.5940", "0.7120"],
            Some("0.6059"),
            182,
        ),
    ]
}

fn foreign() -> feed::OpenOrder {
    feed::OpenOrder {
        order: Order {
            order_id: "x".to_owned(),
            link_id: None,
            symbol: "SOLUSDT".into(),
            side: Side::Sell,
            kind: OrderKind::Entry,
            time_in_force: None,
            qty: d("12"),
            price: Some(d("151.2")),
            trigger_price: None,
            status: OrderStatus::Open,
            created_ms: WALL_MS,
            updated_ms: WALL_MS,
        },
        foreign: true,
        not_post_only: true,
    }
}

fn equity() -> feed::Equity {
    feed::Equity {
        wallet_usdt: Some(d("3612.40")),
        wallet_age_ms: Some(300),
        replayed_usdt: Some(d("3612.90")),
        replayed_age_ms: Some(350),
        agree: Some(true),
        disagreement_bp: Some(2),
        nav: Some("0.903100000000".to_owned()),
        per_hour_usdt: Some(d("-74.2")),
        exchange_ms: Some(WALL_MS),
    }
}

fn history() -> Vec<feed::Point> {
    (0..240)
        .map(|n| {
            let dip = (n - 120) * (n - 120) / 60;
            let value = 3600 + dip + (n * 7919 % 13);
            feed::Point {
                t_ms: WALL_MS - (240 - n) * 30_000,
                equity_usdt: (!(100..106).contains(&n)).then(|| Decimal::from(value)),
            }
        })
        .collect()
}

pub(crate) fn entries() -> Vec<Entry> {
    let rows = [
        ("alert", "R1 sent: telegram ok, email ok", "ack by 12:13:58"),
        ("halt", "R1 day −5.02 % equity 3,659.31", "review open"),
        (
            "trade",
            "opened ETH/USDT long 0.42 @ 3011.2 trade 7",
            "thesis missing",
        ),
        ("capital", "in 500 USDT trading-1 TRANSFER_IN", "confirmed"),
        ("system", "recorder started", ""),
    ];
    (1u64..)
        .zip(rows)
        .map(|(n, (kind, summary, tail))| Entry {
            seq: 1205 - n,
            time_ms: WALL_MS - i64::try_from(n).unwrap() * 32_000,
            kind: kind.to_owned(),
            author: "breaker uid 1001".to_owned(),
            summary: summary.to_owned(),
            tail: tail.to_owned(),
            body: serde_json::json!({"trade_id": if kind == "trade" { "7" } else { "" }, "detail": summary}),
            hash: "a91f".repeat(16),
            prev: "77c0".repeat(16),
        })
        .collect()
}

pub(crate) fn status() -> operator::Status {
    let device = |label: &str| operator::Device {
        label: label.to_owned(),
        application: "ssh:fusebox".to_owned(),
        actions: vec!["kill".to_owned()],
    };
    operator::Status {
        host_id: "guard".to_owned(),
        environment: Environment::Testnet,
        devices: vec![device("laptop key"), device("spare")],
        armed: true,
        auto_revoke: "on".to_owned(),
        public_key: "00".repeat(32),
        accounts: vec!["trading-1".into()],
        runs: Vec::new(),
        services: vec![("vault".to_owned(), "ok".to_owned())],
        controlled_ms: Some(WALL_MS),
    }
}

fn key(name: &str, role: Option<KeyRole>, due: Option<i64>) -> operator::RegisteredKey {
    operator::RegisteredKey {
        name: name.into(),
        role,
        account: Some("trading-1".into()),
        uid: Uid::new("100001"),
        observed: Some(ObservedKey {
            api_key: ApiKeyId::new(format!("{name}a91f")),
            uid: Uid::new("100001"),
            note: String::new(),
            read_only: false,
            scopes: vec![Scope::Trade],
            ips: Vec::new(),
            created_at: None,
            deadline_days: None,
        }),
        excess: Vec::new(),
        age_days: Some(31),
        rotation_due_days: due,
        findings: if role.is_none() {
            vec!["nobody declared it".to_owned()]
        } else {
            Vec::new()
        },
        controlled_ms: Some(WALL_MS),
    }
}

pub(crate) fn keys() -> operator::Keys {
    operator::Keys {
        keys: vec![
            key("freqtrade-1", Some(KeyRole::Trade), Some(59)),
            key("skim-1", Some(KeyRole::Move), Some(-3)),
            key("eye-breaker-1", Some(KeyRole::Read), None),
            key("···0b2e", None, None),
        ],
        listing_age_ms: Some(800),
        blind_spots: vec!["other master keys".to_owned()],
    }
}

pub(crate) fn plan() -> operator::Plan {
    let canonical = "plan".to_owned();
    let hash = PlanHash::of(canonical.as_bytes());
    let planned = |name: &str, role, effect: &str| operator::PlannedKey {
        name: name.into(),
        role,
        account: "trading-1".into(),
        short: "a91f".to_owned(),
        effect: effect.to_owned(),
    };
    operator::Plan {
        action: "kill".to_owned(),
        title: "KILL trading-1".to_owned(),
        environment: Environment::Testnet,
        hash,
        words: hash
            .fingerprint()
            .to_string()
            .split(' ')
            .map(str::to_owned)
            .collect(),
        canonical,
        keys: vec![
            planned("freqtrade-1", KeyRole::Trade, "delete"),
            planned("skim-1", KeyRole::Move, "delete"),
            planned("eye-revoker-1", KeyRole::Read, "keep"),
        ],
        orders: vec!["4 resting entries cancelled, 2 stops kept".to_owned()],
        workload: vec!["trading/freqtrade → 0 replicas, grace 0".to_owned()],
        secrets: vec!["kv/trading/freqtrade-1, kv/trading/skim-1: all versions".to_owned()],
        leaves: vec![
            "3 positions, 61.90 USDT at risk to their stops; ETHUSDT has NO stop".to_owned(),
        ],
        needs_pin: false,
    }
}

pub(crate) fn challenge() -> operator::Challenge {
    let plan = plan();
    operator::Challenge {
        document: Document::new(
            "guard",
            Action::Contain,
            plan.hash,
            Nonce([7; 32]),
            0,
            "operator uid 1000",
        ),
        plan,
        credentials: Vec::new(),
    }
}

pub(crate) fn steps() -> Vec<operator::Step> {
    let step = |name: &str, state, ms: Option<u64>, detail: &str| operator::Step {
        step: name.to_owned(),
        state,
        started_ms: Some(0),
        ended_ms: ms,
        detail: detail.to_owned(),
    };
    use operator::StepState::{Done, Sent, Unknown};
    vec![
        step("intent", Done, Some(4), "durable"),
        step("scale trading/freqtrade", Done, Some(410), "0 pods listed"),
        step(
            "cancel trading-1",
            Done,
            Some(620),
            "4 entries cancelled, 2 stops kept",
        ),
        step("delete rescue-1", Sent, None, "deleted, proving"),
        step(
            "destroy kv/trading/skim-1",
            Unknown,
            Some(2000),
            "sealed: retrying, does not hold up the rest",
        ),
    ]
}

pub(crate) fn finished() -> Finished {
    let proof = |name: &str, verdict, proofs: &[&str]| operator::KeyProof {
        name: name.into(),
        role: KeyRole::Trade,
        short: "a91f".to_owned(),
        verdict,
        proofs: proofs.iter().map(|p| (*p).to_owned()).collect(),
        detail: String::new(),
        proven_ms: Some(830),
    };
    Finished {
        report: operator::Report {
            id: "kill-1".to_owned(),
            action: "kill".to_owned(),
            trigger: "operator".to_owned(),
            outcome: operator::Outcome::Partial,
            touch_to_dead_ms: None,
            steps: steps(),
            keys: vec![
                proof(
                    "freqtrade-1",
                    operator::Verdict::Dead,
                    &["absent", "refused"],
                ),
                proof("skim-1", operator::Verdict::Alive, &[]),
                proof("rescue-1", operator::Verdict::Unknown, &["absent"]),
            ],
            residual: operator::Residual {
                positions: vec![operator::ResidualPosition {
                    symbol: "ETHUSDT".to_owned(),
                    side: "long".to_owned(),
                    size: d("0.42"),
                    mark_price: Some(d("2904.7")),
                    stop_price: None,
                    at_risk_usdt: None,
                    liquidation_price: Some(d("2420.5")),
                    liquidation_bp: Some(1667),
                }],
                resting_entries: 0,
                stops_kept: 2,
                equity_usdt: Some(d("3612.40")),
                seen: "0.2 s after the last proof".to_owned(),
                notes: vec!["rotate what was revoked before starting again".to_owned()],
            },
            plan_hash: String::new(),
            started_ms: WALL_MS,
        },
        signed: Signed {
            body: "{}".to_owned(),
            signature: String::new(),
        },
        untrusted: Some("no revoker_key is pinned in the configuration".to_owned()),
        released: None,
    }
}

/// Everything of the breaker's first picture.
pub(crate) fn sections() -> Vec<feed::Section> {
    let health = |name: &str, up, detail: &str| feed::Health {
        name: name.to_owned(),
        up,
        detail: detail.to_owned(),
        since_ms: WALL_MS,
    };
    vec![
        feed::Section::Account(feed::Account {
            account: "trading-1".into(),
            uid: Uid::new("100001"),
            venue: "bybit".to_owned(),
            environment: Environment::Testnet,
            auto_revoke: "on".to_owned(),
            armed: true,
            not_armed_because: None,
            config_hash: "c0ffee".to_owned(),
            started_ms: WALL_MS - 86_400_000,
        }),
        feed::Section::History(history()),
        feed::Section::Equity(equity()),
        feed::Section::Ladder(ladder()),
        feed::Section::Positions(positions()),
        feed::Section::Orders(vec![foreign()]),
        feed::Section::Actions(vec![feed::Action {
            id: "a1".to_owned(),
            rung: "R1".to_owned(),
            action: "alert".to_owned(),
            state: feed::ActionState::Done,
            started_ms: WALL_MS - 391_000,
            ended_ms: Some(WALL_MS - 390_000),
            detail: "telegram ok, email ok".to_owned(),
        }]),
        feed::Section::Alerts(alerts()),
        feed::Section::Health(vec![
            health("bot", feed::Up::Up, "running"),
            health("k3s", feed::Up::Up, "1 replica"),
            health("egress-2", feed::Up::Degraded, "slow"),
        ]),
        feed::Section::Sources(sources()),
    ]
}

/// Everything live at `now`.
pub(crate) fn store(now: Instant) -> Store {
    let mut store = Store::default();
    for peer in [Peer::Feed, Peer::Revoker, Peer::Recorder, Peer::Journal] {
        store.link(peer, Link::Live);
    }
    for (seq, section) in (1..).zip(sections()) {
        store.feed(message(seq, section), now);
    }
    store.revoker(status(), Some(keys()), now);
    store.recorded = Some(crate::store::Sample {
        value: append::Status {
            entries: 1204,
            head: "a91f".to_owned(),
            checkpoint_ms: Some(WALL_MS - 271_000),
            sources: Vec::new(),
        },
        at: now,
    });
    store.page = Page {
        rows: entries(),
        total: 1204,
        stopped: false,
        filter: String::new(),
        trades: vec![Trade {
            account: "trading-1".to_owned(),
            trade_id: "7".to_owned(),
            pair: "ETH/USDT:USDT".to_owned(),
            side: "long".to_owned(),
            open: true,
            ..Trade::default()
        }],
    };
    store
}
