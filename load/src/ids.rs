//! The chargers of a load run: contiguous ids, and the registry entries that make a gateway know them.

/// Ids `first`, `first` + 1, ... as 14 digits. None: `first` is not 14 digits, or the range runs over.
#[must_use]
pub fn ykc_ids(first: &str, count: usize) -> Option<Vec<String>> {
    if first.len() != 14 || !first.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let start: u64 = first.parse().ok()?;
    let last = start.checked_add(u64::try_from(count).ok()?)?;
    (last <= 100_000_000_000_000).then(|| (start..last).map(|id| format!("{id:014}")).collect())
}

/// Identities `prefix000001`, `prefix000002`, ...
#[must_use]
pub fn ocpp_ids(prefix: &str, count: usize) -> Vec<String> {
    (1..=count).map(|n| format!("{prefix}{n:06}")).collect()
}
