//! An HTTPS server on loopback that the API server takes for a webhook.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use base64::Engine as _;
use certs::alt_names::SubjectAltNames;
use certs::issue::{create_ca, issue_leaf};
use certs::resolver::{CertResolver, server_config};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// How long it waits for the rest of a request.
const READ_TIMEOUT: Duration = Duration::from_secs(8);

/// The connection of a client.
pub(crate) type TlsStream = StreamOwned<ServerConnection, TcpStream>;

/// What a server does with the reviews that it gets.
pub(crate) trait Reviewer: Send + Sync + 'static {
    /// Whether it takes a connection; else it closes it at once.
    fn takes_connections(&self) -> bool {
        true
    }

    /// Answers a review that was sent to this path. Returns whether the connection goes on.
    fn review(&self, path: &str, review: &Value, stream: &mut TlsStream) -> Result<bool>;
}

/// The server. Dropping it ends it.
pub(crate) struct WebhookServer {
    port: u16,
    ca: String,
    state: Arc<ServerState>,
}

struct ServerState {
    reviewer: Box<dyn Reviewer>,
    tls: Arc<ServerConfig>,
    stopped: AtomicBool,
    connections: AtomicUsize,
}

impl WebhookServer {
    /// Listens on loopback, if `listens`; else nobody is at its address.
    pub(crate) fn start(reviewer: impl Reviewer, listens: bool) -> Result<Self> {
        let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
        let ca = create_ca("test webhook", now, hour)?;
        let leaf = issue_leaf(&ca, &SubjectAltNames::parse(["127.0.0.1"])?, now, hour)?;
        let resolver = CertResolver::new();
        resolver.swap(&leaf)?;
        let tls = server_config(resolver, &[])?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("listen")?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(ServerState {
            reviewer: Box::new(reviewer),
            tls: Arc::new(tls),
            stopped: false.into(),
            connections: 0.into(),
        });
        if listens {
            let state = Arc::clone(&state);
            std::thread::spawn(move || accept(&listener, &state));
        }
        Ok(Self { port, ca: ca.certificate().pem(), state })
    }

    /// The `clientConfig` of an entry that names a path of this server.
    pub(crate) fn client_config(&self, path: &str) -> Value {
        json!({
            "url": format!("https://127.0.0.1:{}{path}", self.port),
            "caBundle": base64::engine::general_purpose::STANDARD.encode(&self.ca),
        })
    }

    /// How many connections it has taken.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl Drop for WebhookServer {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn accept(listener: &TcpListener, state: &Arc<ServerState>) {
    for connection in listener.incoming() {
        if state.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(connection) = connection else { continue };
        state.connections.fetch_add(1, Ordering::SeqCst);
        let state = Arc::clone(state);
        // A client that goes away in the middle is as good as one that stays.
        std::thread::spawn(move || drop(serve(connection, &state)));
    }
}

fn serve(connection: TcpStream, state: &ServerState) -> Result<()> {
    if !state.reviewer.takes_connections() {
        return Ok(());
    }
    connection.set_read_timeout(Some(READ_TIMEOUT))?;
    let tls = ServerConnection::new(Arc::clone(&state.tls))?;
    let mut stream = StreamOwned::new(tls, connection);
    while !state.stopped.load(Ordering::SeqCst) {
        let Some((path, review)) = read_request(&mut stream)? else { return Ok(()) };
        if !state.reviewer.review(&path, &review, &mut stream)? {
            return Ok(());
        }
    }
    Ok(())
}

/// A review that allows the object as it is, or with that patch.
pub(crate) fn allow(uid: &str, version: &str, patch: Option<&str>) -> String {
    let mut response = json!({"uid": uid, "allowed": true});
    if let Some(patch) = patch {
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(base64::engine::general_purpose::STANDARD.encode(patch));
    }
    json!({
        "apiVersion": format!("admission.k8s.io/{version}"), "kind": "AdmissionReview",
        "response": response,
    })
    .to_string()
}

/// Writes a response.
pub(crate) fn respond(stream: &mut TlsStream, status: &str, body: &str) -> Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n\
         {body}"
    )?;
    Ok(stream.flush()?)
}

/// The path and the review of one request of an HTTP/1.1 connection; `None` at its end.
fn read_request(stream: &mut TlsStream) -> Result<Option<(String, Value)>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        let end = bytes.windows(4).position(|it| it == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .context("content-length")?;
            let body = end + 4..end + 4 + length.trim().parse::<usize>()?;
            if bytes.len() >= body.end {
                let target = head.split_whitespace().nth(1).context("path")?;
                let path = target.split('?').next().unwrap_or_default().to_owned();
                return Ok(Some((path, serde_json::from_slice(&bytes[body])?)));
            }
        }
        match stream.read(&mut buffer)? {
            0 => return Ok(None),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}
