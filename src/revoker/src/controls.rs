//! Positive controls (K5): when each key's own probe last worked here. Without one a refusal
//! proves nothing, since a wrong host refuses every key. Kept over restarts: after a crash in the
//! middle of a kill the key can no longer be asked.

use crate::Error;
use fusebox_domain::ApiKeyId;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub(crate) struct Controls {
    path: PathBuf,
    last_ms: Mutex<BTreeMap<String, i64>>,
}

impl Controls {
    /// Reads what is known; a file that is missing or torn means that nothing is.
    pub(crate) fn open(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        Self {
            path: path.to_owned(),
            last_ms: Mutex::new(serde_json::from_str(&text).unwrap_or_default()),
        }
    }

    /// When the key's probe last answered 0, wall-clock milliseconds.
    pub(crate) fn last_ms(&self, key: &ApiKeyId) -> Option<i64> {
        let last = self.last_ms.lock().unwrap_or_else(PoisonError::into_inner);
        last.get(key.as_str()).copied()
    }

    /// Notes successes, all in one write.
    pub(crate) fn note(&self, keys: &[ApiKeyId], now_ms: i64) -> Result<(), Error> {
        let text = {
            let mut last = self.last_ms.lock().unwrap_or_else(PoisonError::into_inner);
            last.extend(keys.iter().map(|k| (k.as_str().to_owned(), now_ms)));
            serde_json::to_string(&*last).unwrap_or_default()
        };
        let beside = self.path.with_extension("new");
        std::fs::write(&beside, text)
            .and_then(|()| std::fs::rename(&beside, &self.path))
            .map_err(Error::state(format!("writing {}", self.path.display())))
    }
}
