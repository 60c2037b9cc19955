//! The work per byte is bounded, whatever the bytes are.

use std::time::{Duration, Instant};

use codecs::ykc::{Scan, ScanOptions, scan};

/// Steps through a whole stream and counts the bytes that came under a checksum.
fn checked_bytes(stream: &[u8]) -> usize {
    let (mut at, mut checked) = (0, 0);
    let options = ScanOptions { ignore_crc: false, at_end: true };
    while at < stream.len() {
        let (Scan::Skip { consumed, .. } | Scan::Frame { consumed, .. }) = scan(&stream[at..], options) else {
            panic!("incomplete at the end")
        };
        // A candidate is checked only if its whole frame is there and its flag can be one of a header.
        if let [0x68, length @ 4..=255, _, _, 0..=15, ..] = stream[at..]
            && stream.len() - at >= usize::from(length) + 4
        {
            checked += usize::from(length);
        }
        at += consumed;
    }
    checked
}

/// Start bytes alone never reach a checksum: the flag would have to be 0x68.
#[test]
fn start_bytes_alone_cost_nothing() {
    assert_eq!(checked_bytes(&[0x68; 64 * 1024]), 0);
}

/// The worst that can be built: every other group of bytes begins a candidate of the largest length.
#[test]
fn crafted_candidates_stay_linear() {
    let unit = [0x68, 0xFF, 0x68, 0xFF, 0x00, 0xFF, 0x00, 0xFF];
    let small = unit.repeat(1024);
    let large = unit.repeat(64 * 1024);
    let (few, many) = (checked_bytes(&small), checked_bytes(&large));
    assert!(few > 0, "no candidate reached a checksum");
    // 64 times the stream costs 64 times the work; the last 259 bytes of a stream are never checked.
    assert!(many <= 70 * few, "{many} bytes checked in a stream 64 times as long as one with {few}");
    assert!(many <= 512 * large.len());
    let begin = Instant::now();
    checked_bytes(&large);
    assert!(begin.elapsed() < Duration::from_secs(20), "512 KiB took {:?}", begin.elapsed());
}
