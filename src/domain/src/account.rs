//! Names of accounts, as the operator writes them and as the exchange numbers them.

use serde::{Deserialize, Serialize};

/// Defines a string newtype, so that one kind of name cannot be passed for another.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(String);

        impl $type {
            /// Takes the name as it stands; whoever shows it passes it through [`crate::clean_line`].
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl From<&str> for $type {
            fn from(name: &str) -> Self {
                Self::new(name)
            }
        }
    };
}
pub(crate) use name;

name! {
    /// An account as the operator calls it in the configuration, `trading-1`.
    AccountName
}
name! {
    /// The exchange's number of a (sub-)account, kept as text since nothing is computed with it.
    Uid
}
