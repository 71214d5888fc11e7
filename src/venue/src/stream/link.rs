//! One WebSocket connection with its watchdog.

use super::frame::{Frame, Op};
use super::watchdog::{Duty, Watch, Watchdog, backoff_ms};
use crate::Error;
use futures_util::{SinkExt, StreamExt};
use ring::rand::SecureRandom;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes, protocol::WebSocketConfig};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long connecting or an awaited answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The longest message taken.
const MAX_MESSAGE: usize = 1024 * 1024;

/// An open line.
pub(super) struct Line {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    watchdog: Watchdog,
    origin: Instant,
    name: &'static str,
}

impl Line {
    pub(super) async fn open(url: &str, watch: Watch, name: &'static str) -> Result<Self, Error> {
        let lost = |detail: String| Error::Unreachable {
            call: name.to_owned(),
            detail: fusebox_domain::clean_line(&detail, 160),
        };
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let opening = tokio_tungstenite::connect_async_with_config(url, Some(config), true);
        let (socket, _) = tokio::time::timeout(ANSWER_LIMIT, opening)
            .await
            .map_err(|_| lost("connecting timed out".to_owned()))?
            .map_err(|e| lost(e.to_string()))?;
        Ok(Self {
            socket,
            watchdog: Watchdog::new(watch, 0),
            origin: Instant::now(),
            name,
        })
    }

    /// Waits for the next text; sends pings meanwhile. Cancelling it loses nothing.
    pub(super) async fn next(&mut self) -> Result<Utf8Bytes, Error> {
        loop {
            let wake_ms = match self.watchdog.duty(self.now_ms()) {
                Duty::Dead(why) => return Err(self.lost(why)),
                Duty::Ping => {
                    self.watchdog.pinged(self.now_ms());
                    self.send(r#"{"op":"ping"}"#.to_owned()).await?;
                    continue;
                }
                Duty::WaitUntil(at_ms) => u64::try_from(at_ms).unwrap_or(0),
            };
            let wake = self.origin + Duration::from_millis(wake_ms);
            let message = match tokio::time::timeout_at(wake, self.socket.next()).await {
                Err(_) => continue,
                Ok(None) => return Err(self.lost("the exchange closed the line")),
                Ok(Some(Err(e))) => return Err(self.lost(&e.to_string())),
                Ok(Some(Ok(message))) => message,
            };
            match message {
                Message::Text(text) => {
                    if matches!(Frame::read(&text), Ok(Frame::Pong)) {
                        self.watchdog.pong();
                        continue;
                    }
                    return Ok(text);
                }
                Message::Close(_) => return Err(self.lost("the exchange closed the line")),
                // Protocol pings are answered by the library; binary is never sent to us.
                _ => {}
            }
        }
    }

    /// Data arrived that is worth the name.
    pub(super) fn fed(&mut self) {
        self.watchdog.data(self.now_ms());
    }

    pub(super) async fn send(&mut self, text: String) -> Result<(), Error> {
        let sending = self.socket.send(Message::text(text));
        match tokio::time::timeout(ANSWER_LIMIT, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(self.lost(&e.to_string())),
            Err(_) => Err(self.lost("sending timed out")),
        }
    }

    /// Sends a request and waits until it is granted. Data that comes before it is returned too,
    /// so that nothing is lost.
    pub(super) async fn ask(&mut self, text: String, what: Op) -> Result<Vec<Utf8Bytes>, Error> {
        self.send(text).await?;
        let deadline = Instant::now() + ANSWER_LIMIT;
        let mut early = Vec::new();
        loop {
            let text = tokio::time::timeout_at(deadline, self.next())
                .await
                .map_err(|_| self.lost("no answer to the request"))??;
            match Frame::read(&text)? {
                Frame::Answer {
                    op,
                    granted,
                    detail,
                } if op == what => {
                    return if granted {
                        Ok(early)
                    } else {
                        Err(self.lost(&format!("refused: {detail}")))
                    };
                }
                Frame::Data(_) => early.push(text),
                _ => {}
            }
        }
    }

    fn lost(&self, detail: &str) -> Error {
        Error::Unreachable {
            call: self.name.to_owned(),
            detail: fusebox_domain::clean_line(detail, 160),
        }
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.origin.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// Waits before the next attempt.
pub(super) async fn pause(failures: u32) {
    let mut dice = [0u8];
    // Without randomness the pause is the full one.
    let _ = ring::rand::SystemRandom::new().fill(&mut dice);
    let [dice] = dice;
    tokio::time::sleep(Duration::from_millis(backoff_ms(failures, dice))).await;
}
