//! Topics: where an event belongs, what its key is, which promise it has (design: `docs/events.md`).

use std::fmt;

/// A topic of the log. The wire name is [`Topic::name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// `ev.device.v1`, key charger: everything in total order per charger, money included.
    Device,
    /// `ev.telemetry.v1`, key charger: live data, may be shed under overload.
    Telemetry,
    /// `ev.session.v1`, key charger, compacted: the last claim on a charger.
    Session,
    /// `ev.command.v1`, key charger: what we want done, with an expiry.
    Command,
    /// `ev.raw.v1`, key charger: raw frames, off by default.
    Raw,
    /// `biz.registry.v1`, key kind + id, compacted.
    Registry,
    /// `biz.order.v1`, key order: order and payment state changes.
    Order,
    /// `ev.device.v1.dlq`: device events that could not be applied, and record bodies that could not be parsed.
    DeviceDlq,
    /// `ev.telemetry.v1.dlq`.
    TelemetryDlq,
    /// `ev.command.v1.dlq`.
    CommandDlq,
}

impl Topic {
    /// Every topic, in a fixed order.
    pub const ALL: [Self; 10] = [
        Self::Device,
        Self::Telemetry,
        Self::Session,
        Self::Command,
        Self::Raw,
        Self::Registry,
        Self::Order,
        Self::DeviceDlq,
        Self::TelemetryDlq,
        Self::CommandDlq,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Device => "ev.device.v1",
            Self::Telemetry => "ev.telemetry.v1",
            Self::Session => "ev.session.v1",
            Self::Command => "ev.command.v1",
            Self::Raw => "ev.raw.v1",
            Self::Registry => "biz.registry.v1",
            Self::Order => "biz.order.v1",
            Self::DeviceDlq => "ev.device.v1.dlq",
            Self::TelemetryDlq => "ev.telemetry.v1.dlq",
            Self::CommandDlq => "ev.command.v1.dlq",
        }
    }

    /// The place of this topic in [`Topic::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Only the last record per key has to be kept.
    #[must_use]
    pub const fn compacted(self) -> bool {
        matches!(self, Self::Session | Self::Registry)
    }

    /// Where a record of this topic goes that cannot be applied.
    #[must_use]
    pub const fn dead_letter(self) -> Option<Self> {
        match self {
            Self::Device => Some(Self::DeviceDlq),
            Self::Telemetry => Some(Self::TelemetryDlq),
            Self::Command => Some(Self::CommandDlq),
            _ => None,
        }
    }

    /// The topic of a wire name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_is_the_place_in_all() {
        for (place, topic) in Topic::ALL.into_iter().enumerate() {
            assert_eq!(topic.index(), place);
            assert_eq!(Topic::from_name(topic.name()), Some(topic));
        }
    }
}
