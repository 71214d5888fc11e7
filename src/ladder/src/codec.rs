//! Saving and restoring the whole state, window included (L21).
//!
//! One list of fields serves both directions, so that they cannot drift apart. Integers are LEB128, signed ones
//! zigzag. A saved ladder is about 60 KB after a month; the configuration is not part of it.

use crate::ladder::{Anchor, Ladder, Last, MAX_EQUITY_E8, MAX_T_MS, Phase};
use crate::nav::Nav;
use crate::rolling::Rolling;
use crate::rung::{Basis, Config, ConfigError, Rungs};
use crate::verdict::Latch;
use crate::window::{CAPACITY, Confirmed, Window};
use alloc::vec::Vec;

const VERSION: u128 = 1;

/// Why saved bytes are not a ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// They end too early, go on too long, or hold a value no ladder has.
    Damaged,
    /// They were written by another version.
    Version,
    /// The configuration given with them is not valid.
    Config(ConfigError),
}

impl core::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            DecodeError::Damaged => f.write_str("the saved ladder is damaged"),
            DecodeError::Version => f.write_str("the saved ladder is of another version"),
            DecodeError::Config(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Writes a value out, or reads it in.
trait Pass {
    fn u128(&mut self, value: &mut u128) -> Result<(), DecodeError>;

    fn i128(&mut self, value: &mut i128) -> Result<(), DecodeError> {
        let mut zigzag = ((*value << 1) ^ (*value >> 127)) as u128;
        self.u128(&mut zigzag)?;
        *value = (zigzag >> 1) as i128 ^ -((zigzag & 1) as i128);
        Ok(())
    }

    fn i64(&mut self, value: &mut i64) -> Result<(), DecodeError> {
        let mut wide = i128::from(*value);
        self.i128(&mut wide)?;
        *value = i64::try_from(wide).map_err(|_| DecodeError::Damaged)?;
        Ok(())
    }

    fn time(&mut self, t_ms: &mut i64) -> Result<(), DecodeError> {
        self.i64(t_ms)?;
        if (0..=MAX_T_MS).contains(t_ms) {
            Ok(())
        } else {
            Err(DecodeError::Damaged)
        }
    }

    fn u8(&mut self, value: &mut u8) -> Result<(), DecodeError> {
        let mut wide = u128::from(*value);
        self.u128(&mut wide)?;
        *value = u8::try_from(wide).map_err(|_| DecodeError::Damaged)?;
        Ok(())
    }

    fn bool(&mut self, value: &mut bool) -> Result<(), DecodeError> {
        let mut byte = u8::from(*value);
        self.u8(&mut byte)?;
        *value = byte != 0;
        Ok(())
    }

    fn nav(&mut self, nav: &mut Nav) -> Result<(), DecodeError> {
        self.u128(&mut nav.equity_e8)?;
        self.u128(&mut nav.units_e18)?;
        if nav.units_e18 == 0 || nav.equity_e8 > 2 * MAX_EQUITY_E8.unsigned_abs() {
            Err(DecodeError::Damaged)
        } else {
            Ok(())
        }
    }

    /// An optional value; `blank` is what reading starts from.
    fn option<T: Copy>(
        &mut self,
        value: &mut Option<T>,
        blank: T,
        pass: impl FnOnce(&mut Self, &mut T) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let mut present = value.is_some();
        self.bool(&mut present)?;
        let mut inner = value.unwrap_or(blank);
        if present {
            pass(self, &mut inner)?;
        }
        *value = present.then_some(inner);
        Ok(())
    }
}

struct Writer(Vec<u8>);

impl Pass for Writer {
    fn u128(&mut self, value: &mut u128) -> Result<(), DecodeError> {
        let mut rest = *value;
        while rest > 0x7f {
            self.0.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
        Ok(())
    }
}

struct Reader<'a>(&'a [u8]);

impl Pass for Reader<'_> {
    fn u128(&mut self, value: &mut u128) -> Result<(), DecodeError> {
        let (mut read, mut shift) = (0u128, 0u32);
        loop {
            let (byte, rest) = self.0.split_first().ok_or(DecodeError::Damaged)?;
            self.0 = rest;
            let part = u128::from(byte & 0x7f);
            let placed = part.checked_shl(shift).ok_or(DecodeError::Damaged)?;
            if placed >> shift != part {
                return Err(DecodeError::Damaged);
            }
            read |= placed;
            if byte & 0x80 == 0 {
                *value = read;
                return Ok(());
            }
            shift += 7;
        }
    }
}

fn anchor(pass: &mut impl Pass, anchor: &mut Anchor) -> Result<(), DecodeError> {
    pass.i64(&mut anchor.id)?;
    pass.nav(&mut anchor.nav)?;
    pass.bool(&mut anchor.provisional)
}

fn confirmed(pass: &mut impl Pass, confirmed: &mut Confirmed) -> Result<(), DecodeError> {
    pass.time(&mut confirmed.t_ms)?;
    pass.nav(&mut confirmed.dn)?;
    pass.nav(&mut confirmed.mid)?;
    pass.nav(&mut confirmed.up)
}

fn last(pass: &mut impl Pass, last: &mut Last) -> Result<(), DecodeError> {
    pass.time(&mut last.t_ms)?;
    pass.i128(&mut last.equity_e8)?;
    pass.nav(&mut last.nav)?;
    pass.bool(&mut last.agreed)
}

fn latch(pass: &mut impl Pass, latch: &mut Latch) -> Result<(), DecodeError> {
    pass.time(&mut latch.t_ms)?;
    pass.nav(&mut latch.value)?;
    pass.nav(&mut latch.anchor)?;
    pass.option(&mut latch.basis, Basis::Day, |pass, basis| {
        let mut number = *basis as u8;
        pass.u8(&mut number)?;
        *basis = *Basis::ALL
            .get(usize::from(number))
            .ok_or(DecodeError::Damaged)?;
        Ok(())
    })?;
    pass.bool(&mut latch.acknowledged)
}

fn phase(pass: &mut impl Pass, phase: &mut Phase) -> Result<(), DecodeError> {
    let (mut number, mut frozen) = match *phase {
        Phase::Founding => (0, Nav::ONE),
        Phase::Funded => (1, Nav::ONE),
        Phase::Unfunded(frozen) => (2, frozen),
        Phase::Ruined => (3, Nav::ONE),
    };
    pass.u8(&mut number)?;
    pass.nav(&mut frozen)?;
    *phase = match number {
        0 => Phase::Founding,
        1 => Phase::Funded,
        2 if !frozen.is_zero() => Phase::Unfunded(frozen),
        3 => Phase::Ruined,
        _ => return Err(DecodeError::Damaged),
    };
    Ok(())
}

fn window(pass: &mut impl Pass, window: &mut Window) -> Result<(), DecodeError> {
    let mut len = window.entries.len() as u128;
    pass.u128(&mut len)?;
    let len = usize::try_from(len)
        .ok()
        .filter(|len| *len <= CAPACITY)
        .ok_or(DecodeError::Damaged)?;
    window.entries.resize(len, (Nav::ONE, 0));
    for (nav, t_ms) in &mut window.entries {
        pass.nav(nav)?;
        pass.time(t_ms)?;
    }
    window.latest.iter_mut().try_for_each(|t_ms| {
        // `i64::MAX` where there is none yet.
        pass.i64(t_ms)?;
        let known = *t_ms == i64::MAX || (0..=MAX_T_MS).contains(t_ms);
        known.then_some(()).ok_or(DecodeError::Damaged)
    })
}

fn rolling(pass: &mut impl Pass, rolling: &mut Rolling) -> Result<(), DecodeError> {
    pass.nav(&mut rolling.base)?;
    pass.i64(&mut rolling.first)?;
    pass.i64(&mut rolling.last)?;
    for slot in rolling.live().ok_or(DecodeError::Damaged)? {
        let mut nav = rolling.read(slot);
        pass.nav(&mut nav)?;
        rolling.write(slot, nav);
    }
    Ok(())
}

/// Every field but the configuration.
fn state(pass: &mut impl Pass, ladder: &mut Ladder) -> Result<(), DecodeError> {
    let mut version = VERSION;
    pass.u128(&mut version)?;
    if version != VERSION {
        return Err(DecodeError::Version);
    }
    phase(pass, &mut ladder.phase)?;
    pass.u128(&mut ladder.units_e18)?;
    pass.i128(&mut ladder.waiting_e8)?;
    pass.u8(&mut ladder.run)?;
    let blank = Last {
        t_ms: 0,
        equity_e8: 0,
        nav: Nav::ONE,
        agreed: false,
    };
    pass.option(&mut ladder.last, blank, last)?;
    pass.option(&mut ladder.heard_ms, 0, |pass, t_ms| pass.time(t_ms))?;
    let Rungs(blind) = &mut ladder.blind;
    pass.u8(blind)?;
    window(pass, &mut ladder.window)?;
    confirmed(pass, &mut ladder.confirmed)?;
    for period in [&mut ladder.day, &mut ladder.week, &mut ladder.month] {
        anchor(pass, period)?;
    }
    pass.nav(&mut ladder.peak)?;
    rolling(pass, &mut ladder.day_rolling)?;
    rolling(pass, &mut ladder.week_rolling)?;
    rolling(pass, &mut ladder.month_rolling)?;
    let Rungs(tripped) = &mut ladder.tripped;
    pass.u8(tripped)?;
    let blank = Latch {
        t_ms: 0,
        value: Nav::ONE,
        anchor: Nav::ONE,
        basis: None,
        acknowledged: false,
    };
    ladder
        .latches
        .iter_mut()
        .try_for_each(|place| pass.option(place, blank, latch))
}

impl Ladder {
    /// The whole state as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer(Vec::new());
        // The one list of fields wants `mut` for reading; writing it out changes nothing and cannot fail.
        let _written = state(&mut writer, &mut self.clone());
        writer.0
    }

    /// The ladder whose [`Ladder::to_bytes`] wrote these bytes, with a configuration of today.
    ///
    /// # Errors
    /// Damaged bytes, another version, or a configuration out of range. Never a partly restored ladder.
    pub fn from_bytes(bytes: &[u8], config: Config) -> Result<Ladder, DecodeError> {
        let mut ladder = Ladder::new(config).map_err(DecodeError::Config)?;
        let mut reader = Reader(bytes);
        state(&mut reader, &mut ladder)?;
        ladder.refer();
        let sound = reader.0.is_empty() && ladder.units_e18 > 0;
        if sound {
            Ok(ladder)
        } else {
            Err(DecodeError::Damaged)
        }
    }
}
