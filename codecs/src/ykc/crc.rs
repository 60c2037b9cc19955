//! CRC-16/MODBUS over a frame's bytes 2 .. 5+N, wire order low byte first (YKC V1.6 §2.5).
//!
//! The table runs over 16 bytes at a time. Most frames are short, so the odd bytes go *first*, padded in front with
//! zeros to one whole block: with a register of zero, leading zeros do not change it, and the initial 0xFFFF is the
//! same as inverting the first two bytes. A heartbeat then costs one block instead of 13 single steps.

use crc::{Algorithm, CRC_16_MODBUS, Crc, Table};

const BLOCK: usize = 16;

static FROM_ZERO: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&Algorithm { init: 0, ..CRC_16_MODBUS });
static WHOLE: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_MODBUS);

/// The checksum of `bytes`.
#[inline]
pub fn crc16(bytes: &[u8]) -> u16 {
    let odd = bytes.len() % BLOCK;
    let first = if odd == 0 { BLOCK } else { odd };
    // Fewer than two bytes cannot carry the initial value.
    let Some((first, rest)) = bytes.split_at_checked(first) else { return WHOLE.checksum(bytes) };
    if first.len() < 2 {
        return WHOLE.checksum(bytes);
    }
    let mut block = [0_u8; BLOCK];
    let Some(tail) = block.get_mut(BLOCK - first.len()..) else { return WHOLE.checksum(bytes) };
    tail.copy_from_slice(first);
    for byte in tail.iter_mut().take(2) {
        *byte = !*byte;
    }
    let mut digest = FROM_ZERO.digest();
    digest.update(&block);
    digest.update(rest);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_catalogue_at_every_length() {
        let bytes: Vec<u8> = (0..=255_u8).map(|i| i.wrapping_mul(167).wrapping_add(13)).collect();
        for len in 0..=bytes.len() {
            let part = bytes.get(..len).unwrap_or_default();
            assert_eq!(crc16(part), WHOLE.checksum(part), "length {len}");
        }
        assert_eq!(crc16(b"123456789"), 0x4B37);
    }
}
