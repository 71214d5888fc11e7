//! Watches the breaker's feed, as a console does, and keeps what the report needs.

use fusebox_wire::feed::{Action, ActionState, Message, RungState, Section};
use fusebox_wire::{Component, Frames, connect};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::Instant;

/// A rung that fired.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Fired {
    pub(crate) rung: String,
    pub(crate) t_ms: u64,
    pub(crate) nav: Option<String>,
    pub(crate) basis: String,
}

/// What was seen so far.
#[derive(Debug)]
pub(crate) struct Watch {
    socket: PathBuf,
    started: Instant,
    feed: Option<Frames<UnixStream>>,
    nav: Option<String>,
    pub(crate) fired: Vec<Fired>,
    pub(crate) actions: Vec<Action>,
    pub(crate) armed: bool,
}

impl Watch {
    pub(crate) fn new(socket: PathBuf, started: Instant) -> Self {
        Self {
            socket,
            started,
            feed: None,
            nav: None,
            fired: Vec::new(),
            actions: Vec::new(),
            armed: false,
        }
    }

    /// Takes in the next message; connects again when the breaker was away.
    pub(crate) async fn next(&mut self) {
        if let Some(feed) = &mut self.feed {
            match feed.recv::<Message>().await {
                Ok(message) => self.take(message.section),
                Err(_) => self.feed = None,
            }
            return;
        }
        match connect(&self.socket, Component::Console, Component::Breaker, None).await {
            Ok(feed) => self.feed = Some(feed),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }

    fn take(&mut self, section: Section) {
        match section {
            Section::Account(account) => self.armed = account.armed,
            Section::Equity(equity) => self.nav = equity.nav,
            Section::Actions(actions) => self.actions = actions,
            Section::Ladder(ladder) => {
                for rung in ladder
                    .rungs
                    .iter()
                    .filter(|r| r.state == RungState::Latched)
                {
                    self.fire(&rung.rung, &rung.basis);
                }
                if let Some(blind) = &ladder.blind {
                    self.fire(blind, "blind");
                }
                if !ladder.integrity.is_empty() {
                    self.fire("X", "integrity");
                }
            }
            _ => {}
        }
    }

    fn fire(&mut self, rung: &str, basis: &str) {
        if !self.has_fired(rung) {
            let t_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            let nav = self.nav.as_deref().map(four_decimals);
            self.fired.push(Fired {
                rung: rung.to_owned(),
                t_ms,
                nav,
                basis: basis.to_owned(),
            });
        }
    }

    pub(crate) fn has_fired(&self, rung: &str) -> bool {
        self.fired.iter().any(|f| f.rung == rung)
    }

    /// Whether the action that belongs to `rung` ended well.
    pub(crate) fn is_done(&self, rung: &str) -> bool {
        let mut of_rung = self.actions.iter().filter(|a| a.rung == rung).peekable();
        of_rung.peek().is_some() && of_rung.all(|a| a.state == ActionState::Done)
    }
}

/// `0.949999999999` becomes `0.9499`: cut, never rounded towards safety.
fn four_decimals(nav: &str) -> String {
    match nav.split_once('.') {
        Some((whole, decimals)) => format!("{whole}.{}", decimals.get(..4).unwrap_or(decimals)),
        None => nav.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nav_is_cut_and_never_rounded_towards_safety() {
        assert_eq!(four_decimals("0.949999999999"), "0.9499");
        assert_eq!(four_decimals("1.0"), "1.0");
        assert_eq!(four_decimals("0"), "0");
    }
}
