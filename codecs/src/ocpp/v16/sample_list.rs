//! Reads lists of samples into place. MeterValues is most of what a charging station says, and moving finished samples
//! about would be a sixth of its cost.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess},
};

use super::{MeterValue, SampledValue};
use crate::ocpp::text::{TextOrNull, WordOrNull};

/// Samples that a list has room for at first; most have fewer.
const SAMPLES_USUAL: usize = 8;

/// The list of samples; `null` is an empty one.
pub(super) fn samples_or_nothing<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<SampledValue<'a>>, D::Error> {
    deserializer.deserialize_any(Samples(PhantomData))
}

struct Samples<'a>(PhantomData<&'a str>);

impl<'de: 'a, 'a> de::Visitor<'de> for Samples<'a> {
    type Value = Vec<SampledValue<'a>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut first = SampledValue::default();
        if items.next_element_seed(Fill(&mut first))?.is_none() {
            return Ok(Vec::new()); // nothing is asked for when there is nothing to hold
        }
        let mut list = Vec::with_capacity(SAMPLES_USUAL + 1); // and a place to read into when there is no more
        list.push(first);
        loop {
            list.push(SampledValue::default());
            let Some(place) = list.last_mut() else { return Ok(list) };
            if items.next_element_seed(Fill(place))?.is_none() {
                list.pop();
                return Ok(list);
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for SampledValue<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut sample = Self::default();
        Fill(&mut sample).deserialize(deserializer)?;
        Ok(sample)
    }
}

/// Reads one sample into a place that holds the default.
struct Fill<'p, 'a>(&'p mut SampledValue<'a>);

const FIELDS: &[&str] = &["value", "context", "format", "measurand", "phase", "location", "unit"];

#[derive(Clone, Copy)]
enum Field {
    Value,
    Context,
    Format,
    Measurand,
    Phase,
    Location,
    Unit,
    Skipped,
}

impl<'de> Deserialize<'de> for Field {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl de::Visitor<'_> for Name {
            type Value = Field;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }
            #[inline]
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Field, E> {
                Ok(match name {
                    "value" => Field::Value,
                    "context" => Field::Context,
                    "format" => Field::Format,
                    "measurand" => Field::Measurand,
                    "phase" => Field::Phase,
                    "location" => Field::Location,
                    "unit" => Field::Unit,
                    _ => Field::Skipped,
                })
            }
        }
        deserializer.deserialize_identifier(Name)
    }
}

impl<'de: 'a, 'a> DeserializeSeed<'de> for Fill<'_, 'a> {
    type Value = ();

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de: 'a, 'a> de::Visitor<'de> for Fill<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("struct SampledValue")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let (sample, mut seen) = (self.0, 0u8);
        while let Some(field) = fields.next_key::<Field>()? {
            if matches!(field, Field::Skipped) {
                fields.next_value::<IgnoredAny>()?;
                continue;
            }
            let bit = 1 << field as u8;
            if seen & bit != 0 {
                return Err(de::Error::duplicate_field(FIELDS.get(field as usize).copied().unwrap_or_default()));
            }
            seen |= bit;
            let text = match field {
                Field::Value => fields.next_value_seed(TextOrNull)?,
                _ => fields.next_value_seed(WordOrNull)?,
            };
            match (field, text) {
                (_, None) | (Field::Skipped, _) => {}
                (Field::Value, Some(text)) => sample.value = text,
                (Field::Context, Some(text)) => sample.context = Some(super::ReadingContext::from_text(text)),
                (Field::Format, Some(text)) => sample.format = Some(super::ValueFormat::from_text(text)),
                (Field::Measurand, Some(text)) => sample.measurand = Some(super::Measurand::from_text(text)),
                (Field::Phase, Some(text)) => sample.phase = Some(super::Phase::from_text(text)),
                (Field::Location, Some(text)) => sample.location = Some(super::Location::from_text(text)),
                (Field::Unit, Some(text)) => sample.unit = Some(super::Unit::from_text(text)),
            }
        }
        Ok(())
    }
}

/// The list of meter values; `null` is an empty one. Most have one.
pub(super) fn meter_values_or_nothing<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<MeterValue<'a>>, D::Error> {
    deserializer.deserialize_any(MeterValueList(PhantomData))
}

struct MeterValueList<'a>(PhantomData<&'a str>);

impl<'de: 'a, 'a> de::Visitor<'de> for MeterValueList<'a> {
    type Value = Vec<MeterValue<'a>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            if list.is_empty() {
                list.reserve_exact(1);
            }
            list.push(item);
        }
        Ok(list)
    }
}
