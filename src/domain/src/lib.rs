//! The vocabulary that every component shares: accounts, keys and their scopes, positions,
//! orders, executions, ledger rows, environments, and how fresh a reading is.
//!
//! It holds values and the few pure questions one can ask of them. It must never do I/O, read a
//! clock or know a venue's JSON. Money is [`rust_decimal::Decimal`], never a float, and its unit
//! stands last in the field's name.
//!
//! Weak spot: symbols are the venue's own names; nothing here converts between venues.
#![forbid(unsafe_code)]

mod account;
mod authority;
mod environment;
mod fresh;
mod key;
mod ledger;
mod market;
mod text;

pub use account::{AccountName, Uid};
pub use authority::AutoRevoke;
pub use environment::{Environment, EnvironmentError};
pub use fresh::{Fresh, Limits};
pub use key::{ApiKeyId, KeyName, KeyRole, ObservedKey, Scope};
pub use ledger::{LedgerKind, LedgerRow, Wallet};
pub use market::{Execution, Order, OrderKind, OrderStatus, Position, Side, Symbol, TimeInForce};
pub use rust_decimal::Decimal;
pub use text::{clean, clean_line};
