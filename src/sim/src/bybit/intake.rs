//! What the exchange checks before it accepts an order: the answer says only "accepted", the outcome comes later.

use rust_decimal::Decimal;

use super::args::Args;
use super::error::ApiError;
use super::instruments::{Instrument, MIN_NOTIONAL};
use super::market::Market;
use super::order::{Order, Side, Status, StopKind, TimeInForce, Trigger};
use super::state::{Amend, Intent, State};

/// Active orders per symbol.
const ACTIVE_LIMIT: usize = 500;
/// Users' conditional orders per symbol.
const CONDITIONAL_LIMIT: usize = 10;
/// An accepted order takes effect this much later, plus up to [`JITTER_MS`].
const ACCEPT_MS: i64 = 15;
const JITTER_MS: u64 = 10;

impl State {
    /// Checks `/v5/order/create` and accepts it. Returns (orderId, orderLinkId).
    pub(crate) fn accept_order(
        &mut self,
        uid: u64,
        placed_by: &str,
        args: &Args,
        now_ms: i64,
    ) -> Result<(String, String), ApiError> {
        let mut order = self.read_order(args)?;
        self.check_room(uid, &mut order)?;
        order.placed_by = placed_by.to_owned();
        let answer = self.stamp(&mut order, now_ms);
        let due = self.due(now_ms);
        let order = Box::new(order);
        self.intents.push((due, Intent::Place { uid, order }));
        Ok(answer)
    }

    /// Gives an order its id, its place and its times.
    pub(crate) fn stamp(&mut self, order: &mut Order, now_ms: i64) -> (String, String) {
        order.seq = self.next_seq();
        order.id = self.ids.uuid();
        order.created_ms = now_ms;
        order.updated_ms = now_ms;
        (order.id.clone(), order.link_id.clone())
    }

    /// When something accepted now takes effect.
    pub(crate) fn due(&mut self, now_ms: i64) -> i64 {
        now_ms + ACCEPT_MS + self.rng.below(JITTER_MS) as i64
    }

    /// Accepts the cancellation of one open order.
    pub(crate) fn accept_cancel(
        &mut self,
        uid: u64,
        args: &Args,
        now_ms: i64,
    ) -> Result<(String, String), ApiError> {
        let order = self.open_order(uid, args)?;
        let answer = (order.id.clone(), order.link_id.clone());
        let (due, order_id) = (self.due(now_ms), answer.0.clone());
        self.intents.push((due, Intent::Cancel { uid, order_id }));
        Ok(answer)
    }

    /// Accepts a change of price, quantity or trigger of one open order.
    pub(crate) fn accept_amend(
        &mut self,
        uid: u64,
        args: &Args,
        now_ms: i64,
    ) -> Result<(String, String), ApiError> {
        let order = self.open_order(uid, args)?;
        let answer = (order.id.clone(), order.link_id.clone());
        let instrument = &self.market(order.symbol)?.instrument;
        let change = Amend {
            price: args
                .decimal("price")?
                .map(|p| check_price(instrument, p, "price"))
                .transpose()?,
            qty: args
                .decimal("qty")?
                .map(|q| check_qty(instrument, q))
                .transpose()?,
            trigger: args
                .decimal("triggerPrice")?
                .map(|p| check_price(instrument, p, "triggerPrice"))
                .transpose()?,
        };
        if change.price.or(change.qty).or(change.trigger).is_none() {
            return Err(ApiError::params("nothing to amend"));
        }
        let (due, order_id) = (self.due(now_ms), answer.0.clone());
        self.intents.push((
            due,
            Intent::Amend {
                uid,
                order_id,
                change,
            },
        ));
        Ok(answer)
    }

    /// The open (or just accepted) order that `orderId` or `orderLinkId` names.
    fn open_order(&self, uid: u64, args: &Args) -> Result<&Order, ApiError> {
        let (id, link) = (args.text("orderId"), args.text("orderLinkId"));
        if id.is_none() && link.is_none() {
            return Err(ApiError::params("orderId or orderLinkId is required"));
        }
        let symbol = args.need("symbol")?;
        let accepted = self.intents.iter().filter_map(|(_, intent)| match intent {
            Intent::Place { uid: owner, order } if *owner == uid => Some(order.as_ref()),
            _ => None,
        });
        self.account(uid)?
            .orders
            .iter()
            .chain(accepted)
            .find(|o| {
                o.symbol == symbol
                    && id
                        .as_ref()
                        .map_or(link.as_ref() == Some(&o.link_id), |id| *id == o.id)
            })
            .ok_or_else(|| ApiError::known(110001))
    }

    /// An order from its parameters, checked by itself.
    fn read_order(&self, args: &Args) -> Result<Order, ApiError> {
        let market = self.market(&args.need("symbol")?)?;
        let instrument = &market.instrument;
        let side =
            Side::parse(&args.need("side")?).ok_or_else(|| ApiError::params("side invalid"))?;
        let is_market = match args.need("orderType")?.as_str() {
            "Market" => true,
            "Limit" => false,
            _ => return Err(ApiError::params("orderType invalid")),
        };
        if args.int("positionIdx")?.unwrap_or(0) != 0 {
            return Err(ApiError::new(10001, "position idx not match position mode"));
        }
        let (reduce_only, close_on_trigger) =
            (args.flag("reduceOnly"), args.flag("closeOnTrigger"));
        let qty = args
            .decimal("qty")?
            .ok_or_else(|| ApiError::params("qty is missing"))?;
        // Quantity 0 means: close whatever there is.
        let qty = match qty.is_zero() && reduce_only && close_on_trigger {
            true => qty,
            false => check_qty(instrument, qty)?,
        };
        let price = match is_market {
            true => Decimal::ZERO,
            false => {
                let price = args
                    .decimal("price")?
                    .ok_or_else(|| ApiError::params("price is missing"))?;
                check_price(instrument, price, "price")?
            }
        };
        let tif = match args.text("timeInForce") {
            _ if is_market => TimeInForce::Ioc,
            None => TimeInForce::Gtc,
            Some(text) => {
                TimeInForce::parse(&text).ok_or_else(|| ApiError::params("timeInForce invalid"))?
            }
        };
        let link_id = args.text("orderLinkId").unwrap_or_default();
        if link_id.len() > 36 {
            return Err(ApiError::params("orderLinkId is longer than 36 characters"));
        }
        let trigger = read_trigger(args, market)?;
        let attached = |name| args.decimal(name).map(|p| p.filter(|p| !p.is_zero()));
        let (take_profit, stop_loss) = (attached("takeProfit")?, attached("stopLoss")?);
        if reduce_only && (take_profit.is_some() || stop_loss.is_some()) {
            return Err(ApiError::params(
                "a reduce-only order cannot carry takeProfit or stopLoss",
            ));
        }
        let value = qty * if is_market { market.mark } else { price };
        if value < MIN_NOTIONAL && !reduce_only {
            return Err(ApiError::known(110094));
        }
        let conditional = trigger.is_some();
        Ok(Order {
            link_id,
            is_market,
            price,
            qty,
            tif,
            reduce_only,
            close_on_trigger,
            trigger,
            stop: if conditional {
                StopKind::Stop
            } else {
                StopKind::None
            },
            status: if conditional {
                Status::Untriggered
            } else {
                Status::New
            },
            take_profit,
            stop_loss,
            ..Order::blank(market, side)
        })
    }

    /// What depends on the account: limits, duplicates, margin, what there is to reduce.
    fn check_room(&self, uid: u64, order: &mut Order) -> Result<(), ApiError> {
        let account = self.account(uid)?;
        let accepted = self.intents.iter().filter_map(|(_, intent)| match intent {
            Intent::Place { uid: owner, order } if *owner == uid => Some(order.as_ref()),
            _ => None,
        });
        let known = || account.orders.iter().chain(accepted.clone());
        let taken = |o: &Order| !order.link_id.is_empty() && o.link_id == order.link_id;
        if known().any(taken) || account.closed_orders.iter().any(taken) {
            return Err(ApiError::known(110072));
        }
        let here = || known().filter(|o| o.symbol == order.symbol);
        if order.is_conditional() {
            let waiting = here()
                .filter(|o| o.is_conditional() && o.stop == StopKind::Stop)
                .count();
            return if waiting >= CONDITIONAL_LIMIT {
                Err(ApiError::known(110009))
            } else {
                Ok(())
            };
        }
        if !order.is_market && here().filter(|o| !o.is_conditional()).count() >= ACTIVE_LIMIT {
            return Err(ApiError::known(110020));
        }
        if order.reduce_only {
            let closable = account.position(order.symbol).closable(order.side);
            if closable.is_zero() {
                return Err(ApiError::known(110017));
            }
            if order.qty.is_zero() || order.qty > closable {
                order.qty = closable;
            }
            return Ok(());
        }
        let instrument = &self.market(order.symbol)?.instrument;
        let largest = if order.is_market {
            instrument.max_market_qty
        } else {
            instrument.max_qty
        };
        if order.qty > largest {
            return Err(ApiError::params(format_args!(
                "qty exceeds the maximum of {largest}"
            )));
        }
        let price = if order.is_market {
            order.mark_on_created
        } else {
            order.price
        };
        let opening = order.qty
            - account
                .position(order.symbol)
                .closable(order.side)
                .min(order.qty);
        let margin = (opening * price)
            .checked_div(account.leverage_of(order.symbol))
            .unwrap_or_default();
        if margin > account.available(&self.markets) {
            return Err(ApiError::known(110007));
        }
        Ok(())
    }
}

fn read_trigger(args: &Args, market: &Market) -> Result<Option<Trigger>, ApiError> {
    let Some(price) = args.decimal("triggerPrice")?.filter(|p| !p.is_zero()) else {
        return Ok(None);
    };
    let price = check_price(&market.instrument, price, "triggerPrice")?;
    let (text, mark) = (
        market.instrument.price_text(price),
        market.instrument.price_text(market.mark),
    );
    match args.int("triggerDirection")? {
        Some(1) if price <= market.mark => {
            let msg =
                format!("expect Rising, but trigger_price[{text}] <= current[{mark}]??LastPrice");
            Err(ApiError::new(110092, msg))
        }
        Some(2) if price >= market.mark => {
            let msg =
                format!("expect Falling, but trigger_price[{text}] >= current[{mark}]??LastPrice");
            Err(ApiError::new(110093, msg))
        }
        Some(direction @ 1..=2) => Ok(Some(Trigger {
            price,
            rising: direction == 1,
        })),
        _ => Err(ApiError::params("triggerDirection invalid")),
    }
}

/// A quantity that the contract's filters allow.
pub(crate) fn check_qty(instrument: &Instrument, qty: Decimal) -> Result<Decimal, ApiError> {
    let whole = (qty % instrument.step).is_zero();
    if whole && qty >= instrument.step {
        Ok(qty)
    } else {
        Err(ApiError::params("qty invalid"))
    }
}

/// A price on the contract's grid.
pub(crate) fn check_price(
    instrument: &Instrument,
    price: Decimal,
    name: &str,
) -> Result<Decimal, ApiError> {
    let on_grid = (price % instrument.tick).is_zero();
    if on_grid && price >= instrument.tick {
        Ok(price)
    } else {
        Err(ApiError::params(format_args!("{name} invalid")))
    }
}
