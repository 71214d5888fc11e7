//! Readings into samples, samples into the ladder.

use super::{Engine, Listing, Measured, Stream};
use crate::Now;
use crate::equity::{Shortfall, replayed, wallet_equity};
use crate::flows::{Flow, Oddity};
use crate::money::{cents, percent, to_e8};
use fusebox_domain::{LedgerRow, Symbol};
use fusebox_ladder::{Rung, Sample, Verdict};
use fusebox_venue::stream::{Link, PrivateEvent, PublicEvent};
use fusebox_venue::{Stamped, WalletReading};
use std::collections::BTreeSet;

/// A listing older than this does not stand in for the private stream.
const LISTING_LIMIT_MS: i64 = 10_000;

impl Engine {
    /// A wallet reading is a sample.
    pub(super) fn on_wallet(
        &mut self,
        result: Result<Stamped<WalletReading>, fusebox_venue::Error>,
        now: Now,
    ) {
        let read = result.map_err(|e| e.to_string()).and_then(|stamped| {
            let equity = wallet_equity(&stamped.value)?;
            Ok((stamped.at_ms, equity))
        });
        let (at_ms, wallet) = match read {
            Ok(read) => read,
            Err(why) => {
                self.health.note("exchange", Err(why), now.wall_ms);
                return;
            }
        };
        self.health
            .note("exchange", Ok("answers".to_owned()), now.wall_ms);
        if !self.decimator.passes(at_ms) {
            return;
        }
        self.ledger.adopt(wallet.usdt_balance);
        let replayed = self.replay(wallet.other_coins, at_ms, now);
        let short = self
            .ledger
            .shortfall(wallet.usdt_balance)
            .is_some_and(|missing| {
                missing
                    .checked_mul(200.into())
                    .is_none_or(|m| m > wallet.equity.abs().max(1.into()))
            });
        let story = self.shortfall.observe(short, at_ms);
        self.on_shortfall(story, at_ms, now);
        let second = match story {
            // After half a minute the wallet's word alone counts: the money is gone.
            Shortfall::Loss => None,
            _ => replayed.as_ref().ok().and_then(|r| to_e8(r.equity)),
        };
        let equity_e8 = to_e8(wallet.equity);
        let balance = wallet.usdt_balance;
        self.measured = Some(Measured {
            at_ms,
            wallet,
            replayed,
        });
        let Some(equity_e8) = equity_e8 else {
            let why = "equity is out of range".to_owned();
            self.health.note("exchange", Err(why), now.wall_ms);
            return;
        };
        if short && story != Shortfall::Loss {
            // Disputed by the ledger, whether or not there is a second equity (L19).
            let verdict = self.ladder.tick(now.exchange_ms);
            return self.settle(verdict, now);
        }
        let flows = self.ledger.stamp(balance, at_ms);
        self.sample(at_ms, equity_e8, second, &flows, now)
    }

    fn sample(
        &mut self,
        t_ms: i64,
        equity_e8: i128,
        second_e8: Option<i128>,
        flows: &[Flow],
        now: Now,
    ) {
        let flows_e8: Vec<i128> = flows.iter().filter_map(|f| to_e8(f.amount)).collect();
        let funded = self.verdict.funded;
        let verdict = self.ladder.step(&Sample {
            t_ms,
            equity_e8,
            second_e8,
            flows_e8: &flows_e8,
        });
        self.chart.sample(&verdict, &flows_e8);
        if verdict.funded && !funded {
            self.save(&[], now);
            self.journal_funded(&verdict, now);
        } else if !flows.is_empty() {
            // A flow is applied once: ladder and ledger become durable together.
            self.save(&[], now);
        }
        self.settle(verdict, now)
    }

    /// The second source, or why there is none.
    fn replay(
        &self,
        other_coins: fusebox_domain::Decimal,
        at_ms: i64,
        now: Now,
    ) -> Result<crate::equity::Replayed, String> {
        let balance = self.ledger.balance().ok_or("the ledger has no row yet")?;
        let listed = self
            .listed_ms
            .is_some_and(|t| now.exchange_ms.saturating_sub(t) <= LISTING_LIMIT_MS);
        if !self.private.is_live() && !listed {
            return Err("positions are not followed".to_owned());
        }
        replayed(
            balance,
            self.book.positions(),
            &self.marks,
            other_coins,
            at_ms,
        )
    }

    fn on_shortfall(&mut self, story: Shortfall, at_ms: i64, now: Now) {
        let begins = story != Shortfall::None && !self.unexplained;
        self.unexplained = story != Shortfall::None;
        if !begins {
            return;
        }
        let detail = "the wallet is below the ledger: money left without a row; entries stop, \
                      after 30 s it counts as loss";
        self.journal_incident("unexplained-debit", detail, now);
        self.begin(&[(Rung::X, detail.to_owned())], at_ms, now)
    }

    pub(super) fn on_ledger(
        &mut self,
        result: Result<Stamped<Vec<LedgerRow>>, fusebox_venue::Error>,
        now: Now,
    ) {
        let stamped = match result {
            Ok(stamped) => stamped,
            Err(error) => {
                tracing::warn!(%error, "the ledger could not be read");
                return;
            }
        };
        self.ledger_read_ms = Some(stamped.at_ms);
        let oddities = self.ledger.read(&stamped.value);
        let since_ms = self.ledger.since_ms(now.exchange_ms);
        self.out.ledger_since.send_replace(Some(since_ms));
        for oddity in oddities {
            let (kind, detail) = match oddity {
                Oddity::UnknownType(word) => (
                    "unknown-ledger-type",
                    format!(
                        "ledger type {word} is unknown: a credit counts as flow, a debit as loss"
                    ),
                ),
                Oddity::OtherCoin(coin) => (
                    "flow-in-other-coin",
                    format!("capital moved in {coin}; it is not netted"),
                ),
            };
            self.incident(kind, &detail, now);
        }
    }

    pub(super) fn on_listing(&mut self, result: Result<Listing, fusebox_venue::Error>, now: Now) {
        match result {
            Ok(listing) => {
                self.listed_ms = Some(listing.at_ms);
                self.look_at(&listing.orders, now);
                self.book
                    .list(listing.at_ms, listing.positions, listing.orders);
                self.want_symbols();
            }
            Err(error) => tracing::warn!(%error, "positions and orders could not be listed"),
        }
    }

    pub(super) fn on_private(&mut self, event: PrivateEvent, now: Now) {
        match event {
            PrivateEvent::Link(link) => {
                note_link(&mut self.private, link);
                return;
            }
            PrivateEvent::Listing {
                at_ms,
                positions,
                orders,
            } => {
                let listing = Listing {
                    at_ms,
                    positions,
                    orders,
                };
                self.on_listing(Ok(listing), now);
            }
            PrivateEvent::Positions(rows) => {
                for row in rows {
                    self.book.position(row);
                }
                self.want_symbols();
            }
            PrivateEvent::Orders(orders) => {
                self.look_at(&orders, now);
                for order in orders {
                    self.book.order(order);
                }
            }
            PrivateEvent::Executions(executions) => {
                for execution in &executions {
                    self.orders.execution(execution);
                }
            }
            // The wallet topic is silent about unrealised results; REST is the sample.
            PrivateEvent::Wallet(_) => {}
        }
        self.private.heard_ms = Some(now.exchange_ms);
    }

    pub(super) fn on_public(&mut self, event: PublicEvent, now: Now) {
        match event {
            PublicEvent::Link(link) => {
                note_link(&mut self.public, link);
                if !self.public.is_live() {
                    self.marks.clear();
                }
            }
            PublicEvent::Ticker(ticker) => {
                self.public.heard_ms = Some(ticker.at_ms.min(now.exchange_ms));
                self.marks.note(&ticker);
            }
        }
    }

    /// Subscribes the prices of what is held and what rests.
    fn want_symbols(&mut self) {
        let held = self.book.positions().map(|p| p.symbol.clone());
        let resting = self.book.orders().map(|o| o.symbol.clone());
        let wanted: BTreeSet<Symbol> = held.chain(resting).collect();
        self.out.symbols.send_if_modified(|known| {
            let more = !wanted.is_subset(known);
            known.extend(wanted);
            more
        });
    }

    /// What a verdict changes: rungs begun and released, blindness that ended.
    pub(super) fn settle(&mut self, verdict: Verdict, now: Now) {
        let begun: Vec<(Rung, String)> = verdict
            .begun
            .iter()
            .map(|rung| {
                (
                    rung,
                    reason(&verdict, rung, self.config.ladder().loss_bp(rung)),
                )
            })
            .collect();
        let released: Vec<Rung> = verdict.released.iter().collect();
        let (blind_before, t_ms) = (self.verdict.blind, verdict.t_ms.unwrap_or(now.exchange_ms));
        self.verdict = verdict;
        if !begun.is_empty() {
            self.begin(&begun, t_ms, now);
        }
        for rung in released {
            self.released(rung, "the loss is inside its limit again", now);
        }
        if let Some(before) = blind_before
            && self.verdict.blind.is_none()
            && before != Rung::B3
        {
            for rung in [Rung::B1, Rung::B2] {
                self.released(rung, "fresh data again", now);
            }
        }
    }
}

fn note_link(stream: &mut Stream, link: Link) {
    if link.state != stream.state {
        tracing::info!(state = ?link.state, detail = link.detail, "stream");
    }
    stream.state = link.state;
    stream.reconnects = link.reconnects;
    stream.detail = link.detail;
}

/// Why a rung was put in force, in words with numbers and without a balance.
fn reason(verdict: &Verdict, rung: Rung, loss_bp: u32) -> String {
    match verdict.references.base(rung) {
        Some((basis, _)) => format!(
            "{} {} (limit -{}), NAV {}",
            basis.name().replace("hwm", "peak"),
            percent(i64::from(verdict.dd_bp(basis))),
            percent(i64::from(loss_bp)),
            nav_text(verdict.nav.e12()),
        ),
        None => match rung {
            Rung::B1 | Rung::B2 | Rung::B3 => "no good sample for too long".to_owned(),
            _ => "integrity".to_owned(),
        },
    }
}

/// `0.950000000000` of 10⁻¹² units.
pub(super) fn nav_text(e12: u128) -> String {
    format!(
        "{}.{:012}",
        e12 / 1_000_000_000_000,
        e12 % 1_000_000_000_000
    )
}

/// A sum for the operator's eyes.
pub(super) fn usdt(amount: fusebox_domain::Decimal) -> String {
    format!("{} USDT", cents(amount))
}
