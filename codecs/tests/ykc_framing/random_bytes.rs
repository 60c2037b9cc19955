//! No byte sequence panics anything, and every reader gets to its end.

use codecs::ykc::{Frame, Message, ScanOptions, describe, describe_text};
use proptest::prelude::*;

use crate::stream::{fixed, frame, items, nasty_byte};

proptest! {
    #![proptest_config(fixed(600))]

    #[test]
    fn the_framing_survives(stream in prop::collection::vec(any::<u8>(), 0..2000), ignore_crc in any::<bool>()) {
        items([&stream[..]], ScanOptions { ignore_crc, at_end: false });
    }

    #[test]
    fn the_framing_survives_lookalikes(stream in prop::collection::vec(nasty_byte(), 0..2000)) {
        items([&stream[..]], ScanOptions::default());
        items([&stream[..]], ScanOptions { ignore_crc: true, at_end: false });
    }

    #[test]
    fn every_body_is_read_or_refused(kind in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..=400)) {
        match Message::parse(kind, &body) {
            Ok(message) => {
                let shown = format!("{message:?} {:?} {:?} {:?}", message.pile(), message.gun(), message.trade_no());
                prop_assert!(!shown.is_empty() && body.len() <= codecs::ykc::BODY_MAX);
            }
            Err(error) => prop_assert!(error.offset <= body.len().max(codecs::ykc::BODY_MAX), "{}", error),
        }
    }

    #[test]
    fn every_frame_can_be_described(
        kind in prop_oneof![any::<u8>(), (0_u8..0x60), Just(0x3B)], body in prop::collection::vec(any::<u8>(), 0..=251),
    ) {
        let raw = frame([0, 1], kind, &body);
        let frame = Frame::whole(&raw).unwrap();
        let described = describe(&frame);
        prop_assert_eq!(&described["body_len"], &serde_json::json!(body.len()));
        prop_assert!(describe_text(&frame).ends_with('\n'));
    }
}
