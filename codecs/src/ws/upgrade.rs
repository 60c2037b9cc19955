//! The head of an upgrade request (RFC 6455 §4.2.1): what a server must know to decide.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Credentials, Identity, IdentityError, Status};

/// Longest request head in bytes.
pub const HEAD_MAX: usize = 8 * 1024;
/// Most header lines.
const HEADERS_MAX: usize = 64;

/// An upgrade request, borrowed from the bytes it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpgradeRequest<'a> {
    /// The path without query, percent-escapes untouched.
    pub path: &'a str,
    /// `Host`.
    pub host: &'a str,
    /// `Sec-WebSocket-Key`, checked: 16 bytes in base64.
    pub key: &'a str,
    /// The subprotocols offered, over all header lines, the peer's favourite first.
    pub subprotocols: Vec<&'a str>,
    /// Who asks.
    pub credentials: Credentials,
    /// False if `Connection: Upgrade` is missing, as some firmwares have it: refuse unless the station is known for it.
    pub connection_upgrade: bool,
    /// Bytes of the head; what follows is WebSocket.
    pub head_len: usize,
}

/// One step over a byte slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpgradeStep<'a> {
    /// The head is not complete.
    Incomplete,
    /// It is.
    Request(UpgradeRequest<'a>),
}

/// Why a request is no upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum UpgradeError {
    /// Not HTTP.
    #[error("not an HTTP request")]
    NotHttp,
    /// Longer than [`HEAD_MAX`] or with too many lines.
    #[error("the request head is too long")]
    TooLong,
    /// Not GET or not HTTP/1.1.
    #[error("a WebSocket is opened by GET and HTTP/1.1")]
    NotGet,
    /// No `Upgrade: websocket`.
    #[error("this is a WebSocket service")]
    NotUpgrade,
    /// A version other than 13.
    #[error("WebSocket version 13 is required")]
    Version,
    /// `Host` missing, or twice.
    #[error("the Host header must occur once")]
    Host,
    /// `Sec-WebSocket-Key` missing, twice, or not 16 bytes in base64.
    #[error("the Sec-WebSocket-Key header must occur once and hold 16 bytes")]
    Key,
    /// A header that cannot be read.
    #[error("a header cannot be read")]
    Header,
}

impl UpgradeError {
    /// The answer.
    pub const fn status(self) -> Status {
        match self {
            Self::NotUpgrade | Self::Version => Status::UpgradeRequired,
            _ => Status::BadRequest,
        }
    }

    /// A name for a metric label: a closed set.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotHttp => "upgrade_not_http",
            Self::TooLong => "upgrade_too_long",
            Self::NotGet => "upgrade_not_get",
            Self::NotUpgrade => "upgrade_missing",
            Self::Version => "upgrade_version",
            Self::Host => "upgrade_host",
            Self::Key => "upgrade_key",
            Self::Header => "upgrade_header",
        }
    }
}

impl<'a> UpgradeRequest<'a> {
    /// The last segment of the path as the charge point's identity.
    ///
    /// # Errors
    /// [`IdentityError`]: answer 404.
    pub fn identity(&self) -> Result<Identity, IdentityError> {
        Identity::from_segment(self.split_path().1)
    }

    /// The path in front of the identity with its closing slash: `/ocpp/`.
    pub fn prefix(&self) -> &'a str {
        self.split_path().0
    }

    fn split_path(&self) -> (&'a str, &'a str) {
        let at = self.path.rfind('/').map_or(0, |slash| slash + 1);
        self.path.split_at_checked(at).unwrap_or((self.path, ""))
    }
}

/// Reads the head of an upgrade request from the start of `buf`.
///
/// # Errors
/// [`UpgradeError`], also for a head that is not complete but already wrong or too long.
pub fn parse_upgrade(buf: &[u8]) -> Result<UpgradeStep<'_>, UpgradeError> {
    let mut lines = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut lines);
    let head = buf.get(..HEAD_MAX).unwrap_or(buf);
    let head_len = match request.parse(head) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if buf.len() >= HEAD_MAX => return Err(UpgradeError::TooLong),
        Ok(httparse::Status::Partial) => return Ok(UpgradeStep::Incomplete),
        Err(httparse::Error::TooManyHeaders) => return Err(UpgradeError::TooLong),
        Err(httparse::Error::HeaderName | httparse::Error::HeaderValue) => return Err(UpgradeError::Header),
        Err(_) => return Err(UpgradeError::NotHttp),
    };
    if request.method != Some("GET") || request.version != Some(1) {
        return Err(UpgradeError::NotGet);
    }
    let target = request.path.ok_or(UpgradeError::NotHttp)?;
    let found = Found::collect(request.headers)?;
    if !found.upgrade {
        return Err(UpgradeError::NotUpgrade);
    }
    if found.version != Some(b"13") {
        return Err(UpgradeError::Version);
    }
    let key = found.key.ok_or(UpgradeError::Key)?;
    let mut nonce = [0; 18]; // the decoder wants room for a whole group
    if key.len() != 24 || STANDARD.decode_slice(key, &mut nonce) != Ok(16) {
        return Err(UpgradeError::Key);
    }
    Ok(UpgradeStep::Request(UpgradeRequest {
        path: target.split(['?', '#']).next().unwrap_or(target),
        host: found.host.ok_or(UpgradeError::Host)?,
        key,
        subprotocols: found.subprotocols,
        credentials: found.credentials,
        connection_upgrade: found.connection,
        head_len,
    }))
}

/// The headers that matter.
struct Found<'a> {
    host: Option<&'a str>,
    key: Option<&'a str>,
    version: Option<&'a [u8]>,
    upgrade: bool,
    connection: bool,
    subprotocols: Vec<&'a str>,
    credentials: Credentials,
}

impl<'a> Found<'a> {
    fn collect(headers: &[httparse::Header<'a>]) -> Result<Self, UpgradeError> {
        let mut found = Self {
            host: None,
            key: None,
            version: None,
            upgrade: false,
            connection: false,
            subprotocols: Vec::new(),
            credentials: Credentials::None,
        };
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("Host") {
                once(&mut found.host, text(header.value)?, UpgradeError::Host)?;
            } else if is("Sec-WebSocket-Key") {
                once(&mut found.key, text(header.value)?, UpgradeError::Key)?;
            } else if is("Sec-WebSocket-Version") {
                once(&mut found.version, header.value.trim_ascii(), UpgradeError::Version)?;
            } else if is("Upgrade") {
                found.upgrade |= list(header.value)?.any(|token| token.eq_ignore_ascii_case("websocket"));
            } else if is("Connection") {
                found.connection |= list(header.value)?.any(|token| token.eq_ignore_ascii_case("upgrade"));
            } else if is("Sec-WebSocket-Protocol") {
                found.subprotocols.extend(list(header.value)?);
            } else if is("Authorization") {
                // Two of them: nobody knows which is meant.
                found.credentials = match found.credentials {
                    Credentials::None => Credentials::parse(header.value),
                    _ => Credentials::Malformed,
                };
            }
        }
        Ok(found)
    }
}

fn once<T>(place: &mut Option<T>, value: T, error: UpgradeError) -> Result<(), UpgradeError> {
    if place.replace(value).is_some() { Err(error) } else { Ok(()) }
}

fn text(value: &[u8]) -> Result<&str, UpgradeError> {
    std::str::from_utf8(value).map(str::trim_ascii).map_err(|_| UpgradeError::Header)
}

fn list(value: &[u8]) -> Result<impl Iterator<Item = &str>, UpgradeError> {
    Ok(text(value)?.split(',').map(str::trim_ascii).filter(|token| !token.is_empty()))
}
