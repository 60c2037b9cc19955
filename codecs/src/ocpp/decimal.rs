//! Decimal text to scaled integers, without floating point on the way.

/// Why a decimal text has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not `[+-]digits[.digits][e[+-]digits]`.
    #[error("not a decimal number")]
    Malformed,
    /// The scaled value is beyond `i64`.
    #[error("beyond the range of the scaled integer")]
    OutOfRange,
}

/// `text` × 10^`places`, rounded half away from zero: `("12.345", 1)` is 123, `("1.5", 4)` is 15 000.
///
/// Blanks around the number are skipped; a comma is not a decimal point, because it may group thousands.
///
/// # Errors
/// See [`DecimalError`].
pub fn scale_decimal(text: &str, places: i32) -> Result<i64, DecimalError> {
    scale(text, places).map(|(value, _)| value)
}

/// The same, and whether nothing was rounded away.
pub(super) fn scale(text: &str, places: i32) -> Result<(i64, bool), DecimalError> {
    let decimal = Decimal::parse(text.trim_ascii().as_bytes()).ok_or(DecimalError::Malformed)?;
    decimal.scaled(places).ok_or(DecimalError::OutOfRange)
}

struct Decimal {
    negative: bool,
    digits: u128,
    /// value = digits × 10^exponent
    exponent: i32,
    /// Non-zero digits behind those that `digits` can hold: it holds 36 at least, an `i64` has 19.
    cut: bool,
}

impl Decimal {
    fn parse(text: &[u8]) -> Option<Self> {
        const ROOM: u128 = u128::MAX / 100;
        let (negative, mut rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] | rest => (false, rest),
        };
        let mut it = Self { negative, digits: 0, exponent: 0, cut: false };
        let (mut seen, mut fraction) = (false, false);
        while let [byte, tail @ ..] = rest {
            match byte {
                b'0'..=b'9' => {
                    let digit = u128::from(byte - b'0');
                    seen = true;
                    if it.digits < ROOM {
                        it.digits = it.digits * 10 + digit;
                        it.exponent = it.exponent.saturating_sub(i32::from(fraction));
                    } else {
                        it.cut |= digit != 0;
                        it.exponent = it.exponent.saturating_add(i32::from(!fraction));
                    }
                }
                b'.' if !fraction => fraction = true,
                b'e' | b'E' if seen => {
                    it.exponent = it.exponent.saturating_add(parse_exponent(tail)?);
                    return Some(it);
                }
                _ => return None,
            }
            rest = tail;
        }
        seen.then_some(it)
    }

    fn scaled(&self, places: i32) -> Option<(i64, bool)> {
        let shift = self.exponent.saturating_add(places);
        let (magnitude, exact) = match 10u128.checked_pow(shift.unsigned_abs()) {
            _ if self.digits == 0 => (0, !self.cut),
            Some(factor) if shift >= 0 => (self.digits.checked_mul(factor)?, !self.cut),
            None if shift >= 0 => return None,
            Some(divisor) => {
                let (whole, rest) = (self.digits / divisor, self.digits % divisor);
                (whole + u128::from(rest >= divisor - rest), rest == 0 && !self.cut)
            }
            None => (0, false),
        };
        let magnitude = i128::try_from(magnitude).ok()?;
        Some((i64::try_from(if self.negative { -magnitude } else { magnitude }).ok()?, exact))
    }
}

/// Saturates: no text is long enough to bring so large an exponent back.
fn parse_exponent(text: &[u8]) -> Option<i32> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] | rest => (false, rest),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0i32;
    for byte in digits {
        let digit = byte.is_ascii_digit().then(|| i32::from(byte - b'0'))?;
        value = value.saturating_mul(10).saturating_add(digit);
    }
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_by_decimal_arithmetic() {
        let cases: &[(&str, i32, Result<i64, DecimalError>)] = &[
            ("0", 4, Ok(0)),
            ("12345", 1, Ok(123_450)),
            ("1.5", 4, Ok(15_000)),
            ("0.1", 4, Ok(1_000)),
            ("12.34", 1, Ok(123)),
            ("12.35", 1, Ok(124)),
            ("-12.35", 1, Ok(-124)),
            ("12.349999999999999999999999999999999999999999", 1, Ok(123)),
            ("  7 ", 0, Ok(7)),
            ("+7", 0, Ok(7)),
            (".5", 1, Ok(5)),
            ("5.", 1, Ok(50)),
            ("1.2e3", 0, Ok(1_200)),
            ("1.2E-3", 4, Ok(12)),
            ("1e-99999999999", 4, Ok(0)),
            ("0e99999999999", 4, Ok(0)),
            ("9223372036854775807", 0, Ok(i64::MAX)),
            ("922337203685477580.7", 1, Ok(i64::MAX)),
            ("-9223372036854775808", 0, Ok(i64::MIN)),
            ("9223372036854775808", 0, Err(DecimalError::OutOfRange)),
            ("-9223372036854775809", 0, Err(DecimalError::OutOfRange)),
            // More digits than any integer holds, and yet a small number.
            ("1000000000000000000000000000000000000000000e-42", 0, Ok(1)),
            ("0.000000000000000000000000000000000000000000015e45", 0, Ok(15)),
            ("1e40", 0, Err(DecimalError::OutOfRange)),
            ("99999999999999999999999999999999999999999999", 0, Err(DecimalError::OutOfRange)),
            ("", 0, Err(DecimalError::Malformed)),
            (".", 0, Err(DecimalError::Malformed)),
            ("-", 0, Err(DecimalError::Malformed)),
            ("1.2.3", 0, Err(DecimalError::Malformed)),
            ("1,5", 0, Err(DecimalError::Malformed)),
            ("1e", 0, Err(DecimalError::Malformed)),
            ("e5", 0, Err(DecimalError::Malformed)),
            ("NaN", 0, Err(DecimalError::Malformed)),
            ("12 kWh", 0, Err(DecimalError::Malformed)),
        ];
        for (text, places, expect) in cases {
            assert_eq!(scale_decimal(text, *places), *expect, "{text:?} x 10^{places}");
        }
    }

    #[test]
    fn says_whether_it_rounded() {
        assert_eq!(scale("12.0", 0), Ok((12, true)));
        assert_eq!(scale("12.5", 0), Ok((13, false)));
        assert_eq!(scale("1e-40", 0), Ok((0, false)));
    }
}
