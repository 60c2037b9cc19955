//! The values of the fields, each with its odd cases from the field.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use codecs::ykc::*;
use proptest::prelude::*;

#[test]
fn time_is_local_and_masked() {
    let plain = Cp56([0x98, 0xB7, 0x0E, 0x11, 0x10, 0x03, 0x14]);
    assert_eq!(plain.to_string(), "2020-03-16T17:14:47.000");
    assert_eq!(plain.utc_ms(), Some(1_584_350_087_000));
    // Weekday, summer time and reserved bits are set by real chargers and mean nothing.
    let weekday = Cp56([0x98, 0xB7, 0x0E | 0xC0, 0x11 | 0xE0, 0x10 | 0xA0, 0x03 | 0xF0, 0x14 | 0x80]);
    assert_eq!(weekday.utc_ms(), plain.utc_ms());
    assert_ne!(weekday, plain, "the bytes are kept as sent");
}

#[test]
fn what_is_no_time_has_none() {
    let ok = [0, 0, 0, 0, 1, 1, 24];
    assert_eq!(Cp56(ok).utc_ms(), Some(1_704_038_400_000));
    let wrong: [(usize, u8); 8] = [(1, 0xEB), (2, 60), (3, 24), (3, 31), (4, 0), (5, 0), (5, 13), (6, 100)];
    for (at, value) in wrong {
        let mut bytes = ok;
        bytes[at] = value;
        assert_eq!(Cp56(bytes).utc_ms(), None, "byte {at} = {value}");
        assert_eq!(Cp56(bytes).to_string().len(), 14, "shown as its bytes");
    }
    for (year, month, day, valid) in
        [(24, 2, 29, true), (23, 2, 29, false), (0, 2, 29, true), (24, 4, 31, false), (24, 12, 31, true)]
    {
        assert_eq!(Cp56([0, 0, 0, 0, day, month, year]).utc_ms().is_some(), valid, "20{year:02}-{month}-{day}");
    }
    // 59,999 ms is the last of a minute.
    assert_eq!(Cp56([0x5F, 0xEA, 59, 23, 31, 12, 99]).to_string(), "2099-12-31T23:59:59.999");
    assert_eq!(Cp56([0x60, 0xEA, 59, 23, 31, 12, 99]).utc_ms(), None);
}

#[test]
fn time_outside_of_the_century_is_clamped() {
    assert_eq!(Cp56::from_utc_ms(i64::MIN).to_string(), "2000-01-01T00:00:00.000");
    assert_eq!(Cp56::from_utc_ms(i64::MAX).to_string(), "2099-12-31T23:59:59.999");
}

proptest! {
    #[test]
    fn time_comes_back(ms in 946_656_000_000_i64..4_102_416_000_000) {
        prop_assert_eq!(Cp56::from_utc_ms(ms).utc_ms(), Some(ms));
    }

    #[test]
    fn ids_come_back_from_their_text(pile: [u8; 7], trade: [u8; 16]) {
        prop_assert_eq!(PileId(pile).to_string().parse(), Ok(PileId(pile)));
        prop_assert_eq!(TradeNo(trade).to_string().to_uppercase().parse(), Ok(TradeNo(trade)));
    }

    #[test]
    fn any_vin_is_chosen_from_its_own_bytes(bytes: [u8; 17]) {
        let vin = Vin(bytes);
        if let Some(chosen) = vin.of_start_request(|_| false) {
            prop_assert!(chosen == vin || chosen == vin.reversed());
        } else {
            prop_assert!(vin.is_absent());
        }
    }
}

#[test]
fn ids_are_strict_about_their_text() {
    assert_eq!("3201060001923".parse::<PileId>(), Err(IdError { digits: 14 }));
    assert_eq!("320106000192367".parse::<PileId>(), Err(IdError { digits: 14 }));
    assert_eq!("+2010600019236".parse::<PileId>(), Err(IdError { digits: 14 }));
    assert_eq!("3201060001923桩".parse::<PileId>(), Err(IdError { digits: 14 }));
}

#[test]
fn trade_numbers_follow_the_rule() {
    let pile: PileId = "32010600019236".parse().unwrap();
    // 2020-03-16 17:14:47 in China.
    let trade = TradeNo::compose(pile, Gun::from_number(12), 1_584_350_087_000, 5001);
    assert_eq!(trade.to_string(), "32010600019236122003161714475001");
    assert_eq!((trade.pile(), trade.gun(), trade.is_zero()), (pile, Gun(0x12), false));
    assert!(TradeNo::ZERO.is_zero());
}

#[test]
fn guns_are_bcd_or_binary() {
    assert_eq!(Gun::from_number(1), Gun(0x01));
    assert_eq!(Gun::from_number(10), Gun(0x10));
    assert_eq!((Gun(0x10).number(), Gun(0x0A).number(), Gun(0x99).number()), (10, 10, 99));
    assert!((0..=99).all(|number| Gun::from_number(number).number() == number));
    assert!(Gun(0).is_whole_pile() && !Gun(1).is_whole_pile());
    assert_eq!(Gun(0x0A).to_string(), "0a");
}

#[test]
fn cards_compare_without_their_padding() {
    let right = Card([0, 0, 0, 0, 0xD1, 0x4B, 0x0A, 0x54]);
    let left = Card([0xD1, 0x4B, 0x0A, 0x54, 0, 0, 0, 0]);
    assert!(right.same_digits(&left) && right != left);
    assert!(!right.same_digits(&Card([0xD1, 0x4B, 0x0A, 0x55, 0, 0, 0, 0])));
    assert_eq!(Card::ZERO.stripped(), b"");
}

const CHINESE: &str = "LB370ADN2SJ188288";

#[test]
fn a_vin_is_read_in_either_order() {
    let normal = Vin::new(CHINESE).unwrap();
    assert_eq!(normal.reversed().of_start_request(|_| false), Some(normal), "reversed, as the document says");
    assert_eq!(normal.of_start_request(|_| false), Some(normal), "as one firmware sends it");
}

#[test]
fn a_vin_without_a_plausible_order_is_asked_for() {
    let foreign = Vin::new("WBA8E9G50GNT43210").unwrap();
    assert_eq!(foreign.of_start_request(|vin| *vin == foreign), Some(foreign));
    assert_eq!(foreign.reversed().of_start_request(|vin| *vin == foreign), Some(foreign));
    assert_eq!(foreign.of_start_request(|_| false), Some(foreign.reversed()), "nobody knows: the document's order");
}

#[test]
fn absent_vins() {
    assert_eq!(Vin::NONE.of_start_request(|_| true), None);
    let mut zeros = [0; 17];
    zeros[..5].fill(b'0');
    assert!(Vin(zeros).is_absent());
    assert_eq!(Vin(zeros).as_str(), None);
    assert_eq!(Vin(zeros).to_string(), "00000", "still shown as sent");
    assert_eq!(Vin::new("too short"), None);
}

#[test]
fn vins_have_no_i_o_q() {
    assert!(Vin::new(CHINESE).unwrap().is_plausible());
    for wrong in ["LB37OADN2SJ188288", "LB370ADN2SJ18828A", "lb370adn2sj188288", "WB370ADN2SJ188288"] {
        assert!(!Vin::new(wrong).unwrap().is_plausible(), "{wrong}");
    }
}

#[test]
fn numbers_have_their_point() {
    assert_eq!(Energy(3_635_560).to_string(), "363.5560");
    assert_eq!(Price(229_999).to_string(), "2.29999");
    assert_eq!(Balance(16_777_216).to_string(), "167772.16");
    assert_eq!(Balance(5).to_string(), "0.05");
    assert_eq!((Volts(6641).to_string(), Amps(0).to_string()), ("664.1".to_owned(), "0.0".to_owned()));
    assert_eq!(Amount(u32::MAX).to_string(), "429496.7295");
    assert_eq!(MeterReading::new(u64::MAX), MeterReading::MAX);
    assert_eq!(MeterReading::MAX.to_string(), "109951162.7775");
    assert_eq!((Celsius(0).degrees(), Celsius(0).measured(), Celsius(75).measured()), (-50, None, Some(25)));
    assert_eq!(ProtocolVersion::V1_6.to_string(), "1.6");
}

#[test]
fn unknown_codes_are_kept() {
    assert_eq!(TradeFlag::from(3), TradeFlag::Other(3));
    for code in 0..=u8::MAX {
        assert_eq!(u8::from(GunState::from(code)), code);
        assert_eq!(u8::from(Refusal::from(code)), code);
    }
    assert_eq!(Refusal::KNOWN.len(), 12);
    assert_eq!((GunState::Charging.text(), GunState::Other(9).text()), ("charging", "not in the document"));
}

#[test]
fn stop_reasons_have_a_class_and_a_common_form() {
    let expect = |code: u8, class: StopClass, label: &str| {
        let reason = StopReason(code);
        assert_eq!((reason.class(), reason.kind().label()), (class, label), "{code:#04x}");
    };
    expect(0x40, StopClass::Finished, "remote_user");
    expect(0x41, StopClass::Finished, "full");
    expect(0x45, StopClass::Finished, "local_user");
    expect(0x46, StopClass::Finished, "unknown");
    expect(0x4A, StopClass::StartFailed, "start_failed");
    expect(0x4B, StopClass::StartFailed, "unplugged");
    expect(0x4E, StopClass::StartFailed, "balance");
    expect(0x50, StopClass::StartFailed, "emergency_stop");
    expect(0x52, StopClass::StartFailed, "bms");
    expect(0x61, StopClass::StartFailed, "bms");
    expect(0x62, StopClass::StartFailed, "start_failed");
    expect(0x58, StopClass::StartFailed, "start_failed");
    expect(0x69, StopClass::StartFailed, "start_failed");
    expect(0x6A, StopClass::Aborted, "charger_fault");
    expect(0x6B, StopClass::Aborted, "unplugged");
    expect(0x6E, StopClass::Aborted, "balance");
    expect(0x72, StopClass::Aborted, "emergency_stop");
    expect(0x77, StopClass::Aborted, "charger_fault");
    expect(0x78, StopClass::Aborted, "unknown");
    expect(0x79, StopClass::Aborted, "bms");
    expect(0x83, StopClass::Aborted, "power_loss");
    expect(0x89, StopClass::Aborted, "bms");
    expect(0x8A, StopClass::Aborted, "unknown");
    expect(0x90, StopClass::Unknown, "unknown");
    expect(0x00, StopClass::Unknown, "unknown");
    assert_eq!(StopReason(0x6E).to_string(), "6E");
}

#[test]
fn text_is_cut_and_safe() {
    let text = Text::<8>::new("V1.4.1.5 and more");
    assert_eq!((text.as_str(), text.trimmed().len()), (Some("V1.4.1.5"), 8));
    assert_eq!(Text([b'a', 0, b'b', 0, 0]).to_string(), r"a\x00b", "inner zeros stay");
    assert_eq!(Text([b'\n', 0x1B, 0xFF]).to_string(), r"\n\x1b\xff");
    assert_eq!(Text([0xFF]).as_str(), None);
}
