//! Clients that keep their connections while a server's certificate rotates.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Each with a connection of its own.
const CLIENTS: u32 = 8;
/// All of them together.
const REQUESTS_PER_SECOND: u32 = 500;
/// After which half of the clients connect anew, so that handshakes are part of the load.
const REQUESTS_PER_CONNECTION: u32 = 50;
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(30);

/// A client's side of TLS that trusts this CA.
pub(crate) fn trusting(ca: CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(ca).unwrap();
    let mut tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    // A resumed session would show the certificate that it began with.
    tls.resumption = rustls::client::Resumption::disabled();
    Arc::new(tls)
}

/// What a client speaks on TLS.
#[derive(Clone, Copy)]
pub(crate) enum Protocol {
    /// GET of a path.
    Http(&'static str),
    /// A query, after a login without a password.
    Postgres,
    /// A PING.
    Redis,
}

/// A connection to a server.
pub(crate) struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    protocol: Protocol,
    exchanges: u32,
}

/// What the clients have seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    /// Requests that failed on a new connection, or could not connect.
    pub(crate) failures: Vec<String>,
    /// Connections that the server had closed when a request came, which was sent again on a new
    /// one: what HTTP clients do by themselves (RFC 9112, section 9.3.1).
    pub(crate) closed: u64,
    pub(crate) slowest: Duration,
}

/// Clients at work, until they are dropped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    counts: Arc<Mutex<Counts>>,
    clients: Vec<JoinHandle<()>>,
}

impl Protocol {
    /// A connection to the server, on which the protocol can be spoken.
    pub(crate) fn connect(
        self,
        address: SocketAddr,
        tls: &Arc<ClientConfig>,
    ) -> io::Result<Connection> {
        let mut tcp = TcpStream::connect_timeout(&address, EXCHANGE_TIMEOUT)?;
        tcp.set_read_timeout(Some(EXCHANGE_TIMEOUT))?;
        tcp.set_write_timeout(Some(EXCHANGE_TIMEOUT))?;
        tcp.set_nodelay(true)?;
        if let Self::Postgres = self {
            tcp.write_all(&[0, 0, 0, 8, 4, 210, 22, 47])?;
            let mut answer = [0];
            tcp.read_exact(&mut answer)?;
            if answer != *b"S" {
                return Err(io::Error::other("PostgreSQL has no TLS"));
            }
        }
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let client = ClientConnection::new(Arc::clone(tls), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(client, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        let mut connection = Connection { stream, protocol: self, exchanges: 0 };
        if let Self::Postgres = self {
            let words = b"\0\x03\0\0user\0postgres\0database\0postgres\0\0";
            let length = u32::try_from(words.len() + 4).map_err(io::Error::other)?;
            connection.stream.write_all(&[&length.to_be_bytes(), &words[..]].concat())?;
            connection.until_ready()?;
        }
        Ok(connection)
    }
}

impl Connection {
    /// The certificate that the server has shown.
    pub(crate) fn certificate(&self) -> Option<CertificateDer<'static>> {
        Some(self.stream.conn.peer_certificates()?.first()?.clone().into_owned())
    }

    /// One request and its answer. Returns whether the connection may be used again.
    pub(crate) fn exchange(&mut self) -> io::Result<bool> {
        self.exchanges += 1;
        match self.protocol {
            Protocol::Http(path) => {
                let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
                self.stream.write_all(request.as_bytes())?;
                self.answer()
            }
            Protocol::Redis => {
                self.stream.write_all(b"PING\r\n")?;
                let mut answer = [0; 7];
                self.stream.read_exact(&mut answer)?;
                match &answer == b"+PONG\r\n" {
                    true => Ok(true),
                    false => Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned())),
                }
            }
            Protocol::Postgres => {
                self.stream.write_all(b"Q\0\0\0\x0dSELECT 1\0")?;
                self.until_ready()?;
                Ok(true)
            }
        }
    }

    /// Reads an HTTP answer of a known length.
    fn answer(&mut self) -> io::Result<bool> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() > 8192 {
                return Err(io::Error::other("the answer's head is too long"));
            }
            head.push(self.byte()?);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        let status = head.lines().next().unwrap_or_default().to_owned();
        if !status.starts_with("http/1.1 200") {
            return Err(io::Error::other(status));
        }
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        let length = field("content-length:").and_then(|text| text.trim().parse().ok());
        let mut body = vec![0; length.ok_or_else(|| io::Error::other("no content-length"))?];
        self.stream.read_exact(&mut body)?;
        Ok(field("connection:").is_none_or(|text| text.trim() != "close"))
    }

    /// Reads PostgreSQL's messages until the server waits for a query.
    fn until_ready(&mut self) -> io::Result<()> {
        loop {
            let kind = self.byte()?;
            let mut length = [0; 4];
            self.stream.read_exact(&mut length)?;
            let length = u32::from_be_bytes(length).saturating_sub(4).min(1 << 20);
            let mut body = vec![0; usize::try_from(length).map_err(io::Error::other)?];
            self.stream.read_exact(&mut body)?;
            match kind {
                b'Z' => return Ok(()),
                b'E' => return Err(io::Error::other(String::from_utf8_lossy(&body).into_owned())),
                _ => {}
            }
        }
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte)?;
        Ok(byte[0])
    }
}

impl Load {
    /// Starts the clients.
    pub(crate) fn start(protocol: Protocol, address: SocketAddr, tls: &Arc<ClientConfig>) -> Self {
        let (stop, counts) = (Arc::default(), Arc::default());
        let client = |number: u32| {
            let (stop, counts, tls) = (Arc::clone(&stop), Arc::clone(&counts), Arc::clone(tls));
            std::thread::spawn(move || {
                LoadedClient { protocol, address, tls, number, connection: None }
                    .run(&stop, &counts);
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { stop, counts, clients }
    }

    /// What has been seen so far.
    pub(crate) fn counts(&self) -> Counts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.drain(..).for_each(|client| drop(client.join()));
    }
}

struct LoadedClient {
    protocol: Protocol,
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    number: u32,
    connection: Option<Connection>,
}

impl LoadedClient {
    fn run(mut self, stop: &AtomicBool, counts: &Mutex<Counts>) {
        let pause = Duration::from_secs(1) * CLIENTS / REQUESTS_PER_SECOND;
        let mut next = Instant::now() + pause * self.number / CLIENTS;
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            let started = Instant::now();
            let (result, closed) = self.request();
            let took = started.elapsed();
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            counts.sent += 1;
            counts.closed += u64::from(closed);
            counts.slowest = counts.slowest.max(took);
            if let Err(error) = result {
                counts.failures.push(error.to_string());
            }
            drop(counts);
            // A machine that is too slow for the rate gets what it can do, and no burst later.
            next = (next + pause).max(started);
        }
    }

    /// One request, again on a new connection if a kept one was closed. Returns whether it was.
    fn request(&mut self) -> (io::Result<()>, bool) {
        let renews = self.number.is_multiple_of(2);
        let kept = self.connection.take();
        let kept = kept.filter(|it| !renews || it.exchanges < REQUESTS_PER_CONNECTION);
        let mut closed = false;
        if let Some(mut kept) = kept {
            match kept.exchange() {
                Ok(may_stay) => {
                    self.connection = Some(kept).filter(|_| may_stay);
                    return (Ok(()), false);
                }
                Err(_) => closed = true,
            }
        }
        let fresh = self.protocol.connect(self.address, &self.tls).and_then(|mut fresh| {
            let may_stay = fresh.exchange()?;
            Ok(Some(fresh).filter(|_| may_stay))
        });
        (fresh.map(|fresh| self.connection = fresh), closed)
    }
}
