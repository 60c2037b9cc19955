//! WebSocket (RFC 6455) as a client: upgrade, masked frames out, plain frames in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Most bytes of an upgrade answer.
const HEAD_MAX: usize = 8 * 1024;
/// Most bytes of one message from the platform.
const MESSAGE_MAX: usize = 256 * 1024;

/// Frame type of a text message.
pub const TEXT: u8 = 0x1;
/// Frame type of the rest of a message.
pub const CONTINUATION: u8 = 0x0;
/// Frame type of a goodbye.
pub const CLOSE: u8 = 0x8;
/// Frame type of a ping.
pub const PING: u8 = 0x9;
/// Frame type of its answer.
pub const PONG: u8 = 0xA;

/// The upgrade request of an OCPP 1.6 station.
#[must_use]
pub fn upgrade_request(host: &str, path: &str, identity: &str, password: Option<&str>, nonce: [u8; 16]) -> Vec<u8> {
    let key = STANDARD.encode(nonce);
    let mut request = format!(
        "GET {path}{} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ocpp1.6\r\n",
        percent_encoded(identity)
    );
    if let Some(password) = password {
        let credentials = STANDARD.encode(format!("{identity}:{password}"));
        request.push_str(&format!("Authorization: Basic {credentials}\r\n"));
    }
    request.push_str("\r\n");
    request.into_bytes()
}

/// What an upgrade was answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// Not all of the answer is here yet.
    More,
    /// Done; the answer was so many bytes long.
    Done(usize),
    /// Another status than 101, no `ocpp1.6`, or no HTTP at all: status 0.
    Refused(u16),
}

/// Reads the answer to an upgrade request.
#[must_use]
pub fn upgrade_answer(input: &[u8]) -> Upgrade {
    let Some(end) = input.windows(4).position(|w| w == b"\r\n\r\n") else {
        return if input.len() > HEAD_MAX { Upgrade::Refused(0) } else { Upgrade::More };
    };
    let head = String::from_utf8_lossy(input.get(..end).unwrap_or_default());
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok()).unwrap_or(0);
    let agreed = lines
        .filter_map(|line| line.split_once(':'))
        .any(|(name, value)| name.trim().eq_ignore_ascii_case("sec-websocket-protocol") && value.trim() == "ocpp1.6");
    if status == 101 && agreed { Upgrade::Done(end + 4) } else { Upgrade::Refused(status) }
}

/// Appends one whole masked frame.
pub fn write_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8], mask: [u8; 4]) {
    out.push(0x80 | opcode);
    match payload.len() {
        short @ 0..126 => out.push(0x80 | u8::try_from(short).unwrap_or(125)),
        medium @ 126..=0xFFFF => {
            out.push(0x80 | 126);
            out.extend_from_slice(&u16::try_from(medium).unwrap_or(u16::MAX).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// A frame from the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Last frame of its message.
    pub fin: bool,
    /// Frame type.
    pub opcode: u8,
    /// Payload.
    pub payload: &'a [u8],
    /// Bytes of the whole frame.
    pub consumed: usize,
}

/// What stands at the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read<'a> {
    /// Not a whole frame yet.
    More,
    /// A frame.
    Frame(Frame<'a>),
    /// What no server may send: a mask, reserved bits, more than 256 KiB.
    Bad,
}

/// Reads one frame of a server.
#[must_use]
pub fn read_frame(input: &[u8]) -> Read<'_> {
    let [first, second, rest @ ..] = input else { return Read::More };
    if first & 0x70 != 0 || second & 0x80 != 0 {
        return Read::Bad;
    }
    let (len, head) = match second & 0x7F {
        126 => match rest.first_chunk() {
            Some(bytes) => (u64::from(u16::from_be_bytes(*bytes)), 4),
            None => return Read::More,
        },
        127 => match rest.first_chunk() {
            Some(bytes) => (u64::from_be_bytes(*bytes), 10),
            None => return Read::More,
        },
        short => (u64::from(short), 2),
    };
    let Some(len) = usize::try_from(len).ok().filter(|len| *len <= MESSAGE_MAX) else { return Read::Bad };
    match input.get(head..head + len) {
        Some(payload) => {
            Read::Frame(Frame { fin: first & 0x80 != 0, opcode: first & 0x0F, payload, consumed: head + len })
        }
        None => Read::More,
    }
}

fn percent_encoded(identity: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~*:@".contains(&byte);
    identity.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_are_masked_and_whole() {
        for len in [0, 1, 125, 126, 127, 65_535, 65_536] {
            let payload: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let mut frame = Vec::new();
            write_frame(&mut frame, TEXT, &payload, [1, 2, 3, 4]);
            let head = frame.len() - len;
            assert_eq!(frame.get(1).unwrap() & 0x80, 0x80, "a client masks");
            let unmasked: Vec<u8> =
                frame.iter().skip(head).zip([1, 2, 3, 4].iter().cycle()).map(|(b, m)| b ^ m).collect();
            assert_eq!(unmasked, payload);
        }
    }

    #[test]
    fn server_frames_are_read_in_any_cut_and_masked_ones_refused() {
        let mut bytes = vec![0x81, 126, 0, 200];
        bytes.extend([b'x'; 200]);
        for cut in 0..bytes.len() {
            assert_eq!(read_frame(&bytes[..cut]), Read::More);
        }
        assert!(matches!(read_frame(&bytes), Read::Frame(f) if f.fin && f.opcode == TEXT && f.payload.len() == 200));
        assert_eq!(read_frame(&[0x81, 0x82, 0, 0, 0, 0, 1, 1]), Read::Bad);
        assert_eq!(read_frame(&[0x81, 127, 0, 0, 0, 1, 0, 0, 0, 0]), Read::Bad, "4 GiB");
    }

    #[test]
    fn an_upgrade_needs_101_and_the_subprotocol() {
        let good = b"HTTP/1.1 101 Switching Protocols\r\nsec-websocket-protocol: ocpp1.6\r\n\r\n\x81";
        assert_eq!(upgrade_answer(good), Upgrade::Done(good.len() - 1));
        assert_eq!(upgrade_answer(&good[..40]), Upgrade::More);
        assert_eq!(upgrade_answer(b"HTTP/1.1 404 Not Found\r\n\r\n"), Upgrade::Refused(404));
        assert_eq!(upgrade_answer(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), Upgrade::Refused(101));
        let text = String::from_utf8(upgrade_request("h:1", "/ocpp/", "RD AM", Some("p"), [0; 16])).unwrap();
        assert!(text.starts_with("GET /ocpp/RD%20AM HTTP/1.1\r\n"), "{text}");
        assert!(text.contains("Authorization: Basic UkQgQU06cA=="), "{text}");
    }
}
