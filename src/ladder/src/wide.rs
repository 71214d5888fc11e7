//! Wider than 128 bits: the full product that comparisons need, and a 384-bit unsigned integer with the
//! five operations the displayed figures need.
//!
//! A comparison multiplies an equity (below 2^95), a factor of basis points (below 2^16) and units (below
//! 2^128), 239 bits. The room of a flow sample multiplies one equity more, 334 bits. Nothing here can
//! overflow within those limits, so nothing is checked and nothing can panic.

use core::cmp::Ordering;

/// `a · b` as (high, low): ordered like the number it is.
pub(crate) fn full_product(a: u128, b: u128) -> (u128, u128) {
    let halves = |value: u128| (value >> 64, value & u128::from(u64::MAX));
    let ((a1, a0), (b1, b0)) = (halves(a), halves(b));
    let (carry, low) = halves(a0 * b0);
    let (carry, middle) = halves(a1 * b0 + carry);
    let (carry_too, middle) = halves(a0 * b1 + middle);
    (a1 * b1 + carry + carry_too, middle << 64 | low)
}

const LIMBS: usize = 6;

/// Little-endian limbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wide([u64; LIMBS]);

impl Wide {
    const ZERO: Wide = Wide([0; LIMBS]);

    pub(crate) fn of(value: u128) -> Wide {
        Wide([value as u64, (value >> 64) as u64, 0, 0, 0, 0])
    }

    /// `a · b · c`.
    pub(crate) fn product(a: u128, b: u128, c: u128) -> Wide {
        Wide::of(a).times(b).times(c)
    }

    pub(crate) fn times(self, factor: u128) -> Wide {
        let (low, high) = (factor as u64, (factor >> 64) as u64);
        let sum = self.times_limb(low);
        if high == 0 {
            sum
        } else {
            sum.plus(self.times_limb(high).up_one_limb())
        }
    }

    fn times_limb(mut self, factor: u64) -> Wide {
        let mut carry = 0u128;
        for limb in &mut self.0 {
            let wide = u128::from(*limb) * u128::from(factor) + carry;
            *limb = wide as u64;
            carry = wide >> 64;
        }
        self
    }

    fn up_one_limb(self) -> Wide {
        let [a, b, c, d, e, _] = self.0;
        Wide([0, a, b, c, d, e])
    }

    fn plus(mut self, other: Wide) -> Wide {
        let mut carry = false;
        for (limb, add) in self.0.iter_mut().zip(other.0) {
            let (sum, over) = limb.overflowing_add(add);
            let (sum, over_again) = sum.overflowing_add(u64::from(carry));
            *limb = sum;
            carry = over | over_again;
        }
        self
    }

    /// `self − other`; the caller knows that `other ≤ self`.
    pub(crate) fn minus(mut self, other: Wide) -> Wide {
        let mut borrow = false;
        for (limb, take) in self.0.iter_mut().zip(other.0) {
            let (rest, under) = limb.overflowing_sub(take);
            let (rest, under_again) = rest.overflowing_sub(u64::from(borrow));
            *limb = rest;
            borrow = under | under_again;
        }
        self
    }

    fn double(mut self) -> Wide {
        let mut carry = 0;
        for limb in &mut self.0 {
            let next = *limb >> 63;
            *limb = (*limb << 1) | carry;
            carry = next;
        }
        self
    }

    fn half(mut self) -> Wide {
        let mut carry = 0;
        for limb in self.0.iter_mut().rev() {
            let next = *limb << 63;
            *limb = (*limb >> 1) | carry;
            carry = next;
        }
        self
    }

    fn bits(self) -> u32 {
        let mut empty = 0;
        for limb in self.0.iter().rev() {
            empty += limb.leading_zeros();
            if *limb != 0 {
                break;
            }
        }
        64 * LIMBS as u32 - empty
    }

    fn small(self) -> Option<u128> {
        match self.0 {
            [low, high, 0, 0, 0, 0] => Some(u128::from(high) << 64 | u128::from(low)),
            _ => None,
        }
    }

    /// The quotient rounded down and whether something was left over. `None`: division by zero, or a
    /// quotient of 2^128 and more.
    pub(crate) fn divide(self, divisor: Wide) -> Option<(u128, bool)> {
        if divisor == Wide::ZERO {
            return None;
        }
        if let (Some(a), Some(b)) = (self.small(), divisor.small()) {
            return Some((a / b, a % b != 0));
        }
        let steps = self.bits().saturating_sub(divisor.bits());
        if steps > 128 {
            return None;
        }
        let (mut rest, mut part, mut quotient) = (self, divisor, 0u128);
        for _ in 0..steps {
            part = part.double();
        }
        for _ in 0..=steps {
            quotient = quotient.checked_mul(2)?;
            if part <= rest {
                rest = rest.minus(part);
                quotient |= 1;
            }
            part = part.half();
        }
        Some((quotient, rest != Wide::ZERO))
    }

    /// As [`Wide::divide`], rounded up.
    pub(crate) fn divide_up(self, divisor: Wide) -> Option<u128> {
        let (quotient, rest) = self.divide(divisor)?;
        quotient.checked_add(u128::from(rest))
    }
}

impl Ord for Wide {
    fn cmp(&self, other: &Wide) -> Ordering {
        self.0.iter().rev().cmp(other.0.iter().rev())
    }
}

impl PartialOrd for Wide {
    fn partial_cmp(&self, other: &Wide) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_u128(a in any::<u64>(), b in any::<u64>(), c in 1u128..) {
            let product = u128::from(a) * u128::from(b);
            prop_assert_eq!(Wide::product(a.into(), b.into(), 1), Wide::of(product));
            prop_assert_eq!(full_product(a.into(), b.into()), (0, product));
            prop_assert_eq!(Wide::of(product).divide(Wide::of(c)), Some((product / c, product % c != 0)));
        }

        #[test]
        fn division_undoes_multiplication(a in 1u128.., b in 1u128.., c in 1u128.., rest in any::<u128>()) {
            let (whole, divisor) = (Wide::product(a, b, c), Wide::of(b).times(c));
            prop_assert_eq!(whole.divide(divisor), Some((a, false)));
            let rest = rest % b;
            prop_assert_eq!(whole.plus(Wide::of(rest)).divide(divisor), Some((a, rest != 0)));
            prop_assert_eq!(whole.divide_up(divisor), Some(a));
            prop_assert_eq!(whole.plus(Wide::of(rest)).minus(Wide::of(rest)), whole);
        }

        #[test]
        fn order_is_that_of_products(a in any::<u128>(), b in any::<u128>(), c in 1u128..) {
            prop_assert_eq!(Wide::product(a, c, c).cmp(&Wide::product(b, c, c)), a.cmp(&b));
            let (high, low) = full_product(a, b);
            prop_assert_eq!(Wide::of(high).up_one_limb().up_one_limb().plus(Wide::of(low)), Wide::product(a, b, 1));
        }
    }

    #[test]
    fn quotients_that_do_not_fit_are_none() {
        let max = Wide::of(u128::MAX);
        assert_eq!(max.divide(Wide::ZERO), None);
        assert_eq!(max.times(2).divide(Wide::of(1)), None);
        assert_eq!(max.times(3).divide_up(Wide::of(3)), Some(u128::MAX));
        assert_eq!(max.times(3).plus(Wide::of(1)).divide_up(Wide::of(3)), None);
    }
}
