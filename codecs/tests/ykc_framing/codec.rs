//! The `tokio_util` wrapper says what the scan says.

use bytes::BytesMut;
use codecs::error::FrameError;
use codecs::ykc::codec::YkcCodec;
use codecs::ykc::{CrcOrder, FrameStyle, Gun, GunHealth, Heartbeat, Message, PileId, ScanOptions};
use tokio_util::codec::{Decoder, Encoder};

use crate::stream::{Item, frame, items, styled};

const BEAT: Heartbeat =
    Heartbeat { pile: PileId([0x32, 1, 6, 0, 1, 0x92, 0x36]), gun: Gun(1), gun_state: GunHealth::Normal };

#[test]
fn it_writes_what_it_reads() {
    let mut codec = YkcCodec::default();
    let mut bytes = BytesMut::new();
    codec.encode(([9, 0], BEAT), &mut bytes).unwrap();
    codec.encode(([10, 0], BEAT), &mut bytes).unwrap();
    for seq in [9, 10] {
        let owned = codec.decode(&mut bytes).unwrap().expect("an item").expect("a good frame");
        assert_eq!(owned.frame().seq, [seq, 0]);
        let Ok(Message::Heartbeat(view)) = owned.message() else { panic!("{owned:?}") };
        assert_eq!(view.read(), BEAT);
    }
    assert!(codec.decode(&mut bytes).unwrap().is_none());
    assert!(codec.decode_eof(&mut bytes).unwrap().is_none());
}

/// A bad frame is an item: after an `Err` of its own, `Framed` would end the stream.
#[test]
fn a_bad_frame_does_not_end_the_stream() {
    let style = FrameStyle { crc_order: CrcOrder::Wrong, ..FrameStyle::default() };
    let bad = styled([1, 0], 0x03, &[0; 9], style);
    let good = frame([2, 0], 0x03, &[0; 9]);
    let stream = [&bad[..], &good, &good[..9]].concat();
    let mut bytes = BytesMut::from(&stream[..]);
    let mut codec = YkcCodec::default();
    let mut found = Vec::new();
    while let Some(item) = codec.decode(&mut bytes).unwrap() {
        found.push(item);
    }
    while let Some(item) = codec.decode_eof(&mut bytes).unwrap() {
        found.push(item);
    }
    let same = items([&stream[..]], ScanOptions::default());
    assert_eq!(found.len(), same.len());
    for (item, expected) in found.iter().zip(&same) {
        match (item, expected) {
            (Ok(owned), Item::Frame { raw, .. }) => assert_eq!(owned.raw(), raw),
            (Err(error), Item::Bad { error: expected, .. }) => assert_eq!(error, expected),
            _ => panic!("{found:?} is not {same:?}"),
        }
    }
    assert!(found.iter().any(|item| matches!(item, Err(FrameError::Truncated { need: 17, have: 9 }))));
}
