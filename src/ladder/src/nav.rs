//! NAV as an exact ratio, and everything that is computed from it.

use crate::wide::{Wide, full_product};
use core::cmp::Ordering;

/// 100 % in basis points.
const FULL_BP: u32 = 10_000;

/// Net asset value per unit, `equity / units`, never rounded (L2). The account begins at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nav {
    /// Equity before this sample's flows, in 10⁻⁸ of the numeraire; 0 for any negative equity.
    pub(crate) equity_e8: u128,
    /// Units before this sample's flows, in 10⁻¹⁸; never 0.
    pub(crate) units_e18: u128,
}

impl Nav {
    /// The value at funding.
    pub const ONE: Nav = Nav {
        equity_e8: 100_000_000,
        units_e18: 1_000_000_000_000_000_000,
    };

    pub(crate) fn new(equity_e8: i128, units_e18: u128) -> Nav {
        Nav {
            equity_e8: u128::try_from(equity_e8).unwrap_or(0),
            units_e18,
        }
    }

    /// Nothing is left.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.equity_e8 == 0
    }

    /// The value in 10⁻¹², truncated; for display only.
    #[must_use]
    pub fn e12(self) -> u128 {
        let scaled = Wide::product(self.equity_e8, 10u128.pow(22), 1);
        scaled
            .divide(Wide::of(self.units_e18))
            .map_or(u128::MAX, |(value, _)| value)
    }

    /// Orders by value.
    #[must_use]
    pub fn compare(self, other: Nav) -> Ordering {
        self.weigh(1, other, 1)
    }

    /// Compares `self · scale` with `other · part`, exactly, by cross-multiplication.
    fn weigh(self, scale: u32, other: Nav, part: u32) -> Ordering {
        let left = self.equity_e8.saturating_mul(scale.into());
        let right = other.equity_e8.saturating_mul(part.into());
        full_product(left, other.units_e18).cmp(&full_product(right, self.units_e18))
    }

    pub(crate) fn max(self, other: Nav) -> Nav {
        if self.compare(other).is_lt() {
            other
        } else {
            self
        }
    }

    /// The trip test: `self ≤ anchor · (1 − loss)`, the boundary included.
    pub(crate) fn is_down(self, anchor: Nav, loss_bp: u32) -> bool {
        self.weigh(FULL_BP, anchor, FULL_BP - loss_bp).is_le()
    }

    /// The fast path's test (L11): down by 1.25 × `loss_bp`.
    pub(crate) fn is_far_down(self, anchor: Nav, loss_bp: u32) -> bool {
        self.weigh(4 * FULL_BP, anchor, 4 * FULL_BP - 5 * loss_bp)
            .is_le()
    }

    /// Compares with `anchor · (1 − loss)`: the release tests.
    pub(crate) fn against(self, anchor: Nav, loss_bp: u32) -> Ordering {
        self.weigh(FULL_BP, anchor, FULL_BP - loss_bp)
    }

    /// Change from `anchor` in basis points, truncated towards zero (L22): −500 only when it is that deep.
    /// NAV 0 is −10 000 against anything; a gain on an anchor of 0 is `i32::MAX`.
    #[must_use]
    pub fn change_bp(self, anchor: Nav) -> i32 {
        if self.is_zero() {
            return -(FULL_BP as i32);
        }
        let own = Wide::product(self.equity_e8, anchor.units_e18, 1);
        let base = Wide::product(anchor.equity_e8, self.units_e18, 1);
        let (gap, sign) = if own < base {
            (base.minus(own), -1)
        } else {
            (own.minus(base), 1)
        };
        let size = gap
            .times(FULL_BP.into())
            .divide(base)
            .map_or(u128::MAX, |(size, _)| size);
        sign * i32::try_from(size).unwrap_or(i32::MAX)
    }

    /// Money that can still be lost before NAV is at `anchor · (1 − loss)`, in 10⁻⁸, rounded down, at least 0:
    /// `E · (1 − A · (1 − θ) / NAV)` for an account worth `equity_e8` at this NAV.
    #[must_use]
    pub(crate) fn room_e8(self, equity_e8: i128, anchor: Nav, loss_bp: u32) -> u128 {
        let equity = u128::try_from(equity_e8).unwrap_or(0);
        let whole = Wide::product(self.equity_e8, anchor.units_e18, FULL_BP.into());
        let floor = Wide::product(anchor.equity_e8, self.units_e18, (FULL_BP - loss_bp).into());
        if whole <= floor {
            return 0;
        }
        whole
            .minus(floor)
            .times(equity)
            .divide(whole)
            .map_or(0, |(room, _)| room)
    }

    /// Units that make `equity_e8` worth this NAV, rounded up (L2). `None`: not representable.
    pub(crate) fn units_for(self, equity_e8: i128) -> Option<u128> {
        let equity = u128::try_from(equity_e8).ok()?;
        let units = Wide::product(self.units_e18, equity, 1).divide_up(Wide::of(self.equity_e8))?;
        (units > 0).then_some(units)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nav(equity: i128, units: u128) -> Nav {
        Nav::new(equity * 100_000_000, units * 10u128.pow(18))
    }

    #[test]
    fn no_boundary_is_missed() {
        // L2's example: floored to 10⁻¹⁸ this would be below 0.95.
        let anchor = Nav::new(70_000_000_000_000_000, 700_000_000 * 10u128.pow(18));
        let held = Nav::new(66_500_000_005_000_000, anchor.units_e18);
        assert!(!held.is_down(anchor, 500));
        assert!(Nav::new(66_500_000_000_000_000, anchor.units_e18).is_down(anchor, 500));
        for anchor in 1_000..20_000 {
            for loss_bp in [500, 800, 1_500, 1_800] {
                let edge_e8 = anchor * i128::from(10_000 - loss_bp) * 10_000;
                let anchor = nav(anchor, 7);
                assert!(Nav::new(edge_e8, anchor.units_e18).is_down(anchor, loss_bp));
                assert!(!Nav::new(edge_e8 + 1, anchor.units_e18).is_down(anchor, loss_bp));
            }
        }
    }

    #[test]
    fn drawdown_is_truncated_towards_zero() {
        let cents =
            |cents: i128| Nav::new(cents * 1_000_000, nav(1, 4_000).units_e18).change_bp(Nav::ONE);
        assert_eq!(cents(380_000), -500);
        assert_eq!(cents(380_001), -499);
        assert_eq!(cents(400_039), 0);
        assert_eq!(cents(400_040), 1);
        assert_eq!(cents(0), -10_000);
        assert_eq!(Nav::ONE.change_bp(nav(0, 1)), i32::MAX);
    }

    #[test]
    fn room_is_money() {
        // Example 34: NAV 0.96 after a deposit of 40 000.
        let nav = nav(3_840, 4_000);
        assert_eq!(nav.room_e8(384_000_000_000, Nav::ONE, 500), 4_000_000_000);
        assert_eq!(
            nav.room_e8(4_384_000_000_000, Nav::ONE, 500),
            45_666_666_666
        );
        assert_eq!(nav.room_e8(-1, Nav::ONE, 500), 0);
        assert_eq!(nav.room_e8(384_000_000_000, nav.max(Nav::ONE), 100), 0);
    }
}
