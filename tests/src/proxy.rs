//! A TCP front: it spreads connections over the ports behind it, as a Service does, and can fall
//! silent, as a network does that nobody is told about.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use anyhow::{Context, Result};

/// How often a connection looks whether it is over.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The front. It ends, and every connection with it, with its owner.
pub struct TcpProxy {
    port: u16,
    state: Arc<State>,
}

struct State {
    behind: Vec<u16>,
    turn: AtomicUsize,
    silent: AtomicBool,
    over: AtomicBool,
}

impl TcpProxy {
    /// Opens a port of loopback before others of loopback.
    ///
    /// # Errors
    /// Where there is no port.
    pub fn open(behind: &[u16]) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("open front")?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(State {
            behind: behind.to_vec(),
            turn: 0.into(),
            silent: false.into(),
            over: false.into(),
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

    /// Holds back every byte from now on, or lets them go on their way again. No connection is
    /// closed, and new ones are accepted.
    pub fn set_stalled(&self, silent: bool) {
        self.state.silent.store(silent, Ordering::SeqCst);
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::SeqCst);
        // It wakes who accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    for client in listener.incoming() {
        if state.over.load(Ordering::SeqCst) {
            return;
        }
        let (Ok(client), state) = (client, Arc::clone(state)) else { continue };
        thread::spawn(move || {
            if let Some(server) = state.reach() {
                // Where one of them is gone already, so is the connection.
                let _ = join(&client, &server, &state);
            }
        });
    }
}

impl State {
    /// The next one behind that is there.
    fn reach(&self) -> Option<TcpStream> {
        let first = self.turn.fetch_add(1, Ordering::SeqCst);
        let turns = (0..self.behind.len()).map(|at| self.behind[(first + at) % self.behind.len()]);
        turns.into_iter().find_map(|port| TcpStream::connect(("127.0.0.1", port)).ok())
    }
}

fn join(client: &TcpStream, server: &TcpStream, state: &Arc<State>) -> std::io::Result<()> {
    for end in [client, server] {
        end.set_nodelay(true)?;
        end.set_read_timeout(Some(POLL_INTERVAL))?;
    }
    let (from, to, there) = (client.try_clone()?, server.try_clone()?, Arc::clone(state));
    let forth = thread::spawn(move || carry(&from, &to, &there));
    carry(server, client, state);
    let _ = forth.join();
    Ok(())
}

fn carry(mut from: &TcpStream, mut to: &TcpStream, state: &State) {
    let mut bytes = [0; 16 << 10];
    while !state.over.load(Ordering::SeqCst) {
        if state.silent.load(Ordering::SeqCst) {
            sleep(POLL_INTERVAL);
            continue;
        }
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => {
                // What was on its way when silence fell stays on its way.
                while state.silent.load(Ordering::SeqCst) && !state.over.load(Ordering::SeqCst) {
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
    // Both ways: half a connection helps nobody here.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers every byte with its own number.
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
    fn it_takes_turns_and_passes_over_who_is_not_there() {
        let nobody = crate::http::free_port().unwrap();
        let front = TcpProxy::open(&[server(1), nobody, server(2)]).unwrap();
        let connect = || TcpStream::connect(("127.0.0.1", front.port())).unwrap();
        let answers: Vec<_> = (0..6).map(|_| ask(&mut connect()).unwrap()).collect();
        assert!(answers.contains(&1) && answers.contains(&2), "{answers:?}");
    }

    #[test]
    fn silence_holds_everything_back_and_loses_nothing() {
        let front = TcpProxy::open(&[server(7)]).unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", front.port())).unwrap();
        assert_eq!(ask(&mut stream).unwrap(), 7);
        front.set_stalled(true);
        stream.write_all(b"??").unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        stream.read_exact(&mut [0]).unwrap_err();
        front.set_stalled(false);
        stream.set_read_timeout(None).unwrap();
        stream.read_exact(&mut [0; 2]).unwrap();
        drop(front);
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "it outlives its owner");
    }
}
