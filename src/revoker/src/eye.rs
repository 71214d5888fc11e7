//! The revoker's own ladder on its own read key (K11). A breaker may be wrong or somebody else's;
//! its request counts only beside what is measured here.
//!
//! Weak spot: the peak is as old as this state. A revoker that was made during a fall believes
//! the top of what it saw itself; it then stops and pages instead of revoking.

use crate::config::Account;
use crate::world::World;
use fusebox_domain::{Decimal, LedgerKind, LedgerRow};
use fusebox_ladder::{Config, Ladder, Sample};
use fusebox_venue::Reader;
use rust_decimal::prelude::ToPrimitive as _;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

const SAMPLES: usize = 3;
/// Unreadable for this long: no revocation (K11).
const READ_LIMIT: Duration = Duration::from_secs(5);
const FULL_BP: u128 = 10_000;

/// One account's eye.
pub(crate) struct Eye {
    account: Account,
    path: PathBuf,
    seen: Mutex<Option<Seen>>,
}

struct Seen {
    ladder: Ladder,
    /// Highest NAV that two polls in a row reached, 10⁻¹²: one outlier makes no peak.
    peak_e12: u128,
    before_e12: u128,
    /// Exchange time of the last sample.
    t_ms: i64,
}

/// [`Seen`] on disk.
#[derive(Serialize, Deserialize)]
struct Saved {
    ladder: String,
    peak_e12: String,
    before_e12: String,
    t_ms: i64,
}

impl Eye {
    pub(crate) fn open(world: &World, account: &Account) -> Self {
        let name = format!("eye-{}.json", hex::encode(account.name.as_str()));
        let path = world.config.state_dir.join(name);
        let saved = std::fs::read_to_string(&path).ok();
        Self {
            account: account.clone(),
            seen: Mutex::new(saved.and_then(|text| restore(&text))),
            path,
        }
    }

    /// Reads the account once and moves the peak. Own drawdown from the own peak, basis points.
    pub(crate) async fn look(&self, world: &World) -> Result<u32, String> {
        let reader = world
            .registry
            .held(&self.account.read_key)
            .and_then(|key| key.reader())
            .ok_or("the read key is not loaded")?;
        let read = async {
            let mut seen = self.seen.lock().await;
            let wallet = reader.wallet().await.map_err(|e| e.to_string())?;
            let equity_e8 =
                to_e8(wallet.value.wallet.total_equity_usdt).ok_or("equity is out of range")?;
            let t_ms = wallet.at_ms;
            let flows_e8 = flows(&reader, seen.as_ref().map(|s| s.t_ms), t_ms).await?;
            let sample = Sample {
                t_ms,
                equity_e8,
                second_e8: None,
                flows_e8: &flows_e8,
            };
            let drawdown_bp = step(&mut seen, &sample)?;
            if let Some(seen) = seen.as_ref() {
                self.save(seen);
            }
            Ok(drawdown_bp)
        };
        let limited = tokio::time::timeout(READ_LIMIT, read).await;
        limited.unwrap_or_else(|_| Err("unreadable for 5 s".to_owned()))
    }

    /// Three own samples on a request, one a second.
    pub(crate) async fn confirm(&self, world: &World) -> Result<Vec<u32>, String> {
        let pause = Duration::from_millis(world.config.limits.ladder_sample_ms);
        let mut drawdowns = Vec::new();
        for round in 0..SAMPLES {
            if round > 0 {
                tokio::time::sleep(pause).await;
            }
            drawdowns.push(self.look(world).await?);
        }
        Ok(drawdowns)
    }

    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    fn save(&self, seen: &Seen) {
        let saved = Saved {
            ladder: hex::encode(seen.ladder.to_bytes()),
            peak_e12: seen.peak_e12.to_string(),
            before_e12: seen.before_e12.to_string(),
            t_ms: seen.t_ms,
        };
        let beside = self.path.with_extension("new");
        let written = serde_json::to_string(&saved)
            .map_err(std::io::Error::from)
            .and_then(|text| std::fs::write(&beside, text))
            .and_then(|()| std::fs::rename(&beside, &self.path));
        if let Err(error) = written {
            tracing::warn!(%error, account = %self.account.name, "own ladder: not saved");
        }
    }
}

fn restore(text: &str) -> Option<Seen> {
    let saved: Saved = serde_json::from_str(text).ok()?;
    let bytes = hex::decode(saved.ladder).ok()?;
    Some(Seen {
        ladder: Ladder::from_bytes(&bytes, Config::default()).ok()?,
        peak_e12: saved.peak_e12.parse().ok()?,
        before_e12: saved.before_e12.parse().ok()?,
        t_ms: saved.t_ms,
    })
}

/// Takes a sample into the own ladder; the drawdown from the own peak in basis points.
fn step(seen: &mut Option<Seen>, sample: &Sample<'_>) -> Result<u32, String> {
    let Some(seen) = seen else {
        let (ladder, verdict) =
            Ladder::funded(Config::default(), sample).map_err(|e| e.to_string())?;
        let now = verdict.nav.e12();
        *seen = Some(Seen {
            ladder,
            peak_e12: now,
            before_e12: now,
            t_ms: sample.t_ms,
        });
        return Ok(0);
    };
    let verdict = seen.ladder.step(sample);
    if !verdict.reading.is_accepted() {
        return Err(format!(
            "the sample was not accepted: {:?}",
            verdict.reading
        ));
    }
    let now = verdict.nav.e12();
    seen.peak_e12 = seen.peak_e12.max(now.min(seen.before_e12));
    seen.before_e12 = now;
    seen.t_ms = sample.t_ms;
    let lost = seen.peak_e12.saturating_sub(now);
    let bp = lost
        .saturating_mul(FULL_BP)
        .checked_div(seen.peak_e12)
        .unwrap_or(0);
    Ok(u32::try_from(bp).unwrap_or(u32::MAX))
}

/// Capital in and out since the last sample, from the exchange's own ledger.
async fn flows(
    reader: &Arc<Reader>,
    since_ms: Option<i64>,
    to_ms: i64,
) -> Result<Vec<i128>, String> {
    let Some(since_ms) = since_ms else {
        return Ok(Vec::new());
    };
    let rows = reader
        .ledger(since_ms.saturating_add(1), to_ms)
        .await
        .map_err(|e| e.to_string())?;
    Ok(rows.value.iter().filter_map(flow_e8).collect())
}

/// L5: an unknown credit is a flow, an unknown debit a loss.
fn flow_e8(row: &LedgerRow) -> Option<i128> {
    let is_flow = match row.kind {
        LedgerKind::Flow => true,
        LedgerKind::Unknown => row.change > Decimal::ZERO,
        LedgerKind::Result | LedgerKind::Conversion => false,
    };
    (is_flow && row.currency == "USDT").then(|| to_e8(row.change))?
}

fn to_e8(amount: Decimal) -> Option<i128> {
    amount
        .checked_mul(Decimal::from(100_000_000))?
        .trunc()
        .to_i128()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(seen: &mut Option<Seen>, t_s: i64, equity: i128, flows: &[i128]) -> u32 {
        let sample = Sample {
            t_ms: t_s * 1_000,
            equity_e8: equity * 100_000_000,
            second_e8: None,
            flows_e8: flows,
        };
        step(seen, &sample).unwrap()
    }

    #[test]
    fn the_own_drawdown_counts_from_the_own_peak_without_flows_and_outliers() {
        let mut seen = None;
        assert_eq!(feed(&mut seen, 0, 4_000, &[]), 0);
        assert_eq!(feed(&mut seen, 30, 3_200, &[]), 2_000);
        // One outlier upwards makes no peak.
        assert_eq!(feed(&mut seen, 60, 8_000, &[]), 0);
        assert_eq!(feed(&mut seen, 90, 3_200, &[]), 2_000);
        // A withdrawal of half is no loss.
        assert_eq!(feed(&mut seen, 120, 1_600, &[-160_000_000_000]), 2_000);
    }

    #[test]
    fn the_peak_survives_a_restart() {
        let mut seen = None;
        feed(&mut seen, 0, 4_000, &[]);
        feed(&mut seen, 30, 3_600, &[]);
        let old = seen.as_ref().unwrap();
        let text = serde_json::to_string(&Saved {
            ladder: hex::encode(old.ladder.to_bytes()),
            peak_e12: old.peak_e12.to_string(),
            before_e12: old.before_e12.to_string(),
            t_ms: old.t_ms,
        })
        .unwrap();
        let mut again = restore(&text);
        assert_eq!(feed(&mut again, 60, 3_200, &[]), 2_000);
    }
}
