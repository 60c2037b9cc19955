//! Who may upgrade (OCPP-J 1.6 §3.1, security profiles 1 and 2): decided from the replica before a session exists.

use std::sync::Arc;

use codecs::{
    ocpp::v16::SUBPROTOCOL,
    ws::{Credentials, Status, UpgradeRequest, pick_subprotocol},
};
use events::{proto::Protocol, registry::Charger};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{publish::protocol_matches, registry::Replica, session::LoginResult};

/// Why an upgrade is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// By an HTTP status.
    Http(Status, &'static str, LoginResult),
    /// The handshake is completed without a subprotocol and then closed, as the specification wants it (§3.1.2).
    NoSubprotocol,
}

/// Decides about an upgrade: the charger's identity, its registry entry, and the subprotocol to name (`None`: a station known
/// for offering none).
///
/// # Errors
/// How to refuse it.
pub fn judge_upgrade<'r>(
    replica: &Replica,
    path: &str,
    request: &UpgradeRequest<'r>,
) -> Result<(String, Arc<Charger>, Option<&'r str>), Refused> {
    let unknown = |why| Refused::Http(Status::NotFound, why, LoginResult::Unknown);
    if request.prefix() != path {
        return Err(unknown("no such path"));
    }
    let identity = request.identity().map_err(|_| unknown("no such charge point"))?;
    let entry = replica.charger(identity.as_str()).ok_or(unknown("no such charge point"))?;
    if !protocol_matches(&entry.protocol, Protocol::Ocpp16) {
        return Err(Refused::Http(Status::NotFound, "no such charge point", LoginResult::WrongProtocol));
    }
    // Before the switch "enabled", so that nobody without the secret learns about it.
    if !secret_fits(&entry, identity.as_str(), &request.credentials) {
        return Err(Refused::Http(Status::Unauthorized, "wrong or missing credentials", LoginResult::BadSecret));
    }
    if !entry.enabled {
        return Err(Refused::Http(Status::NotFound, "no such charge point", LoginResult::Disabled));
    }
    if !request.connection_upgrade && entry.profile != "missing_connection_upgrade" {
        return Err(Refused::Http(Status::BadRequest, "Connection: Upgrade is missing", LoginResult::NoSubprotocol));
    }
    let subprotocol = pick_subprotocol(&request.subprotocols, &[SUBPROTOCOL]);
    let forgiven = request.subprotocols.is_empty() && entry.profile == "missing_subprotocol";
    if subprotocol.is_none() && !forgiven {
        return Err(Refused::NoSubprotocol);
    }
    Ok((identity.into_string(), entry, subprotocol))
}

/// An entry without a hash asks for no password. A 1.6 key is 16 to 20 bytes, configured as hex digits: stations send either.
fn secret_fits(entry: &Charger, identity: &str, credentials: &Credentials) -> bool {
    if entry.secret_hash.is_empty() {
        return true;
    }
    let Credentials::Basic { user, password } = credentials else { return false };
    let hash = |password: &[u8]| -> [u8; 32] {
        Sha256::new().chain_update(&entry.secret_salt).chain_update(password).finalize().into()
    };
    let as_sent = hash(password)[..].ct_eq(entry.secret_hash.as_ref());
    let as_hex = hash(hex::encode(password).as_bytes())[..].ct_eq(entry.secret_hash.as_ref());
    let user_fits = user.as_bytes().ct_eq(identity.as_bytes());
    bool::from((as_sent | as_hex) & user_fits)
}
