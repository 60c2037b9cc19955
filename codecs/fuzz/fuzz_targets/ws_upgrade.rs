//! Any bytes as the head of an upgrade, and as the answer to one.
#![no_main]

use codecs::ws::{Identity, UpgradeStep, encode_segment, parse_client_response, parse_upgrade};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|head: &[u8]| {
    let _ = parse_client_response(head, "dGhlIHNhbXBsZSBub25jZQ==", &["ocpp1.6"]);
    let Ok(UpgradeStep::Request(request)) = parse_upgrade(head) else { return };
    assert!(request.head_len <= head.len());
    let _ = format!("{request:?}");
    if let Ok(identity) = request.identity() {
        // Escaped again, it is the same one.
        assert_eq!(Identity::from_segment(&encode_segment(identity.as_str())), Ok(identity));
    }
});
