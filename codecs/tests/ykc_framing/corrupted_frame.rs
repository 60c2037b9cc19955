//! One damaged byte costs one frame, never its neighbours.

use proptest::prelude::*;

use crate::stream::{fixed, frame, frames, good_frame};

proptest! {
    #![proptest_config(fixed(2000))]

    #[test]
    fn its_neighbours_survive(
        before in good_frame(), damaged in good_frame(), after in good_frame(),
        at in any::<prop::sample::Index>(), flip in 1_u8..,
    ) {
        let mut bad = damaged.clone();
        let at = at.index(bad.len());
        bad[at] ^= flip;
        let found = frames([&before[..], &bad[..], &after[..]]);
        prop_assert_eq!(found.first(), Some(&before));
        prop_assert_eq!(found.last(), Some(&after));
        prop_assert!(!found[1..found.len() - 1].contains(&damaged));
    }

    #[test]
    fn a_lost_byte_costs_one_frame(
        before in good_frame(), damaged in good_frame(), after in good_frame(), at in any::<prop::sample::Index>(),
    ) {
        let mut bad = damaged.clone();
        bad.remove(at.index(bad.len()));
        prop_assume!(bad != damaged);
        let found = frames([&before[..], &bad[..], &after[..]]);
        prop_assert_eq!(found.first(), Some(&before));
        prop_assert_eq!(found.last(), Some(&after));
    }
}

/// A length byte that is too large reaches over the good frame behind; dropping one byte instead of the frame saves it.
#[test]
fn a_length_too_large_does_not_swallow_the_next_frame() {
    let mut bad = frame([1, 0], 0x03, &[0; 9]);
    bad[1] += 17;
    let good = frame([2, 0], 0x03, &[1; 9]);
    assert_eq!(frames([&bad[..], &good[..]]), vec![good]);
}
