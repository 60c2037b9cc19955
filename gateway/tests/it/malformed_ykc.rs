//! Bytes that are no frames: counted by kind, never the end of another charger's session.

use codecs::ykc::{self as codec, FrameStyle, kind};
use events::topic::Topic;

use crate::common::{Rig, counter, registry, ykc};

fn frame(body: &impl codec::Body, style: FrameStyle) -> Vec<u8> {
    let mut out = Vec::new();
    codec::encode_styled([9, 0], body, style, &mut out);
    out
}

#[tokio::test]
async fn each_kind_is_counted_and_the_session_goes_on() {
    let rig = Rig::start().await;
    let mut other = rig.pile(registry::PILE_B).await;
    let mut pile = rig.pile(registry::PILE).await;
    let beat = ykc::heartbeat(registry::PILE);
    let wrong_crc = frame(&beat, FrameStyle { crc_order: codec::CrcOrder::Wrong, ..FrameStyle::default() });
    let encrypted = frame(&beat, FrameStyle { encryption: 1, ..FrameStyle::default() });
    let short_body = frame(&codec::Message::parse(0x7f, &[1, 2, 3]).unwrap(), FrameStyle::default());
    let cases: [(&str, Vec<u8>); 5] = [
        ("garbage", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("crc", wrong_crc),
        ("encrypted", encrypted),
        ("length", vec![0x68, 0x01]),
        ("not_logged_in", short_body),
    ];
    for (label, bytes) in cases {
        let before = counter("evgate_malformed_total", &["ykc", label]);
        pile.raw(&bytes).await;
        pile.beats(registry::PILE).await;
        assert!(counter("evgate_malformed_total", &["ykc", label]) > before, "{label} was not counted");
        other.beats(registry::PILE_B).await;
    }
    rig.drained().await;
}

#[tokio::test]
async fn a_cut_frame_does_not_swallow_what_follows() {
    let rig = Rig::with(|config| config.limits.half_frame_ms = 100).await;
    let mut pile = rig.pile(registry::PILE).await;
    // Claims 255 bytes and stops: given up after the time for half a frame.
    pile.raw(&[0x68, 0xff, 0, 0, 0, 0x13, 1, 2, 3]).await;
    let seq = pile.send(&ykc::heartbeat(registry::PILE)).await;
    assert_eq!(pile.expect(kind::HEARTBEAT_ACK).await.seq, seq);
    pile.beats(registry::PILE).await;
    rig.drained().await;
}

#[tokio::test]
async fn a_frame_in_pieces_and_several_in_one_segment_are_read() {
    let rig = Rig::start().await;
    let mut pile = rig.pile(registry::PILE).await;
    let beat = frame(&ykc::heartbeat(registry::PILE), FrameStyle::default());
    for byte in &beat {
        pile.raw(&[*byte]).await;
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    pile.expect(kind::HEARTBEAT_ACK).await;
    let three_and_a_half = [&beat[..], &beat, &beat, &beat[..5]].concat();
    pile.raw(&three_and_a_half).await;
    for _ in 0..3 {
        pile.expect(kind::HEARTBEAT_ACK).await;
    }
    pile.silence(30).await;
    pile.raw(&beat[5..]).await;
    pile.expect(kind::HEARTBEAT_ACK).await;
    rig.drained().await;
}

#[tokio::test]
async fn too_many_in_a_row_end_the_connection_and_only_it() {
    let rig = Rig::start().await;
    let mut other = rig.pile(registry::PILE_B).await;
    let mut pile = rig.pile(registry::PILE).await;
    let wrong = FrameStyle { crc_order: codec::CrcOrder::Wrong, ..FrameStyle::default() };
    for _ in 0..200 {
        let bytes = frame(&ykc::heartbeat(registry::PILE), wrong);
        if tokio::io::AsyncWriteExt::write_all(&mut pile.stream, &bytes).await.is_err() {
            break;
        }
    }
    let mut byte = [0; 64];
    let read = tokio::time::timeout(crate::common::PATIENCE, async {
        while matches!(tokio::io::AsyncReadExt::read(&mut pile.stream, &mut byte).await, Ok(count) if count > 0) {}
    });
    read.await.unwrap();
    other.beats(registry::PILE_B).await;
    rig.drained().await;
}

#[tokio::test]
async fn an_unparsable_record_goes_to_the_dead_letters_and_is_then_refused() {
    let rig = Rig::start().await;
    let mut pile = rig.pile(registry::PILE).await;
    let trade_no = ykc::trade(registry::PILE, 3);
    let mut whole = Vec::new();
    codec::encode([5, 1], &ykc::record(registry::PILE, trade_no), &mut whole);
    // Only the first 100 bytes of the body, in a frame with a right checksum.
    let body = &whole[6..106];
    let mut cut = vec![0x68, 104, 5, 1, 0, kind::RECORD];
    cut.extend_from_slice(body);
    let crc = codec::crc16(&cut[2..]);
    cut.extend_from_slice(&crc.to_le_bytes());
    pile.raw(&cut).await;
    let answer = pile.expect(kind::RECORD_CONFIRM).await;
    assert_eq!(answer.seq, [5, 1]);
    assert_eq!(answer.body[..16], trade_no.0);
    assert_eq!(answer.body[16], 1, "illegal bill");
    let letters = rig.log.records(Topic::DeviceDlq);
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].payload.as_deref(), Some(&cut[..]));
    for (name, value) in [("reason", "ykc_record_unparsable"), ("tenant", "1001"), ("protocol", "PROTOCOL_YKC")] {
        assert!(letters[0].headers.iter().any(|header| header.0 == name && header.1 == value), "{name}");
    }
    rig.drained().await;
}

#[tokio::test]
async fn random_bytes_never_disturb_another_pile() {
    let rig = Rig::start().await;
    let mut other = rig.pile(registry::PILE_B).await;
    let mut state = 0x1234_5678_9abc_def0_u64;
    for _ in 0..20 {
        let mut noisy = rig.ykc().await;
        let bytes: Vec<u8> = (0..2_000)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                // Start bytes are as frequent as possible.
                if state & 3 == 0 { 0x68 } else { (state >> 32) as u8 }
            })
            .collect();
        // The gateway may have closed already.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut noisy.stream, &bytes).await;
        other.beats(registry::PILE_B).await;
    }
    rig.drained().await;
}
