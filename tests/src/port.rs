//! Ports of loopback for servers that tests start.
//!
//! A server binds its port some time after a test chose it. The kernel may give a port of its
//! ephemeral range to any outgoing connection in between, so ports come from below that range. A
//! claim, which is an abstract Unix socket named after the port, keeps other tests away from it,
//! in this process and in others.

use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Mutex;
use std::sync::PoisonError;

use anyhow::{Result, bail};

/// Below the ephemeral range, which begins at 32768 (`net.ipv4.ip_local_port_range`), and above
/// the ports that well-known servers listen on.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Claims last as long as the process: a server may be restarted on its port.
static CLAIMS: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// A port of loopback that nobody uses. It stays reserved for this process.
///
/// # Errors
/// If there is none.
pub fn free_port() -> Result<u16> {
    let mut claims = CLAIMS.lock().unwrap_or_else(PoisonError::into_inner);
    // Processes that start together do not try the same ports one after the other.
    let start = usize::try_from(std::process::id())?.wrapping_mul(97);
    for at in 0..PORTS.len() {
        let port = PORTS.start + u16::try_from((start + claims.len() + at) % PORTS.len())?;
        let Ok(claim) = claim(port) else { continue };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            claims.push(claim);
            return Ok(port);
        }
    }
    bail!("find a free port: all of {PORTS:?} are taken")
}

fn claim(port: u16) -> std::io::Result<UnixListener> {
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(format!("enclii-test-port-{port}"))?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_port_is_given_twice_or_while_it_is_in_use() {
        let listeners: Vec<_> = (0..20)
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, free_port().unwrap())).unwrap())
            .collect();
        let used: BTreeSet<_> =
            listeners.iter().map(|it| it.local_addr().unwrap().port()).collect();
        let more: BTreeSet<_> = (0..20).map(|_| free_port().unwrap()).collect();
        assert_eq!((used.len(), more.len()), (20, 20));
        assert!(used.is_disjoint(&more));
        assert!(more.iter().all(|port| PORTS.contains(port)));
    }

    #[test]
    fn a_claimed_port_is_skipped() {
        let port = free_port().unwrap();
        assert!(claim(port).is_err());
    }
}
