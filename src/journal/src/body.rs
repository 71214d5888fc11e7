//! What rows say: one struct per kind, as JSON objects with every unknown field kept.
//!
//! A later fact about something (a resolution, a lesson, a confirmation) is a later row with the
//! same `id` or `trade_id`; nothing is ever filled in afterwards. Money is decimal text. The
//! views of the store read these field names, so a rename here is a change of the format.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Fields that this program does not know, carried along unchanged.
pub type Extra = Map<String, Value>;

/// Lists the kinds once: name in Rust, word in the file, meaning.
macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)*) => {
        /// What a row of `journal.db` is about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Kind { $($(#[$doc])* $variant,)* }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word in the `kind` column.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

kinds! {
    /// A trade of the bot was opened, added to, partly closed or closed.
    Trade = "trade",
    /// The exchange executed something: a fill, a funding payment, a liquidation.
    Execution = "execution",
    /// Capital came in or went out.
    Capital = "capital",
    /// Trading was stopped or reduced, or that ended.
    Halt = "halt",
    /// A setting changed.
    Config = "config",
    /// Something that should not happen did, or was mitigated.
    Incident = "incident",
    /// A thesis or a lesson for a trade, or a note.
    Annotation = "annotation",
    /// A kill or rotate plan: intent, step, result, closed.
    Plan = "plan",
    /// An alert was sent, or could not be.
    Alert = "alert",
    /// The operator acknowledged something.
    Ack = "ack",
    /// A component started, stopped or noticed something about itself.
    System = "system",
}

impl Kind {
    /// The kind of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A typed body.
pub trait Body: Serialize + DeserializeOwned {
    /// The kind of row that carries it.
    const KIND: Kind;
}

/// Defines a body: every field optional in JSON unless it has no `Option`, unknown fields kept.
macro_rules! body {
    ($kind:ident, $(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name {
            $($(#[$fdoc])* #[serde(skip_serializing_if = "is_empty")] pub $field: $type,)*
            /// Fields that this program does not know.
            #[serde(flatten)]
            pub extra: Extra,
        }

        impl Body for $name {
            const KIND: Kind = Kind::$kind;
        }
    };
}

/// A value that need not be written: absent, or empty text.
trait Blank {
    fn is_blank(&self) -> bool;
}
impl<T> Blank for Option<T> {
    fn is_blank(&self) -> bool {
        self.is_none()
    }
}
impl Blank for String {
    fn is_blank(&self) -> bool {
        self.is_empty()
    }
}
impl Blank for Value {
    fn is_blank(&self) -> bool {
        self.is_null()
    }
}
fn is_empty(value: &impl Blank) -> bool {
    value.is_blank()
}

body! { Trade,
    /// One thing that happened to a trade; the first is `opened`, the last `closed`.
    Trade {
        /// `opened`, `added`, `partial_exit` or `closed`.
        event: String,
        /// The bot's number of the trade, as text.
        trade_id: String,
        /// The account, `trading-1`.
        account: String,
        /// The bot's name of the pair, `BTC/USDT:USDT`.
        pair: String,
        /// `long` or `short`.
        side: String,
        /// Leverage, decimal text.
        leverage: Option<String>,
        /// Size of this event in the base coin.
        amount: Option<String>,
        /// Price of this event.
        price: Option<String>,
        /// Average entry price of the trade so far: `entry` of the view.
        open_rate: Option<String>,
        /// Exit price of the closed trade: `exit` of the view.
        close_rate: Option<String>,
        /// Result of the whole trade after this event, in the stake currency.
        realized_profit: Option<String>,
        /// Stake of the trade without leverage, in the stake currency.
        stake_amount: Option<String>,
        /// Stop price now.
        stop_loss: Option<String>,
        /// The order that opened the trade; tells two trades of one number apart.
        opening_order: String,
        /// The exchange's order behind this event.
        order_id: Option<String>,
        /// Why it was entered.
        enter_tag: Option<String>,
        /// Why it was left.
        exit_reason: Option<String>,
        /// The bot's strategy.
        strategy: Option<String>,
    }
}

body! { Execution,
    /// One execution as the exchange lists it.
    Execution {
        /// The exchange's id.
        exec_id: String,
        /// The account.
        account: String,
        /// The order behind it.
        order_id: String,
        /// The client's id of that order.
        order_link_id: Option<String>,
        /// The exchange's symbol.
        symbol: String,
        /// `buy` or `sell`.
        side: String,
        /// The exchange's type word, `Trade`, `Funding`, `BustTrade` …
        exec_type: String,
        /// Size in the base coin.
        qty: String,
        /// Price.
        price: String,
        /// Fee in USDT; positive is paid.
        fee_usdt: String,
        /// `maker` or `taker`.
        liquidity: String,
    }
}

body! { Capital,
    /// A movement of capital, or what became of one.
    Capital {
        /// Names the movement; a later row with the same id supersedes.
        id: String,
        /// The account.
        account: String,
        /// `in` or `out`.
        direction: String,
        /// Unsigned decimal text, in `coin`.
        amount: String,
        /// The coin.
        coin: String,
        /// `pending`, `confirmed`, `failed` or `unknown`.
        status: String,
        /// What confirms it: the exchange's row.
        confirm_txn: Option<String>,
        /// The exchange's type word.
        type_name: Option<String>,
    }
}

body! { Halt,
    /// Trading was stopped or reduced; a later row with the same id and `resolved_at` ends it.
    Halt {
        /// Names the halt.
        id: String,
        /// The account.
        account: String,
        /// Why, `R3 month −15 %`.
        reason: String,
        /// The value that crossed the limit.
        trigger_value: Option<String>,
        /// The rung or blind rule, `R3`.
        rung: Option<String>,
        /// When it ended, RFC 3339 UTC.
        resolved_at: Option<String>,
    }
}

body! { Config,
    /// A setting that changed.
    Config {
        /// The component.
        service: String,
        /// The field, dotted.
        field: String,
        /// Before; absent when it is new.
        old_value: Option<String>,
        /// After; absent when it was removed.
        new_value: Option<String>,
    }
}

body! { Incident,
    /// An incident; a later row with the same id and `mitigated_at` ends it.
    Incident {
        /// Names the incident.
        id: String,
        /// The account, where it concerns one.
        account: String,
        /// What it is, in one word: `foreign-order`, `chain-broken` …
        r#type: String,
        /// 1 (wake somebody) to 4 (note).
        severity: Option<u8>,
        /// One sentence.
        detail: String,
        /// When it was mitigated, RFC 3339 UTC.
        mitigated_at: Option<String>,
    }
}

body! { Annotation,
    /// A thesis or lesson for a trade. A later one supersedes; none is lost.
    Annotation {
        /// The trade, as in [`Trade::trade_id`]; empty for a free note.
        trade_id: String,
        /// The account; empty means any.
        account: String,
        /// Why the trade was entered.
        thesis: Option<String>,
        /// What it taught.
        lesson: Option<String>,
        /// A note without a trade.
        note: Option<String>,
    }
}

body! { Plan,
    /// One state of a kill or rotate plan.
    Plan {
        /// The plan's id.
        plan_id: String,
        /// `intent`, `step`, `result` or `closed`.
        event: String,
        /// `kill`, `rotate`, `resume` …
        action: String,
        /// The whole plan, with the intent.
        plan: Value,
        /// Which assertion or request authorised it.
        assertion: Option<String>,
        /// The step's name.
        step: Option<String>,
        /// The step's or plan's state.
        state: Option<String>,
        /// One sentence, or the proof.
        detail: Option<String>,
    }
}

body! { Alert,
    /// An alert.
    Alert {
        /// Names the alert; an acknowledgement refers to it.
        id: String,
        /// The account, where it concerns one.
        account: String,
        /// 1 to 4.
        severity: Option<u8>,
        /// One line.
        title: String,
        /// What was sent.
        detail: String,
        /// `telegram ok`, per channel.
        delivery: Option<String>,
    }
}

body! { Ack,
    /// An acknowledgement. It unblocks the review of what it names, and nothing else.
    Ack {
        /// The alert, halt or incident.
        id: String,
        /// What the operator wrote.
        note: Option<String>,
    }
}

body! { System,
    /// Something a component says about itself.
    System {
        /// `started`, `stopped`, `adopted` …
        event: String,
        /// The component.
        component: String,
        /// One sentence.
        detail: Option<String>,
    }
}

/// A row that somebody wants to have written. The store gives it its place in the chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// When the fact happened, UTC milliseconds, as its author says; it becomes `happened_ms` of
    /// the body, while the row's own time is when it was written.
    pub happened_ms: i64,
    /// What it is.
    pub kind: Kind,
    /// Who says so.
    pub author: String,
    /// The JSON object.
    pub body: Map<String, Value>,
}

/// Where the idempotency key stands in a body: a second draft with a key that the journal has is
/// the same row and is not written again.
pub(crate) const KEY: &str = "key";

impl Draft {
    /// A draft with a typed body.
    pub fn new<B: Body>(happened_ms: i64, author: impl Into<String>, body: &B) -> Self {
        // A body is a struct, which serialises to an object; nothing in it can fail.
        let body = match serde_json::to_value(body) {
            Ok(Value::Object(map)) => map,
            _ => Map::new(),
        };
        Self {
            happened_ms,
            kind: B::KIND,
            author: author.into(),
            body,
        }
    }

    /// Gives it a key, so that the same fact is written once however often it is seen.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.body.insert(KEY.to_owned(), Value::String(key.into()));
        self
    }

    /// Its key, if it has one.
    pub fn key(&self) -> Option<&str> {
        self.body.get(KEY).and_then(Value::as_str)
    }

    /// Marks it as row `outbox_seq` of a component's outbox, received from `uid`, and keys it so
    /// that a second delivery is recognised. The key covers the contents as well: an outbox that
    /// was lost and counts from 1 again must not have its rows taken for old ones.
    #[must_use]
    pub fn from_outbox(mut self, component: &str, outbox_seq: u64, uid: u32) -> Self {
        let text = serde_json::to_string(&self.body).unwrap_or_default();
        let content = format!("{}\n{}\n{text}", self.kind, self.happened_ms);
        let digest = crate::Hash::of(content.as_bytes()).to_string();
        let short = digest.get(..16).unwrap_or_default();
        let key = format!("outbox/{component}/{outbox_seq}/{short}");
        let source = serde_json::json!({
            "component": component, "outbox_seq": outbox_seq, "uid": uid,
        });
        self.body.insert("source".to_owned(), source);
        self.with_key(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_kept() {
        let text = r#"{"id":"h1","new_field":{"a":1},"reason":"R1"}"#;
        let halt: Halt = serde_json::from_str(text).unwrap();
        assert_eq!(halt.reason, "R1");
        assert_eq!(serde_json::to_string(&halt).unwrap().len(), text.len());
        assert!(serde_json::to_string(&halt).unwrap().contains("new_field"));
    }

    #[test]
    fn every_kind_has_its_word() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(*kind));
            let json = serde_json::to_string(kind).unwrap();
            assert_eq!(json, format!("\"{kind}\""));
        }
        assert_eq!(Kind::parse("trades"), None);
    }

    #[test]
    fn an_outbox_row_is_known_again_and_a_restarted_outbox_is_not_confused_with_it() {
        let draft = |detail: &str| {
            let body = System {
                event: "started".into(),
                detail: Some(detail.into()),
                ..System::default()
            };
            Draft::new(5, "breaker:1", &body)
        };
        let first = draft("a").from_outbox("breaker", 1, 1000);
        assert_eq!(first, draft("a").from_outbox("breaker", 1, 1000));
        let again = draft("b").from_outbox("breaker", 1, 1000);
        assert_ne!(first.key(), again.key());
        assert_eq!(first.body["source"]["outbox_seq"], 1);
    }
}
