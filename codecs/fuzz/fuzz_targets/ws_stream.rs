//! Any bytes as a stream of frames: the same messages and the same end, whole and byte by byte.
#![no_main]

use codecs::ws::{Assembler, Limits, Read, Role, WsErrorKind, read};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { message_max: 300, fragments_max: 8 };

fn messages<'a>(pieces: impl Iterator<Item = &'a [u8]>, role: Role) -> (Vec<String>, Option<WsErrorKind>) {
    let (mut found, mut buf, mut assembler) = (Vec::new(), Vec::new(), Assembler::new());
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            let have = buf.len();
            let consumed = match read(&mut buf, role, &LIMITS, &mut assembler) {
                Ok(Read::Incomplete { need }) => {
                    assert!(need > have);
                    break;
                }
                Ok(Read::Fragment { consumed }) => consumed,
                Ok(Read::Message { message, consumed }) => {
                    found.push(format!("{message:?}"));
                    consumed
                }
                Err(error) => return (found, Some(error.kind)),
            };
            assert!(0 < consumed && consumed <= have);
            assert!(assembler.pending().is_none_or(|bytes| bytes <= LIMITS.message_max));
            buf.drain(..consumed);
        }
    }
    (found, None)
}

fuzz_target!(|input: &[u8]| {
    let [role, stream @ ..] = input else { return };
    let role = if role & 1 == 0 { Role::Client } else { Role::Server };
    assert_eq!(messages([stream].into_iter(), role), messages(stream.chunks(1), role));
});
