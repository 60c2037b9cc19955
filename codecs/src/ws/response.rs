//! Answers to an upgrade request.

use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};

/// What RFC 6455 §1.3 appends to the key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Ways to refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// 400: cannot be understood.
    BadRequest,
    /// 401: who are you?
    Unauthorized,
    /// 404: no such charge point.
    NotFound,
    /// 426: a WebSocket is wanted.
    UpgradeRequired,
    /// 503: not now, but after so many seconds.
    Unavailable {
        /// `Retry-After`.
        retry_after_s: u32,
    },
}

impl Status {
    /// The number.
    pub const fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::NotFound => 404,
            Self::UpgradeRequired => 426,
            Self::Unavailable { .. } => 503,
        }
    }

    const fn lines(self) -> &'static str {
        match self {
            Self::BadRequest => "400 Bad Request\r\n",
            Self::Unauthorized => "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"ocpp\", charset=\"UTF-8\"\r\n",
            Self::NotFound => "404 Not Found\r\n",
            Self::UpgradeRequired => "426 Upgrade Required\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
            Self::Unavailable { .. } => "503 Service Unavailable\r\n",
        }
    }
}

/// `Sec-WebSocket-Accept` for a key (§4.2.2).
pub fn accept_key(key: &str) -> String {
    STANDARD.encode(Sha1::new().chain_update(key.as_bytes()).chain_update(GUID).finalize())
}

/// The peer's favourite among the subprotocols that we support, spelt as the peer spelt it. Case is ignored.
pub fn pick_subprotocol<'o>(offered: &[&'o str], supported: &[&str]) -> Option<&'o str> {
    offered.iter().copied().find(|offer| supported.iter().any(|ours| ours.eq_ignore_ascii_case(offer)))
}

/// Appends `101 Switching Protocols`. Without subprotocol the header is left out.
///
/// `key` and `subprotocol` are the peer's own words out of an [`UpgradeRequest`](super::UpgradeRequest).
pub fn write_switching_protocols(out: &mut Vec<u8>, key: &str, subprotocol: Option<&str>) {
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
    );
    out.extend_from_slice(accept_key(key).as_bytes());
    if let Some(subprotocol) = subprotocol {
        out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        out.extend_from_slice(subprotocol.as_bytes());
    }
    out.extend_from_slice(b"\r\n\r\n");
}

/// Appends a refusal with `reason` as a body of one line. The connection is closed after it.
pub fn write_refusal(out: &mut Vec<u8>, status: Status, reason: &str) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.lines().as_bytes());
    if let Status::Unavailable { retry_after_s } = status {
        out.extend_from_slice(format!("Retry-After: {retry_after_s}\r\n").as_bytes());
    }
    let close = if status == Status::UpgradeRequired { "Upgrade, close" } else { "close" };
    let head = format!(
        "Connection: {close}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{reason}\n",
        reason.len() + 1
    );
    out.extend_from_slice(head.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_key_of_the_rfc() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn the_peers_order_decides_and_its_spelling_is_echoed() {
        assert_eq!(pick_subprotocol(&["ocpp0.1", "OCPP1.6", "ocpp2.0.1"], &["ocpp2.0.1", "ocpp1.6"]), Some("OCPP1.6"));
        assert_eq!(pick_subprotocol(&["ocpp0.1"], &["ocpp1.6"]), None);
        assert_eq!(pick_subprotocol(&[], &["ocpp1.6"]), None);
    }
}
