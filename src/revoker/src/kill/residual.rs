//! What a perfect kill leaves behind (study 5.5), with numbers, from the read-only eye.

use super::orders::open_orders;
use crate::exchange::at_risk_usdt;
use crate::plan::{Contain, PlannedAccount};
use crate::run::Run;
use crate::world::World;
use fusebox_domain::{Decimal, OrderKind};
use fusebox_venue::PositionRow;
use fusebox_wire::operator::{Residual, ResidualPosition};
use std::time::Duration;

/// The report must not hold up the result.
const LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn look(
    world: &World,
    plan: &Contain,
    run: &Run,
    intent_durable: bool,
) -> Residual {
    let mut residual = Residual::default();
    let mut complete = true;
    for account in &plan.accounts {
        let looked = tokio::time::timeout(LIMIT, one(world, account, &mut residual)).await;
        let why = match looked {
            Ok(Ok(())) => continue,
            Ok(Err(why)) => why,
            Err(_) => "no answer within 5 s".to_owned(),
        };
        complete = false;
        residual
            .notes
            .push(format!("{}: not seen: {why}", account.name));
    }
    residual.seen = match complete {
        true => format!("read {} ms after the authorization", run.elapsed_ms()),
        false => "not complete, see the notes".to_owned(),
    };
    let fixed = [
        "funding is charged every 8 h on open positions",
        "sessions that were open when their key died may live until they reconnect",
        "other master keys and web logins are not observable",
        "nothing of ours can close a position now: use the exchange's app, or make a new key",
    ];
    residual.notes.extend(fixed.map(str::to_owned));
    if !intent_durable {
        residual
            .notes
            .push("the intent was not durable within 100 ms; the record is late (K12)".to_owned());
    }
    residual
}

/// How long the plan may wait for its outlook: a person is about to touch.
const OUTLOOK_LIMIT: Duration = Duration::from_millis(800);

/// What the plan will leave open, as far as it can be seen now: one line for each account.
pub(crate) async fn outlook(world: &World, plan: &Contain) -> Vec<String> {
    let mut lines = Vec::new();
    for account in &plan.accounts {
        let mut seen = Residual::default();
        let looked = tokio::time::timeout(OUTLOOK_LIMIT, one(world, account, &mut seen)).await;
        let name = &account.name;
        lines.push(match looked {
            Ok(Ok(())) => format!("{name}: {}", in_a_line(&seen)),
            Ok(Err(why)) => format!("{name}: positions not seen: {why}"),
            Err(_) => format!("{name}: positions not seen: no answer within 0.8 s"),
        });
    }
    lines
}

/// "3 positions, 61.90 USDT at risk to their stops; ETHUSDT has NO STOP; 4 entries now resting".
fn in_a_line(seen: &Residual) -> String {
    let at_risk: Decimal = seen.positions.iter().filter_map(|p| p.at_risk_usdt).sum();
    let bare = seen.positions.iter().filter(|p| p.stop_price.is_none());
    let bare: Vec<_> = bare.map(|p| p.symbol.as_str()).collect();
    let mut line = match seen.positions.len() {
        0 => "no open position".to_owned(),
        n => format!("{n} positions, {:.2} USDT at risk to their stops", at_risk),
    };
    if !bare.is_empty() {
        line.push_str(&format!("; NO STOP on {}", bare.join(", ")));
    }
    if seen.resting_entries > 0 {
        line.push_str(&format!("; {} entries resting now", seen.resting_entries));
    }
    line
}

async fn one(
    world: &World,
    account: &PlannedAccount,
    residual: &mut Residual,
) -> Result<(), String> {
    let reader = world
        .registry
        .held(&account.read_key)
        .and_then(|held| held.reader())
        .ok_or("the read key is not loaded")?;
    let wallet = reader.wallet().await.map_err(|e| e.to_string())?.value;
    let equity = wallet.wallet.total_equity_usdt;
    residual.equity_usdt = Some(residual.equity_usdt.unwrap_or_default() + equity);
    let orders = open_orders(world, &reader).await?;
    let stops: Vec<_> = orders
        .iter()
        .filter(|o| o.kind == OrderKind::ProtectiveStop)
        .collect();
    let kept = u32::try_from(stops.len()).unwrap_or(u32::MAX);
    let resting = u32::try_from(orders.len().saturating_sub(stops.len())).unwrap_or(u32::MAX);
    residual.stops_kept = residual.stops_kept.saturating_add(kept);
    residual.resting_entries = residual.resting_entries.saturating_add(resting);
    for coin in &world.config.exchange.settle_coins {
        let rows = reader.positions(coin).await.map_err(|e| e.to_string())?;
        for row in rows.value {
            let of_row = stops.iter().find(|o| o.symbol == row.symbol);
            let stop = of_row.and_then(|o| o.trigger_price);
            let Some(left) = position(&row, stop) else {
                continue;
            };
            if left.stop_price.is_none() {
                residual.notes.push(format!(
                    "{} on {} has NO STOP: nothing limits its loss but liquidation",
                    left.symbol, account.name
                ));
            }
            residual.positions.push(left);
        }
    }
    Ok(())
}

fn position(row: &PositionRow, stop_order: Option<Decimal>) -> Option<ResidualPosition> {
    let p = row.position.as_ref()?;
    let stop_price = p.stop_price.or(stop_order);
    let mark = p.mark_price;
    let at_risk = mark
        .zip(stop_price)
        .and_then(|(mark, stop)| at_risk_usdt(mark, stop, p.size));
    Some(ResidualPosition {
        symbol: p.symbol.to_string(),
        side: p.side.position_word().to_owned(),
        size: p.size,
        mark_price: mark,
        stop_price,
        at_risk_usdt: at_risk,
        liquidation_price: p.liquidation_price,
        liquidation_bp: mark
            .zip(p.liquidation_price)
            .and_then(|(mark, liq)| distance_bp(mark, liq)),
    })
}

/// How far the mark price is from liquidation, basis points of the mark price.
fn distance_bp(mark: Decimal, liquidation: Decimal) -> Option<i64> {
    use rust_decimal::prelude::ToPrimitive as _;
    let distance = mark.checked_sub(liquidation)?.abs();
    distance
        .checked_mul(Decimal::from(10_000))?
        .checked_div(mark)?
        .trunc()
        .to_i64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(symbol: &str, at_risk: Option<i64>) -> ResidualPosition {
        ResidualPosition {
            symbol: symbol.to_owned(),
            side: "long".to_owned(),
            size: Decimal::ONE,
            mark_price: Some(Decimal::from(100)),
            stop_price: at_risk.map(|loss| Decimal::from(100 - loss)),
            at_risk_usdt: at_risk.map(Decimal::from),
            liquidation_price: None,
            liquidation_bp: None,
        }
    }

    #[test]
    fn the_outlook_says_what_is_at_risk_and_what_has_no_stop() {
        let mut seen = Residual::default();
        assert_eq!(in_a_line(&seen), "no open position");
        seen.positions = vec![position("BTCUSDT", Some(7)), position("XRPUSDT", None)];
        seen.resting_entries = 4;
        assert_eq!(
            in_a_line(&seen),
            "2 positions, 7.00 USDT at risk to their stops; NO STOP on XRPUSDT; 4 entries resting now"
        );
    }
}
