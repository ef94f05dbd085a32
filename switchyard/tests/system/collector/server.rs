//! A fake HTTPS collector that requires client certificates and can fail in configurable ways.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use audit::Record;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::harness::write;

/// What the collector does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CollectorBehavior {
    /// Reads and confirms it.
    Confirm,
    /// Reads it and returns 500.
    Fail,
    /// Reads it and returns 429 with `Retry-After`.
    Busy,
    /// Closes the connection without reading it.
    ResetBeforeRead,
    /// Reads it and closes the connection without a response.
    ResetAfterRead,
    /// Reads it and never responds.
    Silent,
}

#[derive(Default)]
struct CollectorState {
    /// Behaviors for the next requests; after those, [`CollectorBehavior::Confirm`].
    behaviors: VecDeque<CollectorBehavior>,
    met: Vec<CollectorBehavior>,
    /// Confirmed events by path, without duplicates.
    confirmed: BTreeMap<String, Vec<Record>>,
    paths: BTreeSet<String>,
    complaints: Vec<String>,
    /// Failed handshakes.
    refused: usize,
}

/// The server. Its state survives [`Collector::down`].
pub(crate) struct Collector {
    port: u16,
    tls: TlsAcceptor,
    state: Arc<Mutex<CollectorState>>,
    tasks: JoinSet<()>,
}

impl Collector {
    /// Writes its clients' files to `directory`: its CA, a trusted client certificate (`known`), an
    /// untrusted one (`stranger`) and a token.
    pub(crate) fn new(directory: &Path) -> Self {
        runtime::provider::install().unwrap();
        let (server_ca, servers) = authority("the server's CA");
        let (client_ca, clients) = authority("the clients' CA");
        let (_, others) = authority("somebody's CA");
        write(&directory.join("server-ca.pem"), &server_ca);
        write(&directory.join("sesame"), "sesame\n");
        for (name, issuer) in [("known", &clients), ("stranger", &others)] {
            let (certificate, key) = leaf(name, issuer);
            write(&directory.join(format!("{name}.pem")), &certificate);
            write(&directory.join(format!("{name}.key")), &key);
        }
        let roots = Arc::new(runtime::root_certs::from_pem(client_ca.as_bytes()).unwrap());
        let verifier = WebPkiClientVerifier::builder(roots).build().unwrap();
        let (certificate, key) = leaf("127.0.0.1", &servers);
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let config = ServerConfig::builder()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .unwrap();
        let port = e2e::port::free_port().unwrap();
        Self { port, tls: Arc::new(config).into(), state: Arc::default(), tasks: JoinSet::new() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Starts listening.
    pub(crate) async fn up(&mut self) {
        let listener = loop {
            match TcpListener::bind(("127.0.0.1", self.port)).await {
                Ok(listener) => break listener,
                // The previous listener may still hold the port.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        self.tasks.spawn(accept(listener, self.tls.clone(), Arc::clone(&self.state)));
    }

    /// Stops, aborting all connections.
    pub(crate) async fn down(&mut self) {
        self.tasks.shutdown().await;
    }

    /// Sets the behavior for the next requests.
    pub(crate) fn respond_with(&self, behaviors: impl IntoIterator<Item = CollectorBehavior>) {
        self.state().behaviors.extend(behaviors);
    }

    /// The behaviors that requests have met so far.
    pub(crate) fn met(&self) -> Vec<CollectorBehavior> {
        self.state().met.clone()
    }

    /// The events confirmed to a sink.
    pub(crate) fn confirmed(&self, sink: &str) -> Vec<Record> {
        self.state().confirmed.get(&format!("/{sink}")).cloned().unwrap_or_default()
    }

    /// The paths of all requests.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.state().paths.iter().cloned().collect()
    }

    pub(crate) fn complaints(&self) -> Vec<String> {
        self.state().complaints.clone()
    }

    pub(crate) fn refused(&self) -> usize {
        self.state().refused
    }

    fn state(&self) -> MutexGuard<'_, CollectorState> {
        locked(&self.state)
    }
}

impl CollectorState {
    /// Records a batch and any problem with it: a gap, a wrong order, or a changed event.
    fn note(&mut self, path: &str, behavior: CollectorBehavior, authorization: &str, body: &[u8]) {
        if authorization != "Bearer sesame" {
            self.complaints.push(format!("the token is {authorization:?}"));
        }
        let text = String::from_utf8_lossy(body);
        if text.contains("hunter2") {
            self.complaints.push("a value came".to_owned());
        }
        let records: Vec<Record> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let confirmed = self.confirmed.entry(path.to_owned()).or_default();
        let sequences: Vec<u64> = records.iter().map(|record| record.sequence).collect();
        let (first, next) =
            (sequences.first().copied().unwrap_or_default(), confirmed.len() as u64 + 1);
        let in_order = sequences.iter().zip(first..).all(|(found, expected)| *found == expected);
        let known = records.iter().filter(|record| record.sequence < next);
        let same = known.clone().all(|record| {
            confirmed
                .iter()
                .any(|before| before.sequence == record.sequence && before.hash == record.hash)
        });
        if first == 0 || first > next || !in_order || !same {
            self.complaints.push(format!("{sequences:?} came where {next} was next"));
        } else if behavior == CollectorBehavior::Confirm {
            let again = known.count();
            confirmed.extend(records.into_iter().skip(again));
        }
    }
}

fn locked(state: &Mutex<CollectorState>) -> MutexGuard<'_, CollectorState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, state: Arc<Mutex<CollectorState>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((tcp, _)) = accepted else { continue };
                connections.spawn(serve(tcp, tls.clone(), Arc::clone(&state)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(tcp: TcpStream, tls: TlsAcceptor, state: Arc<Mutex<CollectorState>>) {
    let Ok(stream) = tls.accept(tcp).await else {
        locked(&state).refused += 1;
        return;
    };
    let service = service_fn(|request| take(request, Arc::clone(&state)));
    // A reset is an error here.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn take(
    request: Request<Incoming>,
    state: Arc<Mutex<CollectorState>>,
) -> io::Result<Response<Full<Bytes>>> {
    let behavior = locked(&state).behaviors.pop_front().unwrap_or(CollectorBehavior::Confirm);
    let path = request.uri().path().to_owned();
    locked(&state).paths.insert(path.clone());
    let torn = || io::Error::other("the connection is torn");
    if behavior == CollectorBehavior::ResetBeforeRead {
        locked(&state).met.push(behavior);
        return Err(torn());
    }
    let authorization = request
        .headers()
        .get("authorization")
        .and_then(|it| it.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    {
        let mut state = locked(&state);
        state.note(&path, behavior, &authorization, &body);
        state.met.push(behavior);
    }
    let answer = |status: StatusCode| Response::builder().status(status);
    let answer = match behavior {
        CollectorBehavior::ResetBeforeRead | CollectorBehavior::ResetAfterRead => {
            return Err(torn());
        }
        CollectorBehavior::Silent => std::future::pending().await,
        CollectorBehavior::Confirm => answer(StatusCode::NO_CONTENT),
        CollectorBehavior::Fail => answer(StatusCode::INTERNAL_SERVER_ERROR),
        CollectorBehavior::Busy => answer(StatusCode::TOO_MANY_REQUESTS).header("retry-after", "1"),
    };
    answer.body(Full::default()).map_err(io::Error::other)
}

/// A CA's certificate in PEM and its issuer.
fn authority(name: &str) -> (String, rcgen::Issuer<'static, rcgen::KeyPair>) {
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), rcgen::Issuer::new(params, key))
}

/// A certificate signed by `issuer` and its key, in PEM.
fn leaf(name: &str, issuer: &rcgen::Issuer<'static, rcgen::KeyPair>) -> (String, String) {
    let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
    params.use_authority_key_identifier_extension = true;
    let key = rcgen::KeyPair::generate().unwrap();
    (params.signed_by(&key, issuer).unwrap().pem(), key.serialize_pem())
}
