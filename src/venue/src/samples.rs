//! Every recorded answer decodes, or is refused with its named reason; and the reader's calls
//! against a server on loopback that answers from a list.

use crate::fields::Row;
use crate::*;
use fusebox_custody::Secret;
use fusebox_domain::{Environment, LedgerKind, OrderKind, Side};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What a recorded answer must turn into, in a few words that a reader can check.
fn decode(name: &str, body: &[u8]) -> Result<String, Error> {
    let answer = Answer::open(name, 200, body, None)?;
    let row = Row::top(name, &answer.result)?;
    let list = |field| row.rows(field);
    Ok(match name.split(['.', '-']).next().unwrap_or_default() {
        "market_time" => format!("time {}", row.need_integer("timeNano")? / 1_000_000),
        "account_wallet" => {
            let rows = list("list")?;
            let reading = account::wallet(&rows[0], 7)?;
            format!("equity {}", reading.wallet.total_equity_usdt)
        }
        "account_transaction" => {
            let rows: Vec<_> = list("list")?
                .iter()
                .map(account::ledger_row)
                .collect::<Result<_, _>>()?;
            let flows = rows.iter().filter(|r| r.kind == LedgerKind::Flow).count();
            format!("{} rows, {flows} flow", rows.len())
        }
        "position_list" => {
            let row = trading::position(&list("list")?[0])?;
            let position = row.position.unwrap();
            assert_eq!(position.liquidation_price, None);
            format!(
                "{} {} stop {}",
                position.symbol,
                position.size,
                position.stop_price.unwrap()
            )
        }
        "order_realtime" => {
            let kinds: Vec<_> = list("list")?
                .iter()
                .map(|r| trading::order(r).map(|o| o.kind))
                .collect::<Result<_, _>>()?;
            assert_eq!(kinds, [OrderKind::Entry, OrderKind::ProtectiveStop]);
            "entry and stop".to_owned()
        }
        "execution_list" => {
            let rows: Vec<_> = list("list")?
                .iter()
                .map(trading::execution)
                .collect::<Result<_, _>>()?;
            format!("{} then {}", rows[0].exec_type, rows[1].exec_type)
        }
        "user_query" if name.contains("sub-members") => {
            let members: Vec<_> = list("subMembers")?
                .iter()
                .map(keys::sub_member)
                .collect::<Result<_, _>>()?;
            format!("{} members", members.len())
        }
        "user_query" => {
            let own = keys::own_key(&row)?;
            format!("master {} writes {}", own.is_master, own.key.can_write())
        }
        "user_sub" => {
            let keys: Vec<_> = list("result")?
                .iter()
                .map(|r| keys::observed(r, "1".into()))
                .collect::<Result<_, _>>()?;
            format!(
                "{} keys, writing {}",
                keys.len(),
                keys.iter().filter(|k| k.can_write()).count()
            )
        }
        // Answers to calls that this crate does not make: the envelope is enough.
        _ => "envelope".to_owned(),
    })
}

/// The recorded answers and what becomes of each. Everything not named is an envelope.
const EXPECTED: &[(&str, &str)] = &[
    ("market_time", "time 1790000000123"),
    ("account_wallet-balance", "equity 10118.9"),
    ("account_wallet-balance.after-transfer-out", "equity 5118.9"),
    ("account_transaction-log", "2 rows, 1 flow"),
    ("position_list", "BTCUSDT 0.1 stop 62000.00"),
    ("order_realtime.active-plus-stop", "entry and stop"),
    ("execution_list.trade-and-funding", "Funding then Trade"),
    ("user_query-sub-members", "2 members"),
    ("user_query-api.readonly-sub", "master false writes false"),
    ("user_query-api.dangerous-master", "master true writes true"),
    ("user_sub-apikeys", "2 keys, writing 1"),
    ("error_10002", "refused 10002"),
    ("error_10003", "refused 10003"),
    ("error_10004", "refused 10004"),
    ("error_10005", "refused 10005"),
    ("error_10006", "refused 10006"),
    ("error_10010", "refused 10010"),
    ("error_33004", "refused 33004"),
];

fn samples() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/samples/bybit");
    dir.is_dir().then_some(dir)
}

#[test]
fn every_recorded_answer_decodes_or_is_refused_by_name() {
    let Some(dir) = samples() else {
        println!("SKIPPED: the recorded answers are not on this machine (shared/data/samples)");
        return;
    };
    let mut seen = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let body = std::fs::read(&path).unwrap();
        if name.starts_with("ws_") {
            assert!(
                stream::decodes(std::str::from_utf8(&body).unwrap()),
                "{name}"
            );
            continue;
        }
        let got = match decode(&name, &body) {
            Ok(words) => words,
            Err(Error::Refused { code, .. }) => format!("refused {}", code.0),
            Err(other) => panic!("{name}: {other}"),
        };
        let expected = EXPECTED
            .iter()
            .find(|(n, _)| *n == name)
            .map_or("envelope", |(_, words)| *words);
        assert_eq!(got, expected, "{name}");
        seen += usize::from(expected != "envelope");
    }
    assert_eq!(seen, EXPECTED.len(), "a recorded answer is gone");
}

/// Serves the given bodies one after the other and keeps the request lines and headers.
async fn server(bodies: Vec<Value>) -> (Arc<Reader>, Arc<Mutex<Vec<String>>>) {
    serve(bodies, None).await
}

/// The same, with a private stream elsewhere.
pub(crate) async fn serve(
    bodies: Vec<Value>,
    ws_private: Option<String>,
) -> (Arc<Reader>, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rest = format!("http://{}", listener.local_addr().unwrap());
    let log = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&log);
    tokio::spawn(async move {
        let mut bodies = bodies.into_iter();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                    break;
                }
                head.push(byte[0]);
            }
            seen.lock().unwrap().push(String::from_utf8(head).unwrap());
            let body = bodies.next().map(|b| b.to_string()).unwrap_or_default();
            let text = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(text.as_bytes()).await;
        }
    });
    let urls = Urls {
        rest,
        ws_public: None,
        ws_private,
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let endpoints = Endpoints::new(Environment::Sim, Some(&urls)).unwrap();
    let signer = Signer::new("KEY".into(), Secret::new("SECRET".to_owned()));
    (Arc::new(Reader::new(endpoints, signer).unwrap()), log)
}

pub(crate) fn page(items: Value, cursor: &str) -> Value {
    json!({"retCode": 0, "time": 5_000, "result": {"list": items, "nextPageCursor": cursor}})
}

pub(crate) fn order(id: &str) -> Value {
    json!([{"orderId": id, "symbol": "X", "side": "Buy", "qty": "1", "orderStatus": "New"}])
}

fn header(request: &str, name: &str) -> String {
    request
        .lines()
        .find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
        .unwrap_or_default()
}

#[tokio::test]
async fn pages_are_followed_and_the_signature_covers_the_bytes_on_the_wire() {
    let cursor = "132766%3A2%2C132766%3A2";
    let (reader, log) = server(vec![page(order("a"), cursor), page(order("b"), "")]).await;
    let orders = reader.open_orders("USDT").await.unwrap();
    let ids: Vec<_> = orders.value.iter().map(|o| o.order_id.as_str()).collect();
    assert_eq!((ids, orders.value[0].side), (vec!["a", "b"], Side::Buy));
    let log = log.lock().unwrap();
    assert!(
        log[1].contains(&format!("cursor={cursor} HTTP")),
        "the cursor was changed"
    );
    for request in log.iter() {
        let query = request.split(['?', ' ']).nth(2).unwrap();
        let stamp = header(request, "X-BAPI-TIMESTAMP").parse().unwrap();
        let expected = reader.signer().headers(stamp, 5_000, query);
        assert_eq!(header(request, "X-BAPI-SIGN"), expected[3].1);
    }
}

#[tokio::test]
async fn pages_that_repeat_are_not_a_complete_list() {
    let (reader, _) = server(vec![page(order("a"), "c"), page(order("b"), "c")]).await;
    assert!(matches!(
        reader.open_orders("USDT").await,
        Err(Error::Endless { .. })
    ));
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_from_the_refusal_itself_and_tried_once() {
    let time = 1_790_000_000_000_i64;
    let late = json!({"retCode": 10002, "retMsg": "time", "result": {}, "time": time});
    let (reader, log) = server(vec![late.clone(), page(json!([]), ""), late.clone(), late]).await;
    assert!(reader.positions("USDT").await.unwrap().value.is_empty());
    let stamp: i64 = header(&log.lock().unwrap()[1], "X-BAPI-TIMESTAMP")
        .parse()
        .unwrap();
    assert!((time - 1_000..time + 1_000).contains(&stamp), "{stamp}");
    let error = reader.positions("USDT").await.unwrap_err();
    assert_eq!(error.code(), Some(RetCode(10002)), "not tried for ever");
}

#[tokio::test]
async fn a_wallet_without_rows_or_equity_is_an_error_and_not_zero() {
    let no_equity = json!([{"totalEquity": "", "totalWalletBalance": "1", "coin": []}]);
    let (reader, _) = server(vec![page(json!([]), ""), page(no_equity, "")]).await;
    let error = reader.wallet().await.unwrap_err().to_string();
    assert!(error.contains("list is empty"), "{error}");
    let error = reader.wallet().await.unwrap_err().to_string();
    assert!(error.contains("totalEquity is missing"), "{error}");
}
