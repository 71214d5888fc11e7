//! The bot, by freqtrade's REST API. It can be asked to stop entering and to leave half of its
//! trades. It is never started, and never `/stop`ped: a stopped bot cannot exit any more.

use super::{client, exchange};
use crate::plan::{Baseline, Outcome, to_leave};
use crate::{Error, config};
use fusebox_custody::Secret;
use fusebox_domain::{Decimal, Side, Symbol};
use serde_json::{Value, json};
use std::str::FromStr;

/// What the bot says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BotView {
    /// `running`, `paused`, `stopped`.
    pub(crate) state: String,
    /// Its open trades.
    pub(crate) trades: Vec<Trade>,
    /// Every order id it names, of open and of recent trades.
    pub(crate) order_ids: Vec<String>,
}

/// An open trade of the bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trade {
    pub(crate) id: String,
    pub(crate) symbol: Symbol,
    pub(crate) side: Side,
    /// In the base coin.
    pub(crate) amount: Decimal,
}

/// A client of one bot.
pub(crate) struct Bot {
    http: reqwest::Client,
    base: String,
    username: String,
    password: Secret,
}

impl Bot {
    pub(crate) fn new(config: &config::Freqtrade, password: Secret) -> Result<Self, Error> {
        Ok(Self {
            http: client("the bot", None)?,
            base: format!("{}/api/v1", config.url.trim_end_matches('/')),
            username: config.username.clone(),
            password,
        })
    }

    /// State, open trades and known orders.
    pub(crate) async fn view(&self) -> Result<BotView, String> {
        let config = self.get("show_config").await?;
        let status = self.get("status").await?;
        let recent = self.get("trades?limit=50&order_by_id=false").await?;
        let open = status
            .as_array()
            .ok_or("status is not a list")?
            .iter()
            .filter(|t| t.get("is_open").and_then(Value::as_bool) != Some(false));
        let closed = recent
            .get("trades")
            .and_then(Value::as_array)
            .ok_or("trades is not a list")?;
        let order_ids = open.clone().chain(closed).flat_map(order_ids).collect();
        Ok(BotView {
            state: text(&config, "state").unwrap_or_default(),
            trades: open.map(trade).collect::<Result<_, _>>()?,
            order_ids,
        })
    }

    /// Asks for no more entries, and looks whether it is so.
    pub(crate) async fn stop_entries(&self) -> Outcome {
        let run = async {
            let (status, answer) =
                exchange(self.authorised(self.http.post(self.url("stopentry")))).await?;
            if status != 200 {
                return Err(refusal(status, &answer));
            }
            let config = self.get("show_config").await?;
            Ok(text(&config, "state").unwrap_or_default())
        };
        match run.await {
            Ok(state) if state == "running" => {
                Outcome::Again("the bot says yes and is still running".to_owned())
            }
            Ok(state) => Outcome::Done(format!("the bot is {state}")),
            Err(why) => Outcome::Again(why),
        }
    }

    /// Asks the bot to leave half of what it held. Only asking: whether it happened is looked for
    /// on the exchange.
    pub(crate) async fn reduce(&self, baseline: &Baseline) -> Outcome {
        let view = match self.view().await {
            Ok(view) => view,
            Err(why) => return Outcome::Again(why),
        };
        let (mut asked, mut failed) = (0u32, Vec::new());
        for trade in &view.trades {
            let amount = to_leave(baseline, &trade.symbol, trade.side, trade.amount);
            if amount.is_zero() {
                continue;
            }
            match self.force_exit(trade, amount).await {
                Ok(()) => asked += 1,
                Err(why) => failed.push(format!("trade {}: {why}", trade.id)),
            }
        }
        match failed.first() {
            Some(why) => Outcome::Again(why.clone()),
            // Not done: the exits may not fill, or the bot may have lied; asked again until the
            // exchange shows it.
            None => Outcome::Later(format!("asked for {asked} partial exits")),
        }
    }

    async fn force_exit(&self, trade: &Trade, amount: Decimal) -> Result<(), String> {
        let amount: Value = serde_json::from_str(&amount.to_string()).map_err(|e| e.to_string())?;
        let body = json!({"tradeid": trade.id, "ordertype": "limit", "amount": amount});
        let request = self.http.post(self.url("forceexit")).json(&body);
        match exchange(self.authorised(request)).await? {
            (200, _) => Ok(()),
            (status, answer) => Err(refusal(status, &answer)),
        }
    }

    async fn get(&self, path: &str) -> Result<Value, String> {
        match exchange(self.authorised(self.http.get(self.url(path)))).await? {
            (200, answer) => Ok(answer),
            (status, answer) => Err(refusal(status, &answer)),
        }
    }

    fn authorised(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request.basic_auth(&self.username, Some(self.password.expose()))
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }
}

fn refusal(status: u16, answer: &Value) -> String {
    let words = ["error", "detail"]
        .iter()
        .find_map(|field| text(answer, field))
        .unwrap_or_default();
    fusebox_domain::clean_line(&format!("the bot answered HTTP {status}: {words}"), 160)
}

fn text(value: &Value, field: &str) -> Option<String> {
    value.get(field)?.as_str().map(str::to_owned)
}

fn order_ids(trade: &Value) -> Vec<String> {
    let orders = trade.get("orders").and_then(Value::as_array);
    orders
        .map(|orders| orders.iter().filter_map(|o| text(o, "order_id")).collect())
        .unwrap_or_default()
}

fn trade(value: &Value) -> Result<Trade, String> {
    let missing = |field: &str| format!("a trade has no {field}");
    let amount = value.get("amount").ok_or_else(|| missing("amount"))?;
    let number = amount.to_string();
    let amount = Decimal::from_str(&number)
        .or_else(|_| Decimal::from_scientific(&number))
        .map_err(|_| "a trade's amount is not a number".to_owned())?;
    let id = value.get("trade_id").and_then(Value::as_i64);
    let short = value.get("is_short").and_then(Value::as_bool);
    Ok(Trade {
        id: id.ok_or_else(|| missing("trade_id"))?.to_string(),
        symbol: symbol(&text(value, "pair").ok_or_else(|| missing("pair"))?),
        side: match short.unwrap_or(false) {
            true => Side::Sell,
            false => Side::Buy,
        },
        amount,
    })
}

/// `BTC/USDT:USDT` is `BTCUSDT` on the exchange.
fn symbol(pair: &str) -> Symbol {
    let pair = pair.split(':').next().unwrap_or_default();
    Symbol::new(pair.replace('/', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trade_is_read_as_freqtrade_writes_it() {
        let value = json!({"trade_id": 5, "pair": "XRP/USDT:USDT", "is_open": true,
            "is_short": true, "amount": 169.1,
            "orders": [{"order_id": "400f"}, {"order_id": "96fa"}]});
        let trade = trade(&value).unwrap();
        assert_eq!((trade.id.as_str(), trade.symbol.as_str()), ("5", "XRPUSDT"));
        assert_eq!(
            (trade.side, trade.amount),
            (Side::Sell, Decimal::new(1691, 1))
        );
        assert_eq!(order_ids(&value), ["400f", "96fa"]);
    }

    #[test]
    fn a_trade_without_an_amount_is_an_error_and_not_zero() {
        let value = json!({"trade_id": 5, "pair": "XRP/USDT:USDT"});
        assert!(super::trade(&value).unwrap_err().contains("amount"));
    }
}
