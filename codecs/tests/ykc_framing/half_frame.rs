//! Half a frame waits, asks for exactly what is missing, and at the end of time is given up.

use codecs::error::FrameError;
use codecs::ykc::{Scan, ScanOptions, scan};

use crate::stream::{Item, frame, items};

#[test]
fn every_prefix_waits() {
    let raw = frame([1, 0], 0x13, &[0x68; 60]);
    for len in 0..raw.len() {
        let Scan::Incomplete { needed } = scan(&raw[..len], ScanOptions::default()) else { panic!("{len} bytes") };
        assert!(len < needed && needed <= raw.len(), "{len} bytes, needs {needed}");
        if len >= 5 {
            assert_eq!(needed, raw.len());
        }
    }
}

#[test]
fn a_length_below_four_is_no_frame() {
    for length in 0..4 {
        let raw = [0x68, length];
        let step = scan(&raw, ScanOptions::default());
        assert_eq!(step, Scan::Skip { consumed: 1, error: FrameError::BadLength { length } });
    }
}

/// A frame that will never be finished hides a good one; giving up finds it.
#[test]
fn giving_up_finds_what_stands_behind() {
    let good = frame([2, 0], 0x03, &[0; 9]);
    let stream = [&[0x68, 200, 0, 0, 0, 0x13, 1, 2, 3][..], &good].concat();
    assert!(matches!(scan(&stream, ScanOptions::default()), Scan::Incomplete { needed: 204 }));
    let found = items([&stream[..]], ScanOptions::default());
    assert_eq!(found[0], Item::Bad { at: 0, error: FrameError::Truncated { need: 204, have: stream.len() } });
    assert_eq!(found.last(), Some(&Item::Frame { at: 9, raw: good }));
}
