//! Record headers as one blob: for each, name length (u16 LE), name, value length (u32 LE), value.

use bytes::Bytes;

pub(super) fn encoded_len(headers: &[(&str, &[u8])]) -> usize {
    headers.iter().map(|(name, value)| 6 + name_of(name).len() + value.len()).sum()
}

pub(super) fn encode(headers: &[(&str, &[u8])], out: &mut Vec<u8>) {
    for (name, value) in headers {
        let name = name_of(name);
        out.extend_from_slice(&(name.len() as u16).to_le_bytes());
        out.extend_from_slice(name);
        out.extend_from_slice(&(value.len() as u32).to_le_bytes());
        out.extend_from_slice(value);
    }
}

/// Names are ours and short; a longer one than the length field holds is cut rather than making the rest unreadable.
fn name_of(name: &str) -> &[u8] {
    name.as_bytes().get(..usize::from(u16::MAX)).unwrap_or(name.as_bytes())
}

/// What can be read; a damaged blob ends the list.
pub(super) fn decode(blob: &[u8]) -> Vec<(String, Bytes)> {
    let mut headers = Vec::new();
    let mut rest = blob;
    while let Some((header, after)) = decode_one(rest) {
        headers.push(header);
        rest = after;
    }
    headers
}

fn decode_one(blob: &[u8]) -> Option<((String, Bytes), &[u8])> {
    let (len, rest) = blob.split_first_chunk::<2>()?;
    let (name, rest) = rest.split_at_checked(u16::from_le_bytes(*len).into())?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    Some(((String::from_utf8_lossy(name).into_owned(), Bytes::copy_from_slice(value)), rest))
}
