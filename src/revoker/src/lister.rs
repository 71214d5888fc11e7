//! Listings of an account's keys, shared: everyone who asked before a listing began gets its
//! answer, so that nine proofs cost a few calls instead of nine.

use crate::world::World;
use fusebox_domain::{ObservedKey, Uid};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Askers within this time share a listing.
const GATHER: Duration = Duration::from_millis(4);

type Told = Result<Arc<Vec<ObservedKey>>, String>;

/// A listing that takes longer is none: the next one may go to another host.
const LIMIT: Duration = Duration::from_secs(2);

/// How much older than its question an answer may say that it is, milliseconds: the uncertainty
/// of our reading of the exchange's clock.
const CLOCK_SLACK_MS: i64 = 1_000;

/// Whether an answer stamped `at_ms` belongs to a question asked at `asked_ms`, both exchange
/// time. The exchange's own documentation warns of old data in wild markets.
pub(crate) fn is_current(asked_ms: Option<i64>, at_ms: i64) -> bool {
    asked_ms.is_none_or(|asked| at_ms >= asked.saturating_sub(CLOCK_SLACK_MS))
}

async fn list(world: &World, uid: &Uid) -> Told {
    let manager = world.manager().map_err(|e| e.to_string())?;
    let asked_ms = manager.exchange_now_ms();
    match manager.sub_keys(uid).await {
        Ok(listed) if is_current(asked_ms, listed.at_ms) => {
            let keys = listed.value;
            let now_ms = crate::world::now_ms();
            world.registry.observe(uid, now_ms, keys.clone());
            Ok(Arc::new(keys))
        }
        Ok(_) => Err("the listing is older than the question".to_owned()),
        Err(error) => {
            if error.code().is_none() {
                world.manager_elsewhere();
            }
            Err(error.to_string())
        }
    }
}

/// Those who wait for one leader. A leader that is given up takes them along: they get an error
/// instead of waiting for nobody.
struct Crowd<'a> {
    lister: &'a Lister,
    uid: &'a Uid,
}

impl Crowd<'_> {
    /// From here on askers find a new leader.
    fn leave(self) -> Vec<oneshot::Sender<Told>> {
        let askers = self.take();
        std::mem::forget(self);
        askers
    }

    fn take(&self) -> Vec<oneshot::Sender<Told>> {
        let waiting = self.lister.waiting.lock();
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        waiting.remove(self.uid).unwrap_or_default()
    }
}

impl Drop for Crowd<'_> {
    fn drop(&mut self) {
        self.take();
    }
}

#[derive(Default)]
pub(crate) struct Lister {
    waiting: Mutex<BTreeMap<Uid, Vec<oneshot::Sender<Told>>>>,
}

impl Lister {
    /// A complete listing that begins after this call.
    pub(crate) async fn listing(&self, world: &World, uid: &Uid) -> Told {
        let (tell, told) = oneshot::channel();
        let first = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let askers = waiting.entry(uid.clone()).or_default();
            askers.push(tell);
            askers.len() == 1
        };
        let work = async {
            if first {
                self.lead(world, uid).await;
            }
        };
        let ((), answer) = tokio::join!(work, told);
        answer.unwrap_or_else(|_| Err("the listing was given up".to_owned()))
    }

    /// The first asker lists for everyone who joined before the listing began.
    async fn lead(&self, world: &World, uid: &Uid) {
        let crowd = Crowd { lister: self, uid };
        tokio::time::sleep(GATHER).await;
        world.pace_list.slot().await;
        let askers = crowd.leave();
        let answer = tokio::time::timeout(LIMIT, list(world, uid)).await;
        let answer = answer.unwrap_or_else(|_| {
            world.manager_elsewhere();
            Err("no complete listing in 2 s".to_owned())
        });
        for asker in askers {
            let _ = asker.send(answer.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_from_before_the_question_is_no_answer() {
        assert!(is_current(Some(10_000), 10_050));
        assert!(
            is_current(Some(10_000), 9_500),
            "our clock may be a little fast"
        );
        assert!(!is_current(Some(10_000), 8_000));
        assert!(is_current(None, 1), "without a clock nothing can be said");
    }
}
