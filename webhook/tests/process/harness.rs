//! The process on loopback, and its clients.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use futures_util::future;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use runtime::signals::Shutdown;
use runtime::tasks::Tasks;
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use webhook::args::Args;
use webhook::run::{RunError, run};

pub(crate) struct Process {
    directory: TempDir,
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    shutdown: Shutdown,
    tasks: Tasks,
    end: tokio::sync::oneshot::Receiver<Result<(), RunError>>,
}

fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, e2e::port::free_port().unwrap()).into()
}

impl Process {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With extra flags; `{}` in one is the test's directory.
    pub(crate) async fn start_with(flags: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), flags)
    }

    /// In a directory that a test has prepared.
    pub(crate) fn start_in(directory: TempDir, flags: &[&str]) -> Self {
        runtime::provider::install().unwrap();
        let (listen, admin) = (free_address(), free_address());
        let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        fs::create_dir_all(at("bundles/shop-prod")).unwrap();
        fs::create_dir_all(at("trust")).unwrap();
        let words = [
            "enclii-webhook",
            "--listen",
            &listen.to_string(),
            "--admin",
            &admin.to_string(),
            "--bundles-directory",
            &at("bundles"),
            "--trust-directory",
            &at("trust"),
            "--certificates-directory",
            &at("certificates"),
            "--drain-notice",
            "0",
        ];
        let more = flags.iter().map(|flag| flag.replace("{}", &at("")));
        let words = words.into_iter().map(str::to_owned).chain(more);
        let args = Args::parse_from(words).serve().unwrap();
        let (shutdown, tasks) = (Shutdown::manual(), Tasks::new());
        let (done, end) = tokio::sync::oneshot::channel();
        let running = run(args, tasks.clone(), shutdown.clone());
        // In a tracker of its own, because the process drains `tasks` and would wait for itself.
        Tasks::new().spawn("process", async move {
            let _ = done.send(running.await);
        });
        Self { directory, listen, admin, shutdown, tasks, end }
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// Provides everything that the webhook waits for.
    pub(crate) async fn make_ready(&self) {
        fs::write(
            self.path("bundles/shop-prod/api-prod.json"),
            r#"{"status":{"keys":["DATABASE_URL"]}}"#,
        )
        .unwrap();
        let authority = self.path("certificates/ca.crt");
        until(|| future::ready(authority.exists())).await;
        fs::copy(authority, self.path("trust/ca.crt")).unwrap();
        until(|| async { self.admin("/readyz").await.0 == StatusCode::OK }).await;
    }

    pub(crate) async fn admin(&self, path: &str) -> (StatusCode, String) {
        let Ok(stream) = TcpStream::connect(self.admin).await else {
            return (StatusCode::BAD_GATEWAY, String::new());
        };
        self.exchange(stream, Request::get(path).body(Full::default()).unwrap()).await
    }

    async fn exchange<S, B>(&self, stream: S, request: Request<B>) -> (StatusCode, String)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
        B: hyper::body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + 'static,
    {
        self.try_exchange(stream, request).await.unwrap()
    }

    /// `None` if the connection ends before there is a response.
    async fn try_exchange<S, B>(
        &self,
        stream: S,
        mut request: Request<B>,
    ) -> Option<(StatusCode, String)>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
        B: hyper::body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + 'static,
    {
        request.headers_mut().insert("host", "localhost".parse().unwrap());
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        self.tasks.spawn("client", async move { drop(connection.await) });
        let response = sender.send_request(request).await.ok()?;
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Some((status, String::from_utf8(body.to_vec()).unwrap()))
    }

    pub(crate) async fn https<B>(&self, request: Request<B>) -> (StatusCode, String)
    where
        B: hyper::body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + 'static,
    {
        let client = self.client().with_no_client_auth();
        let stream = self.connect(client).await.unwrap();
        self.exchange(stream, request).await
    }

    /// A review by a client with this certificate and key, PEM; the status is `None` if the
    /// connection is refused.
    pub(crate) async fn mutate_as(
        &self,
        (certificate, key): (&str, &str),
        body: &str,
    ) -> Option<(StatusCode, String)> {
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let client = self.client().with_client_auth_cert(chain, key).unwrap();
        let stream = self.connect(client).await.ok()?;
        let body = Full::new(Bytes::from(body.to_owned()));
        self.try_exchange(stream, Request::post("/mutate").body(body).unwrap()).await
    }

    fn client(&self) -> ConfigBuilder<ClientConfig, WantsClientCert> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(self.path("certificates/ca.crt")).unwrap()
        {
            roots.add(certificate.unwrap()).unwrap();
        }
        ClientConfig::builder().with_root_certificates(roots)
    }

    async fn connect(&self, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.listen).await.unwrap();
        // The name that the API server uses.
        let name = ServerName::try_from("enclii-webhook.enclii-system.svc").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await
    }

    pub(crate) async fn mutate(&self, body: impl Into<Bytes>) -> (StatusCode, String) {
        self.https(Request::post("/mutate").body(Full::new(body.into())).unwrap()).await
    }

    pub(crate) async fn stop(self) {
        self.shutdown.request();
        self.end.await.unwrap().unwrap();
    }
}

/// Waits until a condition holds. The test runner's own timeout applies.
pub(crate) async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    while !holds().await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A review of a pod with the variable `DATABASE_URL`.
pub(crate) fn review(value: &str) -> String {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "1",
            "operation": "CREATE",
            "namespace": "shop-prod",
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "object": {
                "metadata": { "annotations": { "enclii.io/secrets": "api-prod" } },
                "spec": { "containers": [
                    { "name": "api", "env": [{ "name": "DATABASE_URL", "value": value }] },
                ] },
            },
        },
    })
    .to_string()
}

/// The message of a refusal.
pub(crate) fn message(body: &str) -> String {
    serde_json::from_str::<Value>(body).unwrap()["response"]["status"]["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}
