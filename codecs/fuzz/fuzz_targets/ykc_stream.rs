//! Any bytes as a stream: the scan gets to the end, and gives the same items whole and byte by byte.
#![no_main]

use codecs::ykc::{Scan, ScanOptions, scan};
use libfuzzer_sys::fuzz_target;

/// Offset and length of every frame.
fn frames<'a>(pieces: impl Iterator<Item = &'a [u8]>, options: ScanOptions) -> Vec<(usize, usize)> {
    let (mut found, mut buffer, mut at) = (Vec::new(), Vec::new(), 0);
    let mut drain = |buffer: &mut Vec<u8>, options| {
        loop {
            let consumed = match scan(buffer, options) {
                Scan::Frame { frame, consumed } => {
                    assert_eq!(frame.raw.len(), consumed);
                    let _ = codecs::ykc::describe_text(&frame);
                    found.push((at, consumed));
                    consumed
                }
                Scan::Skip { consumed, .. } => consumed,
                Scan::Incomplete { needed } => {
                    assert!(needed > buffer.len());
                    return;
                }
            };
            assert!(consumed > 0);
            buffer.drain(..consumed);
            at += consumed;
            if buffer.is_empty() {
                return;
            }
        }
    };
    for piece in pieces {
        buffer.extend_from_slice(piece);
        drain(&mut buffer, options);
    }
    drain(&mut buffer, ScanOptions { at_end: true, ..options });
    assert!(buffer.is_empty());
    found
}

fuzz_target!(|input: &[u8]| {
    // A fuzzer cannot guess a checksum, so half of the inputs are read without it.
    let [first, stream @ ..] = input else { return };
    let options = ScanOptions { ignore_crc: first % 2 == 1, at_end: false };
    assert_eq!(frames([stream].into_iter(), options), frames(stream.chunks(1), options));
});
