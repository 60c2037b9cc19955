//! Whatever can be constructed can be emitted, and comes back through the emitted bytes as it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use codecs::ykc::{self, *};
use proptest::prelude::*;

/// Writes a body as a frame and reads the frame back.
fn through_the_wire(seq: [u8; 2], body: &impl Body) -> Vec<u8> {
    let mut out = Vec::new();
    ykc::encode(seq, body, &mut out);
    let Scan::Frame { frame, consumed } = scan(&out, ScanOptions::default()) else { panic!("no frame") };
    assert_eq!((consumed, frame.seq, frame.kind), (out.len(), seq, body.kind()));
    assert_eq!((frame.crc_order, frame.length_rule), (CrcOrder::LowFirst, LengthRule::Standard));
    frame.body.to_vec()
}

/// Any bytes of the table's length are a value; the value gives the same bytes, and the bytes the same value.
macro_rules! round_trips {
    ($($test:ident: $value:ident $view:ident;)*) => {
        proptest! { $(
            #[test]
            fn $test(seq: [u8; 2], table in prop::collection::vec(any::<u8>(), $value::LEN), extra in prop::collection::vec(any::<u8>(), 0..9)) {
                let value = $view::new_checked(&table).unwrap().read();
                prop_assert_eq!(&through_the_wire(seq, &value), &table);
                let longer = [&table[..], &extra[..]].concat();
                let Ok(message) = Message::parse($value::KIND, &longer) else { panic!("refused") };
                let Message::$value(view) = message else { panic!("another message") };
                prop_assert_eq!((view.read(), view.extra()), (value, &extra[..]));
                prop_assert_eq!(&through_the_wire(seq, &message), &longer);
                prop_assert_eq!(&through_the_wire(seq, &view), &longer);
            }
        )* }

        /// Every shorter body is refused, and the error names the first field that is not whole.
        #[test]
        fn short_bodies_name_the_missing_field() {
            $( for len in 0..$value::LEN {
                let error = Message::parse($value::KIND, &vec![0; len]).unwrap_err();
                let field = $value::FIELDS.iter().find(|field| field.at + field.len > len).unwrap();
                assert_eq!((error.field, error.offset), (field.name, field.at));
                assert_eq!(error.reason, codecs::error::Reason::Short { need: field.at + field.len, have: len });
            } )*
        }

        #[test]
        fn no_body_is_longer_than_a_frame() {
            $( assert!($value::LEN <= BODY_MAX);
               assert!(Message::parse($value::KIND, &[0; BODY_MAX]).is_ok());
               assert!(Message::parse($value::KIND, &[0; BODY_MAX + 1]).is_err()); )*
        }
    };
}

round_trips! {
    login: Login LoginView;
    login_ack: LoginAck LoginAckView;
    heartbeat: Heartbeat HeartbeatView;
    heartbeat_ack: HeartbeatAck HeartbeatAckView;
    model_check: ModelCheck ModelCheckView;
    model_check_ack: ModelCheckAck ModelCheckAckView;
    model_request: ModelRequest ModelRequestView;
    read_real_time: ReadRealTime ReadRealTimeView;
    real_time: RealTime RealTimeView;
    start_request: StartRequest StartRequestView;
    start_answer: StartAnswer StartAnswerView;
    remote_start_reply: RemoteStartReply RemoteStartReplyView;
    remote_start: RemoteStart RemoteStartView;
    remote_stop_reply: RemoteStopReply RemoteStopReplyView;
    remote_stop: RemoteStop RemoteStopView;
    record_confirm: RecordConfirm RecordConfirmView;
    balance_reply: BalanceReply BalanceReplyView;
    balance_update: BalanceUpdate BalanceUpdateView;
    parameters_reply: ParametersReply ParametersReplyView;
    parameters: Parameters ParametersView;
    time_sync_reply: TimeSyncReply TimeSyncReplyView;
    time_sync: TimeSync TimeSyncView;
    model_set_reply: ModelSetReply ModelSetReplyView;
    reboot_reply: RebootReply RebootReplyView;
    reboot: Reboot RebootView;
}

/// A record whose bytes are random, but whose three times are times.
fn record_body(rates: usize) -> impl Strategy<Value = Vec<u8>> {
    let len = 38 + rates * 16 + 56;
    (prop::collection::vec(any::<u8>(), len), prop::array::uniform3(0_i64..4_000_000_000_000)).prop_map(
        move |(mut body, times)| {
            for (at, time) in [24, 31, 38 + rates * 16 + 40].into_iter().zip(times) {
                body[at..at + 7].copy_from_slice(&Cp56::from_utc_ms(time).0);
            }
            body
        },
    )
}

proptest! {
    #[test]
    fn record(seq: [u8; 2], rates in 4_usize..=5, seed in (record_body(4), record_body(5)), extra in prop::collection::vec(any::<u8>(), 0..9)) {
        let table = if rates == 4 { seed.0 } else { seed.1 };
        let value = RecordView::new_checked(&table).unwrap().read();
        prop_assert_eq!(value.rates.as_slice().len(), rates);
        prop_assert_eq!(&through_the_wire(seq, &value), &table);
        let longer = [&table[..], &extra[..]].concat();
        let Ok(Message::Record(view)) = Message::parse(kind::RECORD, &longer) else { panic!("no record") };
        prop_assert_eq!(&through_the_wire(seq, &view), &longer);
        prop_assert!(view.rates().eq(view.read().rates.as_slice().iter().copied()));
        if rates == 4 {
            prop_assert_eq!((view.read(), view.extra()), (value, &extra[..]));
        }
    }

    #[test]
    fn billing_model(seq: [u8; 2], table in prop_oneof![prop::collection::vec(any::<u8>(), 90), prop::collection::vec(any::<u8>(), 98)]) {
        for kind in [kind::MODEL_ANSWER, kind::MODEL_SET] {
            let view = BillingModelView::new_checked(kind, &table).unwrap();
            let value = view.read();
            prop_assert_eq!(value.rates.as_slice().len(), if table.len() == 98 { 5 } else { 4 });
            prop_assert!(view.rates().eq(value.rates.as_slice().iter().copied()));
            let bytes = if kind == kind::MODEL_SET {
                through_the_wire(seq, &ModelSet(value))
            } else {
                through_the_wire(seq, &ModelAnswer(value))
            };
            prop_assert_eq!(&bytes, &table);
            prop_assert_eq!(&through_the_wire(seq, &Message::parse(kind, &table).unwrap()), &table);
        }
    }

    #[test]
    fn unknown_types_keep_their_bytes(seq: [u8; 2], body in prop::collection::vec(any::<u8>(), 0..=BODY_MAX)) {
        let Ok(Message::Unknown(unknown)) = Message::parse(0x61, &body) else { panic!("0x61 is read") };
        prop_assert_eq!(&through_the_wire(seq, &unknown), &body);
    }
}

/// Additions behind five rates: the time of the record tells where the rates end.
#[test]
fn a_long_record_with_five_rates_is_recognised() {
    let mut body = vec![0; 174];
    body[38 + 5 * 16 + 40..][..7].copy_from_slice(&Cp56::from_utc_ms(1_776_391_558_000).0);
    body.extend([0xAA; 3]);
    let view = RecordView::new_checked(&body).unwrap();
    assert_eq!((view.rates().len(), view.extra()), (5, &[0xAA; 3][..]));
    assert_eq!(view.trade_time().utc_ms(), Some(1_776_391_558_000));
}

/// Constructed values, not only parsed ones; the bytes are those of the specification's own examples.
#[test]
fn built_frames_are_the_reference_frames() {
    let pile: PileId = "32010600019236".parse().unwrap();
    let mut out = Vec::new();
    encode([3, 0], &RemoteStop { pile, gun: Gun(1) }, &mut out);
    assert_eq!(hex::encode(&out), "680c030000363201060001923601fbbd");
    out.clear();
    let reply = RemoteStopReply { pile, gun: Gun(1), result: Outcome::Ok, failure: StopFailure::None };
    encode([3, 0], &reply, &mut out);
    assert_eq!(hex::encode(&out), "680e03000035320106000192360101008d95");
    out.clear();
    let rate = |energy, service| RatePrice { energy: Price(energy), service: Price(service) };
    let rates = [rate(200_000, 40_000), rate(300_000, 40_000), rate(400_000, 40_000), rate(500_000, 40_000)];
    let mut slots = [0; SLOTS];
    for (range, index) in [(0..14, 3), (14..20, 2), (20..28, 1), (32..42, 1), (42..48, 2)] {
        slots[range].fill(index);
    }
    let model = BillingModel { pile, model_no: [1, 0], rates: RatePrices::Four(rates), loss_ratio: 0, slots };
    encode([0x25, 0], &ModelSet(model), &mut out);
    assert_eq!(
        hex::encode(&out),
        "685e25000058320106000192360100400d0300409c0000e0930400409c0000801a0600409c000020a10700409c000000030303030303030\
         30303030303030202020202020101010101010101000000000101010101010101010102020202020235b1"
    );
}
