//! What a stop reason in normal form means for an order. The gateway translates each protocol's codes to that form and keeps
//! the raw code beside it.

/// Groups of stop reasons (YKC V1.6: 0x40-0x49, 0x4A-0x69, 0x6A-0x8F and 0x90).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopGroup {
    /// As intended.
    Finished,
    /// The start failed.
    StartFailed,
    /// Broken off by charger, car or grid: settled as usual, with an alarm for the device.
    Aborted,
}

/// The group of a reason. A reason that nobody knows is an abort: an operator should see it.
#[must_use]
pub fn stop_group(reason: &str) -> StopGroup {
    let family = reason.split('.').next().unwrap_or(reason);
    match family {
        "remote_user" | "full" | "limit_energy" | "limit_money" | "limit_time" | "local_user" | "balance"
        | "unplugged" => StopGroup::Finished,
        "start_failed" => StopGroup::StartFailed,
        _ => StopGroup::Aborted,
    }
}
