//! A TCP proxy that spreads connections over several ports, as a Service does. It can stall, as a
//! network that drops every packet does.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use anyhow::{Context, Result};

/// How often a connection checks whether the proxy stalls or ends.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The proxy. Dropping it closes every connection.
pub struct TcpProxy {
    port: u16,
    state: Arc<Shared>,
}

struct Shared {
    ports: Vec<u16>,
    next: AtomicUsize,
    stalled: AtomicBool,
    closed: AtomicBool,
}

impl TcpProxy {
    /// Listens on a port of loopback and forwards to those ports of loopback.
    ///
    /// # Errors
    /// If there is no port.
    pub fn open(ports: &[u16]) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("open proxy")?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(Shared {
            ports: ports.to_vec(),
            next: 0.into(),
            stalled: false.into(),
            closed: false.into(),
        });
        let accepting = Arc::clone(&state);
        thread::spawn(move || accept(&listener, &accepting));
        Ok(Self { port, state })
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Holds back every byte, or forwards them again. Connections stay open, and new ones are
    /// accepted.
    pub fn set_stalled(&self, stalled: bool) {
        self.state.stalled.store(stalled, Ordering::SeqCst);
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn accept(listener: &TcpListener, state: &Arc<Shared>) {
    for client in listener.incoming() {
        if state.closed.load(Ordering::SeqCst) {
            return;
        }
        let (Ok(client), state) = (client, Arc::clone(state)) else { continue };
        thread::spawn(move || {
            if let Some(server) = state.connect_next() {
                // If one end has closed already, so has the connection.
                let _ = forward(&client, &server, &state);
            }
        });
    }
}

impl Shared {
    /// Connects to the next port that accepts.
    fn connect_next(&self) -> Option<TcpStream> {
        let first = self.next.fetch_add(1, Ordering::SeqCst);
        let turns = (0..self.ports.len()).map(|at| self.ports[(first + at) % self.ports.len()]);
        turns.into_iter().find_map(|port| TcpStream::connect(("127.0.0.1", port)).ok())
    }
}

fn forward(client: &TcpStream, server: &TcpStream, state: &Arc<Shared>) -> std::io::Result<()> {
    for end in [client, server] {
        end.set_nodelay(true)?;
        end.set_read_timeout(Some(POLL_INTERVAL))?;
    }
    let (from, to, there) = (client.try_clone()?, server.try_clone()?, Arc::clone(state));
    let forth = thread::spawn(move || copy(&from, &to, &there));
    copy(server, client, state);
    let _ = forth.join();
    Ok(())
}

fn copy(mut from: &TcpStream, mut to: &TcpStream, state: &Shared) {
    let mut bytes = [0; 16 << 10];
    while !state.closed.load(Ordering::SeqCst) {
        if state.stalled.load(Ordering::SeqCst) {
            sleep(POLL_INTERVAL);
            continue;
        }
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => {
                // Bytes that were read before the stall are held back too.
                while state.stalled.load(Ordering::SeqCst) && !state.closed.load(Ordering::SeqCst) {
                    sleep(POLL_INTERVAL);
                }
                if to.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) => {}
            Err(_) => break,
        }
    }
    // Closes both directions.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers every byte with `number`.
    fn server(number: u8) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    let mut stream = stream;
                    while stream.read_exact(&mut [0]).is_ok() && stream.write_all(&[number]).is_ok()
                    {
                    }
                });
            }
        });
        port
    }

    fn ask(stream: &mut TcpStream) -> std::io::Result<u8> {
        let mut answer = [0];
        stream.write_all(b"?")?;
        stream.read_exact(&mut answer)?;
        Ok(answer[0])
    }

    #[test]
    fn connections_alternate_and_skip_closed_ports() {
        let nobody = crate::port::free_port().unwrap();
        let proxy = TcpProxy::open(&[server(1), nobody, server(2)]).unwrap();
        let connect = || TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        let answers: Vec<_> = (0..6).map(|_| ask(&mut connect()).unwrap()).collect();
        assert!(answers.contains(&1) && answers.contains(&2), "{answers:?}");
    }

    #[test]
    fn a_stall_holds_every_byte_back_and_loses_none() {
        let proxy = TcpProxy::open(&[server(7)]).unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        assert_eq!(ask(&mut stream).unwrap(), 7);
        proxy.set_stalled(true);
        stream.write_all(b"??").unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        stream.read_exact(&mut [0]).unwrap_err();
        proxy.set_stalled(false);
        stream.set_read_timeout(None).unwrap();
        stream.read_exact(&mut [0; 2]).unwrap();
        drop(proxy);
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "the connection outlives the proxy");
    }
}
