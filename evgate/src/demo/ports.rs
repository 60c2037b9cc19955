//! The demo's addresses: the default ports, or free ones where somebody else has them.

use std::net::{SocketAddr, TcpListener};

/// `wanted` if it can be bound now, else the same address with port 0: the kernel then takes a free one.
pub fn free(wanted: SocketAddr) -> SocketAddr {
    // Without SO_REUSEADDR tricks: std sets it on Unix, so a port in TIME_WAIT counts as free, a listening one does not.
    match TcpListener::bind(wanted) {
        Ok(_) => wanted,
        Err(_) => SocketAddr::new(wanted.ip(), 0),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_taken_port_gives_way() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = taken.local_addr().unwrap();
        assert_eq!(free(addr).port(), 0);
        drop(taken);
        assert_eq!(free(addr), addr);
    }
}
