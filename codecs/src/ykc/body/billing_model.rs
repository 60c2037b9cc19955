//! 0x05/0x06 check, 0x09/0x0A fetch and 0x58/0x57 set of the billing model: a price pair per rate, and for every half
//! hour of the day the rate that holds.
//!
//! | 0..7 pile | 7..9 model | 4 x (energy price 4, service price 4) | loss ratio 1 | 48 rate numbers |
//!
//! A dialect has a fifth rate (深谷, deep valley) and 98 bytes instead of 90.

use nom::Parser;

use crate::error::ParseError;
use crate::ykc::encode::Sealed;
use crate::ykc::wire::{Wire, at, body, fills, piece, pieces, whole};
use crate::ykc::{Body, CheckResult, Field, Outcome, PileId, Price, Shape, kind};

/// Half hours of a day.
pub const SLOTS: usize = 48;

/// Bytes with four rates, and with five.
const LEN_FOUR: usize = 90;
const LEN_FIVE: usize = 98;

body! {
    /// 0x05, charger: is this the current model?
    ModelCheck / ModelCheckView, kind kind::MODEL_CHECK, "model_check", 9 bytes {
        /// The charger.
        0..7 pile: PileId = "pile_id" "";
        /// The model it has; zero for none.
        7..9 model_no: [u8; 2] = "model_no" "";
    }
}

body! {
    /// 0x06, platform: same, or differs; then the charger sends 0x09.
    ModelCheckAck / ModelCheckAckView, kind kind::MODEL_CHECK_ACK, "model_check_ack", 10 bytes {
        /// The charger.
        0..7 pile: PileId = "pile_id" "";
        /// The platform's model.
        7..9 model_no: [u8; 2] = "model_no" "";
        /// Same or differs.
        9..10 result: CheckResult = "result" "";
    }
}

body! {
    /// 0x09, charger: send the billing model.
    ModelRequest / ModelRequestView, kind kind::MODEL_REQUEST, "model_request", 7 bytes {
        /// The charger.
        0..7 pile: PileId = "pile_id" "";
    }
}

body! {
    /// 0x57, charger: answer to a billing model.
    ModelSetReply / ModelSetReplyView, kind kind::MODEL_SET_REPLY, "model_set_reply", 8 bytes {
        /// The charger.
        0..7 pile: PileId = "pile_id" "";
        /// Whether it was stored.
        7..8 result: Outcome = "result" "";
    }
}

/// The prices of one rate, 0.00001 yuan/kWh each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RatePrice {
    /// Price of the electricity.
    pub energy: Price,
    /// Price of the service.
    pub service: Price,
}

impl RatePrice {
    fn from_wire(bytes: &[u8; 8]) -> Self {
        Self { energy: Wire::from_wire(at::<0, 4, 8>(bytes)), service: Wire::from_wire(at::<4, 4, 8>(bytes)) }
    }
}

/// The rates in the order sharp 尖, peak 峰, flat 平, valley 谷, and in one dialect deep valley 深谷.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RatePrices {
    /// As the document says.
    Four([RatePrice; 4]),
    /// With a deep valley.
    Five([RatePrice; 5]),
}

impl RatePrices {
    /// The rates; a slot number is an index into them.
    pub fn as_slice(&self) -> &[RatePrice] {
        match self {
            Self::Four(rates) => rates,
            Self::Five(rates) => rates,
        }
    }
}

/// A billing model as a value. Wrap it in [`ModelAnswer`] or [`ModelSet`] to send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BillingModel {
    /// The charger.
    pub pile: PileId,
    /// Number of the model. The document fixes 01 00, real platforms do not: echo, never validate.
    pub model_no: [u8; 2],
    /// Prices per rate.
    pub rates: RatePrices,
    /// Loss, per cent; platforms send 0.
    pub loss_ratio: u8,
    /// Rate number of every half hour from 00:00 local time.
    pub slots: [u8; SLOTS],
}

/// 0x0A, platform: the billing model that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelAnswer(pub BillingModel);

/// 0x58, platform: set the billing model; only for an idle pile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelSet(pub BillingModel);

/// Checked view of a billing model, from 0x0A and 0x58 alike.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BillingModelView<'a> {
    kind: u8,
    head: &'a [u8; 9],
    rates: &'a [[u8; 8]],
    tail: &'a [u8; 1 + SLOTS],
    extra: &'a [u8],
}

impl<'a> BillingModelView<'a> {
    /// Checks the length once. Exactly 98 bytes are five rates, everything else from 90 bytes up is four.
    ///
    /// # Errors
    /// The body is shorter than 90 bytes, or longer than a frame can carry.
    pub fn new_checked(kind: u8, body: &'a [u8]) -> Result<Self, ParseError> {
        let count = if body.len() == LEN_FIVE { 5 } else { 4 };
        let parser = (piece::<9>, pieces::<8>(count), piece::<49>);
        let mut parser = parser.map(|(head, rates, tail)| (head, rates, tail));
        let ((head, rates, tail), extra) =
            whole(body, "billing_model", BILLING_MODEL_FIELDS, |input| parser.parse(input))?;
        Ok(Self { kind, head, rates, tail, extra })
    }

    /// The charger.
    pub fn pile(&self) -> PileId {
        PileId(at::<0, 7, 9>(self.head))
    }

    /// Number of the model.
    pub fn model_no(&self) -> [u8; 2] {
        at::<7, 2, 9>(self.head)
    }

    /// Prices per rate, four or five.
    pub fn rates(&self) -> impl ExactSizeIterator<Item = RatePrice> + 'a {
        self.rates.iter().map(RatePrice::from_wire)
    }

    /// Loss, per cent.
    pub fn loss_ratio(&self) -> u8 {
        self.tail[0]
    }

    /// Rate number of every half hour from 00:00 local time.
    pub fn slots(&self) -> [u8; SLOTS] {
        at::<1, SLOTS, 49>(self.tail)
    }

    /// What follows behind the table.
    pub fn extra(&self) -> &'a [u8] {
        self.extra
    }

    /// The field table that fits: with four or five rates.
    pub fn fields(&self) -> &'static [Field] {
        if self.rates.len() == 5 { BILLING_MODEL_FIELDS_FIVE_RATES } else { BILLING_MODEL_FIELDS }
    }

    /// All fields at once.
    pub fn read(&self) -> BillingModel {
        let rates = match self.rates {
            [a, b, c, d, e] => RatePrices::Five([a, b, c, d, e].map(RatePrice::from_wire)),
            _ => {
                let mut four = [RatePrice::default(); 4];
                four.iter_mut().zip(self.rates()).for_each(|(to, from)| *to = from);
                RatePrices::Four(four)
            }
        };
        BillingModel {
            pile: self.pile(),
            model_no: self.model_no(),
            rates,
            loss_ratio: self.loss_ratio(),
            slots: self.slots(),
        }
    }
}

impl core::fmt::Debug for BillingModelView<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BillingModelView").field("table", &self.read()).field("extra", &self.extra).finish()
    }
}

impl Sealed for BillingModelView<'_> {}
impl Body for BillingModelView<'_> {
    fn kind(&self) -> u8 {
        self.kind
    }
    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head);
        out.extend_from_slice(self.rates.as_flattened());
        out.extend_from_slice(self.tail);
        out.extend_from_slice(self.extra);
    }
}

impl BillingModel {
    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.pile.0);
        out.extend_from_slice(&self.model_no);
        for rate in self.rates.as_slice() {
            out.extend_from_slice(&rate.energy.to_wire());
            out.extend_from_slice(&rate.service.to_wire());
        }
        out.push(self.loss_ratio);
        out.extend_from_slice(&self.slots);
    }
}

impl Sealed for ModelAnswer {}
impl Body for ModelAnswer {
    fn kind(&self) -> u8 {
        kind::MODEL_ANSWER
    }
    fn emit(&self, out: &mut Vec<u8>) {
        self.0.emit(out);
    }
}

impl Sealed for ModelSet {}
impl Body for ModelSet {
    fn kind(&self) -> u8 {
        kind::MODEL_SET
    }
    fn emit(&self, out: &mut Vec<u8>) {
        self.0.emit(out);
    }
}

macro_rules! model_fields {
    ($($rate:literal $at:literal),* ; $loss:literal) => { &[
        Field { name: "pile_id", at: 0, len: 7, shape: Shape::Hex, unit: "" },
        Field { name: "model_no", at: 7, len: 2, shape: Shape::Hex, unit: "" },
        $(
            Field { name: concat!($rate, "_energy_price"), at: $at, len: 4, shape: Shape::Decimal(5), unit: "yuan/kWh" },
            Field { name: concat!($rate, "_service_price"), at: $at + 4, len: 4, shape: Shape::Decimal(5), unit: "yuan/kWh" },
        )*
        Field { name: "loss_ratio", at: $loss, len: 1, shape: Shape::Int, unit: "%" },
        Field { name: "slots", at: $loss + 1, len: SLOTS, shape: Shape::Hex, unit: "" },
    ] };
}

/// The field table of 0x0A and 0x58.
pub(crate) const BILLING_MODEL_FIELDS: &[Field] = model_fields!("sharp" 9, "peak" 17, "flat" 25, "valley" 33; 41);
/// The field table with five rates.
pub(crate) const BILLING_MODEL_FIELDS_FIVE_RATES: &[Field] =
    model_fields!("sharp" 9, "peak" 17, "flat" 25, "valley" 33, "deep_valley" 41; 49);

const _: () = assert!(fills(BILLING_MODEL_FIELDS, LEN_FOUR) && fills(BILLING_MODEL_FIELDS_FIVE_RATES, LEN_FIVE));
