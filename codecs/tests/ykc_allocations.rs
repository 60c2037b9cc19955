//! Scanning and parsing the mix of a real connection allocates nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use codecs::ykc::{self, Message, Scan, ScanOptions};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn counted<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = ALLOCATIONS.get();
    let result = work();
    (result, ALLOCATIONS.get() - before)
}

/// All frames of the vectors file that have a right checksum, and some garbage, in one stream.
fn mix() -> Vec<u8> {
    let vectors: Vec<serde_json::Value> = serde_json::from_str(include_str!("vectors/ykc/frames.json")).unwrap();
    let mut stream = vec![1, 2, 0x68, 0];
    for vector in vectors.iter().filter(|vector| vector["valid_crc"] == true) {
        stream.extend(hex::decode(vector["hex"].as_str().unwrap()).unwrap());
        stream.extend([0x68, 3, 9]);
    }
    stream
}

#[test]
fn decoding_allocates_nothing() {
    let stream = mix();
    let ((frames, bad, sum), allocations) = counted(|| {
        let (mut at, mut frames, mut bad, mut sum) = (0, 0, 0, 0_u64);
        while at < stream.len() {
            match ykc::scan(&stream[at..], ScanOptions { at_end: true, ..ScanOptions::default() }) {
                Scan::Frame { frame, consumed } => {
                    frames += 1;
                    at += consumed;
                    match frame.message() {
                        Ok(Message::RealTime(view)) => sum += u64::from(view.read().energy.0),
                        Ok(Message::Record(view)) => sum += view.read().meter_end.raw(),
                        Ok(Message::Login(view)) => sum += u64::from(view.read().gun_count),
                        Ok(message) => sum += u64::from(message.pile().is_some()),
                        Err(_) => bad += 1,
                    }
                }
                Scan::Skip { consumed, .. } => at += consumed,
                Scan::Incomplete { .. } => panic!("incomplete at the end"),
            }
        }
        (frames, bad, sum)
    });
    assert!(frames >= 50 && bad >= 2 && sum > 0, "{frames} frames, {bad} bad bodies");
    assert_eq!(allocations, 0);
}

#[test]
fn encoding_into_a_warm_buffer_allocates_nothing() {
    let mut out = Vec::with_capacity(4096);
    let ((), allocations) = counted(|| {
        for seq in 0..8 {
            let ack = ykc::HeartbeatAck { pile: ykc::PileId([1; 7]), gun: ykc::Gun(1), ack: 0 };
            ykc::encode([seq, 0], &ack, &mut out);
        }
    });
    assert_eq!((out.len(), allocations), (8 * 17, 0));
}

/// The counter does count.
#[test]
fn a_box_is_seen() {
    assert_eq!(counted(|| Box::new([0_u8; 64])).1, 1);
}
