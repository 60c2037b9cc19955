//! A stream gives the same items however the network cuts it.

use codecs::ykc::{CrcOrder, FrameStyle, LengthRule, ScanOptions};
use proptest::prelude::*;

use crate::stream::{fixed, good_frame, items, nasty_byte, styled};

/// Anything a charger might send between two frames.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let body = || prop::collection::vec(nasty_byte(), 0..40);
    let style = |crc_order, length_rule, encryption| FrameStyle { crc_order, length_rule, encryption };
    prop_oneof![
        4 => good_frame(),
        1 => prop::collection::vec(nasty_byte(), 0..30),
        1 => prop::collection::vec(any::<u8>(), 0..30),
        1 => body().prop_map(move |b| styled([1, 0], 0x13, &b, style(CrcOrder::HighFirst, LengthRule::Standard, 0))),
        1 => body().prop_map(move |b| styled([2, 0], 0x13, &b, style(CrcOrder::Wrong, LengthRule::Standard, 0))),
        1 => body().prop_map(move |b| styled([3, 0], 0x02, &b, style(CrcOrder::LowFirst, LengthRule::BodyOnly, 0))),
        1 => body().prop_map(move |b| styled([4, 0], 0x3B, &b, style(CrcOrder::LowFirst, LengthRule::Wrong, 0))),
        1 => body().prop_map(move |b| styled([5, 0], 0x3B, &b, style(CrcOrder::LowFirst, LengthRule::Standard, 1))),
    ]
}

proptest! {
    #![proptest_config(fixed(400))]

    #[test]
    fn the_cut_does_not_matter(
        parts in prop::collection::vec(part(), 1..8),
        sizes in prop::collection::vec(1_usize..60, 1..200),
        ignore_crc in any::<bool>(),
    ) {
        let stream = parts.concat();
        let options = ScanOptions { ignore_crc, at_end: false };
        let whole = items([&stream[..]], options);
        prop_assert_eq!(&items(stream.chunks(1), options), &whole);
        let (mut rest, mut pieces) = (&stream[..], Vec::new());
        for size in sizes.iter().cycle() {
            let (piece, tail) = rest.split_at((*size).min(rest.len()));
            pieces.push(piece);
            rest = tail;
            if rest.is_empty() { break }
        }
        prop_assert_eq!(&items(pieces, options), &whole);
    }

    #[test]
    fn frames_in_one_segment_all_arrive(frames in prop::collection::vec(good_frame(), 1..10)) {
        let stream = frames.concat();
        prop_assert_eq!(crate::stream::frames([&stream[..]]), frames);
    }
}
