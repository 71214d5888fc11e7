//! The private stream: positions, orders, executions, wallet.

use super::frame::{Data, Frame, Op};
use super::link::{Line, pause};
use super::watchdog::Watch;
use super::{Link, LinkState};
use crate::fields::Row;
use crate::{Error, PositionRow, Reader, WalletReading, account, trading};
use fusebox_domain::{Execution, Order};
use serde_json::Value;
use tokio::sync::mpsc;

/// How long an `auth` is valid. Made anew for each attempt: a suspended machine would otherwise
/// repeat an expired one for ever.
const AUTH_VALID_MS: i64 = 10_000;

/// What the private stream tells. Times are the exchange's, milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrivateEvent {
    /// The stream's state changed.
    Link(Link),
    /// The complete state by REST, read after the subscription stood: comes before
    /// [`LinkState::Live`]; what follows may be older and is sorted out by [`super::Book`].
    Listing {
        /// When it was read.
        at_ms: i64,
        /// All positions.
        positions: Vec<PositionRow>,
        /// All open orders.
        orders: Vec<Order>,
    },
    /// Positions that changed.
    Positions(Vec<PositionRow>),
    /// Orders that changed.
    Orders(Vec<Order>),
    /// Executions.
    Executions(Vec<Execution>),
    /// The wallet; not sent when only the unrealised result changes.
    Wallet(WalletReading),
}

/// Streams the account that `reader` reads, until `out` is closed.
pub async fn private(reader: &Reader, limits: Watch, out: mpsc::Sender<PrivateEvent>) {
    let (mut reconnects, mut failures) = (0u32, 0u32);
    while !out.is_closed() {
        let mut was_live = false;
        let run = connection(reader, limits, &out, reconnects, &mut was_live);
        let Err(error) = run.await else { return };
        failures = if was_live {
            1
        } else {
            failures.saturating_add(1)
        };
        reconnects = reconnects.saturating_add(1);
        if !tell(&out, LinkState::Down, reconnects, error.to_string()).await {
            return;
        }
        pause(failures).await;
    }
}

async fn tell(
    out: &mpsc::Sender<PrivateEvent>,
    state: LinkState,
    reconnects: u32,
    detail: impl Into<String>,
) -> bool {
    let link = Link {
        state,
        reconnects,
        detail: detail.into(),
    };
    out.send(PrivateEvent::Link(link)).await.is_ok()
}

/// One connection; `Ok` when nobody listens any more.
async fn connection(
    reader: &Reader,
    limits: Watch,
    out: &mpsc::Sender<PrivateEvent>,
    reconnects: u32,
    was_live: &mut bool,
) -> Result<(), Error> {
    // The stamp of `auth` needs the exchange's clock.
    if reader.exchange_now_ms().is_none() {
        reader.server_time().await?;
    }
    let mut line = Line::open(reader.endpoints().ws_private(), limits, "private stream").await?;
    let (key, expires, signature) = reader.signer().ws_auth(reader.stamp_ms() + AUTH_VALID_MS);
    let auth = serde_json::json!({"op": "auth", "args": [key, expires, signature]});
    line.ask(auth.to_string(), Op::Auth).await?;
    let topics = ["position", "order", "execution", "wallet"];
    let subscribe = serde_json::json!({"op": "subscribe", "args": topics});
    let early = line.ask(subscribe.to_string(), Op::Subscribe).await?;
    if !tell(
        out,
        LinkState::Stale,
        reconnects,
        "subscribed, reading the state",
    )
    .await
    {
        return Ok(());
    }
    // Meanwhile the messages wait in the socket.
    let (positions, orders) =
        tokio::try_join!(reader.positions("USDT"), reader.open_orders("USDT"))?;
    let listing = PrivateEvent::Listing {
        at_ms: positions.at_ms.min(orders.at_ms),
        positions: positions.value,
        orders: orders.value,
    };
    if out.send(listing).await.is_err() {
        return Ok(());
    }
    for text in early {
        if !forward(&text, out).await? {
            return Ok(());
        }
    }
    *was_live = true;
    if !tell(out, LinkState::Live, reconnects, "following").await {
        return Ok(());
    }
    loop {
        let text = line.next().await?;
        line.fed();
        if !forward(&text, out).await? {
            return Ok(());
        }
    }
}

async fn forward(text: &str, out: &mpsc::Sender<PrivateEvent>) -> Result<bool, Error> {
    let Frame::Data(data) = Frame::read(text)? else {
        return Ok(true);
    };
    match event(&data)? {
        Some(event) => Ok(out.send(event).await.is_ok()),
        None => Ok(true),
    }
}

/// What a message of a private topic says; `None` for a topic that nobody asked for.
pub(super) fn event(data: &Data<'_>) -> Result<Option<PrivateEvent>, Error> {
    let wrap = serde_json::from_str::<Value>(data.data.get())
        .map(|rows| serde_json::json!({ "data": rows }))
        .map_err(|e| Error::not_understood(data.topic, e.to_string()))?;
    let rows = Row::top(data.topic, &wrap)?.rows("data")?;
    // `position` and `position.linear` mean the same here.
    Ok(match data.topic.split('.').next().unwrap_or_default() {
        // Contracts of another kind are not valued like linear ones and have no place in the book.
        "position" => {
            let linear = |row: &&Row<'_>| matches!(row.text("category"), None | Some("linear"));
            let rows: Vec<_> = rows.iter().filter(linear).copied().collect();
            Some(PrivateEvent::Positions(each(&rows, trading::position)?))
        }
        "order" => Some(PrivateEvent::Orders(each(&rows, trading::order)?)),
        "execution" => Some(PrivateEvent::Executions(each(&rows, trading::execution)?)),
        "wallet" => match rows.first() {
            Some(row) => Some(PrivateEvent::Wallet(account::wallet(row, data.at_ms)?)),
            None => None,
        },
        _ => None,
    })
}

fn each<T>(rows: &[Row<'_>], read: impl Fn(&Row<'_>) -> Result<T, Error>) -> Result<Vec<T>, Error> {
    rows.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{order, page, serve};
    use futures_util::{SinkExt, StreamExt};
    use serde_json::json;
    use tokio_tungstenite::tungstenite::Message;

    const ORDER_LATE: &str = r#"{"topic":"order","creationTime":6000,"data":[{"orderId":"b",
        "symbol":"X","side":"Buy","qty":"1","orderStatus":"New","updatedTime":"6000"}]}"#;

    /// A private stream on loopback that insists on the right order of requests.
    async fn exchange(auth_granted: bool) -> (String, tokio::task::JoinHandle<Vec<String>>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/v5/private", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            let mut asked = Vec::new();
            while let Some(Ok(message)) = socket.next().await {
                let Ok(request) = serde_json::from_str::<Value>(message.to_text().unwrap()) else {
                    continue;
                };
                let op = request["op"].as_str().unwrap().to_owned();
                let answer = json!({"op": op, "success": auth_granted, "ret_msg": "no"});
                socket
                    .send(Message::text(answer.to_string()))
                    .await
                    .unwrap();
                asked.push(op.clone());
                if op == "subscribe" {
                    socket.send(Message::text(ORDER_LATE)).await.unwrap();
                }
            }
            asked
        });
        (url, task)
    }

    #[tokio::test]
    async fn it_is_live_only_after_auth_subscription_and_listing() {
        let (url, asked) = exchange(true).await;
        let time = json!({"retCode": 0, "time": 5_000,
            "result": {"timeNano": "5000000000", "timeSecond": "5"}});
        let lists = vec![time, page(json!([]), ""), page(json!([]), "")];
        let (reader, _) = serve(lists, Some(url)).await;
        let (out, mut events) = mpsc::channel(16);
        let task = tokio::spawn(async move { private(&reader, Watch::PRIVATE, out).await });
        let mut seen = Vec::new();
        while seen.len() < 4 {
            seen.push(match events.recv().await.unwrap() {
                PrivateEvent::Link(link) => format!("{:?}", link.state),
                PrivateEvent::Listing { at_ms, .. } => format!("listing {at_ms}"),
                PrivateEvent::Orders(orders) => format!("order {}", orders[0].order_id),
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(seen, ["Stale", "listing 5000", "Live", "order b"]);
        task.abort();
        assert_eq!(asked.await.unwrap(), ["auth", "subscribe"]);
    }

    #[tokio::test]
    async fn a_refused_key_is_told_and_nothing_is_subscribed() {
        let (url, asked) = exchange(false).await;
        let time = json!({"retCode": 0, "time": 5_000, "result": {"timeNano": "5000000000"}});
        let (reader, _) = serve(vec![time, order("unused")], Some(url)).await;
        let (out, mut events) = mpsc::channel(16);
        let task = tokio::spawn(async move { private(&reader, Watch::PRIVATE, out).await });
        let PrivateEvent::Link(link) = events.recv().await.unwrap() else {
            panic!("expected the link's state");
        };
        assert_eq!((link.state, link.reconnects), (LinkState::Down, 1));
        assert!(link.detail.contains("refused"), "{}", link.detail);
        task.abort();
        assert_eq!(asked.await.unwrap(), ["auth"]);
    }
}
