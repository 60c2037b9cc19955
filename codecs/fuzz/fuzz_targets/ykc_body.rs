//! Any type with any body: read or refused, never a panic; what is read can be written, framed and read again.
#![no_main]

use codecs::ykc::{self, Body, Frame, Message, Scan, ScanOptions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [kind, body @ ..] = input else { return };
    let Ok(message) = Message::parse(*kind, body) else { return };
    let mut emitted = Vec::new();
    message.emit(&mut emitted);
    assert_eq!(emitted, body);
    let _ = format!("{message:?}");

    let mut out = Vec::new();
    ykc::encode([1, 2], &message, &mut out);
    let Scan::Frame { frame, consumed } = ykc::scan(&out, ScanOptions::default()) else { panic!("no frame") };
    assert_eq!((consumed, frame.seq, frame.message()), (out.len(), [1, 2], Ok(message)));
    assert_eq!(Frame::whole(&out), Some(frame));
    let _ = (ykc::describe(&frame), ykc::describe_text(&frame));

    // Through the plain value, where there is much in it.
    let mut again = Vec::new();
    match message {
        Message::Record(view) => view.read().emit(&mut again),
        Message::ModelSet(view) => ykc::ModelSet(view.read()).emit(&mut again),
        Message::RealTime(view) => view.read().emit(&mut again),
        Message::Login(view) => view.read().emit(&mut again),
        Message::StartRequest(view) => {
            let _ = view.vin().of_start_request(|vin| vin.is_plausible());
            view.read().emit(&mut again);
        }
        _ => return,
    }
    assert!(body.starts_with(&again));
});
