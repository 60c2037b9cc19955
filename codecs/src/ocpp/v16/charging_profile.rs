//! `ChargingProfile` (OCPP 1.6 §7.8): a limit over time, here as part of RemoteStartTransaction.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::ocpp::{Int, Note, Notes, Text, Timestamp, scale_decimal};

enumeration! {
    /// `ChargingProfilePurposeType` (§7.11).
    ChargingProfilePurpose {
        ChargePointMaxProfile = "ChargePointMaxProfile",
        TxDefaultProfile = "TxDefaultProfile",
        TxProfile = "TxProfile",
    }
}

enumeration! {
    /// `ChargingProfileKindType` (§7.10).
    ChargingProfileKind {
        Absolute = "Absolute",
        Recurring = "Recurring",
        Relative = "Relative",
    }
}

enumeration! {
    /// `RecurrencyKindType` (§7.38).
    RecurrencyKind {
        Daily = "Daily",
        Weekly = "Weekly",
    }
}

enumeration! {
    /// `ChargingRateUnitType` (§7.12).
    ChargingRateUnit {
        /// Watt in total.
        W = "W",
        /// Ampere per phase.
        A = "A",
    }
}

/// A limit over time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChargingProfile<'a> {
    /// Its name.
    pub charging_profile_id: Int,
    /// The transaction it is for, with purpose TxProfile. Absent in a RemoteStartTransaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<Int>,
    /// Higher wins.
    pub stack_level: Int,
    /// What it limits.
    #[serde(borrow)]
    pub charging_profile_purpose: ChargingProfilePurpose<'a>,
    /// What its times are relative to.
    #[serde(borrow)]
    pub charging_profile_kind: ChargingProfileKind<'a>,
    /// How often, with kind Recurring.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub recurrency_kind: Option<RecurrencyKind<'a>>,
    /// From when on.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Timestamp<'a>>,
    /// Until when.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Timestamp<'a>>,
    /// The limits.
    #[serde(borrow)]
    pub charging_schedule: ChargingSchedule<'a>,
}

/// Limits one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChargingSchedule<'a> {
    /// Seconds; absent: the last limit holds for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<Int>,
    /// When it begins, with kind Absolute or Recurring.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub start_schedule: Option<Timestamp<'a>>,
    /// What the limits are in.
    #[serde(borrow)]
    pub charging_rate_unit: ChargingRateUnit<'a>,
    /// The limits, by their start.
    pub charging_schedule_period: Vec<ChargingSchedulePeriod>,
    /// Below this the vehicle charges inefficiently.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_charging_rate: Option<Tenth>,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChargingSchedulePeriod {
    /// Seconds from the schedule's start.
    pub start_period: Int,
    /// In the schedule's unit.
    pub limit: Tenth,
    /// Absent: 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number_phases: Option<Int>,
}

/// A number with one decimal digit, in tenths: 160 is 16.0 A.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenth(pub i64);

impl fmt::Debug for Tenth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}e-1", self.0)
    }
}

impl Serialize for Tenth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % 10 == 0 {
            return serializer.serialize_i64(self.0 / 10);
        }
        // A JSON number out of decimal digits, as they are.
        let sign = if self.0 < 0 { "-" } else { "" };
        let text = format!("{sign}{}.{}", self.0.unsigned_abs() / 10, self.0.unsigned_abs() % 10);
        RawValue::from_string(text).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Tenth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        scale_decimal(&text, 1).map(Self).map_err(|_| serde::de::Error::custom("invalid value: not a number"))
    }
}

impl Note for ChargingProfile<'_> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.charging_profile_id);
        notes.value(&self.transaction_id);
        notes.value(&self.stack_level);
        notes.value(&self.charging_profile_purpose);
        notes.value(&self.charging_profile_kind);
        notes.value(&self.recurrency_kind);
        notes.value(&self.valid_from);
        notes.value(&self.valid_to);
        let schedule = &self.charging_schedule;
        notes.value(&schedule.duration);
        notes.value(&schedule.start_schedule);
        notes.value(&schedule.charging_rate_unit);
        for period in &schedule.charging_schedule_period {
            notes.value(&period.start_period);
            notes.value(&period.number_phases);
        }
    }
}
