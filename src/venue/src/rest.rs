//! The reading calls.

use crate::account::{self, WalletReading};
use crate::fields::Row;
use crate::keys::{self, OwnKey, SubMember};
use crate::market::{self, Instrument};
use crate::trading::{self, PositionRow};
use crate::{Answer, Endpoints, Error, Reaction, ServerClock, Signer, Stamped};
use fusebox_domain::{Decimal, Execution, LedgerRow, ObservedKey, Order, Symbol, Uid};
use serde_json::Value;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long the exchange accepts a request after its stamp, milliseconds.
const RECV_WINDOW_MS: u32 = 5_000;

/// How long one call may take.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Bytes of one answer, at most.
const MAX_BODY: usize = 8 * 1024 * 1024;

/// Pages of one listing, at most: 200 × 50 rows.
const MAX_PAGES: usize = 200;

/// The widest window that the listings of the past accept.
const MAX_WINDOW_MS: i64 = 7 * 24 * 3_600_000;

/// Reads one account with one key. Share it in an `Arc`.
#[derive(Debug)]
pub struct Reader {
    http: reqwest::Client,
    endpoints: Endpoints,
    signer: Signer,
    clock: Mutex<ServerClock>,
    origin: Instant,
}

impl Reader {
    /// Prepares the calls; nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Client`] when no TLS provider is installed or the client cannot be made.
    pub fn new(endpoints: Endpoints, signer: Signer) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .timeout(CALL_LIMIT)
            .connect_timeout(Duration::from_secs(3))
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .no_proxy()
            .build()
            .map_err(|e| Error::Client(e.to_string()))?;
        Ok(Self {
            http,
            endpoints,
            signer,
            clock: Mutex::default(),
            origin: Instant::now(),
        })
    }

    /// The URLs it uses.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// The key it signs with.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Exchange time now in milliseconds, from the answers so far; `None` before the first.
    pub fn exchange_now_ms(&self) -> Option<i64> {
        self.clock().now_ms(self.mono_ms())
    }

    /// The stamp for a signed request that is sent now. Before the first answer it is the wall
    /// clock's, which the first answer then corrects.
    pub fn stamp_ms(&self) -> i64 {
        let mono_ms = self.mono_ms();
        self.clock().stamp_ms(mono_ms).unwrap_or_else(|| {
            let wall = SystemTime::now().duration_since(UNIX_EPOCH);
            millis(wall.unwrap_or_default())
        })
    }

    /// `market/time`: the exchange's clock, milliseconds.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn server_time(&self) -> Result<Stamped<i64>, Error> {
        let answer = self.public("/v5/market/time", &[]).await?;
        let row = Row::top("GET /v5/market/time", &answer.value)?;
        let nanos = row.need_integer("timeNano")?;
        Ok(Stamped {
            at_ms: answer.at_ms,
            value: nanos / 1_000_000,
        })
    }

    /// `wallet-balance` of the unified account.
    ///
    /// # Errors
    /// See [`Error`]; an empty list is [`Error::NotUnderstood`], never a wallet of zero.
    pub async fn wallet(&self) -> Result<Stamped<WalletReading>, Error> {
        let path = "/v5/account/wallet-balance";
        let answer = self.private(path, &[("accountType", "UNIFIED")]).await?;
        let rows = Row::top(path, &answer.value)?.rows("list")?;
        let row = rows
            .first()
            .ok_or_else(|| Error::not_understood(path, "list is empty: no wallet"))?;
        Ok(Stamped {
            at_ms: answer.at_ms,
            value: account::wallet(row, answer.at_ms)?,
        })
    }

    /// Open positions of linear contracts settled in `settle_coin` (`USDT`, `USDC`), all pages.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn positions(&self, settle_coin: &str) -> Result<Stamped<Vec<PositionRow>>, Error> {
        let query = [
            ("category", "linear"),
            ("settleCoin", settle_coin),
            ("limit", "200"),
        ];
        self.pages("/v5/position/list", &query, "list", trading::position)
            .await
    }

    /// Open orders, conditional ones included, all pages.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn open_orders(&self, settle_coin: &str) -> Result<Stamped<Vec<Order>>, Error> {
        let query = [
            ("category", "linear"),
            ("settleCoin", settle_coin),
            ("limit", "50"),
        ];
        self.pages("/v5/order/realtime", &query, "list", trading::order)
            .await
    }

    /// Executions from `start_ms` to `end_ms`, newest first within each week, all pages. A row
    /// exactly at the end of a week may come twice; its id tells.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn executions(
        &self,
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Stamped<Vec<Execution>>, Error> {
        let query = [("category", "linear"), ("limit", "100")];
        self.windows(
            "/v5/execution/list",
            &query,
            (start_ms, end_ms),
            trading::execution,
        )
        .await
    }

    /// The ledger from `start_ms` to `end_ms`, newest first within each week, all pages. A row
    /// exactly at the end of a week may come twice; its id tells.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ledger(
        &self,
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Stamped<Vec<LedgerRow>>, Error> {
        let query = [("accountType", "UNIFIED"), ("limit", "50")];
        self.windows(
            "/v5/account/transaction-log",
            &query,
            (start_ms, end_ms),
            account::ledger_row,
        )
        .await
    }

    /// `query-api`: this key, about itself. The cheapest signed call: probe and positive control.
    ///
    /// # Errors
    /// See [`Error`]; a dead key is [`Error::Refused`] with [`crate::RetCode::INVALID_KEY`].
    pub async fn own_key(&self) -> Result<Stamped<OwnKey>, Error> {
        let path = "/v5/user/query-api";
        let answer = self.private(path, &[]).await?;
        Ok(Stamped {
            at_ms: answer.at_ms,
            value: keys::own_key(&Row::top(path, &answer.value)?)?,
        })
    }

    /// All keys of a sub-account, all pages (the key must belong to its master). An error means
    /// that the listing is not complete and proves nothing.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn sub_keys(&self, uid: &Uid) -> Result<Stamped<Vec<ObservedKey>>, Error> {
        let query = [("subMemberId", uid.as_str()), ("limit", "20")];
        self.pages("/v5/user/sub-apikeys", &query, "result", |row| {
            keys::observed(row, uid.clone())
        })
        .await
    }

    /// The master's sub-accounts (at most 1000).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn sub_members(&self) -> Result<Stamped<Vec<SubMember>>, Error> {
        let path = "/v5/user/query-sub-members";
        let answer = self.private(path, &[]).await?;
        let rows = Row::top(path, &answer.value)?.rows("subMembers")?;
        Ok(Stamped {
            at_ms: answer.at_ms,
            value: rows
                .iter()
                .map(keys::sub_member)
                .collect::<Result<_, _>>()?,
        })
    }

    /// All linear instruments that trade, all pages.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn instruments(&self) -> Result<Stamped<Vec<Instrument>>, Error> {
        let query = [("category", "linear"), ("limit", "1000")];
        self.pages(
            "/v5/market/instruments-info",
            &query,
            "list",
            market::instrument,
        )
        .await
    }

    /// Mark prices of all linear contracts.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn marks(&self) -> Result<Stamped<Vec<(Symbol, Decimal)>>, Error> {
        let path = "/v5/market/tickers";
        let answer = self.public(path, &[("category", "linear")]).await?;
        let rows = Row::top(path, &answer.value)?.rows("list")?;
        Ok(Stamped {
            at_ms: answer.at_ms,
            value: rows.iter().map(market::mark).collect::<Result<_, _>>()?,
        })
    }

    /// A listing of the past, cut into the week-long windows that the exchange accepts.
    async fn windows<T>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        (start_ms, end_ms): (i64, i64),
        read: impl Fn(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Stamped<Vec<T>>, Error> {
        let mut all = Stamped {
            at_ms: 0,
            value: Vec::new(),
        };
        for (from, to) in split(start_ms, end_ms) {
            let (from, to) = (from.to_string(), to.to_string());
            let mut query = query.to_vec();
            query.extend([("startTime", from.as_str()), ("endTime", to.as_str())]);
            let page = self.pages(path, &query, "list", &read).await?;
            all.at_ms = page.at_ms;
            all.value.extend(page.value);
        }
        Ok(all)
    }

    /// All pages of a listing. The cursor goes back exactly as it came.
    async fn pages<T>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        list: &str,
        read: impl Fn(&Row<'_>) -> Result<T, Error>,
    ) -> Result<Stamped<Vec<T>>, Error> {
        let mut all = Vec::new();
        let mut cursors: Vec<String> = Vec::new();
        for _ in 0..MAX_PAGES {
            let mut query = query.to_vec();
            if let Some(cursor) = cursors.last() {
                query.push(("cursor", cursor));
            }
            let answer = self.private(path, &query).await?;
            let row = Row::top(path, &answer.value)?;
            for item in row.rows(list)? {
                all.push(read(&item)?);
            }
            match row.text("nextPageCursor") {
                None => {
                    return Ok(Stamped {
                        at_ms: answer.at_ms,
                        value: all,
                    });
                }
                Some(next) if cursors.iter().any(|seen| seen == next) => break,
                Some(next) => cursors.push(next.to_owned()),
            }
        }
        Err(Error::Endless {
            call: path.to_owned(),
            pages: cursors.len(),
        })
    }

    async fn public(&self, path: &str, query: &[(&str, &str)]) -> Result<Stamped<Value>, Error> {
        self.get(path, query, false).await
    }

    /// A signed call; after a 10002 once more with a new reading of the clock.
    async fn private(&self, path: &str, query: &[(&str, &str)]) -> Result<Stamped<Value>, Error> {
        match self.get(path, query, true).await {
            Err(error) if error.reaction() == Reaction::Resync => self.get(path, query, true).await,
            other => other,
        }
    }

    async fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
        signed: bool,
    ) -> Result<Stamped<Value>, Error> {
        let call = format!("GET {path}");
        let unreachable = |e: reqwest::Error| Error::Unreachable {
            call: call.clone(),
            detail: words(&e),
        };
        let text = join(query);
        let url = match text.is_empty() {
            true => format!("{}{path}", self.endpoints.rest()),
            false => format!("{}{path}?{text}", self.endpoints.rest()),
        };
        let mut request = self.http.get(url).build().map_err(unreachable)?;
        if signed {
            // Sign what the URL will put on the wire, whatever it made of our text.
            let payload = request.url().query().unwrap_or_default().to_owned();
            for (name, value) in self
                .signer
                .headers(self.stamp_ms(), RECV_WINDOW_MS, &payload)
            {
                let value = value
                    .parse()
                    .map_err(|_| Error::Client(format!("{name} is not a header value")))?;
                request.headers_mut().insert(name, value);
            }
        }
        let sent_ms = self.mono_ms();
        let response = self.http.execute(request).await.map_err(unreachable)?;
        let received_ms = self.mono_ms();
        let status = response.status().as_u16();
        let until_ms = response
            .headers()
            .get("X-Bapi-Limit-Reset-Timestamp")
            .and_then(|v| v.to_str().ok()?.parse().ok());
        let body = read_body(response, &call).await?;
        let answer = Answer::open(&call, status, &body, until_ms);
        self.learn(&answer, &body, sent_ms, received_ms);
        let answer = answer?;
        Ok(Stamped {
            at_ms: answer
                .at_ms
                .ok_or_else(|| Error::not_understood(&call, "time is missing"))?,
            value: answer.result,
        })
    }

    /// Every answer, refused or not, is a reading of the exchange's clock.
    fn learn(&self, answer: &Result<Answer, Error>, body: &[u8], sent_ms: i64, received_ms: i64) {
        let Some(server_ms) = Answer::time_of(body) else {
            return;
        };
        let mut clock = self.clock();
        if matches!(answer, Err(e) if e.reaction() == Reaction::Resync) {
            clock.reset();
        }
        clock.observe(sent_ms, received_ms, server_ms);
    }

    fn clock(&self) -> MutexGuard<'_, ServerClock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mono_ms(&self) -> i64 {
        millis(self.origin.elapsed())
    }
}

/// The body, up to [`MAX_BODY`].
async fn read_body(mut response: reqwest::Response, call: &str) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_BODY => {
                body.extend_from_slice(&chunk)
            }
            Ok(Some(_)) => return Err(Error::not_understood(call, "longer than 8 MiB")),
            Ok(None) => return Ok(body),
            Err(e) => {
                return Err(Error::Unreachable {
                    call: call.to_owned(),
                    detail: words(&e),
                });
            }
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// `a=b&c=d`. The values are ours (words, numbers) or a cursor, which is encoded already.
fn join(query: &[(&str, &str)]) -> String {
    let parts: Vec<String> = query.iter().map(|(k, v)| format!("{k}={v}")).collect();
    parts.join("&")
}

/// The innermost reason of an HTTP client's error, without the URL.
fn words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("timed out after {} s", CALL_LIMIT.as_secs());
    }
    let mut source: &dyn std::error::Error = error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    fusebox_domain::clean_line(&source.to_string(), 120)
}

/// Windows of at most a week, oldest first, together exactly `start..end`.
fn split(start_ms: i64, end_ms: i64) -> Vec<(i64, i64)> {
    let mut windows = Vec::new();
    let mut from = start_ms;
    while from < end_ms {
        let to = from.saturating_add(MAX_WINDOW_MS).min(end_ms);
        windows.push((from, to));
        from = to;
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_read_in_weeks_without_a_gap() {
        let day = 24 * 3_600_000;
        let windows = split(100, 100 + 30 * day);
        assert_eq!(windows.len(), 5);
        assert_eq!(windows.first().unwrap().0, 100);
        assert_eq!(windows.last().unwrap().1, 100 + 30 * day);
        assert!(windows.windows(2).all(|w| w[0].1 == w[1].0));
        assert!(split(5, 5).is_empty());
    }
}
