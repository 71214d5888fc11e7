//! The two WebSockets: what they say, and whether they can be believed.
//!
//! [`public()`] streams mark prices, [`private()`] positions, orders, executions and the wallet. Each
//! runs for ever: connect, authenticate, wait for the answer, subscribe, wait for the answer, read
//! the state by REST, then apply what is newer, and only then call itself [`LinkState::Live`].
//! Silence, a missing pong or a closed line leads to a new connection with growing pauses.
//!
//! [`Book`] and the merged tickers are pure: rows in, state out.

mod book;
mod frame;
mod link;
mod private;
mod public;
mod tickers;
mod watchdog;

pub use book::Book;
pub use private::{PrivateEvent, private};
pub use public::{PublicEvent, public};
pub use tickers::Ticker;
pub use watchdog::Watch;

/// How a stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// No line, or not authenticated yet: nothing is known.
    Down,
    /// Connected, but the state is not complete yet.
    Stale,
    /// Complete and following.
    Live,
}

/// A change of a stream's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// How it stands now.
    pub state: LinkState,
    /// Connections lost since the start.
    pub reconnects: u32,
    /// Why, in words.
    pub detail: String,
}

/// Whether a message is one that the streams understand: for the recorded samples.
#[cfg(test)]
pub(crate) fn decodes(text: &str) -> bool {
    use frame::Frame;
    match Frame::read(text) {
        Ok(Frame::Data(data)) if data.topic.starts_with("tickers.") => {
            tickers::Tickers::default().apply(&data).is_ok()
        }
        // A topic that nobody subscribes to here.
        Ok(Frame::Data(data)) if data.topic.starts_with("orderbook.") => true,
        Ok(Frame::Data(data)) => private::event(&data).is_ok_and(|event| event.is_some()),
        Ok(Frame::Other) => false,
        Ok(Frame::Answer { .. } | Frame::Pong) => true,
        Err(_) => false,
    }
}
