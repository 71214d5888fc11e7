//! What a service of the operator's own (Vault, the cluster, the bot) said, and how it is asked.
//! What a status means is each service's own affair.

use fusebox_domain::clean_line;
use serde_json::Value;

/// What came of a call, as far as anyone can know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// The other side says it did.
    Yes,
    /// It is not there.
    Absent,
    /// It refused, with the reason.
    No(String),
    /// Nobody knows: no answer, sealed, an error of the server.
    Unknown(String),
}

/// An answer as it came.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The status and the service's own reason, fit for a screen.
    pub(crate) words: String,
    pub(crate) body: Value,
}

/// Sends a request. `reason` points at the place of an error's text in the answer.
///
/// # Errors
/// Why there is no answer: nobody knows then what the request did.
pub(crate) async fn ask(request: reqwest::RequestBuilder, reason: &str) -> Result<Answer, String> {
    let response = request.send().await.map_err(without_url)?;
    let status = response.status().as_u16();
    let bytes = response.bytes().await.map_err(without_url)?;
    let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let reason = body.pointer(reason).and_then(Value::as_str);
    let reason = reason.unwrap_or("no reason given");
    let words = format!("HTTP {status}: {}", clean_line(reason, 120));
    Ok(Answer {
        status,
        words,
        body,
    })
}

pub(crate) fn without_url(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    clean_line(&error.without_url().to_string(), 120)
}
