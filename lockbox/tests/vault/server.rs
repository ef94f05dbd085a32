//! A real Vault on loopback, with integrated storage on disk, so that data survives a restart. It
//! is killed when it is dropped, even if the test panics.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// A running server.
pub(crate) struct VaultServer {
    child: Child,
    directory: TempDir,
    port: u16,
    tls: bool,
    unseal_key: String,
    root: String,
    http: reqwest::Client,
}

impl VaultServer {
    /// Starts a server, initialises and unseals it, and mounts a KV v2 engine at `secret`.
    pub(crate) async fn start(tls: bool) -> Self {
        let _ = runtime::provider::install();
        let directory = tempfile::Builder::new().prefix("enclii-vault-").tempdir().unwrap();
        let port = prepare(directory.path(), tls);
        let certificates = tls.then(|| {
            reqwest::Certificate::from_pem(&std::fs::read(directory.path().join("ca.crt")).unwrap())
                .unwrap()
        });
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .tls_certs_only(certificates);
        let http = client.build().unwrap();
        let child = run(directory.path());
        let mut server = Self {
            child,
            directory,
            port,
            tls,
            unseal_key: String::new(),
            root: String::new(),
            http,
        };
        server
            .until("answer", async |server| {
                server.ask(Method::GET, "sys/seal-status", None).await.is_some()
            })
            .await;
        let made = server
            .api(Method::PUT, "sys/init", Some(json!({"secret_shares": 1, "secret_threshold": 1})))
            .await;
        server.unseal_key = made["keys"][0].as_str().unwrap().to_owned();
        server.root = made["root_token"].as_str().unwrap().to_owned();
        server.unseal().await;
        server
            .api(
                Method::POST,
                "sys/mounts/secret",
                Some(json!({"type": "kv", "options": {"version": "2"}})),
            )
            .await;
        server
            .until("mount", async |server| {
                server.ask(Method::GET, "secret/config", None).await.is_some_and(|it| it.0 == 200)
            })
            .await;
        server
    }

    pub(crate) fn address(&self) -> String {
        format!("{}://127.0.0.1:{}", if self.tls { "https" } else { "http" }, self.port)
    }

    pub(crate) fn socket(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// The file of the CA of its certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.crt")
    }

    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// A file with the root token.
    pub(crate) fn root_file(&self) -> PathBuf {
        self.file("root-token", &self.root)
    }

    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::io::Write::write_all(&mut File::create(&path).unwrap(), content.as_bytes()).unwrap();
        path
    }

    /// Makes a call with the root token, which must succeed.
    pub(crate) async fn api(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self
            .ask(method.clone(), path, body)
            .await
            .unwrap_or_else(|| panic!("{method} {path}: no answer"));
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// Makes a call with the root token. Returns status and body, or `None` without an answer.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Option<(u16, Value)> {
        let mut request = self.http.request(method, format!("{}/v1/{path}", self.address()));
        if !self.root.is_empty() {
            request = request.header("x-vault-token", &self.root);
        }
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.ok()?;
        Some((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    /// Reads a KV version of an entry: status and data.
    pub(crate) async fn kv(&self, path: &str, version: u64) -> (u16, Value) {
        let (status, mut body) = self
            .ask(Method::GET, &format!("secret/data/{path}?version={version}"), None)
            .await
            .unwrap();
        (status, body["data"]["data"].take())
    }

    /// Whether a value can be read anywhere in the engine, as text or in base64.
    pub(crate) async fn holds(&self, value: &str) -> bool {
        let everything = self.everything().await;
        everything.contains(value) || everything.contains(&STANDARD.encode(value))
    }

    /// Every KV version that can still be read, as one text.
    async fn everything(&self) -> String {
        let mut all = String::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let list = Method::from_bytes(b"LIST").unwrap();
            let Some((200, listed)) =
                self.ask(list, &format!("secret/metadata/{folder}"), None).await
            else {
                continue;
            };
            for key in listed["data"]["keys"].as_array().unwrap() {
                let path = format!("{folder}{}", key.as_str().unwrap());
                if path.ends_with('/') {
                    folders.push(path);
                    continue;
                }
                let metadata =
                    self.api(Method::GET, &format!("secret/metadata/{path}"), None).await;
                for version in metadata["data"]["versions"].as_object().unwrap().keys() {
                    all.push_str(&self.kv(&path, version.parse().unwrap()).await.1.to_string());
                }
            }
        }
        all
    }

    pub(crate) async fn seal(&self) {
        self.api(Method::PUT, "sys/seal", None).await;
    }

    pub(crate) async fn unseal(&self) {
        let key = json!({"key": self.unseal_key});
        self.until("unseal", async |server| {
            let unsealed = server.ask(Method::PUT, "sys/unseal", Some(key.clone())).await;
            unsealed.is_some_and(|(status, body)| status == 200 && body["sealed"] == json!(false))
        })
        .await;
        self.until("lead", async |server| {
            server.ask(Method::GET, "sys/health", None).await.is_some_and(|it| it.0 == 200)
        })
        .await;
    }

    /// Kills the server, and restarts it after `away` on the same port and storage.
    pub(crate) async fn kill_and_restart(&mut self, away: Duration) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        sleep(away).await;
        self.child = run(self.directory.path());
        self.unseal().await;
    }

    async fn until(&self, what: &str, mut condition: impl AsyncFnMut(&Self) -> bool) {
        let end = Instant::now() + WAIT_TIMEOUT;
        while !timeout(WAIT_TIMEOUT, condition(self)).await.unwrap_or(false) {
            let log = std::fs::read_to_string(self.directory.path().join("vault.log"))
                .unwrap_or_default();
            assert!(Instant::now() < end, "waited for Vault to {what}; it says:\n{log}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for VaultServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    e2e::port::free_port().unwrap()
}

/// Writes configuration and certificates. Returns the port.
fn prepare(directory: &Path, tls: bool) -> u16 {
    let (port, cluster) = (free_port(), free_port());
    let path = |name: &str| directory.join(name).display().to_string();
    std::fs::create_dir(directory.join("storage")).unwrap();
    let mut listener = json!({
        "address": format!("127.0.0.1:{port}"),
        "cluster_address": format!("127.0.0.1:{cluster}"),
    });
    if tls {
        certificate(directory);
        listener["tls_cert_file"] = json!(path("tls.crt"));
        listener["tls_key_file"] = json!(path("tls.key"));
    } else {
        listener["tls_disable"] = json!(true);
    }
    let config = json!({
        "storage": {
            "raft": {"path": path("storage"), "node_id": "one", "performance_multiplier": 1},
        },
        "listener": [{"tcp": listener}],
        "api_addr": format!("{}://127.0.0.1:{port}", if tls { "https" } else { "http" }),
        "cluster_addr": format!("https://127.0.0.1:{cluster}"),
        "disable_mlock": true,
        "log_level": "warn",
    });
    serde_json::to_writer(File::create(directory.join("vault.json")).unwrap(), &config).unwrap();
    port
}

/// Creates a CA, and a certificate for loopback.
fn certificate(directory: &Path) {
    let (ca, authority) = authority("the CA of a test");
    let mut leaf =
        rcgen::CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    leaf.use_authority_key_identifier_extension = true;
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = leaf.signed_by(&key, &authority).unwrap();
    for (name, text) in
        [("ca.crt", ca), ("tls.crt", certificate.pem()), ("tls.key", key.serialize_pem())]
    {
        std::io::Write::write_all(
            &mut File::create(directory.join(name)).unwrap(),
            text.as_bytes(),
        )
        .unwrap();
    }
}

/// Creates a CA: its certificate as PEM, and the issuer.
pub(crate) fn authority(name: &str) -> (String, rcgen::Issuer<'static, rcgen::KeyPair>) {
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), rcgen::Issuer::new(params, key))
}

fn run(directory: &Path) -> Child {
    let log = File::options().create(true).append(true).open(directory.join("vault.log")).unwrap();
    let mut command = Command::new(program());
    command.arg("server").arg(format!("-config={}", directory.join("vault.json").display()));
    command
        .env_clear()
        .env("HOME", directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    command.spawn().unwrap()
}

/// `ENCLII_VAULT`, or else the binary that `tests/cluster/build.sh` builds.
fn program() -> PathBuf {
    let path = std::env::var_os("ENCLII_VAULT").map_or_else(
        || {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cluster/build.sh");
            let output = Command::new(script).args(["--path", "vault"]).output().unwrap();
            Path::new(String::from_utf8(output.stdout).unwrap().trim()).join("vault")
        },
        PathBuf::from,
    );
    assert!(
        path.is_file(),
        "{} is not there; `tests/cluster/build.sh vault` builds it",
        path.display()
    );
    path
}
