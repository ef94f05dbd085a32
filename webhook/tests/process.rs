//! The whole process on loopback, without a cluster: TLS, limits, readiness and shutdown.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![expect(clippy::disallowed_methods, reason = "a test's input files")]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use futures_util::future;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use runtime::signals::Shutdown;
use runtime::tasks::Tasks;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use webhook::args::Args;
use webhook::run::{RunError, run};

struct Process {
    directory: TempDir,
    listen: SocketAddr,
    admin: SocketAddr,
    shutdown: Shutdown,
    tasks: Tasks,
    end: tokio::sync::oneshot::Receiver<Result<(), RunError>>,
}

fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, e2e::port::free_port().unwrap()).into()
}

impl Process {
    async fn start() -> Self {
        runtime::provider::install().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (listen, admin) = (free_address(), free_address());
        let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        fs::create_dir_all(at("bundles/shop-prod")).unwrap();
        fs::create_dir_all(at("trust")).unwrap();
        let args = Args::parse_from([
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
        ]);
        let (shutdown, tasks) = (Shutdown::manual(), Tasks::new());
        let (done, end) = tokio::sync::oneshot::channel();
        let running = run(args, tasks.clone(), shutdown.clone());
        // In a tracker of its own, because the process drains `tasks` and would wait for itself.
        Tasks::new().spawn("process", async move {
            let _ = done.send(running.await);
        });
        Self { directory, listen, admin, shutdown, tasks, end }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// Provides everything that the webhook waits for.
    async fn make_ready(&self) {
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

    async fn admin(&self, path: &str) -> (StatusCode, String) {
        let Ok(stream) = TcpStream::connect(self.admin).await else {
            return (StatusCode::BAD_GATEWAY, String::new());
        };
        self.exchange(stream, Request::get(path).body(Full::default()).unwrap()).await
    }

    async fn exchange<S, B>(&self, stream: S, mut request: Request<B>) -> (StatusCode, String)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
        B: hyper::body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + 'static,
    {
        request.headers_mut().insert("host", "localhost".parse().unwrap());
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        self.tasks.spawn("client", async move { drop(connection.await) });
        let response = sender.send_request(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn https<B>(&self, request: Request<B>) -> (StatusCode, String)
    where
        B: hyper::body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + 'static,
    {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(self.path("certificates/ca.crt")).unwrap()
        {
            roots.add(certificate.unwrap()).unwrap();
        }
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let tcp = TcpStream::connect(self.listen).await.unwrap();
        // The name that the API server uses.
        let name = ServerName::try_from("enclii-webhook.enclii-system.svc").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        self.exchange(stream, request).await
    }

    async fn mutate(&self, body: impl Into<Bytes>) -> (StatusCode, String) {
        self.https(Request::post("/mutate").body(Full::new(body.into())).unwrap()).await
    }

    async fn stop(self) {
        self.shutdown.request();
        self.end.await.unwrap().unwrap();
    }
}

/// Waits until a condition holds. The test runner's own timeout applies.
async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    while !holds().await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn review(value: &str) -> String {
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

fn message(body: &str) -> String {
    serde_json::from_str::<Value>(body).unwrap()["response"]["status"]["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test]
async fn reviews_wait_for_the_ca_and_are_counted() {
    let process = Process::start().await;
    until(|| async {
        process.admin("/readyz").await.1
            == "waiting for: switchyard's CA, ca.crt in the trust directory\n"
    })
    .await;
    assert_eq!(
        process.https(Request::get("/healthz").body(Full::default()).unwrap()).await,
        (StatusCode::OK, "ok\n".into())
    );
    let (status, text) =
        process.https(Request::get("/readyz").body(Full::default()).unwrap()).await;
    assert_eq!(
        (status, text.as_str()),
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "waiting for: switchyard's CA, ca.crt in the trust directory\n"
        )
    );
    let (_, early) = process.mutate(review("x")).await;
    assert!(
        message(&early)
            .ends_with("It is waiting for: switchyard's CA, ca.crt in the trust directory"),
        "{early}"
    );

    process.make_ready().await;
    let (status, answer) = process.mutate(review("hunter2")).await;
    assert_eq!(status, StatusCode::OK);
    let response = &serde_json::from_str::<Value>(&answer).unwrap()["response"];
    assert_eq!((&response["allowed"], &response["patchType"]), (&json!(true), &json!("JSONPatch")));

    let (_, metrics) = process.admin("/metrics").await;
    for line in [
        "enclii_webhook_reviews_total{outcome=\"injected\"} 1",
        "enclii_webhook_reviews_total{outcome=\"not_ready\"} 1",
        "enclii_webhook_bundles 1.0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in:\n{metrics}");
    }
    assert!(metrics.contains("enclii_webhook_certificate_expiry_timestamp_seconds "), "{metrics}");
    process.stop().await;
}

#[tokio::test]
async fn a_new_bundle_is_used() {
    let process = Process::start().await;
    process.make_ready().await;
    let asks = review("x").replace("api-prod", "web-prod");
    let (_, refused) = process.mutate(asks.clone()).await;
    assert!(
        message(&refused).contains("bundle web-prod does not exist in namespace shop-prod"),
        "{refused}"
    );
    fs::write(
        process.path("bundles/shop-prod/web-prod.json"),
        r#"{"status":{"keys":["DATABASE_URL"]}}"#,
    )
    .unwrap();
    until(|| async { process.mutate(asks.clone()).await.1.contains(r#""allowed":true"#) }).await;
    process.stop().await;
}

#[tokio::test]
async fn oversized_bodies_and_unknown_paths_are_rejected() {
    let process = Process::start().await;
    process.make_ready().await;
    let too_large =
        "read review: the body is over 3 MiB (3145728 bytes), more than any review of a pod\n";
    assert_eq!(
        process.mutate(vec![b' '; (3 << 20) + 1]).await,
        (StatusCode::PAYLOAD_TOO_LARGE, too_large.into())
    );
    let piece = || Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(vec![b' '; 1 << 20])));
    let pieces = StreamBody::new(futures_util::stream::iter([piece(), piece(), piece(), piece()]));
    assert_eq!(
        process.https(Request::post("/mutate").body(pieces).unwrap()).await,
        (StatusCode::PAYLOAD_TOO_LARGE, too_large.into())
    );
    let padded = format!("{}{}", review("x"), " ".repeat(2 << 20));
    assert_eq!(process.mutate(padded).await.0, StatusCode::OK);
    let (status, text) = process.mutate("hunter2").await;
    assert_eq!((status, text.contains("hunter2")), (StatusCode::BAD_REQUEST, false));
    for (request, expected) in [
        (Request::get("/mutate"), StatusCode::METHOD_NOT_ALLOWED),
        (Request::post("/readyz"), StatusCode::METHOD_NOT_ALLOWED),
        (Request::get("/"), StatusCode::NOT_FOUND),
    ] {
        assert_eq!(process.https(request.body(Full::default()).unwrap()).await.0, expected);
    }
    process.stop().await;
}

#[tokio::test]
async fn a_port_in_use_is_named_in_the_error() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| Path::join(directory.path(), name).to_str().unwrap().to_owned();
    let args = Args::parse_from([
        "enclii-webhook",
        "--listen",
        &address,
        "--bundles-directory",
        &at("b"),
        "--trust-directory",
        &at("t"),
        "--certificates-directory",
        &at("c"),
    ]);
    let error = run(args, Tasks::new(), Shutdown::manual()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("listen on {address}"));
}
