//! Enrolled security keys, their counters, and the nonces that were spent.

use crate::intents::Past;
use crate::planner::refused;
use fusebox_touch::{CredentialId, Enrolment, Nonce, Verified};
use fusebox_wire::operator::Refused;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The file is the roster; counters and nonces come from the intent log, which nobody else writes.
pub(crate) struct Touches {
    roster: PathBuf,
    counters: BTreeMap<CredentialId, u32>,
    spent: BTreeSet<Nonce>,
}

impl Touches {
    pub(crate) fn open(roster: &Path, past: &Past) -> Self {
        let mut touches = Self {
            roster: roster.to_owned(),
            counters: BTreeMap::new(),
            spent: BTreeSet::new(),
        };
        for touch in past.runs.iter().filter_map(|r| r.intent.touch.as_ref()) {
            touches.raise(&touch.credential_id, touch.counter);
            touches.spent.insert(touch.nonce);
        }
        touches
    }

    /// Every enrolled credential, with the counter last seen.
    pub(crate) fn list(&self) -> Result<Vec<Enrolment>, Refused> {
        let unreadable = |why: String| {
            let path = self.roster.display();
            let message = format!(
                "the list of security keys {path} cannot be used ({why}); nobody can approve anything until it is mended"
            );
            refused("enrolments", message)
        };
        let text = std::fs::read_to_string(&self.roster).map_err(|e| unreadable(e.to_string()))?;
        let mut all: Vec<Enrolment> =
            serde_json::from_str(&text).map_err(|e| unreadable(e.to_string()))?;
        for enrolment in &mut all {
            let seen = self.counters.get(&enrolment.credential_id);
            enrolment.counter = enrolment.counter.max(seen.copied().unwrap_or(0));
        }
        Ok(all)
    }

    pub(crate) fn enrolment(&self, id: &CredentialId) -> Result<Enrolment, Refused> {
        let unknown = || {
            let message = "this security key is not enrolled; nothing was approved; use an enrolled one or run fusebox enroll";
            refused("unknown_credential", message)
        };
        let all = self.list()?;
        all.into_iter()
            .find(|e| e.credential_id == *id)
            .ok_or_else(unknown)
    }

    pub(crate) fn is_spent(&self, nonce: &Nonce) -> bool {
        self.spent.contains(nonce)
    }

    /// A touch was accepted: its nonce never counts again, its counter must rise from here.
    pub(crate) fn spend(&mut self, nonce: Nonce, verified: &Verified) {
        self.spent.insert(nonce);
        self.raise(verified.credential_id(), verified.counter());
    }

    fn raise(&mut self, id: &CredentialId, counter: u32) {
        let known = self.counters.entry(id.clone()).or_default();
        *known = counter.max(*known);
    }
}
