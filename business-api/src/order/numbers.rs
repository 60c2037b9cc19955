//! Numbers of orders and sessions. Pure: time, counter and random bytes are given.

use std::ops::Range;

use crate::tariff::{LocalDate, LocalTime};

/// Counters of trade numbers that the business makes; the gateway takes 5000 to 9999 for cards and VINs it approves, so that
/// the two never make one number in one second.
pub const COUNTERS: Range<u16> = 0..5_000;

const LETTERS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Why there is no such number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// A YKC charger is named by 14 hex digits.
    #[error("the charger is not 14 hex digits")]
    Charger,
    /// Guns are 1 to 99.
    #[error("the gun is not 1..=99")]
    Gun,
    /// Counters have four digits.
    #[error("the counter is above 9999")]
    Counter,
}

/// A YKC trade number (YKC V1.6 交易流水号), 32 digits: charger 14, gun 2, local time yyMMddHHmmss, counter 4.
///
/// # Errors
/// [`NumberError`].
pub fn trade_number(charger: &str, gun: u32, at_ms: i64, counter: u16) -> Result<String, NumberError> {
    if charger.len() != 14 || !charger.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(NumberError::Charger);
    }
    if !(1..=99).contains(&gun) {
        return Err(NumberError::Gun);
    }
    if counter > 9_999 {
        return Err(NumberError::Counter);
    }
    Ok(format!("{}{gun:02}{}{counter:04}", charger.to_ascii_lowercase(), compact_time(at_ms)))
}

/// An order number, 24 characters of [0-9A-Z]: local time yyMMddHHmmss, counter 4 digits, 8 random characters. Sorts by time;
/// nobody can guess the next one.
#[must_use]
pub fn order_number(at_ms: i64, counter: u16, random: [u8; 8]) -> String {
    format!("{}{:04}{}", compact_time(at_ms), counter % 10_000, letters(&random))
}

/// The OCPP idTag that names an order, 20 characters: "R" and 19 of [0-9A-Z], about 98 bits.
#[must_use]
pub fn order_tag(random: [u8; 19]) -> String {
    format!("R{}", letters(&random))
}

fn letters(random: &[u8]) -> String {
    random
        .iter()
        .map(|byte| LETTERS.get(usize::from(*byte) % LETTERS.len()).map_or('0', |letter| char::from(*letter)))
        .collect()
}

fn compact_time(at_ms: i64) -> String {
    let (year, month, day) = LocalDate::of(at_ms).ymd();
    let minutes = LocalTime::of(at_ms).minutes();
    let second = at_ms.rem_euclid(60_000) / 1_000;
    format!("{:02}{month:02}{day:02}{:02}{:02}{second:02}", year.rem_euclid(100), minutes / 60, minutes % 60)
}
