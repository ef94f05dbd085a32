//! A switchyard of a test's own, and a client for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser as _;
use contract::api::{NewValue, WriteRequest, Written};
use contract::{Problem, Redacted};
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use runtime::signals::Shutdown;
use runtime::tasks::Tasks;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use switchyard::args::Args;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// For what has to happen: far longer than it takes.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(90);

/// The parts of an answer.
pub(crate) type HttpAnswer = (StatusCode, http::HeaderMap, Bytes);

pub(crate) struct Harness {
    pub(crate) directory: PathBuf,
    port: u16,
    admin: u16,
    tasks: Tasks,
    shutdown: Shutdown,
    running: std::sync::Mutex<Option<ServerProcess>>,
    tls: Arc<ClientConfig>,
    temporary: Option<tempfile::TempDir>,
}

/// How switchyard runs.
enum ServerProcess {
    /// In the test's own process.
    InProcess(tokio::task::JoinHandle<Result<(), switchyard::ServeError>>),
    /// In a process that can be killed.
    Child(std::process::Child),
}

/// The pods of every test: two of service api and one of service web in prod, one of api in dev,
/// and one in a namespace that belongs to nobody.
fn identities() -> Value {
    let pod = |token: &str, namespace: &str, account: &str, uid: &str| json!({"token": token, "namespace": namespace, "service_account": account, "pod": format!("{account}-{uid}"), "uid": uid});
    json!({
        "namespaces": {
            "shop-prod": {"project": "shop", "environment": "prod"},
            "shop-dev": {"project": "shop", "environment": "dev"},
        },
        "identities": [
            pod("api-one", "shop-prod", "api", "1"),
            pod("api-two", "shop-prod", "api", "2"),
            pod("web", "shop-prod", "web", "3"),
            pod("dev", "shop-dev", "api", "4"),
            pod("stranger", "stranger", "api", "5"),
        ],
    })
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(crate) fn write(path: &Path, text: &str) {
    std::io::Write::write_all(&mut std::fs::File::create(path).unwrap(), text.as_bytes()).unwrap();
}

impl Harness {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With further flags.
    pub(crate) async fn start_with(flags: &[&str]) -> Self {
        Self::start_prepared(|_| flags.iter().map(|flag| (*flag).to_owned()).collect()).await
    }

    /// With further flags, which may speak of files that the caller puts into the directory.
    pub(crate) async fn start_prepared(flags: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let directory = temporary.path().to_owned();
        write(&directory.join("identities.json"), &identities().to_string());
        let flags = flags(&directory);
        let mut harness = Self::start_in(directory, false, &flags).await;
        harness.temporary = Some(temporary);
        harness
    }

    /// In a process of its own, on what the directory has from before.
    pub(crate) async fn start_child(directory: PathBuf) -> Self {
        Self::start_child_with(directory, &[]).await
    }

    /// The same, with further flags.
    pub(crate) async fn start_child_with(directory: PathBuf, more: &[String]) -> Self {
        write(&directory.join("identities.json"), &identities().to_string());
        Self::start_in(directory, true, more).await
    }

    async fn start_in(directory: PathBuf, child: bool, more: &[String]) -> Self {
        runtime::provider::install().unwrap();
        let (port, admin) = (free_port(), free_port());
        let words = Self::words(&directory, port, admin, more);
        let (tasks, shutdown) = (Tasks::new(), Shutdown::manual());
        let running = if child {
            ServerProcess::Child(spawn(&directory, &words))
        } else {
            let args = Args::try_parse_from(words).unwrap().serve();
            #[expect(
                clippy::disallowed_methods,
                reason = "the test owns it, and ends it in `stop`"
            )]
            ServerProcess::InProcess(tokio::spawn(switchyard::serve(
                args,
                tasks.clone(),
                shutdown.clone(),
            )))
        };
        let ca = directory.join("trust/ca.crt");
        until("switchyard to be ready", async || {
            ca.exists() && plain(admin, "/readyz").await.is_some_and(|(status, _)| status == 200)
        })
        .await;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&std::fs::read(ca).unwrap()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let tls =
            Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
        Self {
            directory,
            port,
            admin,
            tasks,
            shutdown,
            running: Some(running).into(),
            tls,
            temporary: None,
        }
    }

    /// The command line.
    fn words(directory: &Path, port: u16, admin: u16, more: &[String]) -> Vec<String> {
        let at = |name: &str| directory.join(name).to_str().unwrap().to_owned();
        let words = [
            "switchyard",
            "serve",
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--admin",
            &format!("127.0.0.1:{admin}"),
        ]
        .map(str::to_owned);
        let flags = [
            "--data",
            "--development-identities",
            "--publish-directory",
            "--trust-directory",
            "--drain-notice",
        ]
        .map(str::to_owned);
        let values =
            [at("data"), at("identities.json"), at("bundles"), at("trust"), "0".to_owned()];
        let words = words
            .into_iter()
            .chain(flags.into_iter().zip(values).flat_map(|(flag, value)| [flag, value]));
        words.chain(more.iter().cloned()).collect()
    }

    /// What a process that cannot start says before it ends.
    pub(crate) async fn cannot_start(directory: &Path, more: &[String]) -> String {
        write(&directory.join("identities.json"), &identities().to_string());
        let mut child = spawn(directory, &Self::words(directory, free_port(), free_port(), more));
        let mut ended = None;
        until("a program that cannot start to end", async || {
            ended = child.try_wait().unwrap();
            ended.is_some()
        })
        .await;
        assert_eq!(ended.unwrap().code(), Some(1));
        std::fs::read_to_string(directory.join("log")).unwrap()
    }

    /// Starts a process and kills it after that time, ready or not.
    pub(crate) async fn start_and_kill(directory: &Path, more: &[String], after: Duration) {
        let mut child = spawn(directory, &Self::words(directory, free_port(), free_port(), more));
        tokio::time::sleep(after).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Stops it in order and starts it anew on the same data, on another port.
    pub(crate) async fn restart(mut self) -> Self {
        self.stop().await;
        let mut harness = Self::start_in(self.directory.clone(), false, &[]).await;
        harness.temporary = self.temporary.take();
        harness
    }

    /// Stops it in order; whatever does not end in time is an error.
    pub(crate) async fn stop(&mut self) {
        self.shutdown.request();
        let Some(ServerProcess::InProcess(running)) = self.running.get_mut().unwrap().take() else {
            panic!("it runs in a process of its own")
        };
        let ended = running.await.unwrap();
        ended.unwrap_or_else(|error| {
            panic!("{}: {:?}", runtime::logs::ErrorChain(&error), self.tasks.running())
        });
    }

    /// Ends its process as a power cut would, as far as a process can tell.
    pub(crate) fn kill(&self) {
        let Some(ServerProcess::Child(mut child)) = self.running.lock().unwrap().take() else {
            panic!("it runs in the test's process")
        };
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Ends its process as an operator would, and waits until it has ended well.
    pub(crate) async fn terminate(&self) {
        use rustix::process::{Pid, Signal, kill_process};
        kill_process(Pid::from_raw(self.process().cast_signed()).unwrap(), Signal::TERM).unwrap();
        until("its end", async || self.has_ended()).await;
        let Some(ServerProcess::Child(mut child)) = self.running.lock().unwrap().take() else {
            panic!("it runs in the test's process")
        };
        assert!(
            child.wait().unwrap().success(),
            "{}",
            std::fs::read_to_string(self.directory.join("log")).unwrap()
        );
    }

    pub(crate) fn token(&self) -> String {
        std::fs::read_to_string(self.directory.join("data/bootstrap-token")).unwrap()
    }

    async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(("127.0.0.1", self.port)).await?;
        TlsConnector::from(Arc::clone(&self.tls))
            .connect(ServerName::try_from("localhost").unwrap(), tcp)
            .await
    }

    /// One request on a connection of its own; `None` where switchyard is not there.
    pub(crate) async fn try_send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Option<Response<hyper::body::Incoming>> {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(self.connect().await.ok()?))
                .await
                .ok()?;
        self.tasks.spawn("test client", async move {
            let _ = connection.with_upgrades().await;
        });
        sender.send_request(request).await.ok()
    }

    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Response<hyper::body::Incoming> {
        self.try_send(request).await.unwrap()
    }

    /// A write that was acknowledged, or that nobody knows what became of.
    pub(crate) async fn try_set(
        &self,
        token: &str,
        scope: &str,
        values: &[(&str, &[u8])],
    ) -> Option<Written> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/v1/secrets/{scope}/"))
            .header("host", "localhost");
        let request = request
            .header("authorization", format!("Bearer {token}"))
            .body(Full::new(Bytes::copy_from_slice(body(values).expose())));
        let answer = self.try_send(request.unwrap()).await?;
        assert_eq!(answer.status(), 200);
        serde_json::from_slice(&answer.into_body().collect().await.ok()?.to_bytes()).ok()
    }

    /// As [`Harness::ask`]; `None` where switchyard is not there.
    pub(crate) async fn try_ask(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: &[u8],
    ) -> Option<HttpAnswer> {
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        let request = request.header("authorization", format!("Bearer {token}"));
        let (head, body) = self
            .try_send(request.body(Full::new(Bytes::copy_from_slice(body))).unwrap())
            .await?
            .into_parts();
        Some((head.status, head.headers, body.collect().await.ok()?.to_bytes()))
    }

    /// Ends its process in order.
    pub(crate) async fn end(&self) {
        let process =
            rustix::process::Pid::from_raw(i32::try_from(self.process()).unwrap()).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        until("the process to end", async || self.has_ended()).await;
    }

    /// The process that it runs in.
    pub(crate) fn process(&self) -> u32 {
        let running = self.running.lock().unwrap();
        let Some(ServerProcess::Child(child)) = running.as_ref() else {
            panic!("it runs in the test's process")
        };
        child.id()
    }

    /// Whether that has ended by itself.
    pub(crate) fn has_ended(&self) -> bool {
        let mut running = self.running.lock().unwrap();
        let Some(ServerProcess::Child(child)) = running.as_mut() else {
            panic!("it runs in the test's process")
        };
        child.try_wait().unwrap().is_some()
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: &[u8],
    ) -> HttpAnswer {
        let authorization = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> =
            authorization.iter().map(|value| ("authorization", value.as_str())).collect();
        self.by(method, path, &headers, body).await
    }

    /// An administrator's request with these headers.
    pub(crate) async fn with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> HttpAnswer {
        let authorization = format!("Bearer {}", self.token());
        let headers: Vec<_> = [("authorization", authorization.as_str())]
            .into_iter()
            .chain(headers.iter().copied())
            .collect();
        self.by(method, path, &headers, body).await
    }

    /// A request with these headers alone.
    pub(crate) async fn by(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> HttpAnswer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("user-agent", "a test");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response =
            self.send(request.body(Full::new(Bytes::copy_from_slice(body))).unwrap()).await;
        let (head, body) = response.into_parts();
        (head.status, head.headers, body.collect().await.unwrap().to_bytes())
    }

    /// An administrator's request that is refused, with its problem document.
    pub(crate) async fn refused(&self, method: Method, path: &str, body: &[u8]) -> Problem {
        let (status, headers, answer) = self.ask(method, path, Some(&self.token()), body).await;
        problem(status, &headers, &answer)
    }

    /// An administrator's request that succeeds.
    pub(crate) async fn done(&self, method: Method, path: &str, body: &[u8]) -> Bytes {
        let (status, headers, answer) = self.ask(method, path, Some(&self.token()), body).await;
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&answer));
        assert_eq!(headers[CONTENT_TYPE], "application/json");
        answer
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&self.done(Method::GET, path, b"").await).unwrap()
    }

    pub(crate) async fn set(&self, scope: &str, values: &[(&str, &[u8])]) -> Written {
        let body = body(values);
        serde_json::from_slice(
            &self.done(Method::POST, &format!("/v1/secrets/{scope}/"), body.expose()).await,
        )
        .unwrap()
    }

    pub(crate) async fn events(&self, action: &str) -> Vec<Value> {
        let events = self.json(&format!("/v1/audit?limit=10000&action={action}")).await;
        events["events"].as_array().unwrap().clone()
    }

    pub(crate) async fn metrics(&self) -> String {
        plain(self.admin, "/metrics").await.unwrap().1
    }

    pub(crate) async fn database(&self) -> sqlx::SqlitePool {
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(self.directory.join("data/switchyard.db"));
        sqlx::SqlitePool::connect_with(options).await.unwrap()
    }
}

/// A test that fails leaves no process behind.
impl Drop for Harness {
    fn drop(&mut self) {
        if let Ok(Some(ServerProcess::Child(child))) = self.running.get_mut() {
            let _ = child.kill();
        }
    }
}

fn spawn(directory: &Path, words: &[String]) -> std::process::Child {
    let log =
        std::fs::File::options().create(true).append(true).open(directory.join("log")).unwrap();
    std::process::Command::new(env!("CARGO_BIN_EXE_switchyard"))
        .args(&words[1..])
        .stderr(log)
        .spawn()
        .unwrap()
}

pub(crate) fn body(values: &[(&str, &[u8])]) -> Redacted {
    let mut request = WriteRequest::default();
    for (name, value) in values {
        request.secrets.insert(name.parse().unwrap(), NewValue::new(Redacted::from(*value)));
    }
    request.to_body().unwrap()
}

/// What every refusal looks like.
pub(crate) fn problem(status: StatusCode, headers: &http::HeaderMap, body: &[u8]) -> Problem {
    assert_eq!(
        headers[CONTENT_TYPE],
        "application/problem+json",
        "{}",
        String::from_utf8_lossy(body)
    );
    let problem: Problem = serde_json::from_slice(body).unwrap();
    assert_eq!(problem.status, status.as_u16());
    assert!(
        problem.kind.starts_with("/problems/")
            && !problem.title.is_empty()
            && !problem.detail.is_empty(),
        "{problem:?}"
    );
    assert_eq!(problem.instance.as_deref(), headers["trace-id"].to_str().ok());
    problem
}

async fn plain(port: u16, path: &str) -> Option<(u16, String)> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream
        .write_all(
            format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes(),
        )
        .await
        .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some((answer.split(' ').nth(1)?.parse().ok()?, answer))
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let all = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, all)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"));
}
