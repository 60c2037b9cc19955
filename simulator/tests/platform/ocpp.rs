//! An OCPP 1.6 platform on loopback, on a WebSocket library that is not the simulator's own code.

use super::*;

