//! Everything that touches the world: one file per neighbour. Each turns answers into values and
//! decides nothing.

pub(crate) mod bot;
pub(crate) mod cluster;
pub(crate) mod feed;
pub(crate) mod metrics;
pub(crate) mod recorder;
pub(crate) mod revoker;

use crate::Error;
use std::time::Duration;

/// How long one request to a neighbour may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// Bytes of an answer, at most.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// A client for the bot or the cluster.
fn client(what: &'static str, ca_pem: Option<&[u8]>) -> Result<reqwest::Client, Error> {
    let failed = |e: reqwest::Error| Error::Client {
        what,
        why: e.to_string(),
    };
    let mut builder = reqwest::Client::builder()
        .timeout(REQUEST_LIMIT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    if let Some(pem) = ca_pem {
        let authority = reqwest::Certificate::from_pem(pem).map_err(failed)?;
        builder = builder.tls_certs_only([authority]);
    }
    builder.build().map_err(failed)
}

/// Sends a request and returns status and body; an error in words, without the URL.
async fn exchange(request: reqwest::RequestBuilder) -> Result<(u16, serde_json::Value), String> {
    let words = |e: reqwest::Error| match e.is_timeout() {
        true => format!("no answer within {} s", REQUEST_LIMIT.as_secs()),
        false => {
            let mut source: &dyn std::error::Error = &e;
            while let Some(inner) = source.source() {
                source = inner;
            }
            fusebox_domain::clean_line(&source.to_string(), 120)
        }
    };
    let mut response = request.send().await.map_err(words)?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(words)? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err("the answer is longer than 4 MiB".to_owned());
        }
        body.extend_from_slice(&chunk);
    }
    let value = serde_json::from_slice(&body).map_err(|_| {
        let start = body.get(..body.len().min(80)).unwrap_or_default();
        let start = fusebox_domain::clean_line(&String::from_utf8_lossy(start), 80);
        format!("HTTP {status}, not JSON: {start}")
    })?;
    Ok((status, value))
}
