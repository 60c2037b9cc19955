//! An encrypted frame is refused whole and by name; the connection goes on.

use codecs::error::FrameError;
use codecs::ykc::{CrcOrder, FrameStyle, ScanOptions};

use crate::stream::{Item, frame, items, styled};

#[test]
fn it_is_skipped_whole() {
    let secret = styled([1, 0], 0x3B, &[0x68; 160], FrameStyle { encryption: 1, ..FrameStyle::default() });
    let next = frame([2, 0], 0x03, &[0; 9]);
    let expected = [
        Item::Bad { at: 0, error: FrameError::Encrypted { kind: 0x3B, flag: 1 } },
        Item::Frame { at: secret.len(), raw: next.clone() },
    ];
    assert_eq!(items([&secret[..], &next[..]], ScanOptions::default()), expected);
}

/// The checksum comes first: a flag in a damaged frame proves nothing.
#[test]
fn a_damaged_one_is_a_damaged_one() {
    let style = FrameStyle { encryption: 1, crc_order: CrcOrder::Wrong, ..FrameStyle::default() };
    let found = items([&styled([1, 0], 0x03, &[0; 9], style)[..]], ScanOptions::default());
    assert!(matches!(found[0], Item::Bad { at: 0, error: FrameError::BadCrc { .. } }), "{found:?}");
}

/// No header has such a flag, so there is no need to wait for the 255 bytes that the length promises.
#[test]
fn a_flag_out_of_range_is_no_header() {
    let found = items([&[0x68, 255, 0, 0, 0x77][..]], ScanOptions::default());
    assert_eq!(found[0], Item::Bad { at: 0, error: FrameError::BadHeader { flag: 0x77 } });
}
