//! Frames that we send.

use super::{CloseCode, Opcode, mask_in_place};

/// Longest close reason in bytes: a control frame holds 125, two are the code.
const REASON_MAX: usize = 123;

/// Appends the header of an unmasked frame that is its whole message.
pub fn write_frame_header(out: &mut Vec<u8>, opcode: Opcode, payload_len: usize) {
    header(out, opcode, payload_len, 0);
}

/// Appends an unmasked frame that is its whole message: what a server sends.
pub fn write_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    write_frame_header(out, opcode, payload.len());
    out.extend_from_slice(payload);
}

/// Appends a masked frame that is its whole message: what a client sends. The key should be unpredictable (§5.3).
pub fn write_masked_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], key: [u8; 4]) {
    header(out, opcode, payload.len(), 0x80);
    out.extend_from_slice(&key);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(payload) = out.get_mut(start..) {
        mask_in_place(payload, key, 0);
    }
}

/// Appends an unmasked frame whose payload `write` appends by itself: no second buffer. If `write` fails, `out` is as it
/// was.
///
/// # Errors
/// Those of `write`.
pub fn frame_with<E>(
    out: &mut Vec<u8>,
    opcode: Opcode,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    // The header of a payload of 126 to 65535 bytes fits; the others move theirs by 2 back or by 6 on.
    const ROOM: usize = 4;
    let start = out.len();
    out.extend_from_slice(&[0; ROOM]);
    if let Err(error) = write(out) {
        out.truncate(start);
        return Err(error);
    }
    let payload_len = out.len().saturating_sub(start + ROOM);
    let (bytes, header_len) = header_bytes(opcode, payload_len, 0);
    out.splice(start..start + ROOM, bytes.into_iter().take(header_len));
    Ok(())
}

/// Appends a close frame, masked if there is a key. The reason is cut at 123 bytes.
pub fn write_close(out: &mut Vec<u8>, code: Option<CloseCode>, reason: &str, key: Option<[u8; 4]>) {
    let mut payload = Vec::new();
    if let Some(code) = code {
        let end = (0..=reason.len().min(REASON_MAX)).rev().find(|at| reason.is_char_boundary(*at)).unwrap_or(0);
        payload.extend_from_slice(&code.get().to_be_bytes());
        payload.extend_from_slice(reason.as_bytes().get(..end).unwrap_or_default());
    }
    match key {
        Some(key) => write_masked_frame(out, Opcode::Close, &payload, key),
        None => write_frame(out, Opcode::Close, &payload),
    }
}

fn header(out: &mut Vec<u8>, opcode: Opcode, payload_len: usize, mask_bit: u8) {
    let (bytes, len) = header_bytes(opcode, payload_len, mask_bit);
    out.extend(bytes.into_iter().take(len));
}

fn header_bytes(opcode: Opcode, payload_len: usize, mask_bit: u8) -> ([u8; 10], usize) {
    let first = 0x80 | opcode.code();
    if let (Ok(short), true) = (u8::try_from(payload_len), payload_len < 126) {
        ([first, mask_bit | short, 0, 0, 0, 0, 0, 0, 0, 0], 2)
    } else if let Ok(medium) = u16::try_from(payload_len) {
        let [a, b] = medium.to_be_bytes();
        ([first, mask_bit | 126, a, b, 0, 0, 0, 0, 0, 0], 4)
    } else {
        let [a, b, c, d, e, f, g, h] = (payload_len as u64).to_be_bytes();
        ([first, mask_bit | 127, a, b, c, d, e, f, g, h], 10)
    }
}
