//! The configuration keys of a charge point (OCPP 1.6 §9): what can be asked and changed.

use std::collections::BTreeMap;

/// Keys and values; read-only ones are marked.
#[derive(Clone, Debug)]
pub(crate) struct Settings(BTreeMap<&'static str, (String, bool)>);

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    Accepted,
    Rejected,
    NotSupported,
}

impl Changed {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::Rejected => "Rejected",
            Self::NotSupported => "NotSupported",
        }
    }
}

impl Settings {
    pub(crate) fn new(connectors: u8) -> Self {
        let keys = [
            ("AuthorizeRemoteTxRequests", "false".to_owned(), false),
            ("ClockAlignedDataInterval", "900".to_owned(), false),
            ("ConnectionTimeOut", "60".to_owned(), false),
            ("HeartbeatInterval", "300".to_owned(), false),
            ("LocalPreAuthorize", "true".to_owned(), false),
            ("MeterValueSampleInterval", "60".to_owned(), false),
            ("MeterValuesSampledData", "Energy.Active.Import.Register,Power.Active.Import,SoC".to_owned(), true),
            ("NumberOfConnectors", connectors.to_string(), true),
            ("StopTransactionOnInvalidId", "true".to_owned(), false),
            ("SupportedFeatureProfiles", "Core,RemoteTrigger".to_owned(), true),
            ("TransactionMessageAttempts", "3".to_owned(), false),
            ("TransactionMessageRetryInterval", "60".to_owned(), false),
        ];
        Self(keys.into_iter().map(|(key, value, read_only)| (key, (value, read_only))).collect())
    }

    /// A number; 0 for keys that hold none.
    pub(crate) fn number(&self, key: &str) -> u64 {
        self.0.get(key).and_then(|(value, _)| value.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|(value, _)| value == "true")
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) -> Changed {
        let Some((held, read_only)) = self.0.get_mut(key) else { return Changed::NotSupported };
        let was_number = held.parse::<u64>().is_ok();
        let fits = if was_number { value.parse::<u32>().is_ok() } else { matches!(value, "true" | "false") };
        if *read_only || !fits {
            return Changed::Rejected;
        }
        value.clone_into(held);
        Changed::Accepted
    }

    /// (key, value, read-only) of the wanted keys, all if none is wanted; and the wanted ones that do not exist.
    pub(crate) fn get<'a>(&'a self, wanted: &'a [String]) -> (Vec<(&'a str, &'a str, bool)>, Vec<&'a str>) {
        let known = self.0.iter().filter(|(key, _)| wanted.is_empty() || wanted.iter().any(|w| w == *key));
        let known = known.map(|(key, (value, read_only))| (*key, value.as_str(), *read_only)).collect();
        let unknown = wanted.iter().filter(|w| !self.0.contains_key(w.as_str())).map(String::as_str).collect();
        (known, unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_changed_and_refused() {
        let mut settings = Settings::new(2);
        assert_eq!(settings.set("MeterValueSampleInterval", "30"), Changed::Accepted);
        assert_eq!(settings.number("MeterValueSampleInterval"), 30);
        assert_eq!(settings.set("MeterValueSampleInterval", "soon"), Changed::Rejected);
        assert_eq!(settings.set("NumberOfConnectors", "9"), Changed::Rejected);
        assert_eq!(settings.set("Colour", "blue"), Changed::NotSupported);
        let wanted = ["NumberOfConnectors".to_owned(), "Colour".to_owned()];
        assert_eq!(settings.get(&wanted), (vec![("NumberOfConnectors", "2", true)], vec!["Colour"]));
    }
}
