//! How often reading a message asks for memory, counted. One test: the counter is per thread.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use codecs::ocpp::{Envelope, scan_envelope, v16::StationCall};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1)); // Err: the thread is ending
        // SAFETY: the caller's promise is the system's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1)); // Err: the thread is ending
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(text: &str) -> usize {
    let before = COUNT.get();
    let envelope = scan_envelope(text).unwrap();
    let Envelope::Call { action, payload, .. } = &envelope else { panic!("no call") };
    let call = StationCall::parse(action, payload).unwrap();
    let deviations = call.deviations();
    let count = COUNT.get() - before;
    assert!(deviations.is_empty());
    drop(call);
    count
}

#[test]
fn reading_asks_for_memory_for_lists_only() {
    let before = COUNT.get();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(COUNT.get() - before, 1, "the counter counts");

    let id = "3f1c9a52-7c1b-4a11-9c53-0f6e1b2a7d90";
    assert_eq!(allocations(&format!(r#"[2,"{id}","Heartbeat",{{}}]"#)), 0);
    assert_eq!(allocations(&format!(r#"[2,"{id}","Authorize",{{"idTag":"04A1B2C3"}}]"#)), 0);
    let status = r#"{"connectorId":1,"errorCode":"NoError","info":"ok","status":"Available","timestamp":"2026-11-21T10:08:09Z","vendorId":"com.vendor"}"#;
    assert_eq!(allocations(&format!(r#"[2,"{id}","StatusNotification",{status}]"#)), 0);
    let start = r#"{"connectorId":1,"idTag":"04A1B2C3","meterStart":1000,"timestamp":"2026-11-21T10:08:09.123Z"}"#;
    assert_eq!(allocations(&format!(r#"[2,"{id}","StartTransaction",{start}]"#)), 0);
    // The list of meter values and the list of samples.
    assert_eq!(allocations(include_str!("vectors/ocpp/meter_values_650.json")), 2);
    // The list of samples grows once.
    assert_eq!(allocations(include_str!("vectors/ocpp/meter_values_1500.json")), 3);
}
