//! What a sender did otherwise than the schema says, and was understood all the same.

use super::Text;

/// Hard cap, in bytes, on a text whose length the schema limits. Longer than the schema and up to here: accepted and
/// flagged; longer still: the payload is refused.
pub const BOUNDED_TEXT_CAP: usize = 1024;

/// One kind of deviation. The set is closed: [`Deviation::label`] may be a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Deviation {
    /// A number or boolean where a string belongs.
    NumberForText,
    /// A string, or a fraction with nothing behind the point, where an integer belongs.
    TextForNumber,
    /// A word that the enumeration does not have.
    UnknownWord,
    /// Longer than the schema allows, within [`BOUNDED_TEXT_CAP`].
    OverLong,
    /// A time without zone; UTC was assumed.
    TimeWithoutZone,
    /// A time that is understandable but not RFC 3339: short offset, blank for `T`, no seconds, lower case.
    TimeForm,
    /// A time that cannot be read, or none where one is required.
    TimeUnreadable,
    /// A meter reading with a fraction of a Wh where the schema wants whole ones.
    FractionalMeter,
    /// `meterValue` or `sampledValue` absent or empty.
    NoSamples,
    /// A sample without a value.
    NoValue,
}

impl Deviation {
    /// Every kind, in the order of the bits of [`Deviations`].
    pub const ALL: [Self; 10] = [
        Self::NumberForText,
        Self::TextForNumber,
        Self::UnknownWord,
        Self::OverLong,
        Self::TimeWithoutZone,
        Self::TimeForm,
        Self::TimeUnreadable,
        Self::FractionalMeter,
        Self::NoSamples,
        Self::NoValue,
    ];

    /// A name for a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NumberForText => "number_for_text",
            Self::TextForNumber => "text_for_number",
            Self::UnknownWord => "unknown_word",
            Self::OverLong => "over_long",
            Self::TimeWithoutZone => "time_without_zone",
            Self::TimeForm => "time_form",
            Self::TimeUnreadable => "time_unreadable",
            Self::FractionalMeter => "fractional_meter",
            Self::NoSamples => "no_samples",
            Self::NoValue => "no_value",
        }
    }
}

/// A set of [`Deviation`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Deviations(u16);

impl Deviations {
    /// The empty set: the payload conforms.
    pub const NONE: Self = Self(0);

    /// True if the payload conforms.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// True if `deviation` is in the set.
    pub const fn contains(self, deviation: Deviation) -> bool {
        self.0 & (1 << deviation as u16) != 0
    }

    /// Adds one.
    pub const fn insert(&mut self, deviation: Deviation) {
        self.0 |= 1 << deviation as u16;
    }

    /// The members.
    pub fn iter(self) -> impl Iterator<Item = Deviation> {
        Deviation::ALL.into_iter().filter(move |one| self.contains(*one))
    }
}

impl FromIterator<Deviation> for Deviations {
    fn from_iter<I: IntoIterator<Item = Deviation>>(all: I) -> Self {
        let mut set = Self::NONE;
        all.into_iter().for_each(|one| set.insert(one));
        set
    }
}

/// Collects deviations while a payload names its fields to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Notes {
    /// What was found so far.
    pub deviations: Deviations,
    /// The first field beyond [`BOUNDED_TEXT_CAP`].
    pub beyond_cap: Option<&'static str>,
}

impl Notes {
    /// Notes one kind.
    pub const fn add(&mut self, deviation: Deviation) {
        self.deviations.insert(deviation);
    }

    /// A text that the schema limits to `chars_max` characters.
    #[inline]
    pub fn text(&mut self, field: &'static str, text: &Text<'_>, chars_max: usize) {
        if text.is_retyped() {
            self.add(Deviation::NumberForText);
        }
        // As many bytes as characters allowed is short enough in any script.
        if text.len() > chars_max {
            self.long_text(field, text, chars_max);
        }
    }

    #[cold]
    fn long_text(&mut self, field: &'static str, text: &str, chars_max: usize) {
        if text.chars().nth(chars_max).is_some() {
            self.add(Deviation::OverLong);
        }
        if text.len() > BOUNDED_TEXT_CAP.max(chars_max * 4) && self.beyond_cap.is_none() {
            self.beyond_cap = Some(field);
        }
    }

    /// The same for an optional text.
    #[inline]
    pub fn optional_text(&mut self, field: &'static str, text: &Option<Text<'_>>, chars_max: usize) {
        if let Some(text) = text {
            self.text(field, text, chars_max);
        }
    }

    /// A text without a limit of its own (the message's size is limited).
    #[inline]
    pub fn free_text(&mut self, text: &Text<'_>) {
        if text.is_retyped() {
            self.add(Deviation::NumberForText);
        }
    }

    /// Any other value.
    #[inline]
    pub fn value<V: Note>(&mut self, value: &V) {
        value.note(self);
    }
}

/// A value that can say how it deviates.
pub trait Note {
    /// Adds this value's deviations to `notes`.
    fn note(&self, notes: &mut Notes);
}

impl<V: Note> Note for Option<V> {
    #[inline]
    fn note(&self, notes: &mut Notes) {
        if let Some(value) = self {
            value.note(notes);
        }
    }
}

impl<V: Note> Note for Vec<V> {
    #[inline]
    fn note(&self, notes: &mut Notes) {
        self.iter().for_each(|value| value.note(notes));
    }
}

impl<V: Note> Note for Box<V> {
    fn note(&self, notes: &mut Notes) {
        V::note(self, notes);
    }
}
