//! `MeterValue` and `SampledValue` (OCPP 1.6 §7.31, §7.43), in MeterValues and StopTransaction.

use serde::{Deserialize, Serialize};

use super::sample_list::samples_or_nothing;
use crate::ocpp::{Deviation, Note, Notes, Text, Timestamp, scale_decimal};

enumeration! {
    /// `ReadingContext` (§7.37): why there is a reading.
    ReadingContext {
        InterruptionBegin = "Interruption.Begin",
        InterruptionEnd = "Interruption.End",
        /// Other than all of these.
        Other = "Other",
        SampleClock = "Sample.Clock",
        SamplePeriodic = "Sample.Periodic",
        TransactionBegin = "Transaction.Begin",
        TransactionEnd = "Transaction.End",
        Trigger = "Trigger",
    }
}

enumeration! {
    /// `ValueFormat` (§7.46).
    ValueFormat {
        /// A decimal number.
        Raw = "Raw",
        /// Opaque, signed by the meter.
        SignedData = "SignedData",
    }
}

enumeration! {
    /// `Measurand` (§7.30).
    Measurand {
        CurrentExport = "Current.Export",
        CurrentImport = "Current.Import",
        CurrentOffered = "Current.Offered",
        EnergyActiveExportRegister = "Energy.Active.Export.Register",
        EnergyActiveImportRegister = "Energy.Active.Import.Register",
        EnergyReactiveExportRegister = "Energy.Reactive.Export.Register",
        EnergyReactiveImportRegister = "Energy.Reactive.Import.Register",
        EnergyActiveExportInterval = "Energy.Active.Export.Interval",
        EnergyActiveImportInterval = "Energy.Active.Import.Interval",
        EnergyReactiveExportInterval = "Energy.Reactive.Export.Interval",
        EnergyReactiveImportInterval = "Energy.Reactive.Import.Interval",
        Frequency = "Frequency",
        PowerActiveExport = "Power.Active.Export",
        PowerActiveImport = "Power.Active.Import",
        PowerFactor = "Power.Factor",
        PowerOffered = "Power.Offered",
        PowerReactiveExport = "Power.Reactive.Export",
        PowerReactiveImport = "Power.Reactive.Import",
        Rpm = "RPM",
        StateOfCharge = "SoC",
        Temperature = "Temperature",
        Voltage = "Voltage",
    }
}

enumeration! {
    /// `Phase` (§7.34). Absent: the total over all phases.
    Phase {
        L1 = "L1",
        L2 = "L2",
        L3 = "L3",
        N = "N",
        L1N = "L1-N",
        L2N = "L2-N",
        L3N = "L3-N",
        L1L2 = "L1-L2",
        L2L3 = "L2-L3",
        L3L1 = "L3-L1",
    }
}

enumeration! {
    /// `Location` (§7.29): where it was measured.
    Location {
        Body = "Body",
        Cable = "Cable",
        Ev = "EV",
        Inlet = "Inlet",
        Outlet = "Outlet",
    }
}

enumeration! {
    /// `UnitOfMeasure` (§7.45). `Celcius` is how OCPP 1.6 spells it; the corrected word and `Hertz` are later additions.
    Unit {
        Wh = "Wh",
        KiloWh = "kWh",
        Varh = "varh",
        KiloVarh = "kvarh",
        W = "W",
        KiloW = "kW",
        Va = "VA",
        KiloVa = "kVA",
        Var = "var",
        KiloVar = "kvar",
        A = "A",
        V = "V",
        K = "K",
        Celcius = "Celcius",
        Celsius = "Celsius",
        Fahrenheit = "Fahrenheit",
        Percent = "Percent",
        Hertz = "Hertz",
    }
}

/// Readings of one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MeterValue<'a> {
    /// When. Unreadable if the charge point left it out.
    #[serde(borrow, default)]
    pub timestamp: Timestamp<'a>,
    /// The readings; empty if the charge point sent none.
    #[serde(borrow, default, deserialize_with = "samples_or_nothing")]
    pub sampled_value: Vec<SampledValue<'a>>,
}

/// One reading.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SampledValue<'a> {
    /// A decimal number, or opaque data if `format` says so. Empty if the charge point sent none.
    pub value: Text<'a>,
    /// Why; absent: `Sample.Periodic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<ReadingContext<'a>>,
    /// Absent: `Raw`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<ValueFormat<'a>>,
    /// What; absent: `Energy.Active.Import.Register`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measurand: Option<Measurand<'a>>,
    /// Absent: the total.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase<'a>>,
    /// Where; absent: `Outlet`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location<'a>>,
    /// Absent: `Wh` for an energy; for the others the schema names no default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit<'a>>,
}

impl<'a> SampledValue<'a> {
    /// A raw value of a measurand in a unit.
    pub fn new(measurand: Measurand<'a>, value: impl Into<Text<'a>>, unit: Unit<'a>) -> Self {
        Self { value: value.into(), measurand: Some(measurand), unit: Some(unit), ..Self::default() }
    }

    /// The measurand, with the schema's default.
    pub fn measurand(&self) -> &Measurand<'a> {
        self.measurand.as_ref().unwrap_or(&Measurand::EnergyActiveImportRegister)
    }

    /// The context, with the schema's default.
    pub fn context(&self) -> &ReadingContext<'a> {
        self.context.as_ref().unwrap_or(&ReadingContext::SamplePeriodic)
    }

    /// The location, with the schema's default.
    pub fn location(&self) -> &Location<'a> {
        self.location.as_ref().unwrap_or(&Location::Outlet)
    }

    /// True for a value that only its meter's maker can read.
    pub fn is_signed_data(&self) -> bool {
        matches!(self.format, Some(ValueFormat::SignedData))
    }

    /// True for a value of the whole connector rather than of one phase.
    pub const fn is_total(&self) -> bool {
        self.phase.is_none()
    }

    /// An energy in 0.0001 kWh (0.1 Wh), by decimal arithmetic, rounded half away from zero. The unit is Wh if absent.
    /// `None`: not an active or reactive energy in Wh, kWh, varh or kvarh, signed data, or no number.
    pub fn energy_e4(&self) -> Option<i64> {
        use Measurand as M;
        let places = match (self.measurand(), &self.unit) {
            (M::EnergyActiveExportRegister | M::EnergyActiveImportRegister, None | Some(Unit::Wh))
            | (M::EnergyActiveExportInterval | M::EnergyActiveImportInterval, None | Some(Unit::Wh)) => 1,
            (M::EnergyActiveExportRegister | M::EnergyActiveImportRegister, Some(Unit::KiloWh))
            | (M::EnergyActiveExportInterval | M::EnergyActiveImportInterval, Some(Unit::KiloWh)) => 4,
            (M::EnergyReactiveExportRegister | M::EnergyReactiveImportRegister, Some(Unit::Varh))
            | (M::EnergyReactiveExportInterval | M::EnergyReactiveImportInterval, Some(Unit::Varh)) => 1,
            (M::EnergyReactiveExportRegister | M::EnergyReactiveImportRegister, Some(Unit::KiloVarh))
            | (M::EnergyReactiveExportInterval | M::EnergyReactiveImportInterval, Some(Unit::KiloVarh)) => 4,
            _ => return None,
        };
        self.scaled(places)
    }

    /// The value × 10^`places`, in whatever unit it has. A thousandfold unit (kW, kVA, kvar, kWh, kvarh) is not taken
    /// into account; see [`SampledValue::base_unit_scaled`].
    pub fn scaled(&self, places: i32) -> Option<i64> {
        if self.is_signed_data() { None } else { scale_decimal(&self.value, places).ok() }
    }

    /// The value in its base unit (W for kW, and so on) × 10^`places`: 7.4 kW is 7400 with 0 places.
    pub fn base_unit_scaled(&self, places: i32) -> Option<i64> {
        let kilo =
            matches!(self.unit, Some(Unit::KiloW | Unit::KiloVa | Unit::KiloVar | Unit::KiloWh | Unit::KiloVarh));
        self.scaled(if kilo { places + 3 } else { places })
    }
}

impl<'a> MeterValue<'a> {
    /// The first total (no phase) of a measurand that is a plain number; at the outlet rather than elsewhere.
    pub fn total(&self, measurand: &Measurand<'_>) -> Option<&SampledValue<'a>> {
        let mut totals = self.sampled_value.iter().filter(|sample| {
            sample.measurand().as_str() == measurand.as_str() && sample.is_total() && !sample.is_signed_data()
        });
        let first = totals.next()?;
        if *first.location() == Location::Outlet {
            return Some(first);
        }
        Some(totals.find(|sample| *sample.location() == Location::Outlet).unwrap_or(first))
    }

    /// The meter's register of delivered energy in 0.0001 kWh (0.1 Wh), whole connector.
    pub fn energy_import_register_e4(&self) -> Option<i64> {
        self.total(&Measurand::EnergyActiveImportRegister)?.energy_e4()
    }
}

impl Note for MeterValue<'_> {
    fn note(&self, notes: &mut Notes) {
        notes.value(&self.timestamp);
        if self.sampled_value.is_empty() {
            notes.add(Deviation::NoSamples);
        }
        notes.value(&self.sampled_value);
    }
}

impl Note for SampledValue<'_> {
    fn note(&self, notes: &mut Notes) {
        if self.value.is_empty() {
            notes.add(Deviation::NoValue);
        }
        notes.free_text(&self.value);
        notes.value(&self.context);
        notes.value(&self.format);
        notes.value(&self.measurand);
        notes.value(&self.phase);
        notes.value(&self.location);
        notes.value(&self.unit);
    }
}
