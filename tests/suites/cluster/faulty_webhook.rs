//! A webhook that answers wrong, or not at all, in place of ours.

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

/// Longer than the registration's timeout of 5 s.
const SLOW: Duration = Duration::from_secs(8);

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WebhookFault {
    /// Nothing listens.
    Stopped,
    /// The connection is taken and closed.
    Closed,
    /// The request is read and never answered in time.
    Slow,
    /// The connection ends after the request was read.
    CutOff,
    /// HTTP 500.
    InternalError,
    /// A response to another request.
    WrongUid,
    /// A response of another version.
    WrongVersion,
    /// The answer ends in the middle.
    HalfBody,
    /// Not JSON.
    Garbage,
    /// A patch that is not one.
    BadPatch,
}

impl WebhookFault {
    pub(crate) const ALL: [Self; 10] = [
        Self::Stopped,
        Self::Closed,
        Self::Slow,
        Self::CutOff,
        Self::InternalError,
        Self::WrongUid,
        Self::WrongVersion,
        Self::HalfBody,
        Self::Garbage,
        Self::BadPatch,
    ];
}

/// The server. Dropping it ends it.
pub(crate) struct FaultyWebhook {
    port: u16,
    ca: String,
    state: Arc<ServerState>,
}

struct ServerState {
    fault: WebhookFault,
    tls: Arc<ServerConfig>,
    stopped: AtomicBool,
    connections: AtomicUsize,
}

impl FaultyWebhook {
    /// Listens on loopback, except for [`WebhookFault::Stopped`].
    pub(crate) fn start(fault: WebhookFault) -> Result<Self> {
        let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
        let ca = create_ca("faulty", now, hour)?;
        let leaf = issue_leaf(&ca, &SubjectAltNames::parse(["127.0.0.1"])?, now, hour)?;
        let resolver = CertResolver::new();
        resolver.swap(&leaf)?;
        let tls = server_config(resolver, &[])?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("listen")?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(ServerState {
            fault,
            tls: Arc::new(tls),
            stopped: false.into(),
            connections: 0.into(),
        });
        if fault != WebhookFault::Stopped {
            let state = Arc::clone(&state);
            std::thread::spawn(move || accept(&listener, &state));
        }
        Ok(Self { port, ca: ca.certificate().pem(), state })
    }

    /// The `clientConfig` of an entry that names this server.
    pub(crate) fn client_config(&self) -> Value {
        json!({
            "url": format!("https://127.0.0.1:{}/mutate", self.port),
            "caBundle": base64::engine::general_purpose::STANDARD.encode(&self.ca),
        })
    }

    /// How many connections it has taken.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl Drop for FaultyWebhook {
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
    if state.fault == WebhookFault::Closed {
        return Ok(());
    }
    connection.set_read_timeout(Some(SLOW))?;
    let tls = ServerConnection::new(Arc::clone(&state.tls))?;
    let mut stream = StreamOwned::new(tls, connection);
    while !state.stopped.load(Ordering::SeqCst) {
        let Some(review) = read_request(&mut stream)? else { return Ok(()) };
        let uid = review["request"]["uid"].as_str().context("uid")?;
        match state.fault {
            WebhookFault::Stopped | WebhookFault::Closed | WebhookFault::CutOff => return Ok(()),
            WebhookFault::Slow => {
                std::thread::sleep(SLOW);
                respond(&mut stream, "200 OK", &allow(uid, "v1", None))?;
            }
            WebhookFault::InternalError => {
                respond(&mut stream, "500 Internal Server Error", "oops")?
            }
            WebhookFault::WrongUid => {
                respond(&mut stream, "200 OK", &allow("another", "v1", None))?
            }
            WebhookFault::WrongVersion => respond(&mut stream, "200 OK", &allow(uid, "v9", None))?,
            WebhookFault::Garbage => respond(&mut stream, "200 OK", "<html>allowed: true</html>")?,
            WebhookFault::BadPatch => {
                let patch = r#"[{"op":"replace","path":"/spec/nowhere/0","value":1}]"#;
                respond(&mut stream, "200 OK", &allow(uid, "v1", Some(patch)))?;
            }
            WebhookFault::HalfBody => {
                let body = allow(uid, "v1", None);
                let half = &body[..body.len() / 2];
                write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{half}", body.len())?;
                stream.flush()?;
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A review that allows the pod as it is, or with that patch.
fn allow(uid: &str, version: &str, patch: Option<&str>) -> String {
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

fn respond(
    stream: &mut StreamOwned<ServerConnection, TcpStream>,
    status: &str,
    body: &str,
) -> Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n\
         {body}"
    )?;
    Ok(stream.flush()?)
}

/// One review of an HTTP/1.1 connection; `None` at its end.
fn read_request(stream: &mut StreamOwned<ServerConnection, TcpStream>) -> Result<Option<Value>> {
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
                return Ok(Some(serde_json::from_slice(&bytes[body])?));
            }
        }
        match stream.read(&mut buffer)? {
            0 => return Ok(None),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}
