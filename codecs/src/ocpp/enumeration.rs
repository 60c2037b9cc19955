//! Enumerations of the schema that keep a word they do not know.

/// Declares an enumeration: its words as variants, and `Unknown` with the text for any other word.
macro_rules! enumeration {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum $name<'a> {
            $($(#[$word_doc])* #[doc = concat!("`", $word, "`.")] $variant,)+
            /// A word that the schema does not have, as the sender wrote it.
            Unknown($crate::ocpp::Text<'a>),
        }

        impl<'a> $name<'a> {
            /// Every word of the schema.
            pub const ALL: &'static [$name<'static>] = &[$($name::$variant),+];

            /// The word on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Unknown(text) => text.as_str(),
                }
            }

            fn known(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The variant of a word; `Unknown` if the schema does not have it.
            pub fn from_text(text: $crate::ocpp::Text<'a>) -> Self {
                match Self::known(text.as_str()) {
                    Some(known) => known,
                    None => Self::Unknown(text),
                }
            }

            /// The same without the borrow, for what outlives the message.
            pub fn into_owned(self) -> $name<'static> {
                match self {
                    $(Self::$variant => $name::$variant,)+
                    Self::Unknown(text) => $name::Unknown(text.into_owned()),
                }
            }
        }

        impl std::fmt::Display for $name<'_> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl $crate::ocpp::Note for $name<'_> {
            #[inline]
            fn note(&self, notes: &mut $crate::ocpp::Notes) {
                if let Self::Unknown(text) = self {
                    notes.add($crate::ocpp::Deviation::UnknownWord);
                    notes.text(stringify!($name), text, $crate::ocpp::BOUNDED_TEXT_CAP);
                }
            }
        }

        impl serde::Serialize for $name<'_> {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de: 'a, 'a> serde::Deserialize<'de> for $name<'a> {
            #[inline]
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::ocpp::Text::word(deserializer).map(Self::from_text)
            }
        }
    };
}
