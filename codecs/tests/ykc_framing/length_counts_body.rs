//! A sender that counts only the body: the frame is 4 bytes longer than its length byte says.

use codecs::error::FrameError;
use codecs::ykc::{FrameStyle, LengthRule, Scan, ScanOptions, scan};

use crate::stream::{frame, frames, styled};

const BODY_ONLY: FrameStyle =
    FrameStyle { length_rule: LengthRule::BodyOnly, crc_order: codecs::ykc::CrcOrder::LowFirst, encryption: 0 };

#[test]
fn it_is_read_where_the_checksum_proves_it() {
    for (kind, body) in [(0x02, 8), (0x04, 9), (0x0A, 90), (0x13, 60), (0x3B, 158)] {
        let raw = styled([1, 0], kind, &vec![0x68; body], BODY_ONLY);
        let Scan::Frame { frame, consumed } = scan(&raw, ScanOptions::default()) else { panic!("{kind:#04x}") };
        assert_eq!((frame.length_rule, frame.body.len(), consumed), (LengthRule::BodyOnly, body, raw.len()));
    }
}

/// The four bytes may come in the next segment.
#[test]
fn it_waits_for_the_rest() {
    let raw = styled([1, 0], 0x04, &[0; 9], BODY_ONLY);
    for len in 13..17 {
        assert_eq!(scan(&raw[..len], ScanOptions::default()), Scan::Incomplete { needed: 17 });
    }
    assert_eq!(frames([&raw[..14], &raw[14..]]), [raw]);
}

/// A damaged frame whose length fits its type is reported at once: waiting for four more bytes would hold it back until
/// the next frame comes.
#[test]
fn a_damaged_frame_does_not_wait() {
    let mut raw = frame([1, 0], 0x03, &[0; 9]);
    raw[8] ^= 1;
    let step = scan(&raw, ScanOptions::default());
    assert!(matches!(step, Scan::Skip { consumed: 1, error: FrameError::BadCrc { .. } }), "{step:?}");
}
