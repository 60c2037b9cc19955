//! Frames and messages by the rules of RFC 6455, and any split of a stream.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::borrow::Cow;

use codecs::ws::{
    Assembler, CloseCode, Limits, Message, Opcode, Read, Role, Step, WsErrorKind, frame_with, parse_frame, read,
    write_close, write_frame, write_masked_frame,
};
use proptest::prelude::*;

const LIMITS: Limits = Limits { message_max: 70_000, fragments_max: 16 };
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn hex(text: &str) -> Vec<u8> {
    hex::decode(text.replace(' ', "")).unwrap()
}

/// What a whole stream says: messages, and then what ended it.
fn read_all(stream: &[u8], role: Role, limits: &Limits) -> (Vec<Message<'static>>, Result<usize, WsErrorKind>) {
    let mut assembler = Assembler::new();
    let (mut messages, mut buf) = (Vec::new(), stream.to_vec());
    let mut at = 0;
    loop {
        match read(&mut buf[at..], role, limits, &mut assembler) {
            Ok(Read::Incomplete { .. }) => return (messages, Ok(stream.len() - at)),
            Ok(Read::Fragment { consumed }) => at += consumed,
            Ok(Read::Message { message, consumed }) => {
                messages.push(owned(&message));
                at += consumed;
            }
            Err(error) => return (messages, Err(error.kind)),
        }
    }
}

fn owned(message: &Message<'_>) -> Message<'static> {
    match message {
        Message::Text(text) => Message::Text(Cow::Owned(text.to_string())),
        Message::Binary(bytes) => Message::Binary(Cow::Owned(bytes.to_vec())),
        Message::Ping(payload) => Message::Ping(payload.to_vec().leak()),
        Message::Pong(payload) => Message::Pong(payload.to_vec().leak()),
        Message::Close { code, reason } => Message::Close { code: *code, reason: reason.to_string().leak() },
    }
}

fn text(text: &str) -> Message<'_> {
    Message::Text(Cow::Borrowed(text))
}

#[test]
fn the_examples_of_the_rfc() {
    // RFC 6455 §5.7
    let server = |bytes: &str| read_all(&hex(bytes), Role::Server, &LIMITS);
    let client = |bytes: &str| read_all(&hex(bytes), Role::Client, &LIMITS);
    assert_eq!(client("81 05 48 65 6c 6c 6f"), (vec![text("Hello")], Ok(0)));
    assert_eq!(server("81 85 37 fa 21 3d 7f 9f 4d 51 58"), (vec![text("Hello")], Ok(0)));
    assert_eq!(client("01 03 48 65 6c 80 02 6c 6f"), (vec![text("Hello")], Ok(0)));
    assert_eq!(client("89 05 48 65 6c 6c 6f"), (vec![Message::Ping(b"Hello")], Ok(0)));
    assert_eq!(server("8a 85 37 fa 21 3d 7f 9f 4d 51 58"), (vec![Message::Pong(b"Hello")], Ok(0)));
    let mut long = hex("82 7e 01 00");
    long.extend([7; 256]);
    assert_eq!(read_all(&long, Role::Client, &LIMITS), (vec![Message::Binary(Cow::Owned(vec![7; 256]))], Ok(0)));
    let mut longer = hex("82 7f 00 00 00 00 00 01 00 00");
    longer.extend(vec![7; 65_536]);
    assert_eq!(read_all(&longer, Role::Client, &LIMITS), (vec![Message::Binary(Cow::Owned(vec![7; 65_536]))], Ok(0)));
}

#[test]
fn a_control_frame_may_come_between_fragments() {
    let stream = "01 03 48 65 6c  89 01 78  00 00  80 02 6c 6f";
    assert_eq!(read_all(&hex(stream), Role::Client, &LIMITS), (vec![Message::Ping(b"x"), text("Hello")], Ok(0)));
}

#[test]
fn a_character_may_be_cut_by_a_fragment() {
    // 桩 is e6 a1 a9
    assert_eq!(read_all(&hex("01 01 e6  80 02 a1 a9"), Role::Client, &LIMITS), (vec![text("桩")], Ok(0)));
}

#[test]
fn every_broken_rule_has_its_error_and_its_close_code() {
    use WsErrorKind as Kind;
    let long_fragments = format!("01 01 78 {}", "00 01 78 ".repeat(16));
    let cases: &[(&str, Role, Kind, u16)] = &[
        ("c1 00", Role::Client, Kind::ReservedBits, 1002),
        ("a1 00", Role::Client, Kind::ReservedBits, 1002),
        ("91", Role::Client, Kind::ReservedBits, 1002),
        ("83 00", Role::Client, Kind::ReservedOpcode, 1002),
        ("8b 00", Role::Client, Kind::ReservedOpcode, 1002),
        ("81 01 78", Role::Server, Kind::MaskMissing, 1002),
        ("81 81 37 fa 21 3d 4f", Role::Client, Kind::MaskUnexpected, 1002),
        ("81 7e 00 7d", Role::Client, Kind::LengthForm, 1002),
        ("81 7f 00 00 00 00 00 00 ff ff", Role::Client, Kind::LengthForm, 1002),
        ("81 7f 80 00 00 00 00 01 00 00", Role::Client, Kind::LengthForm, 1002),
        ("09 00", Role::Client, Kind::ControlFragmented, 1002),
        ("89 7e 00 7e", Role::Client, Kind::ControlTooLong, 1002),
        ("88 7f", Role::Client, Kind::ControlTooLong, 1002),
        ("80 00", Role::Client, Kind::ContinuationWithoutStart, 1002),
        ("01 01 78 81 01 78", Role::Client, Kind::MessageInsideMessage, 1002),
        ("02 01 78 01 01 78", Role::Client, Kind::MessageInsideMessage, 1002),
        ("01 01 78 82 01 78", Role::Client, Kind::MessageInsideMessage, 1002),
        ("88 01 03", Role::Client, Kind::BadClose, 1002),
        ("88 02 03 e7", Role::Client, Kind::BadClose, 1002), // 999
        ("88 02 03 ec", Role::Client, Kind::BadClose, 1002), // 1004
        ("88 02 03 ed", Role::Client, Kind::BadClose, 1002), // 1005
        ("88 02 03 ee", Role::Client, Kind::BadClose, 1002), // 1006
        ("88 02 03 f7", Role::Client, Kind::BadClose, 1002), // 1015
        ("88 02 0b b7", Role::Client, Kind::BadClose, 1002), // 2999
        ("88 02 13 88", Role::Client, Kind::BadClose, 1002), // 5000
        ("88 03 03 e8 ff", Role::Client, Kind::NotUtf8, 1007),
        ("81 01 ff", Role::Client, Kind::NotUtf8, 1007),
        ("81 03 ed a0 80", Role::Client, Kind::NotUtf8, 1007), // a surrogate
        ("01 01 e6 80 01 a1", Role::Client, Kind::NotUtf8, 1007),
        ("82 7f 00 00 00 00 00 01 11 71", Role::Client, Kind::TooBig, 1009), // 70001, by its header alone
        ("82 7f 7f ff ff ff ff ff ff ff", Role::Client, Kind::TooBig, 1009),
        (&long_fragments, Role::Client, Kind::TooManyFragments, 1008),
    ];
    for (bytes, role, kind, code) in cases {
        assert_eq!(read_all(&hex(bytes), *role, &LIMITS).1, Err(*kind), "{bytes}");
        assert_eq!(kind.close_code().get(), *code, "{bytes}");
    }
    for kind in WsErrorKind::ALL {
        assert!(cases.iter().any(|case| case.2 == kind), "{kind:?}");
    }
}

#[test]
fn a_message_in_fragments_has_the_same_limit() {
    let fragment =
        |first: u8, len: u16| [&[first, 126][..], &len.to_be_bytes(), &vec![b'x'; usize::from(len)]].concat();
    let good = [fragment(0x01, 60_000), fragment(0x80, 10_000)].concat();
    assert_eq!(read_all(&good, Role::Client, &LIMITS), (vec![text(&"x".repeat(70_000))], Ok(0)));
    let bad = [fragment(0x01, 60_000), fragment(0x80, 10_001)].concat();
    assert_eq!(read_all(&bad, Role::Client, &LIMITS), (vec![], Err(WsErrorKind::TooBig)));
}

#[test]
fn close_frames_are_read_with_and_without_a_code() {
    let close = |bytes: &str| read_all(&hex(bytes), Role::Client, &LIMITS);
    assert_eq!(close("88 00"), (vec![Message::Close { code: None, reason: "" }], Ok(0)));
    let normal = Some(CloseCode::NORMAL);
    assert_eq!(close("88 02 03 e8"), (vec![Message::Close { code: normal, reason: "" }], Ok(0)));
    assert_eq!(close("88 05 03 e8 62 79 65"), (vec![Message::Close { code: normal, reason: "bye" }], Ok(0)));
    for code in [1000, 1001, 1002, 1003, 1007, 1014, 3000, 4999] {
        assert_eq!(CloseCode::new(code).map(CloseCode::get), Some(code));
    }
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let mut out = Vec::new();
    write_close(&mut out, Some(CloseCode::GOING_AWAY), &format!("x{}", "桩".repeat(60)), None);
    let (messages, rest) = read_all(&out, Role::Client, &LIMITS);
    assert_eq!(rest, Ok(0));
    let Message::Close { code, reason } = &messages[0] else { panic!("{messages:?}") };
    assert_eq!((*code, reason.len()), (Some(CloseCode::GOING_AWAY), 121));
}

#[test]
fn an_incomplete_frame_says_what_it_needs_and_is_left_alone() {
    let mut whole = Vec::new();
    write_masked_frame(&mut whole, Opcode::Text, &[b'x'; 300], KEY);
    for cut in 0..whole.len() {
        let mut part = whole[..cut].to_vec();
        let Ok(Step::Incomplete { need }) = parse_frame(&mut part, Role::Server, &LIMITS) else { panic!("at {cut}") };
        let expect = match cut {
            0..2 => 2,
            2..8 => 8,
            _ => whole.len(),
        };
        assert_eq!(need, expect, "at {cut}");
        assert_eq!(part, whole[..cut], "at {cut}");
    }
}

#[test]
fn what_follows_a_frame_is_not_touched() {
    let mut stream = Vec::new();
    write_masked_frame(&mut stream, Opcode::Text, b"one", KEY);
    let first = stream.len();
    write_masked_frame(&mut stream, Opcode::Text, b"two", KEY);
    let before = stream[first..].to_vec();
    let Ok(Step::Frame { frame, consumed }) = parse_frame(&mut stream, Role::Server, &LIMITS) else { panic!() };
    assert_eq!((frame.payload, consumed), (&b"one"[..], first));
    assert_eq!(stream[first..], before);
}

#[test]
fn a_frame_written_in_place_is_the_same_at_every_length() {
    for len in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
        let payload = vec![b'x'; len];
        let (mut in_place, mut copied) = (b"before".to_vec(), b"before".to_vec());
        frame_with(&mut in_place, Opcode::Text, |out| {
            out.extend_from_slice(&payload);
            Ok::<(), ()>(())
        })
        .unwrap();
        write_frame(&mut copied, Opcode::Text, &payload);
        assert!(in_place == copied, "length {len}");
    }
    let mut out = b"before".to_vec();
    let failed = frame_with(&mut out, Opcode::Text, |out| {
        out.push(1);
        Err("no")
    });
    assert_eq!((failed, out), (Err("no"), b"before".to_vec()));
}

#[test]
fn an_idle_assembler_is_one_pointer_and_owns_nothing() {
    assert_eq!(size_of::<Assembler>(), size_of::<usize>());
    let mut assembler = Assembler::new();
    let mut step = |bytes: &str| {
        let mut buf = hex(bytes);
        read(&mut buf, Role::Client, &LIMITS, &mut assembler).unwrap();
        assembler.pending()
    };
    assert_eq!(step("81 01 78"), None);
    assert_eq!(step("01 01 78"), Some(1));
    assert_eq!(step("89 00"), Some(1));
    assert_eq!(step("00 02 78 78"), Some(3));
    assert_eq!(step("80 00"), None);
}

/// A message as it is sent: opcode, payload, and where it is cut into fragments.
fn messages() -> impl Strategy<Value = Vec<(Opcode, Vec<u8>, Vec<usize>)>> {
    let text = any::<String>().prop_map(|text| (Opcode::Text, text.into_bytes()));
    let binary = prop::collection::vec(any::<u8>(), 0..400).prop_map(|bytes| (Opcode::Binary, bytes));
    let ping = prop::collection::vec(any::<u8>(), 0..=125).prop_map(|bytes| (Opcode::Ping, bytes));
    let one = (prop_oneof![text, binary, ping], prop::collection::vec(any::<prop::sample::Index>(), 0..4)).prop_map(
        |((opcode, payload), cuts)| {
            let mut cuts: Vec<usize> = match opcode {
                Opcode::Ping => Vec::new(),
                _ => cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect(),
            };
            cuts.sort_unstable();
            (opcode, payload, cuts)
        },
    );
    prop::collection::vec(one, 0..6)
}

fn stream(messages: &[(Opcode, Vec<u8>, Vec<usize>)], key: [u8; 4]) -> Vec<u8> {
    let mut out = Vec::new();
    for (opcode, payload, cuts) in messages {
        let mut from = 0;
        for (at, to) in cuts.iter().copied().chain([payload.len()]).enumerate() {
            let start = out.len();
            let opcode = if at == 0 { *opcode } else { Opcode::Continuation };
            write_masked_frame(&mut out, opcode, &payload[from..to], key);
            if at < cuts.len() {
                out[start] &= 0x7f;
            }
            from = to;
        }
    }
    out
}

proptest! {
    #[test]
    fn any_split_of_the_stream_gives_the_same_messages(
        sent in messages(), key in any::<[u8; 4]>(), splits in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let stream = stream(&sent, key);
        let mut splits: Vec<usize> = splits.iter().map(|split| split.index(stream.len() + 1)).collect();
        splits.push(stream.len());
        splits.sort_unstable();
        let (mut assembler, mut buf, mut read_messages, mut fed) = (Assembler::new(), Vec::new(), Vec::new(), 0);
        for split in splits {
            buf.extend_from_slice(&stream[fed..split]);
            fed = split;
            loop {
                let have = buf.len();
                let consumed = match read(&mut buf, Role::Server, &LIMITS, &mut assembler).unwrap() {
                    Read::Incomplete { need } => {
                        prop_assert!(need > have);
                        break;
                    }
                    Read::Fragment { consumed } => consumed,
                    Read::Message { message, consumed } => {
                        read_messages.push(owned(&message));
                        consumed
                    }
                };
                prop_assert!(0 < consumed && consumed <= have);
                buf.drain(..consumed);
            }
        }
        prop_assert!(buf.is_empty());
        let expect: Vec<Message<'_>> = sent.iter().map(|(opcode, payload, _)| match opcode {
            Opcode::Text => text(std::str::from_utf8(payload).unwrap()),
            Opcode::Binary => Message::Binary(Cow::Borrowed(payload)),
            _ => Message::Ping(payload),
        }).collect();
        prop_assert_eq!(read_messages, expect);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), server in any::<bool>()) {
        let role = if server { Role::Server } else { Role::Client };
        let _ = read_all(&bytes, role, &LIMITS);
    }
}
