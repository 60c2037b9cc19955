//! Rounding: half up, on 128-bit integers, never wrapping.

use super::result::BillError;

/// `floor((2n + d) / 2d)` for n >= 0, d > 0: the nearest integer, ties upward.
pub(super) fn half_up(numerator: i128, denominator: i128) -> Option<i128> {
    if numerator < 0 || denominator <= 0 {
        return None;
    }
    // As quotient and remainder, because 2n need not fit.
    let (quotient, remainder) = (numerator / denominator, numerator % denominator);
    quotient.checked_add(i128::from(remainder >= denominator - remainder))
}

/// `half_up(a x b / d)` as a 64-bit figure, `field` naming it where it does not fit.
pub(super) fn scaled(a: i64, b: i64, denominator: i128, field: &'static str) -> Result<i64, BillError> {
    let product = i128::from(a) * i128::from(b); // Two 64-bit factors always fit.
    let rounded = half_up(product, denominator).ok_or(BillError::TooLarge { field })?;
    i64::try_from(rounded).map_err(|_| BillError::TooLarge { field })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ties_go_up() {
        for (n, d, rounded) in
            [(0, 1, 0), (1, 2, 1), (49, 100, 0), (50, 100, 1), (51, 100, 1), (150, 100, 2), (1, 3, 0), (2, 3, 1)]
        {
            assert_eq!(half_up(n, d), Some(rounded), "{n}/{d}");
        }
        assert_eq!(half_up(-1, 2), None);
        assert_eq!(half_up(1, 0), None);
        assert_eq!(half_up(i128::MAX, 1), Some(i128::MAX));
        assert_eq!(half_up(i128::MAX, i128::MAX), Some(1));
    }

    proptest! {
        #[test]
        fn is_the_formula(n in 0..=i128::from(u64::MAX), d in 1..=i128::from(u64::MAX)) {
            prop_assert_eq!(half_up(n, d), Some((2 * n + d) / (2 * d)));
        }
    }
}
