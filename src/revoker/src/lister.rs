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
        tokio::time::sleep(GATHER).await;
        world.pace_list.slot().await;
        let askers = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.remove(uid).unwrap_or_default()
        };
        let answer = match world.manager() {
            Ok(manager) => manager.sub_keys(uid).await,
            Err(error) => Err(error),
        };
        let answer = match answer {
            Ok(listed) => {
                let keys = listed.value;
                world
                    .registry
                    .observe(uid, crate::world::now_ms(), keys.clone());
                Ok(Arc::new(keys))
            }
            Err(error) => {
                if error.code().is_none() {
                    world.manager_elsewhere();
                }
                Err(error.to_string())
            }
        };
        for asker in askers {
            let _ = asker.send(answer.clone());
        }
    }
}
