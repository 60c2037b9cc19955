//! Checksums: low byte first, high byte first and remembered, wrong, and ignored on request.

use codecs::error::FrameError;
use codecs::ykc::{CrcOrder, FrameStyle, Scan, ScanOptions, crc16, scan};

use crate::stream::{Item, frame, items, styled};

fn with(crc_order: CrcOrder) -> Vec<u8> {
    styled([7, 0], 0x03, &[1, 2, 3, 4, 5, 6, 7, 1, 0], FrameStyle { crc_order, ..FrameStyle::default() })
}

#[test]
fn both_orders_are_accepted_and_told_apart() {
    for order in [CrcOrder::LowFirst, CrcOrder::HighFirst] {
        let raw = with(order);
        let Scan::Frame { frame, consumed } = scan(&raw, ScanOptions::default()) else { panic!("{order:?}") };
        assert_eq!((frame.crc_order, consumed), (order, raw.len()));
    }
}

#[test]
fn a_wrong_one_is_an_item_that_names_both_sums() {
    let raw = with(CrcOrder::Wrong);
    let computed = crc16(&raw[2..raw.len() - 2]);
    let error = FrameError::BadCrc { kind: 0x03, stated: !computed, computed };
    assert_eq!(scan(&raw, ScanOptions::default()), Scan::Skip { consumed: 1, error });
    let good = frame([8, 0], 0x03, &[0; 9]);
    let found = items([&raw[..], &good[..]], ScanOptions::default());
    assert_eq!(found[0], Item::Bad { at: 0, error });
    assert_eq!(found.last(), Some(&Item::Frame { at: raw.len(), raw: good }));
}

#[test]
fn it_can_be_ignored() {
    let raw = with(CrcOrder::Wrong);
    let Scan::Frame { frame, .. } = scan(&raw, ScanOptions { ignore_crc: true, at_end: false }) else { panic!() };
    assert_eq!(frame.crc_order, CrcOrder::Wrong);
    assert_eq!(frame.body, [1, 2, 3, 4, 5, 6, 7, 1, 0]);
}

/// The check value of the catalogue, and a login answer of a real platform.
#[test]
fn it_is_modbus() {
    assert_eq!(crc16(b"123456789"), 0x4B37);
    assert_eq!(crc16(&[0, 0, 0, 2, 0x55, 3, 0x14, 0x12, 0x78, 0x23, 5, 0]), 0x4CDA);
}
