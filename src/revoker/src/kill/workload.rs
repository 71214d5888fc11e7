//! Lane A: the bot stops. Zero means no pod listed, terminating ones included (K13).

use crate::plan::Contain;
use crate::run::{End, Run};
use crate::told::Told;
use crate::world::World;
use fusebox_domain::AccountName;
use futures_util::future::join_all;
use std::time::Duration;
use tokio::time::Instant;

/// Between two looks at the pods.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// How long zero is waited for before it counts as not reached.
const LIMIT: Duration = Duration::from_secs(10);

pub(super) fn step(deployment: &str) -> String {
    format!("stop workload {deployment}")
}

pub(super) async fn lane(world: &World, plan: &Contain, run: &Run) {
    join_all(plan.accounts.iter().map(|account| async {
        let ask = stop_entries(world, run, &account.name);
        let scale = async {
            if let Some(deployment) = &account.deployment {
                run.step(&step(deployment), to_zero(world, deployment))
                    .await;
            }
        };
        tokio::join!(ask, scale);
    }))
    .await;
}

/// Best effort, never required: the bot may be dead, or the thief.
async fn stop_entries(world: &World, run: &Run, account: &AccountName) {
    let Some(bot) = world.bots.get(account) else {
        return;
    };
    let name = format!("stop entries {account}");
    run.step(&name, async {
        match bot.stop_entries().await {
            Told::Yes => End::done("the bot opens no new trade"),
            Told::Absent => End::skipped("the bot does not know the call"),
            Told::No(why) | Told::Unknown(why) => End::skipped(format!("not required: {why}")),
        }
    })
    .await;
}

/// Scales to zero and deletes pods without grace until none is listed.
pub(crate) async fn to_zero(world: &World, deployment: &str) -> End {
    let Some(cluster) = &world.cluster else {
        return End::unknown("no [kubernetes] in the configuration");
    };
    let deadline = Instant::now() + LIMIT;
    let mut last = End::unknown("not asked");
    while Instant::now() < deadline {
        match cluster.stop(deployment).await {
            Told::No(why) => return End::refused(why),
            Told::Absent => return End::refused(format!("there is no Deployment {deployment}")),
            Told::Unknown(why) => last = End::unknown(why),
            Told::Yes => match cluster.pods(deployment).await {
                Ok(pods) if pods.is_empty() => return End::done("no pods listed"),
                Ok(pods) => last = End::refused(format!("{} pods still listed", pods.len())),
                Err(Told::No(why) | Told::Unknown(why)) => last = End::unknown(why),
                Err(Told::Yes | Told::Absent) => last = End::unknown("no list of pods"),
            },
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    last
}
