//! HTTP plumbing shared by every simulated service: request and reply values, the [`Service`] trait and the server loop.
//!
//! A service is a plain function of a [`Request`]; latency, faults and the request log are the [`Gate`]'s, so no
//! service has to know of them. Must never: listen on anything but loopback, or decode the query before a service
//! has seen it (signatures cover the bytes on the wire). Weak: bodies are read whole, up to 1 MiB.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::gate::{Ending, Gate, Verdict};

/// A body larger than this is refused: no client of ours sends one.
const BODY_LIMIT: usize = 1 << 20;
/// How long a `timeout` fault keeps a caller waiting before its connection is closed.
const HOLD: Duration = Duration::from_secs(120);

/// One request, exactly as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// `GET`, `POST`, …, upper case.
    pub(crate) method: String,
    /// Path without the query, as on the wire.
    pub(crate) path: String,
    /// Query without the `?`, as on the wire (not decoded: signatures cover these bytes).
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) peer: SocketAddr,
    /// Fault `lie`: answer as if it had worked, change nothing.
    pub(crate) lie: bool,
}

impl Request {
    /// A header as text; absent or not text is `None`.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// The query's parameters, decoded; of a repeated name the last wins.
    pub(crate) fn params(&self) -> BTreeMap<String, String> {
        parse_query(&self.query)
    }

    /// The body as JSON; an empty or wrong body is `None`.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// One answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    /// What the request log shows: the service's own code (Bybit's `retCode`) or the HTTP status.
    pub(crate) code: i64,
}

impl Reply {
    /// A JSON answer.
    pub(crate) fn json(status: u16, value: &Value) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".into())],
            body: Bytes::from(value.to_string()),
            code: i64::from(status),
        }
    }

    /// A plain-text answer.
    pub(crate) fn text(status: u16, text: &str) -> Self {
        Self {
            status,
            headers: vec![("content-type", "text/plain".into())],
            body: Bytes::copy_from_slice(text.as_bytes()),
            code: i64::from(status),
        }
    }

    /// An answer without a body, as `204` has.
    pub(crate) fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
            code: i64::from(status),
        }
    }

    /// No answer at all: the connection is reset, as where no process listens.
    pub(crate) fn reset() -> Self {
        Self::empty(0)
    }
}

/// One simulated service behind one port.
pub(crate) trait Service: Send + Sync + 'static {
    /// `bybit`, `vault`, `kubernetes`, `telegram`, `freqtrade` or `control`: what faults and the log call it.
    fn name(&self) -> &'static str;

    /// Who calls: the name of the key or token used, for the log and for faults that strike one caller only.
    fn caller(&self, _request: &Request) -> Option<String> {
        None
    }

    /// The path as the log may show it: without a token, where the path carries one.
    fn shown_path(&self, request: &Request) -> String {
        request.path.clone()
    }

    /// What `GET /state` of the control API shows of it; `null` hides it.
    fn state(&self) -> Value {
        Value::Null
    }

    /// Answers; must change nothing when [`Request::lie`] is set.
    fn handle(&self, request: Request) -> BoxFuture<'_, Reply>;
}

/// Serves until the task is dropped.
pub(crate) async fn serve(listener: TcpListener, service: Arc<dyn Service>, gate: Arc<Gate>) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of descriptors or the like: the world outside does not end because of it.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        // A second handle, because hyper owns the first and a reset needs SO_LINGER on the live socket.
        let Ok(socket) = stream.as_fd().try_clone_to_owned() else {
            continue;
        };
        let (service, gate, socket) = (service.clone(), gate.clone(), Arc::new(socket));
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let (service, gate, socket) = (service.clone(), gate.clone(), socket.clone());
                async move { one(request, peer, service, gate, socket).await }
            });
            // The error is the caller's hang-up or a fault that closed the connection. No timer: an idle connection
            // stays open, as callers that keep theirs warm expect.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the simulated server closed the connection")]
struct HangUp;

async fn one(
    request: hyper::Request<Incoming>,
    peer: SocketAddr,
    service: Arc<dyn Service>,
    gate: Arc<Gate>,
    socket: Arc<OwnedFd>,
) -> Result<hyper::Response<Full<Bytes>>, HangUp> {
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(response(Reply::text(413, "body too large"))),
    };
    let mut request = Request {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
        peer,
        lie: false,
    };
    if service.name() == "control" {
        // Neither delayed nor logged: it is how faults are taken away again.
        return Ok(response(service.handle(request).await));
    }

    let arrival = gate.arrival(service.as_ref(), &request);
    let verdict: Verdict = gate.judge(&arrival);
    tokio::time::sleep(verdict.latency / 2).await;
    request.lie = verdict.lie;
    let reply = match &verdict.ending {
        Some(Ending::Timeout { done }) | Some(Ending::Reset { done }) => {
            if *done {
                service.handle(request).await;
            }
            gate.log(&arrival, 0, 0);
            if matches!(verdict.ending, Some(Ending::Reset { .. })) {
                reset(&socket);
            } else {
                tokio::time::sleep(HOLD).await;
            }
            return Err(HangUp);
        }
        Some(Ending::Answer(reply)) => reply.clone(),
        None => match gate.remembered(&arrival, &verdict) {
            Some(reply) => reply,
            None => {
                let reply = service.handle(request).await;
                gate.remember(&arrival, &reply);
                verdict.spoil(reply)
            }
        },
    };
    gate.log(&arrival, reply.code, reply.status);
    if reply.status == 0 {
        reset(&socket);
        return Err(HangUp);
    }
    tokio::time::sleep(verdict.latency / 2).await;
    Ok(response(reply))
}

/// Makes the coming close of the connection a reset (RST) instead of an orderly end.
fn reset(socket: &OwnedFd) {
    // It fails only when the connection is gone already.
    let _ = rustix::net::sockopt::set_socket_linger(socket.as_fd(), Some(Duration::ZERO));
}

fn response(reply: Reply) -> hyper::Response<Full<Bytes>> {
    let mut response = hyper::Response::new(Full::new(reply.body));
    *response.status_mut() = hyper::StatusCode::from_u16(reply.status)
        .unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in reply.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(&value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// Splits and decodes a query string.
pub(crate) fn parse_query(query: &str) -> BTreeMap<String, String> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// Percent-decoding with `+` as a space; a wrong escape stays as it is.
pub(crate) fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let mut ahead = bytes.clone();
                match (ahead.next().and_then(nibble), ahead.next().and_then(nibble)) {
                    (Some(high), Some(low)) => {
                        out.push(high << 4 | low);
                        bytes = ahead;
                    }
                    _ => out.push(b'%'),
                }
            }
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn nibble(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_decode_escapes_and_keep_wrong_ones() {
        let q = parse_query("cursor=132%3A2%2C9&x=a+b&flag&bad=%zz%4");
        assert_eq!(q["cursor"], "132:2,9");
        assert_eq!(q["x"], "a b");
        assert_eq!(q["flag"], "");
        assert_eq!(q["bad"], "%zz%4");
    }
}
