//! API keys: what we call them, what they may do, and what the exchange says of them.

use crate::account::{Uid, name};
use serde::{Deserialize, Serialize};

name! {
    /// A key's name in the registry, `freqtrade-1`. Plans and messages name keys only so.
    KeyName
}
name! {
    /// The public half of an API key, which the exchange lists. Shown as its last four characters.
    ApiKeyId
}

impl ApiKeyId {
    /// `···a91f`: enough to tell keys apart, useless to anyone else.
    pub fn short(&self) -> String {
        let tail: String = self
            .as_str()
            .chars()
            .rev()
            .take(4)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect();
        format!("···{tail}")
    }
}

/// What a key is for (study S1-12: read, trade, move, manage).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyRole {
    /// Reads, nothing else.
    Read,
    /// Places and cancels orders.
    Trade,
    /// Moves money between own accounts.
    Move,
    /// A master key that makes and deletes keys.
    Manage,
}

impl KeyRole {
    /// The word used in configuration and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Trade => "trade",
            Self::Move => "move",
            Self::Manage => "manage",
        }
    }

    /// Whether a kill must end with this key dead: it can trade or move money (C7).
    pub fn is_revocable(self) -> bool {
        matches!(self, Self::Trade | Self::Move)
    }
}

impl std::fmt::Display for KeyRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// One permission of a key. Scopes appear and vanish monthly on a real exchange, so an unknown
/// one is kept and treated as able to write.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "scope", content = "name")]
pub enum Scope {
    /// Orders and positions.
    Trade,
    /// Transfers between own accounts.
    Transfer,
    /// Withdrawals: never wanted on any key.
    Withdraw,
    /// A permission this program does not know, in the venue's own word.
    Unknown(String),
}

/// A key as the exchange lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedKey {
    /// The key's public half.
    pub api_key: ApiKeyId,
    /// The account it belongs to.
    pub uid: Uid,
    /// The free text given at creation.
    pub note: String,
    /// Whether the exchange lets it only read, whatever its scopes say.
    pub read_only: bool,
    /// Its permissions.
    pub scopes: Vec<Scope>,
    /// Addresses it is bound to; empty means unbound.
    pub ips: Vec<String>,
    /// Creation time, as the exchange writes it (RFC 3339).
    pub created_at: Option<String>,
    /// Days until it expires, where the exchange says so.
    pub deadline_days: Option<i64>,
}

impl ObservedKey {
    /// Whether the key can change anything: trade, move or withdraw, or something unknown.
    pub fn can_write(&self) -> bool {
        !self.read_only && !self.scopes.is_empty()
    }
}
