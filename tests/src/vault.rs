//! A real Vault for one test: on loopback, with integrated storage on disk, so that it survives a
//! restart, and with its file audit device if requested.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::Method;
use reqwest::blocking::Client;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::port::free_port;
use crate::process::Process;
use crate::{guard, http, kubectl, wait};

const STEP_TIMEOUT: Duration = Duration::from_secs(60);
/// The mount of its KV engine, version 2.
pub const MOUNT: &str = "secret";

/// Where pods reach a Vault, over TLS.
pub struct PodListener<'a> {
    /// The node's address.
    pub ip: &'a str,
    /// The certificate for it, PEM.
    pub certificate: &'a str,
    /// Its private key, PEM.
    pub key: &'a str,
}

/// A running (or killed) Vault, unsealed, with an empty KV engine.
pub struct Vault {
    process: Option<Process>,
    directory: TempDir,
    program: PathBuf,
    port: u16,
    pods_port: Option<u16>,
    client: Client,
    unseal_key: String,
    root_token: String,
}

impl Vault {
    /// Starts the program that `tests/cluster/build.sh vault` builds.
    ///
    /// # Errors
    /// If it was not built, or does not come up.
    pub fn start() -> Result<Self> {
        Self::start_program(&built()?)
    }

    /// Starts a server, initializes and unseals it.
    ///
    /// # Errors
    /// If it does not come up; the message has its log's end.
    pub fn start_program(program: &Path) -> Result<Self> {
        Self::start_listening(program, None)
    }

    /// Like [`Vault::start_program`], and it listens for pods too.
    ///
    /// # Errors
    /// As [`Vault::start_program`].
    pub fn start_for_pods(program: &Path, listener: &PodListener<'_>) -> Result<Self> {
        Self::start_listening(program, Some(listener))
    }

    fn start_listening(program: &Path, pods: Option<&PodListener<'_>>) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("enclii-vault-").tempdir()?;
        guard::register_folder(directory.path())?;
        let port = free_port()?;
        let pods_port = pods.map(|_| free_port()).transpose()?;
        configure(directory.path(), port, pods.zip(pods_port))?;
        let (client, program) = (http::plain_client()?, program.to_owned());
        let mut vault = Self {
            process: None,
            directory,
            program,
            port,
            pods_port,
            client,
            unseal_key: String::new(),
            root_token: String::new(),
        };
        vault.spawn()?;
        let made = vault.api(
            Method::PUT,
            "sys/init",
            &json!({"secret_shares": 1, "secret_threshold": 1}),
        )?;
        let text = |at: &Value| at.as_str().map(str::to_owned).context("initialise Vault");
        (vault.unseal_key, vault.root_token) =
            (text(&made["keys"][0])?, text(&made["root_token"])?);
        vault.unseal()?;
        vault.api(
            Method::POST,
            &format!("sys/mounts/{MOUNT}"),
            &json!({"type": "kv", "options": {"version": "2"}}),
        )?;
        vault.until("mount its engine", || {
            vault
                .ask(Method::GET, &format!("{MOUNT}/config"), &Value::Null)
                .is_ok_and(|it| it.0 == 200)
        })?;
        Ok(vault)
    }

    /// Starts it on its storage and unseals it.
    ///
    /// # Errors
    /// If it runs already, or does not come up.
    pub fn run(&mut self) -> Result<()> {
        self.spawn()?;
        self.unseal()
    }

    /// Kills it, like a power failure as far as a process can tell.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("Vault does not run")?;
        process.signal(Signal::KILL)?;
        process.finish(STEP_TIMEOUT).map(drop)
    }

    /// Enables its file audit device. Returns the file's path.
    ///
    /// # Errors
    /// If it refuses.
    pub fn enable_audit(&self) -> Result<PathBuf> {
        let file = self.directory.path().join("audit.log");
        self.api(
            Method::POST,
            "sys/audit/file",
            &json!({"type": "file", "options": {"file_path": file}}),
        )?;
        Ok(file)
    }

    /// Seals it: it answers 503 to everything.
    ///
    /// # Errors
    /// If it refuses.
    pub fn seal(&self) -> Result<()> {
        self.api(Method::PUT, "sys/seal", &Value::Null).map(drop)
    }

    /// Its own command line, with the root token.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().env("HOME", self.directory.path());
        command.env("VAULT_ADDR", self.address()).env("VAULT_TOKEN", &self.root_token);
        command
    }

    /// Its port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port for pods, if it has one.
    #[must_use]
    pub fn pods_port(&self) -> Option<u16> {
        self.pods_port
    }

    /// Its root token.
    #[must_use]
    pub fn root_token(&self) -> &str {
        &self.root_token
    }

    /// A file with its root token.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn root_token_file(&self) -> Result<PathBuf> {
        let path = self.directory.path().join("root-token");
        std::io::Write::write_all(&mut std::fs::File::create(&path)?, self.root_token.as_bytes())?;
        Ok(path)
    }

    /// A successful request with the root token.
    ///
    /// # Errors
    /// If it does not.
    pub fn api(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let (status, answer) = self.ask(method.clone(), path, body)?;
        ensure!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        Ok(answer)
    }

    /// A request with the root token: its status, and its body if that is JSON.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn ask(&self, method: Method, path: &str, body: &Value) -> Result<(u16, Value)> {
        let mut request = self.client.request(method, format!("{}/v1/{path}", self.address()));
        if !self.root_token.is_empty() {
            request = request.header("x-vault-token", &self.root_token);
        }
        if !body.is_null() {
            request = request.body(body.to_string());
        }
        let answer = request.send().context("ask Vault")?;
        let status = answer.status().as_u16();
        Ok((
            status,
            serde_json::from_slice(&answer.bytes().context("read Vault's answer")?)
                .unwrap_or_default(),
        ))
    }

    fn spawn(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "Vault runs already");
        let mut command = Command::new(&self.program);
        command
            .arg("server")
            .arg(format!("-config={}", self.directory.path().join("vault.json").display()));
        command.env_clear().env("HOME", self.directory.path());
        self.process = Some(Process::start("vault", &mut command, self.directory.path())?);
        self.until("answer", || self.ask(Method::GET, "sys/seal-status", &Value::Null).is_ok())
    }

    /// Unseals it and waits until it answers.
    ///
    /// # Errors
    /// If it does not.
    pub fn unseal(&self) -> Result<()> {
        let key = json!({"key": self.unseal_key});
        let unsealed = |(status, answer): (u16, Value)| status == 200 && answer["sealed"] == false;
        self.until("unseal", || self.ask(Method::PUT, "sys/unseal", &key).is_ok_and(unsealed))?;
        self.until("lead", || {
            self.ask(Method::GET, "sys/health", &Value::Null).is_ok_and(|it| it.0 == 200)
        })
    }

    fn until(&self, what: &str, there: impl Fn() -> bool) -> Result<()> {
        let waited =
            wait::until(&format!("Vault to {what}"), STEP_TIMEOUT, || Ok(there().then_some(())));
        waited.map_err(|error| match &self.process {
            Some(process) => anyhow::anyhow!("{error}; the end of its log:\n{}", process.tail()),
            None => error,
        })
    }
}

fn configure(directory: &Path, port: u16, pods: Option<(&PodListener<'_>, u16)>) -> Result<()> {
    let storage = directory.join("storage");
    std::fs::create_dir(&storage)?;
    let cluster = format!("127.0.0.1:{}", free_port()?);
    let mut listeners = vec![json!({"tcp": {
        "address": format!("127.0.0.1:{port}"), "cluster_address": cluster, "tls_disable": true
    }})];
    if let Some((PodListener { ip, certificate, key }, port)) = pods {
        let (certificate_file, key_file) = (directory.join("tls.crt"), directory.join("tls.key"));
        for (path, text) in [(&certificate_file, certificate), (&key_file, key)] {
            std::io::Write::write_all(&mut std::fs::File::create(path)?, text.as_bytes())?;
        }
        listeners.push(json!({"tcp": {
            "address": format!("{ip}:{port}"), "tls_cert_file": certificate_file,
            "tls_key_file": key_file, "cluster_address": format!("127.0.0.1:{}", free_port()?),
        }}));
    }
    let config = json!({
        "storage": {"raft": {"path": storage, "node_id": "one", "performance_multiplier": 1}},
        "listener": listeners,
        "api_addr": format!("http://127.0.0.1:{port}"),
        "cluster_addr": format!("https://{cluster}"),
        "disable_mlock": true,
        "log_level": "warn",
    });
    serde_json::to_writer(std::fs::File::create(directory.join("vault.json"))?, &config)
        .context("write Vault's configuration")
}

/// The program in `ENCLII_VAULT`, else the one that `tests/cluster/build.sh` built.
fn built() -> Result<PathBuf> {
    let path = match std::env::var_os("ENCLII_VAULT") {
        Some(path) => PathBuf::from(path),
        None => {
            let script = kubectl::repository().join("tests/cluster/build.sh");
            let output =
                Command::new(script).args(["--path", "vault"]).output().context("find Vault")?;
            Path::new(String::from_utf8_lossy(&output.stdout).trim()).join("vault")
        }
    };
    if !path.is_file() {
        bail!("{} does not exist: `tests/cluster/build.sh vault` builds it", path.display());
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "needs Vault: make test-stores"]
    fn acknowledged_writes_survive_a_kill() {
        let mut vault = Vault::start().unwrap();
        let audit = vault.enable_audit().unwrap();
        for round in 1..=2 {
            vault
                .api(Method::POST, &format!("{MOUNT}/data/it"), &json!({"data": {"round": round}}))
                .unwrap();
            vault.kill().unwrap();
            assert!(
                vault.ask(Method::GET, "sys/health", &Value::Null).is_err(),
                "it is still there"
            );
            vault.run().unwrap();
            let read = vault.api(Method::GET, &format!("{MOUNT}/data/it"), &Value::Null).unwrap();
            assert_eq!(read["data"]["data"]["round"], round);
        }
        assert!(std::fs::metadata(audit).unwrap().len() > 0);
    }
}
