//! The engine without a network: values in, state and outbox out. Time is what the test says.

use super::*;
use fusebox_domain::{Decimal, OrderKind, OrderStatus, Side, TimeInForce, Wallet};
use fusebox_ladder::Rung;
use fusebox_venue::CoinBalance;
use fusebox_wire::feed::{CERTIFICATE, Certificate, Reply, Request, Section};
use ring::signature::KeyPair;
use std::path::Path;
use tokio::sync::oneshot;

const START: i64 = 1_790_000_000_000;

struct Rig {
    engine: Engine,
    feed: mpsc::Receiver<Publish>,
    dir: tempfile::TempDir,
    now_ms: i64,
}

fn key(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn config(dir: &Path) -> Config {
    let text = format!(
        r#"
        environment = "sim"
        account = "trading-1"
        uid = "100001"
        state_dir = "{dir}"
        feed_socket = "{dir}/feed.sock"
        revoker_public_key = "{dir}/revoker.pub"
        [exchange]
        rest = "http://127.0.0.1:1"
        api_key = "k"
        secret = "file:{dir}/secret"
        "#,
        dir = dir.display()
    );
    toml::from_str(&text).unwrap()
}

fn outlets() -> (Outlets, mpsc::Receiver<Publish>) {
    let (feed, published) = mpsc::channel(10_000);
    let out = Outlets {
        feed,
        page: watch::channel(Page::default()).0,
        symbols: watch::channel(BTreeSet::new()).0,
        ledger_since: watch::channel(None).0,
        input: mpsc::channel(1_000).0,
    };
    (out, published)
}

fn wallet(at_ms: i64, equity: i64, balance: i64) -> Input {
    let d = Decimal::from;
    Input::Wallet(Ok(Stamped {
        at_ms,
        value: WalletReading {
            wallet: Wallet {
                time_ms: at_ms,
                total_equity_usdt: d(equity),
                wallet_balance_usdt: d(balance),
                unrealised_usdt: d(equity - balance),
                maintenance_margin_usdt: None,
            },
            coins: vec![CoinBalance {
                coin: "USDT".into(),
                equity: d(equity),
                wallet_balance: d(balance),
                unrealised: None,
                value_usd: None,
            }],
        },
    }))
}

fn ledger(at_ms: i64, rows: Vec<LedgerRow>) -> Input {
    Input::Ledger(Ok(Stamped { at_ms, value: rows }))
}

fn row(id: &str, time_ms: i64, change: i64, balance: i64) -> LedgerRow {
    LedgerRow {
        id: id.into(),
        time_ms,
        type_name: "TRANSFER_OUT".into(),
        kind: fusebox_domain::LedgerKind::Flow,
        currency: "USDT".into(),
        change: Decimal::from(change),
        cash_balance: Decimal::from(balance),
        symbol: None,
        order_id: None,
        trade_id: None,
    }
}

impl Rig {
    fn new() -> Self {
        Self::on(tempfile::tempdir().unwrap(), START)
    }

    fn on(dir: tempfile::TempDir, now_ms: i64) -> Self {
        let (out, feed) = outlets();
        let store = Store::open(&dir.path().join("breaker.db")).unwrap();
        let now = Now {
            wall_ms: now_ms,
            exchange_ms: now_ms,
        };
        let config = config(dir.path());
        let engine = Engine::new(config, key(1), store, Hands::default(), out, now).unwrap();
        Self {
            engine,
            feed,
            dir,
            now_ms,
        }
    }

    /// The process ends without a goodbye and starts again after `away_ms`.
    fn killed(self, away_ms: i64) -> Self {
        let Self {
            engine,
            dir,
            now_ms,
            ..
        } = self;
        drop(engine);
        Self::on(dir, now_ms + away_ms)
    }

    fn give(&mut self, input: Input) {
        let now = Now {
            wall_ms: self.now_ms,
            exchange_ms: self.now_ms,
        };
        self.engine.handle(input, now);
    }

    /// One second passes, then the wallet is read; balance and equity are the same.
    fn second(&mut self, equity: i64) {
        self.reading(equity, equity);
    }

    fn reading(&mut self, equity: i64, balance: i64) {
        self.now_ms += 1_000;
        self.give(wallet(self.now_ms, equity, balance));
        self.give(Input::Tick);
    }

    fn seconds(&mut self, count: u32, equity: i64) {
        for _ in 0..count {
            self.second(equity);
        }
    }

    fn blind_seconds(&mut self, count: u32) {
        for _ in 0..count {
            self.now_ms += 1_000;
            self.give(Input::Tick);
        }
    }

    fn latched(&self) -> Vec<&'static str> {
        self.engine
            .ladder
            .latched()
            .iter()
            .map(Rung::name)
            .collect()
    }

    fn plans(&self) -> Vec<&str> {
        self.engine.plans.iter().map(|p| p.rung.as_str()).collect()
    }

    fn rows(&mut self, kind: &str) -> usize {
        let mut count = 0;
        while let Some((seq, draft)) = self.engine.store.peek() {
            count += usize::from(draft.kind == kind);
            self.engine.store.delivered(seq);
        }
        count
    }

    fn ask(&mut self, request: Request) -> Reply {
        let (answer, mut answered) = oneshot::channel();
        self.give(Input::Console(Box::new(Ask {
            request,
            uid: 0,
            answer,
        })));
        answered.try_recv().unwrap()
    }
}

#[tokio::test]
async fn a_gap_through_all_rungs_executes_the_gravest_and_journals_each() {
    let mut rig = Rig::new();
    rig.seconds(5, 4_000);
    rig.seconds(5, 3_200);
    assert_eq!(rig.latched(), ["R1", "R2", "R3", "R4"]);
    assert_eq!(rig.plans(), ["R4"], "one plan per event");
    assert_eq!(rig.rows("halt"), 4);
}

#[tokio::test]
async fn latches_plans_and_the_ladder_survive_a_kill() {
    let mut rig = Rig::new();
    rig.seconds(5, 4_000);
    rig.seconds(4, 3_780);
    assert_eq!(rig.latched(), ["R1"]);
    let mut rig = rig.killed(3_000);
    assert_eq!(rig.latched(), ["R1"]);
    assert_eq!(rig.plans(), ["R1"]);
    rig.seconds(4, 3_780);
    assert_eq!(rig.plans(), ["R1"], "it does not trip again");
    rig.seconds(4, 3_390);
    assert_eq!(rig.latched(), ["R1", "R2", "R3"], "the anchors were kept");
}

#[tokio::test]
async fn state_that_cannot_be_read_is_not_taken_for_a_new_start() {
    let mut rig = Rig::new();
    rig.seconds(5, 4_000);
    rig.seconds(4, 3_300);
    let path = rig.dir.path().join("breaker.db");
    let other = rusqlite::Connection::open(path).unwrap();
    other
        .execute("UPDATE value SET body = x'0102' WHERE name = 'ladder'", [])
        .unwrap();
    let rig = rig.killed(1_000);
    assert_eq!(rig.latched(), ["X"]);
    assert!(rig.engine.broken.is_some());
    assert_eq!(rig.plans().last(), Some(&"X"), "entries stop");
    let body: Vec<u8> = other
        .query_row("SELECT body FROM value WHERE name = 'ladder'", [], |r| {
            r.get(0)
        })
        .unwrap();
    assert_eq!(body, [1, 2], "the evidence is kept");
}

#[tokio::test]
async fn a_latch_whose_plan_was_lost_gets_a_new_one() {
    let mut rig = Rig::new();
    rig.seconds(5, 4_000);
    rig.seconds(4, 3_300);
    let other = rusqlite::Connection::open(rig.dir.path().join("breaker.db")).unwrap();
    other.execute("DELETE FROM plan", []).unwrap();
    let rig = rig.killed(1_000);
    assert_eq!(rig.plans(), ["R3"]);
}

#[tokio::test]
async fn a_full_disk_is_told_and_the_ladder_still_acts() {
    let mut rig = Rig::new();
    rig.seconds(5, 4_000);
    let path = rig.dir.path().join("breaker.db");
    let other = rusqlite::Connection::open(path).unwrap();
    other
        .execute_batch("BEGIN EXCLUSIVE; CREATE TABLE held (a)")
        .unwrap();
    rig.seconds(4, 3_300);
    assert!(rig.latched().contains(&"R3"));
    assert!(rig.plans().contains(&"R3"));
    let alerts = rig.engine.desk.alerts();
    assert!(alerts.iter().any(|a| a.notice.rule == "state-not-durable"));
    other.execute_batch("ROLLBACK").unwrap();
    rig.seconds(6, 3_300);
    assert_eq!(rig.engine.store.trouble(), None);
}

#[tokio::test]
async fn silence_warns_then_stops_then_scales_and_only_the_last_stays() {
    let mut rig = Rig::new();
    rig.seconds(5, 4_000);
    rig.blind_seconds(60);
    assert_eq!(rig.plans(), ["B1", "B2"]);
    rig.seconds(4, 4_000);
    assert_eq!(rig.engine.verdict.blind, None);
    rig.blind_seconds(300);
    rig.seconds(5, 4_000);
    assert_eq!(rig.latched(), ["B3"], "only a certificate ends it");
}

#[tokio::test]
async fn a_withdrawal_that_the_ledger_tells_is_no_loss() {
    let mut rig = Rig::new();
    rig.give(ledger(START, vec![row("start", START - 10, 4_000, 4_000)]));
    rig.seconds(5, 4_000);
    // The wallet shows it first, the row comes two readings later.
    rig.seconds(2, 3_000);
    let at = rig.now_ms - 1_500;
    rig.give(ledger(rig.now_ms, vec![row("out", at, -1_000, 3_000)]));
    rig.seconds(4, 3_000);
    assert!(rig.latched().is_empty());
    assert_eq!(rig.engine.verdict.nav.e12(), 1_000_000_000_000);
}

#[tokio::test]
async fn a_withdrawal_without_a_row_stops_entries_and_after_half_a_minute_is_a_loss() {
    let mut rig = Rig::new();
    rig.give(ledger(START, vec![row("start", START - 10, 4_000, 4_000)]));
    rig.seconds(5, 4_000);
    rig.seconds(3, 3_000);
    assert_eq!(rig.plans(), ["X"]);
    rig.seconds(26, 3_000);
    assert!(!rig.latched().contains(&"R4"), "it may still be explained");
    rig.seconds(6, 3_000);
    assert!(rig.latched().contains(&"R4"));
}

#[tokio::test]
async fn a_lying_bot_turns_r2_into_r3() {
    let mut rig = Rig::new();
    rig.seconds(5, 4_000);
    let listing = |at_ms| {
        let mut row = PositionRow {
            symbol: "X".into(),
            idx: 0,
            seq: 1,
            updated_ms: at_ms,
            position: None,
        };
        row.position = Some(fusebox_domain::Position {
            symbol: "X".into(),
            side: Side::Buy,
            size: Decimal::from(10),
            entry_price: Decimal::from(100),
            mark_price: Some(Decimal::from(100)),
            liquidation_price: None,
            leverage: None,
            unrealised_usdt: None,
            stop_price: None,
            opened_ms: None,
            updated_ms: at_ms,
            seq: 1,
        });
        Input::Listing(Ok(Listing {
            at_ms,
            positions: vec![row],
            orders: vec![],
        }))
    };
    rig.give(listing(rig.now_ms));
    rig.seconds(4, 3_670);
    assert_eq!(rig.plans(), ["R2"]);
    for _ in 0..121 {
        rig.second(3_670);
        rig.give(listing(rig.now_ms));
    }
    assert!(rig.plans().contains(&"R3"), "{:?}", rig.plans());
    assert!(rig.latched().contains(&"R3"));
}

#[tokio::test]
async fn an_order_that_the_bot_does_not_know_stops_entries() {
    let mut rig = Rig::new();
    rig.seconds(5, 4_000);
    let made_ms = rig.now_ms;
    let order = Order {
        order_id: "o1".into(),
        link_id: None,
        symbol: "SOLUSDT".into(),
        side: Side::Sell,
        kind: OrderKind::Entry,
        time_in_force: Some(TimeInForce::PostOnly),
        qty: Decimal::from(12),
        price: Some(Decimal::from(151)),
        trigger_price: None,
        status: OrderStatus::Open,
        created_ms: made_ms,
        updated_ms: made_ms,
    };
    rig.give(Input::Private(PrivateEvent::Orders(vec![order])));
    rig.give(Input::Bot(Err("no answer".into())));
    rig.seconds(8, 4_000);
    assert!(rig.latched().is_empty(), "a silent bot judges nothing");
    rig.give(Input::Bot(Ok((BotView::default(), rig.now_ms))));
    rig.second(4_000);
    assert_eq!(rig.latched(), ["X"]);
    assert_eq!(rig.rows("incident"), 1);
}

#[tokio::test]
async fn only_a_certificate_of_the_revoker_releases_and_only_once() {
    let mut rig = Rig::new();
    rig.seconds(5, 4_000);
    rig.seconds(4, 3_300);
    assert!(rig.latched().contains(&"R3"));
    let public = hex::encode(key(9).public_key().as_ref());
    std::fs::write(rig.dir.path().join("revoker.pub"), public).unwrap();
    let good = Certificate {
        account: "trading-1".into(),
        rung: "R3".into(),
        sequence: 5,
        expires_ms: rig.now_ms + 60_000,
        action: "rebase_month".into(),
        config_hash: rig.engine.config_hash.clone(),
        reason: "looked at".into(),
    };
    let signed = |certificate: &Certificate, by: u8| {
        let certificate = fusebox_wire::Signed::sign(CERTIFICATE, certificate, &key(by)).unwrap();
        Request::Release { certificate }
    };
    let changed = |change: fn(&mut Certificate)| {
        let mut certificate = good.clone();
        change(&mut certificate);
        certificate
    };
    let refused = [
        (signed(&good, 8), "signature"),
        (
            signed(&changed(|c| c.account = "other".into()), 9),
            "for other",
        ),
        (signed(&changed(|c| c.expires_ms = START), 9), "expired"),
        (
            signed(&changed(|c| c.config_hash = "x".into()), 9),
            "configuration",
        ),
        (
            signed(&changed(|c| c.action = "loosen".into()), 9),
            "no release",
        ),
    ];
    for (request, expected) in refused {
        let reply = rig.ask(request);
        assert!(!reply.done && reply.detail.contains(expected), "{reply:?}");
    }
    assert!(rig.latched().contains(&"R3"));
    let reply = rig.ask(signed(&good, 9));
    assert!(reply.done, "{reply:?}");
    assert!(!rig.latched().contains(&"R3"));
    assert!(
        !rig.ask(signed(&good, 9)).done,
        "a used certificate is worth nothing"
    );
}

#[tokio::test]
async fn an_acknowledged_review_lets_r1_end_on_the_same_day() {
    let mut rig = Rig::new();
    rig.seconds(5, 4_000);
    rig.seconds(4, 3_780);
    rig.seconds(5, 3_900);
    assert_eq!(rig.latched(), ["R1"], "recovered, but nobody has looked");
    let alert = rig.engine.desk.alerts()[0].id.clone();
    assert!(!rig.ask(Request::Acknowledge { alert: "no".into() }).done);
    assert!(rig.ask(Request::Acknowledge { alert }).done);
    rig.seconds(4, 3_900);
    assert!(rig.latched().is_empty());
    assert_eq!(rig.rows("ack"), 1);
}

#[tokio::test]
async fn the_feed_tells_what_a_console_needs_and_nothing_twice() {
    let mut rig = Rig::new();
    rig.seconds(5, 4_000);
    let mut sections = Vec::new();
    while let Ok(publish) = rig.feed.try_recv() {
        if let Publish::Section(section) = publish {
            sections.push(*section);
        }
    }
    let ladder = sections
        .iter()
        .rev()
        .find_map(|s| match s {
            Section::Ladder(ladder) => Some(ladder.clone()),
            _ => None,
        })
        .unwrap();
    assert_eq!(ladder.rungs.len(), 4);
    assert_eq!(ladder.rungs[0].room_usdt, Some(Decimal::from(200)));
    assert_eq!(ladder.rungs[0].trips_at_usdt, Some(Decimal::from(3_800)));
    let armed = sections
        .iter()
        .filter(|s| matches!(s, Section::Account(a) if a.armed))
        .count();
    assert_eq!(armed, 1, "an unchanged section is not sent again");
    for section in &sections {
        let size = serde_json::to_vec(section).unwrap().len();
        assert!(size < fusebox_wire::MAX_FRAME - 200, "{size}");
    }
}
