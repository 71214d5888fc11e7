//! The versioned secret store (KV, version 2): pure, with the time passed in.
//!
//! Deleting is soft (data kept, `deletion_time` set), destroying drops the data of a version, deleting the metadata
//! forgets the secret as a whole. A revoker that stops at the first of the three has cleaned nothing.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::ids::rfc3339_ms;

/// Versions kept when nothing else is configured, as in Vault.
const DEFAULT_MAX_VERSIONS: u64 = 10;

#[derive(Debug, Clone)]
struct Version {
    created_ms: i64,
    deleted_ms: Option<i64>,
    destroyed: bool,
    data: Map<String, Value>,
}

impl Version {
    fn metadata(&self, number: u64, custom: &Value) -> Value {
        let mut meta = self.summary();
        if let Some(object) = meta.as_object_mut() {
            object.insert("version".into(), json!(number));
            object.insert("custom_metadata".into(), custom.clone());
        }
        meta
    }

    fn summary(&self) -> Value {
        json!({
            "created_time": rfc3339_ms(self.created_ms),
            "deletion_time": self.deleted_ms.map(rfc3339_ms).unwrap_or_default(),
            "destroyed": self.destroyed,
        })
    }

    fn readable(&self) -> bool {
        !self.destroyed && self.deleted_ms.is_none()
    }
}

#[derive(Debug, Clone, Default)]
struct Secret {
    versions: BTreeMap<u64, Version>,
    current: u64,
    created_ms: i64,
    updated_ms: i64,
    custom: Value,
    max_versions: u64,
    cas_required: bool,
}

/// What a read of a version found.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Read {
    /// Neither such a secret nor such a version.
    Absent,
    /// The version is known but deleted or destroyed: answered with its metadata and status 404.
    Gone(Value),
    /// The data and metadata.
    Found(Value),
}

/// Why a write was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteError {
    CasMismatch,
    CasRequired,
    Absent,
}

/// What a version-changing request does to each version it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Delete,
    Undelete,
    Destroy,
}

/// One mount of the engine.
#[derive(Debug, Clone, Default)]
pub(super) struct Kv {
    secrets: BTreeMap<String, Secret>,
}

impl Kv {
    /// Writes a new version; `cas` is the version that must be current (0: must not exist).
    pub(super) fn write(
        &mut self,
        path: &str,
        data: Map<String, Value>,
        cas: Option<u64>,
        now_ms: i64,
    ) -> Result<Value, WriteError> {
        let current = self.secrets.get(path).map_or(0, |secret| secret.current);
        match cas {
            Some(wanted) if wanted != current => return Err(WriteError::CasMismatch),
            None if self.secrets.get(path).is_some_and(|s| s.cas_required) => {
                return Err(WriteError::CasRequired);
            }
            _ => {}
        }
        let secret = self.secrets.entry(path.to_owned()).or_insert(Secret {
            created_ms: now_ms,
            ..Secret::default()
        });
        secret.current += 1;
        secret.updated_ms = now_ms;
        let version = Version {
            created_ms: now_ms,
            deleted_ms: None,
            destroyed: false,
            data,
        };
        let answer = version.metadata(secret.current, &secret.custom);
        secret.versions.insert(secret.current, version);
        let keep = if secret.max_versions == 0 {
            DEFAULT_MAX_VERSIONS
        } else {
            secret.max_versions
        };
        let newest = secret.current;
        secret.versions.retain(|number, _| number + keep > newest);
        Ok(answer)
    }

    /// Merges `patch` (RFC 7396, one level and deeper) over the current version.
    pub(super) fn patch(
        &mut self,
        path: &str,
        patch: &Value,
        cas: Option<u64>,
        now_ms: i64,
    ) -> Result<Value, WriteError> {
        let base = self
            .secrets
            .get(path)
            .and_then(|secret| secret.versions.get(&secret.current))
            .filter(|version| version.readable())
            .ok_or(WriteError::Absent)?;
        let mut merged = Value::Object(base.data.clone());
        crate::kubernetes::merge_patch(&mut merged, patch);
        let data = merged.as_object().cloned().unwrap_or_default();
        self.write(path, data, cas, now_ms)
    }

    /// Reads a version (`None` or 0: the current one).
    pub(super) fn read(&self, path: &str, version: Option<u64>) -> Read {
        let Some(secret) = self.secrets.get(path) else {
            return Read::Absent;
        };
        let number = version.filter(|n| *n > 0).unwrap_or(secret.current);
        let Some(found) = secret.versions.get(&number) else {
            return Read::Absent;
        };
        let metadata = found.metadata(number, &secret.custom);
        if found.readable() {
            Read::Found(json!({"data": found.data, "metadata": metadata}))
        } else {
            Read::Gone(json!({"data": null, "metadata": metadata}))
        }
    }

    /// The readable current data as text fields, for the ExternalSecret operator.
    pub(super) fn fields(&self, path: &str) -> Option<BTreeMap<String, String>> {
        let secret = self.secrets.get(path)?;
        let version = secret
            .versions
            .get(&secret.current)
            .filter(|v| v.readable())?;
        let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
        Some(
            version
                .data
                .iter()
                .map(|(k, v)| (k.clone(), text(v)))
                .collect(),
        )
    }

    /// Applies `fate` to the versions named; unknown ones are passed over, as Vault does.
    pub(super) fn change(&mut self, path: &str, versions: &[u64], fate: Fate, now_ms: i64) {
        let Some(secret) = self.secrets.get_mut(path) else {
            return;
        };
        for number in versions {
            let Some(version) = secret.versions.get_mut(number) else {
                continue;
            };
            match fate {
                Fate::Delete if version.readable() => version.deleted_ms = Some(now_ms),
                Fate::Undelete if !version.destroyed => version.deleted_ms = None,
                Fate::Destroy => {
                    version.destroyed = true;
                    version.data = Map::new();
                }
                Fate::Delete | Fate::Undelete => {}
            }
            secret.updated_ms = now_ms;
        }
    }

    /// Soft-deletes the current version.
    pub(super) fn delete_current(&mut self, path: &str, now_ms: i64) {
        if let Some(current) = self.secrets.get(path).map(|secret| secret.current) {
            self.change(path, &[current], Fate::Delete, now_ms);
        }
    }

    /// Forgets the secret with all its versions.
    pub(super) fn delete_metadata(&mut self, path: &str) {
        self.secrets.remove(path);
    }

    /// Everything about a secret except its data.
    pub(super) fn metadata(&self, path: &str) -> Option<Value> {
        let secret = self.secrets.get(path)?;
        let versions: Map<String, Value> = secret
            .versions
            .iter()
            .map(|(number, version)| (number.to_string(), version.summary()))
            .collect();
        let oldest = secret.versions.keys().next().copied().unwrap_or(0);
        Some(json!({
            "cas_required": secret.cas_required,
            "created_time": rfc3339_ms(secret.created_ms),
            "current_version": secret.current,
            "custom_metadata": secret.custom,
            "delete_version_after": "0s",
            "max_versions": secret.max_versions,
            "oldest_version": if oldest > 1 { oldest } else { 0 },
            "updated_time": rfc3339_ms(secret.updated_ms),
            "versions": versions,
        }))
    }

    /// Sets `max_versions`, `cas_required` and `custom_metadata`, creating an empty secret when there is none.
    pub(super) fn configure(&mut self, path: &str, settings: &Value, now_ms: i64) {
        let secret = self.secrets.entry(path.to_owned()).or_insert(Secret {
            created_ms: now_ms,
            ..Secret::default()
        });
        secret.updated_ms = now_ms;
        if let Some(max) = settings.get("max_versions").and_then(Value::as_u64) {
            secret.max_versions = max;
        }
        if let Some(required) = settings.get("cas_required").and_then(Value::as_bool) {
            secret.cas_required = required;
        }
        if let Some(custom) = settings.get("custom_metadata") {
            secret.custom = custom.clone();
        }
    }

    /// The names directly below `folder` (a folder ends in `/`); empty when there are none.
    pub(super) fn list(&self, folder: &str) -> Vec<String> {
        let prefix = match folder.trim_matches('/') {
            "" => String::new(),
            name => format!("{name}/"),
        };
        let mut names: Vec<String> = self
            .secrets
            .keys()
            .filter_map(|path| path.strip_prefix(&prefix))
            .map(|rest| match rest.split_once('/') {
                Some((head, _)) => format!("{head}/"),
                None => rest.to_owned(),
            })
            .collect();
        names.dedup();
        names
    }

    /// The paths of all secrets, for the control API.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.secrets.keys().map(String::as_str)
    }
}
