//! The cluster with the system installed, which all tests of a run share.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use e2e::http;
use e2e::kubectl::{PortForward, kubectl, object, rolled_out};
use e2e::process::program;
use e2e::wait;
use serde_json::Value;

/// The namespace of the system.
pub(crate) const SYSTEM: &str = "enclii-system";
/// For one step on a busy machine, such as the start of a pod.
pub(crate) const STEP_TIMEOUT: Duration = Duration::from_secs(120);

static SYSTEM_LOCK: RwLock<()> = RwLock::new(());

/// The installed system.
pub(crate) struct Cluster {
    forward: Mutex<Option<PortForward>>,
    directory: PathBuf,
}

/// The system, for a test that does not disturb it.
pub(crate) fn shared() -> (&'static Cluster, RwLockReadGuard<'static, ()>) {
    let guard = SYSTEM_LOCK.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    (instance(), guard)
}

/// The system without other tests, for a test that stops a part of it and starts it again.
pub(crate) fn exclusive() -> (&'static Cluster, RwLockWriteGuard<'static, ()>) {
    let guard = SYSTEM_LOCK.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    (instance(), guard)
}

fn instance() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        Cluster::find().expect("the system is not installed: run `make test-cluster`")
    })
}

impl Cluster {
    fn find() -> Result<Self> {
        let _ = runtime::provider::install();
        ensure!(std::env::var_os("KUBECONFIG").is_some(), "KUBECONFIG is not set");
        for workload in
            ["deployment/switchyard", "deployment/enclii-certificates", "deployment/enclii-webhook"]
        {
            rolled_out(SYSTEM, workload, STEP_TIMEOUT)?;
        }
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned();
        let trust =
            object(SYSTEM, "configmap", "enclii-trust")?.context("ConfigMap enclii-trust")?;
        std::fs::File::create(directory.join("ca.crt"))?
            .write_all(trust["data"]["ca.crt"].as_str().context("ca.crt")?.as_bytes())?;
        let token = kubectl(&[
            "-n",
            SYSTEM,
            "get",
            "secret",
            "enclii-bootstrap",
            "-o",
            "go-template={{.data.token | base64decode}}",
        ])?;
        std::fs::File::create(directory.join("token"))?.write_all(token.as_bytes())?;
        Ok(Self { forward: Mutex::new(None), directory })
    }

    fn port(&self) -> Result<u16> {
        let mut forward = self.forward.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let dead =
            |it: &PortForward| std::net::TcpStream::connect(("127.0.0.1", it.port())).is_err();
        if forward.as_ref().is_none_or(dead) {
            *forward = Some(PortForward::open(SYSTEM, "switchyard", 443, STEP_TIMEOUT)?);
        }
        forward.as_ref().map(PortForward::port).context("port")
    }

    /// Makes the next call open a new port-forward: for after switchyard's pod was replaced.
    pub(crate) fn drop_port_forward(&self) {
        *self.forward.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    }

    /// Runs `enclii` as the bootstrap administrator with `input` on standard input.
    pub(crate) fn enclii(&self, words: &[&str], input: &[u8]) -> Result<std::process::Output> {
        self.run(Command::new(program("enclii")?).args(words), input)
    }

    /// Runs `enclii` with another token.
    pub(crate) fn enclii_as(
        &self,
        token: &str,
        words: &[&str],
        input: &[u8],
    ) -> Result<std::process::Output> {
        self.run(Command::new(program("enclii")?).args(words).env("ENCLII_TOKEN", token), input)
    }

    fn run(&self, command: &mut Command, input: &[u8]) -> Result<std::process::Output> {
        let mut child = command
            .env("ENCLII_ADDR", format!("https://localhost:{}", self.port()?))
            .env("ENCLII_CACERT", self.directory.join("ca.crt"))
            .env("ENCLII_TOKEN_FILE", self.directory.join("token"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        // A command that refuses its arguments never reads what it is sent.
        let _ = child.stdin.take().context("stdin")?.write_all(input);
        Ok(child.wait_with_output()?)
    }

    /// `enclii secrets set NAME=-` for a scope as `shop.prod.api`.
    pub(crate) fn set(&self, scope: &str, name: &str, value: &[u8]) -> Result<()> {
        let place = scope_flags(scope);
        let assignment = format!("{name}=-");
        let mut words = vec!["secrets", "set", &assignment];
        words.extend(place.iter().map(String::as_str));
        let output = self.enclii(&words, value)?;
        ensure!(
            output.status.success(),
            "enclii {}: {}",
            words.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Switchyard's answer to a GET as the bootstrap administrator.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        let token = std::fs::read_to_string(self.directory.join("token"))?;
        let url = format!("https://localhost:{}{path}", self.port()?);
        let answer = http::client_trusting(&self.directory.join("ca.crt"))?
            .get(url)
            .bearer_auth(token.trim())
            .send()?;
        ensure!(answer.status().is_success(), "GET {path}: {}", answer.status());
        Ok(serde_json::from_slice(&answer.bytes()?)?)
    }

    /// Logs in as an agent with this token and query. Returns the status and the body of a refusal.
    pub(crate) fn login(&self, token: &str, query: &str) -> Result<(u16, String)> {
        let url = format!("https://localhost:{}/v1/agent/stream?{query}", self.port()?);
        let request =
            http::client_trusting(&self.directory.join("ca.crt"))?.get(url).bearer_auth(token);
        let answer = request
            .header("connection", "upgrade")
            .header("upgrade", contract::stream::PROTOCOL)
            .send()?;
        let status = answer.status().as_u16();
        // After 101 there is a stream, which does not end.
        let words = if status == 101 { String::new() } else { answer.text()? };
        Ok((status, words))
    }

    /// Waits until a SecretBundle lists a key, so that the webhook can know it.
    pub(crate) fn wait_for_bundle(&self, namespace: &str, bundle: &str, key: &str) -> Result<()> {
        wait::until(&format!("SecretBundle {namespace}/{bundle} with {key}"), STEP_TIMEOUT, || {
            let found = object(namespace, "secretbundle", bundle)?;
            let keys = found.as_ref().and_then(|it| it["status"]["keys"].as_array());
            Ok(keys.filter(|keys| keys.iter().any(|it| it == key)).map(drop))
        })
    }
}

/// The command-line flags for a scope.
pub(crate) fn scope_flags(scope: &str) -> Vec<String> {
    ["--project", "--env", "--service"]
        .iter()
        .zip(scope.split('.'))
        .flat_map(|(flag, part)| [(*flag).to_owned(), part.to_owned()])
        .collect()
}

/// A random word that every value of this run holds, so that one search finds all of them. Made on
/// first use, and kept in a file for the processes of the same run.
pub(crate) fn marker() -> String {
    static MARKER: OnceLock<String> = OnceLock::new();
    MARKER
        .get_or_init(|| {
            if let Some(marker) = written_marker() {
                return marker;
            }
            let mut random = [0u8; 15];
            aws_lc_rs::rand::fill(&mut random).expect("random bytes");
            // Letters and digits only: the same in JSON, in a URL and raw.
            let marker: String = base64::engine::general_purpose::STANDARD
                .encode(random)
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .collect();
            let marker = format!("cnry{marker}");
            std::fs::File::create(marker_file())
                .and_then(|mut file| file.write_all(marker.as_bytes()))
                .expect("write the marker");
            marker
        })
        .clone()
}

/// The marker of this run, if a test has already used it.
pub(crate) fn written_marker() -> Option<String> {
    std::fs::read_to_string(marker_file()).ok().filter(|marker| !marker.is_empty())
}

fn marker_file() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("run-marker")
}

/// A setting of the cluster that `tests/cluster/test.sh` made. `None`, with a line that says so, if
/// the tests run on another cluster (`ENCLII_FOREIGN_CLUSTER`), whose node is out of reach.
pub(crate) fn own_cluster_setting(name: &str) -> Option<OsString> {
    if std::env::var_os("ENCLII_FOREIGN_CLUSTER").is_some() {
        println!("skipped on a foreign cluster: what needs {name}");
        return None;
    }
    Some(std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set")))
}

/// A project name of this run, so that a second run on the same cluster starts empty.
pub(crate) fn project(name: &str) -> String {
    let run: String = marker().to_lowercase().chars().rev().take(6).collect();
    format!("{name}-{run}")
}

/// A unique value with the run's marker in it.
pub(crate) fn value(hint: &str) -> String {
    unique(hint, &marker())
}

/// A unique value for a variable, which the container runtime keeps on the node. It holds another
/// word than those of [`value`], so that each is searched for where it must not be.
pub(crate) fn env_value(hint: &str) -> String {
    unique(hint, &env_marker(&marker()))
}

/// The word in the values of variables.
pub(crate) fn env_marker(marker: &str) -> String {
    format!("cnryenv{}", &e2e::sample::sha256(marker.as_bytes())[..24])
}

fn unique(hint: &str, word: &str) -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{hint}-{word}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The minor version of the cluster's Kubernetes.
pub(crate) fn kubernetes_minor() -> u32 {
    let version: Value = serde_json::from_str(&kubectl(&["get", "--raw", "/version"]).unwrap())
        .expect("the version is JSON");
    let minor = version["minor"].as_str().expect("a minor version");
    minor.trim_end_matches('+').parse().expect("a number")
}
