//! Bytes as a charger makes and reads them. The WebSocket side is written here from the client's point of view and not taken
//! from the gateway's codec, so that the two check each other.

pub mod ws;
pub mod ykc;
