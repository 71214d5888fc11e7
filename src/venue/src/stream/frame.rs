//! One text message of a WebSocket, before its data is looked at.

use crate::Error;
use fusebox_domain::clean_line;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What a message is.
#[derive(Debug)]
pub(super) enum Frame<'a> {
    /// The answer to `auth` or `subscribe`.
    Answer {
        /// Which.
        op: Op,
        /// Whether it was granted.
        granted: bool,
        /// The exchange's words.
        detail: String,
    },
    /// The answer to a ping; its form differs between the streams.
    Pong,
    /// Rows of a topic.
    Data(Data<'a>),
    /// Anything else; ignored.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Auth,
    Subscribe,
}

/// Rows of a topic, not parsed yet.
#[derive(Debug)]
pub(super) struct Data<'a> {
    pub(super) topic: &'a str,
    /// A whole state (`snapshot`), or only what changed (`delta`). Private topics have none.
    pub(super) snapshot: bool,
    /// Exchange time of the message, milliseconds.
    pub(super) at_ms: i64,
    /// Sequence number of ticker messages.
    pub(super) sequence: Option<i64>,
    pub(super) data: &'a RawValue,
}

#[derive(Deserialize)]
struct Wire<'a> {
    op: Option<&'a str>,
    success: Option<bool>,
    #[serde(rename = "retCode")]
    ret_code: Option<i64>,
    #[serde(rename = "retMsg", alias = "ret_msg")]
    ret_msg: Option<String>,
    topic: Option<&'a str>,
    #[serde(rename = "type")]
    kind: Option<&'a str>,
    ts: Option<i64>,
    #[serde(rename = "creationTime")]
    creation_time: Option<i64>,
    cs: Option<i64>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl<'a> Frame<'a> {
    /// Reads a message.
    pub(super) fn read(text: &'a str) -> Result<Self, Error> {
        let wire: Wire<'a> = serde_json::from_str(text)
            .map_err(|e| Error::not_understood("websocket", e.to_string()))?;
        if let (Some(topic), Some(data)) = (wire.topic, wire.data) {
            return Ok(Self::Data(Data {
                topic,
                snapshot: wire.kind != Some("delta"),
                at_ms: wire
                    .ts
                    .or(wire.creation_time)
                    .ok_or_else(|| Error::not_understood(topic, "the message has no time"))?,
                sequence: wire.cs,
                data,
            }));
        }
        let op = match wire.op {
            Some("auth") => Op::Auth,
            Some("subscribe") => Op::Subscribe,
            Some("ping" | "pong") => return Ok(Self::Pong),
            _ => return Ok(Self::Other),
        };
        let granted = wire.success.unwrap_or(wire.ret_code == Some(0));
        let words = wire.ret_msg.unwrap_or_default();
        let detail = match wire.ret_code {
            Some(code) if code != 0 => format!("{} {words}", crate::RetCode(code)),
            _ => words,
        };
        Ok(Self::Answer {
            op,
            granted,
            detail: clean_line(&detail, 160),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_pongs_come_in_several_forms() {
        let granted = |text| match Frame::read(text).unwrap() {
            Frame::Answer { granted, .. } => granted,
            other => panic!("{other:?}"),
        };
        assert!(granted(
            r#"{"success":true,"ret_msg":"","op":"auth","conn_id":"c"}"#
        ));
        assert!(granted(
            r#"{"retCode":0,"retMsg":"OK","op":"auth","connId":"c"}"#
        ));
        assert!(!granted(
            r#"{"op":"auth","success":false,"retCode":10003,"retMsg":"Invalid apikey"}"#
        ));
        assert!(!granted(r#"{"op":"auth"}"#), "no word is no grant");
        for pong in [
            r#"{"success":true,"ret_msg":"pong","op":"ping"}"#,
            r#"{"op":"pong","args":["1"]}"#,
        ] {
            assert!(matches!(Frame::read(pong).unwrap(), Frame::Pong));
        }
    }

    #[test]
    fn a_broken_message_is_an_error_and_an_unknown_one_is_ignored() {
        assert!(Frame::read("{\"topic\":").is_err());
        assert!(
            Frame::read(r#"{"topic":"position","data":[]}"#).is_err(),
            "no time"
        );
        assert!(matches!(Frame::read(r#"{"op":"hello"}"#), Ok(Frame::Other)));
    }
}
