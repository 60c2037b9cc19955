//! CRC-16/MODBUS over a frame's bytes 2 .. 5+N, wire order low byte first (YKC V1.6 §2.5).
//!
//! The usual routine looks bytes up in tables of 0.5 to 8 KiB, which ten thousand connections keep pushing out of the
//! first-level cache. This polynomial needs no table: x^16 + x^15 + x^2 + 1 = (x + 1)(x^15 + x + 1), and
//!
//! - modulo x^15 + x + 1 squaring gives x^30 = x^2 + 1 and x^60 = x^4 + 1, hence **x^64 = x^8 + x^4**: a message is
//!   folded onto its next 64 bits by two shifts;
//! - modulo x + 1 a message is its parity.
//!
//! Both together determine the remainder. A polynomial stands in a word as the bytes come from the wire (reflected):
//! the *top* bit is x^0, and multiplying by x^k is a shift to the right by k.

/// The register before the first byte.
const INITIAL: u16 = 0xFFFF;
/// x^15 + x + 1 in 16 bits, reflected.
const FACTOR: u16 = 0xC001;
const BLOCK: usize = 16;
/// A fold leaves 72 significant bits, a block adds 16: after three there is room for no more.
const BLOCKS_UNFOLDED: usize = 3;

/// The checksum of `bytes`.
#[inline]
pub fn crc16(bytes: &[u8]) -> u16 {
    let mut register = INITIAL;
    let mut bytes = bytes;
    // The register goes into the first two bytes, so the first part needs two.
    if bytes.len() % BLOCK == 1
        && let [first, rest @ ..] = bytes
    {
        register = one_byte(register, *first);
        bytes = rest;
    }
    if bytes.is_empty() {
        return register;
    }
    // The odd bytes go first, with zeros in front of them: leading zeros change nothing.
    let first = match bytes.len() % BLOCK {
        0 => BLOCK,
        odd => odd,
    };
    let zeros = 8 * (BLOCK - first);
    let (head, rest) = bytes.split_at_checked(first).unwrap_or_default();
    let block = leading(bytes, head, zeros) ^ (u128::from(register) << zeros);
    let mut parity = low(block) ^ high(block);
    let mut sum = fold(block);
    for group in rest.chunks(BLOCKS_UNFOLDED * BLOCK) {
        for block in group.as_chunks::<BLOCK>().0 {
            let block = u128::from_le_bytes(*block);
            parity ^= low(block) ^ high(block);
            // x^128 = x^16 + x^8.
            sum = (sum >> 8) ^ (sum >> 16) ^ fold(block);
        }
        sum = fold(sum);
    }
    remainder(high(fold(sum)), parity)
}

/// The first `head.len()` of `bytes` in the upper end of a block, the rest of it zero.
#[inline(always)]
fn leading(bytes: &[u8], head: &[u8], zeros: usize) -> u128 {
    if let Some(block) = bytes.first_chunk() {
        u128::from_le_bytes(*block) << zeros
    } else if let (Some(first), Some(last)) = (head.first_chunk(), head.last_chunk()) {
        let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
        u128::from(low(u128::from(first) << zeros)) | (u128::from(last) << 64)
    } else {
        head.iter().fold(0, |block, byte| (block >> 8) | (u128::from(*byte) << 120))
    }
}

/// Folds the upper powers, the lower half of the word, onto the others: x^64 = x^8 + x^4.
#[inline(always)]
fn fold(word: u128) -> u128 {
    let upper_powers = word << 64;
    let lower_powers = (word >> 64) << 64;
    (upper_powers >> 8) ^ (upper_powers >> 4) ^ lower_powers
}

#[inline(always)]
fn low(word: u128) -> u64 {
    (word & u128::from(u64::MAX)) as u64
}

#[inline(always)]
fn high(word: u128) -> u64 {
    (word >> 64) as u64
}

/// The remainder of `word` times x^16, given the parity of the whole message.
#[inline(always)]
fn remainder(word: u64, parity: u64) -> u16 {
    const POWERS_0_TO_29: u64 = !0 << 34;
    const POWERS_0_TO_14: u64 = !0 << 49;
    const POWER_15: u64 = 1 << 48;
    // x^30 = x^2 + 1, x^60 = x^4 + 1: powers below 32 remain.
    let (a, b, c) = (word & POWERS_0_TO_29, (word << 30) & POWERS_0_TO_29, word << 60);
    let word = a ^ b ^ (b >> 2) ^ c ^ (c >> 4);
    // Times x^16 = x^2 + x.
    let word = (word >> 1) ^ (word >> 2);
    // x^15 = x + 1, x^30 = x^2 + 1: powers below 16 remain, and of these x^15 once more.
    let (a, b, c) = (word & POWERS_0_TO_14, (word << 15) & POWERS_0_TO_14, word << 30);
    let word = a ^ b ^ (b >> 1) ^ c ^ (c >> 2);
    let carry = (word & POWER_15) << 15;
    let word = (word & POWERS_0_TO_14) ^ carry ^ (carry >> 1);
    let modulo_factor = (word >> 48) as u16;
    // Adding the factor, of odd parity, keeps this remainder and changes the other one.
    let parity = parity ^ (parity >> 32);
    let parity = parity ^ (parity >> 16) ^ u64::from(modulo_factor);
    let parity = (parity ^ (parity >> 8)) as u8;
    if parity.count_ones() % 2 == 1 { modulo_factor ^ FACTOR } else { modulo_factor }
}

/// The textbook step, bit by bit.
const fn one_byte(register: u16, byte: u8) -> u16 {
    let mut register = register ^ byte as u16;
    let mut bit = 0;
    while bit < 8 {
        register = if register & 1 == 1 { (register >> 1) ^ 0xA001 } else { register >> 1 };
        bit += 1;
    }
    register
}

#[cfg(test)]
mod tests {
    use crc::{CRC_16_MODBUS, Crc};

    use super::*;

    /// The remainder is linear in the message: agreeing on every single bit of every length, and on one whole message,
    /// is agreeing on all of them.
    #[test]
    fn agrees_with_the_catalogue_on_every_bit_of_every_length() {
        let catalogue = Crc::<u16>::new(&CRC_16_MODBUS);
        for len in 0..=255_usize {
            let mut bytes: Vec<u8> = (0..len).map(|i| (i * i * 167 + i * 13 + 5) as u8).collect();
            assert_eq!(crc16(&bytes), catalogue.checksum(&bytes), "{len} bytes");
            for bit in 0..8 * len {
                if let Some(byte) = bytes.get_mut(bit / 8) {
                    *byte ^= 1 << (bit % 8);
                }
                assert_eq!(crc16(&bytes), catalogue.checksum(&bytes), "{len} bytes, bit {bit}");
            }
        }
    }

    #[test]
    fn has_the_check_value_of_the_catalogue() {
        assert_eq!(crc16(b"123456789"), 0x4B37);
    }
}
