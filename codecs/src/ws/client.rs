//! The client's side of the upgrade: for simulated charge points.

use super::{Credentials, HEAD_MAX, accept_key};

/// What a charge point asks for.
#[derive(Clone, Debug)]
pub struct ClientRequest<'a> {
    /// `Host`.
    pub host: &'a str,
    /// The whole path, escaped: `/ocpp/` and [`encode_segment`] of the identity.
    pub path: &'a str,
    /// 16 unpredictable bytes in base64.
    pub key: &'a str,
    /// Offers, the favourite first.
    pub subprotocols: &'a [&'a str],
    /// Who asks.
    pub credentials: &'a Credentials,
}

impl ClientRequest<'_> {
    /// Appends the request to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut line = |parts: &[&str]| {
            parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
            out.extend_from_slice(b"\r\n");
        };
        line(&["GET ", self.path, " HTTP/1.1"]);
        line(&["Host: ", self.host]);
        line(&["Upgrade: websocket"]);
        line(&["Connection: Upgrade"]);
        line(&["Sec-WebSocket-Version: 13"]);
        line(&["Sec-WebSocket-Key: ", self.key]);
        if !self.subprotocols.is_empty() {
            line(&["Sec-WebSocket-Protocol: ", &self.subprotocols.join(", ")]);
        }
        if let Some(value) = self.credentials.header_value() {
            line(&["Authorization: ", &value]);
        }
        line(&[]);
    }
}

/// A server's consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHead {
    /// What the server chose; absent: none.
    pub subprotocol: Option<String>,
    /// Bytes of the head; what follows is WebSocket.
    pub head_len: usize,
}

/// Why there is no WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The server refused.
    #[error("the server answered {0}")]
    Refused(u16),
    /// Not an HTTP answer, or too long a one.
    #[error("not an HTTP answer")]
    NotHttp,
    /// 101, but without the headers that it must have, or with the wrong accept key.
    #[error("the server's consent is not valid")]
    NotValid,
    /// The server chose a subprotocol that was not offered.
    #[error("the server chose a subprotocol that was not offered")]
    Subprotocol,
}

/// Reads the answer to a [`ClientRequest`]; `None`: not complete.
///
/// # Errors
/// [`HandshakeError`].
pub fn parse_client_response(buf: &[u8], key: &str, offered: &[&str]) -> Result<Option<ClientHead>, HandshakeError> {
    let mut lines = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut lines);
    let head_len = match response.parse(buf.get(..HEAD_MAX).unwrap_or(buf)) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if buf.len() < HEAD_MAX => return Ok(None),
        _ => return Err(HandshakeError::NotHttp),
    };
    match response.code {
        Some(101) => {}
        Some(code) => return Err(HandshakeError::Refused(code)),
        None => return Err(HandshakeError::NotHttp),
    }
    let value = |name: &str| {
        let mut values = response.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        values.next().and_then(|header| std::str::from_utf8(header.value).ok()).map(str::trim_ascii)
    };
    let has = |name: &str, wanted: &str| {
        value(name).is_some_and(|list| list.split(',').any(|token| token.trim_ascii().eq_ignore_ascii_case(wanted)))
    };
    let consent = has("Upgrade", "websocket")
        && has("Connection", "upgrade")
        && value("Sec-WebSocket-Accept") == Some(accept_key(key).as_str())
        && value("Sec-WebSocket-Extensions").is_none();
    if !consent {
        return Err(HandshakeError::NotValid);
    }
    let subprotocol = value("Sec-WebSocket-Protocol");
    if subprotocol.is_some_and(|chosen| !offered.contains(&chosen)) {
        return Err(HandshakeError::Subprotocol);
    }
    Ok(Some(ClientHead { subprotocol: subprotocol.map(str::to_owned), head_len }))
}

/// Percent-encodes an identity as a path segment: all but RFC 3986's unreserved characters.
pub fn encode_segment(identity: &str) -> String {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |value: u8| HEX.get(usize::from(value & 15)).copied().unwrap_or('0');
    let mut out = String::with_capacity(identity.len());
    for byte in identity.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.extend(['%', digit(byte >> 4), digit(byte)]),
        }
    }
    out
}
