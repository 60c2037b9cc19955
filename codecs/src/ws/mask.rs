//! The mask of client frames (RFC 6455 §5.3).

/// Masks or unmasks `payload`, the first byte being byte `offset` of the frame's payload. Doing it twice undoes it.
///
/// Eight bytes at a time; the compiler makes wider steps of it.
pub fn mask_in_place(payload: &mut [u8], key: [u8; 4], offset: usize) {
    let mut key = key;
    key.rotate_left(offset % 4);
    let [a, b, c, d] = key;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::mask_in_place;

    #[test]
    fn agrees_with_the_definition_at_every_length_and_offset() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for len in 0..67u8 {
            for offset in 0..9usize {
                let plain: Vec<u8> = (0..len).collect();
                let expect: Vec<u8> =
                    plain.iter().zip(key.iter().cycle().skip(offset)).map(|(byte, key)| byte ^ key).collect();
                let mut masked = plain.clone();
                mask_in_place(&mut masked, key, offset);
                assert_eq!(masked, expect, "length {len}, offset {offset}");
            }
        }
    }
}
