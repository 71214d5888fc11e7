//! Who waits for whom: doors that open once and stay open.

use crate::plan::{Contain, PlannedKey};
use fusebox_domain::{AccountName, KeyName, KeyRole};
use std::collections::BTreeMap;
use tokio::sync::watch;

/// A door that opens once.
pub(super) struct Gate(watch::Sender<bool>);

impl Gate {
    fn new() -> Self {
        Self(watch::channel(false).0)
    }

    pub(super) fn open(&self) {
        self.0.send_replace(true);
    }

    pub(super) async fn opened(&self) {
        // The sender is ours and lives as long as we do.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// All doors of one run.
pub(super) struct Gates {
    /// The first sweep of an account is over, well or not.
    swept: BTreeMap<AccountName, Gate>,
    /// The last sweep, after the account's other keys: its cancel key may die.
    swept_again: BTreeMap<AccountName, Gate>,
    /// The first attempt to delete the key was answered, or timed out.
    tried: BTreeMap<KeyName, Gate>,
    /// Nothing more will be learned of the key, or it is proven dead.
    settled: BTreeMap<KeyName, Gate>,
}

impl Gates {
    pub(super) fn new(plan: &Contain) -> Self {
        let accounts = || plan.accounts.iter().map(|a| (a.name.clone(), Gate::new()));
        let keys = || plan.delete.iter().map(|k| (k.name.clone(), Gate::new()));
        Self {
            swept: accounts().collect(),
            swept_again: accounts().collect(),
            tried: keys().collect(),
            settled: keys().collect(),
        }
    }

    pub(super) fn swept(&self, account: &AccountName) {
        open(&self.swept, account);
    }

    pub(super) fn swept_again(&self, account: &AccountName) {
        open(&self.swept_again, account);
    }

    pub(super) fn tried(&self, key: &KeyName) {
        open(&self.tried, key);
    }

    pub(super) fn settled(&self, key: &KeyName) {
        open(&self.settled, key);
    }

    /// When a key may be deleted (K1, K2): one that moves money at once, one that trades after
    /// its account's sweep, the cancel key after the last sweep. On theft nothing waits but the
    /// cancel key.
    pub(super) async fn may_delete(&self, plan: &Contain, key: &PlannedKey) {
        let Some(account) = &key.account else { return };
        if plan.is_cancel_key(key) {
            wait(&self.swept_again, account).await;
        } else if key.role == KeyRole::Trade && !plan.key_theft {
            wait(&self.swept, account).await;
        }
    }

    /// When an account may be swept for the last time: its other keys were tried.
    pub(super) async fn others_tried(&self, plan: &Contain, account: &AccountName) {
        for key in plan.keys_of(account) {
            if !plan.is_cancel_key(key) {
                wait(&self.tried, &key.name).await;
            }
        }
    }

    pub(super) async fn key_settled(&self, key: &KeyName) {
        wait(&self.settled, key).await;
    }
}

fn open<K: Ord>(gates: &BTreeMap<K, Gate>, name: &K) {
    if let Some(gate) = gates.get(name) {
        gate.open();
    }
}

/// A door that does not exist is open: there is nothing to wait for.
async fn wait<K: Ord>(gates: &BTreeMap<K, Gate>, name: &K) {
    if let Some(gate) = gates.get(name) {
        gate.opened().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::contain;
    use futures_util::FutureExt;

    /// Which keys may be deleted now.
    fn free(gates: &Gates, plan: &Contain) -> Vec<String> {
        plan.delete
            .iter()
            .filter(|k| gates.may_delete(plan, k).now_or_never().is_some())
            .map(|k| k.name.to_string())
            .collect()
    }

    #[test]
    fn move_keys_at_once_trade_keys_after_the_sweep_the_cancel_key_last() {
        let plan = contain();
        let account = &plan.accounts[0].name;
        let gates = Gates::new(&plan);
        assert_eq!(free(&gates, &plan), ["skim-1"]);
        gates.swept(account);
        assert_eq!(free(&gates, &plan), ["skim-1", "freqtrade-1"]);
        gates.tried(&"skim-1".into());
        assert!(gates.others_tried(&plan, account).now_or_never().is_none());
        gates.tried(&"freqtrade-1".into());
        assert!(gates.others_tried(&plan, account).now_or_never().is_some());
        gates.swept_again(account);
        assert_eq!(free(&gates, &plan), ["skim-1", "freqtrade-1", "rescue-1"]);
    }

    #[test]
    fn on_theft_nothing_waits_for_a_sweep_but_the_cancel_key() {
        let mut plan = contain();
        plan.key_theft = true;
        assert_eq!(free(&Gates::new(&plan), &plan), ["skim-1", "freqtrade-1"]);
    }
}
