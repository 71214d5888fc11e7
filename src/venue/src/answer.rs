//! The envelope around every REST answer.

use crate::fields::Row;
use crate::{Error, RetCode};
use fusebox_domain::clean_line;
use serde_json::Value;

/// Something read, with the exchange's own time of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamped<T> {
    /// Exchange time in milliseconds.
    pub at_ms: i64,
    /// What was read. Of a listing of several pages: all of them, at the time of the last.
    pub value: T,
}

/// One understood answer with code 0.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Exchange time in milliseconds, where the answer has one (`set_dcp` has none).
    pub at_ms: Option<i64>,
    /// The `result`.
    pub result: Value,
}

impl Answer {
    /// Opens the body of an answer. `call` names it in errors; `until_ms` is the header
    /// `X-Bapi-Limit-Reset-Timestamp`, where there was one.
    ///
    /// # Errors
    /// [`Error::Refused`] for a code other than 0, [`Error::Http`] for an HTTP error without an
    /// envelope, [`Error::NotUnderstood`] for anything that is not an envelope.
    pub fn open(
        call: &str,
        status: u16,
        body: &[u8],
        until_ms: Option<i64>,
    ) -> Result<Self, Error> {
        let Ok(envelope) = serde_json::from_slice::<Value>(body) else {
            return Err(no_envelope(call, status, body));
        };
        let row = Row::top(call, &envelope)?;
        let Some(code) = row.integer("retCode")? else {
            return Err(no_envelope(call, status, body));
        };
        let at_ms = row.integer("time")?;
        if code != 0 {
            return Err(Error::Refused {
                call: call.to_owned(),
                code: RetCode(code),
                message: clean_line(row.text("retMsg").unwrap_or_default(), 200),
                until_ms,
            });
        }
        let result = row.value("result").cloned().unwrap_or(Value::Null);
        Ok(Self { at_ms, result })
    }

    /// The exchange's time in an answer of any kind, even a refusal: every one is a reading of
    /// its clock.
    pub fn time_of(body: &[u8]) -> Option<i64> {
        #[derive(serde::Deserialize)]
        struct Time {
            time: i64,
        }
        serde_json::from_slice::<Time>(body).ok().map(|t| t.time)
    }
}

fn no_envelope(call: &str, status: u16, body: &[u8]) -> Error {
    let start = body.get(..body.len().min(120)).unwrap_or_default();
    let words = clean_line(&String::from_utf8_lossy(start), 100);
    if (200..300).contains(&status) {
        Error::not_understood(call, format!("not an answer of the API: {words}"))
    } else {
        Error::Http {
            call: call.to_owned(),
            status,
            detail: words,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(status: u16, body: &str) -> Result<Answer, Error> {
        Answer::open("GET /x", status, body.as_bytes(), None)
    }

    #[test]
    fn success_is_code_zero_whatever_the_words() {
        for words in ["OK", "success", ""] {
            let body = format!(r#"{{"retCode":0,"retMsg":"{words}","result":{{"a":1}},"time":5}}"#);
            let answer = open(200, &body).unwrap();
            assert_eq!(
                (answer.at_ms, answer.result["a"].as_i64()),
                (Some(5), Some(1))
            );
        }
    }

    #[test]
    fn a_refusal_keeps_its_code_and_time() {
        let body = r#"{"retCode":10003,"retMsg":"API key is invalid.","result":{},"time":7}"#;
        assert_eq!(
            open(200, body).unwrap_err().code(),
            Some(RetCode::INVALID_KEY)
        );
        assert_eq!(Answer::time_of(body.as_bytes()), Some(7));
    }

    #[test]
    fn empty_truncated_and_foreign_bodies_are_named() {
        for body in ["", "{\"retCode\":0,\"resu", "<html>", "[]", "{}"] {
            assert!(
                matches!(open(200, body), Err(Error::NotUnderstood { .. })),
                "{body}"
            );
        }
        assert!(matches!(
            open(403, "<html>access too frequent"),
            Err(Error::Http { status: 403, .. })
        ));
    }
}
