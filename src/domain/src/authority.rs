//! How far the machine may go without a person (ruling C1).

use serde::{Deserialize, Serialize};

/// What happens on a ladder request, or on a key that nobody declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AutoRevoke {
    /// A ladder request confirmed by the revoker's own ladder kills.
    #[default]
    On,
    /// It stops entries, scales to zero and pages; a person kills.
    PageFirst,
    /// It is journalled.
    Off,
}

impl AutoRevoke {
    /// The word used in configuration and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::PageFirst => "page_first",
            Self::Off => "off",
        }
    }
}
