//! A Telegram Bot API on loopback: `getMe`, `sendMessage`, an empty `getUpdates`; messages are kept to be looked at.
//!
//! For the start-up code: [`TelegramService::new`]`(seed, clock)`, [`TelegramService::token`] to print, chat id
//! [`CHAT_ID`]; [`TelegramService::messages`] is what `GET /state` shows. A 429 with `retry_after` comes from the faults.
//! It must never receive commands: alerts go out, nothing comes back (T09). Weak: one chat, no formatting checks
//! beyond the length limit.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::http::{Reply, Request, Service};
use crate::ids::Ids;

/// The one chat that the bot may write to.
pub(crate) const CHAT_ID: &str = "1001";
/// Telegram refuses a longer text.
const TEXT_LIMIT: usize = 4096;
/// Messages kept; older ones are dropped.
const KEPT: usize = 1000;

/// A message as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) id: u64,
    pub(crate) at_ms: i64,
    pub(crate) text: String,
}

#[derive(Default)]
struct Chat {
    last_id: u64,
    messages: VecDeque<Message>,
}

/// The bot's side of Telegram.
pub(crate) struct TelegramService {
    token: String,
    chat: Mutex<Chat>,
    clock: Clock,
}

impl TelegramService {
    /// An empty chat and a token made from the seed.
    pub(crate) fn new(seed: u64, clock: Clock) -> Self {
        let mut ids = Ids::new(seed, "telegram");
        let number = 1_000_000_000 + ids.below(8_999_999_999);
        Self {
            token: format!("{number}:{}", ids.token(32)),
            chat: Mutex::new(Chat::default()),
            clock,
        }
    }

    /// The bot's token, `<number>:<letters>`.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Every message kept, oldest first.
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.lock().messages.iter().cloned().collect()
    }

    fn send(&self, fields: &Value, lie: bool) -> Reply {
        // The chat id comes as a number or as text.
        let chat_id = match fields.get("chat_id") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let text = fields.get("text").and_then(Value::as_str).unwrap_or("");
        if text.is_empty() {
            return failure(400, "Bad Request: message text is empty");
        }
        if text.chars().count() > TEXT_LIMIT {
            return failure(400, "Bad Request: message is too long");
        }
        if chat_id != CHAT_ID {
            return failure(400, "Bad Request: chat not found");
        }
        let at_ms = self.clock.wall_ms();
        let mut chat = self.lock();
        let id = chat.last_id + 1;
        if !lie {
            chat.last_id = id;
            if chat.messages.len() == KEPT {
                chat.messages.pop_front();
            }
            let text = text.to_owned();
            chat.messages.push_back(Message { id, at_ms, text });
        }
        success(&json!({
            "message_id": id, "date": at_ms / 1000, "text": text, "from": self.me(),
            "chat": {"id": 1001, "type": "private", "first_name": "Operator"},
        }))
    }

    fn me(&self) -> Value {
        let id: u64 = self
            .token
            .split(':')
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap_or_default();
        json!({"id": id, "is_bot": true, "first_name": "Fusebox", "username": "fusebox_sim_bot"})
    }

    fn lock(&self) -> MutexGuard<'_, Chat> {
        self.chat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service for TelegramService {
    fn name(&self) -> &'static str {
        "telegram"
    }

    fn caller(&self, request: &Request) -> Option<String> {
        let (token, _) = split(&request.path)?;
        (token == self.token).then(|| "telegram-bot".to_owned())
    }

    fn shown_path(&self, request: &Request) -> String {
        split(&request.path)
            .map_or_else(|| "/…".to_owned(), |(_, method)| format!("/bot…/{method}"))
    }

    fn state(&self) -> Value {
        let messages: Vec<Value> = self
            .messages()
            .iter()
            .map(|message| json!({"id": message.id, "at_ms": message.at_ms, "text": message.text}))
            .collect();
        json!({"chat_id": CHAT_ID, "messages": messages})
    }

    fn handle(&self, request: Request) -> BoxFuture<'_, Reply> {
        Box::pin(std::future::ready(self.answer(&request)))
    }
}

impl TelegramService {
    fn answer(&self, request: &Request) -> Reply {
        let Some((token, method)) = split(&request.path) else {
            return failure(404, "Not Found");
        };
        if token != self.token {
            return failure(401, "Unauthorized");
        }
        match method.to_ascii_lowercase().as_str() {
            "getme" => success(&self.me()),
            "getupdates" => success(&json!([])),
            "sendmessage" => self.send(&fields(request), request.lie),
            _ => failure(404, "Not Found: method not found"),
        }
    }
}

/// Token and method of `/bot<token>/<method>`.
fn split(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("/bot")?.split_once('/')
}

/// The parameters: JSON or form in the body, otherwise the query.
fn fields(request: &Request) -> Value {
    request.json().filter(Value::is_object).unwrap_or_else(|| {
        let form = std::str::from_utf8(&request.body).unwrap_or_default();
        let mut params = request.params();
        params.extend(crate::http::parse_query(form));
        json!(params)
    })
}

fn success(result: &Value) -> Reply {
    Reply::json(200, &json!({"ok": true, "result": result}))
}

fn failure(code: u16, description: &str) -> Reply {
    Reply::json(
        code,
        &json!({"ok": false, "error_code": code, "description": description}),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(service: &TelegramService, token: &str, method: &str, body: &str) -> (u16, Value) {
        let request = Request {
            method: "POST".into(),
            path: format!("/bot{token}/{method}"),
            query: String::new(),
            headers: hyper::header::HeaderMap::new(),
            body: body.to_owned().into(),
            peer: ([127, 0, 0, 1], 1).into(),
            lie: false,
        };
        let reply = service.answer(&request);
        (reply.status, serde_json::from_slice(&reply.body).unwrap())
    }

    #[test]
    fn messages_are_kept_in_order_from_json_and_from_forms() {
        let service = TelegramService::new(7, Clock::default());
        let token = service.token().to_owned();
        let (status, body) = ask(
            &service,
            &token,
            "sendMessage",
            r#"{"chat_id":1001,"text":"KILL STARTED"}"#,
        );
        assert_eq!((status, &body["result"]["message_id"]), (200, &json!(1)));
        ask(
            &service,
            &token,
            "sendMessage",
            "chat_id=1001&text=KILL+RESULT+2%2F2",
        );
        let texts: Vec<String> = service.messages().into_iter().map(|m| m.text).collect();
        assert_eq!(texts, ["KILL STARTED", "KILL RESULT 2/2"]);
        assert_eq!(
            ask(&service, &token, "getUpdates", "").1["result"],
            json!([])
        );
        assert_eq!(
            ask(&service, &token, "getMe", "").1["result"]["is_bot"],
            true
        );
    }

    #[test]
    fn wrong_tokens_chats_and_texts_are_refused() {
        let service = TelegramService::new(7, Clock::default());
        let token = service.token().to_owned();
        assert_eq!(ask(&service, "1:guess", "getMe", "").0, 401);
        let long = json!({"chat_id": CHAT_ID, "text": "x".repeat(4097)}).to_string();
        for (body, description) in [
            (
                r#"{"chat_id":"7","text":"hi"}"#,
                "Bad Request: chat not found",
            ),
            (
                r#"{"chat_id":"1001","text":""}"#,
                "Bad Request: message text is empty",
            ),
            (long.as_str(), "Bad Request: message is too long"),
        ] {
            let (status, answer) = ask(&service, &token, "sendMessage", body);
            assert_eq!(
                (status, answer["description"].as_str()),
                (400, Some(description))
            );
        }
        assert!(service.messages().is_empty());
    }
}
