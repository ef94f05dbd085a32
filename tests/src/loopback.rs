//! The system on this machine's loopback: switchyard on SQLite and the webhook, without a cluster.
//!
//! Files stand in for Kubernetes: `identities.json` says whose a token is, and directories replace
//! the objects that switchyard publishes and the webhook watches.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::blocking::Client;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::http;
use crate::loopback_webhook::LoopbackWebhook;
use crate::port::free_port;
use crate::process::{Process, program};
use crate::ready::ready;
use crate::wait;

/// A pod's identity, which its token stands for.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The namespace.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's UID.
    pub uid: String,
    /// The token.
    pub token: String,
}

/// The running system.
pub struct Loopback {
    /// Switchyard.
    pub switchyard: Process,
    /// The webhook.
    pub webhook: LoopbackWebhook,
    directory: PathBuf,
    switchyard_port: u16,
    switchyard_admin: u16,
    settings: Vec<(String, String)>,
    https: Client,
}

/// The project and environment of a namespace.
pub struct NamespaceScope<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// Its project.
    pub project: &'a str,
    /// Its environment.
    pub environment: &'a str,
}

impl Loopback {
    /// Starts both servers below `directory` and waits until they are ready.
    ///
    /// # Errors
    /// If a program is missing or a server does not become ready; the message has its log's end.
    pub fn start(
        directory: &Path,
        places: &[NamespaceScope<'_>],
        identities: &[Identity],
    ) -> Result<Self> {
        Self::start_with(directory, places, identities, &[])
    }

    /// Like [`Loopback::start`], with variables of switchyard's environment.
    ///
    /// # Errors
    /// As [`Loopback::start`].
    pub fn start_with(
        directory: &Path,
        places: &[NamespaceScope<'_>],
        identities: &[Identity],
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let at = |name: &str| directory.join(name);
        for name in ["logs", "bundles", "trust", "switchyard-certificates", "data"] {
            std::fs::create_dir_all(at(name))?;
        }
        write_identities(directory, places, identities)?;
        let (switchyard_port, switchyard_admin) = (free_port()?, free_port()?);

        let mut command = switchyard(directory, switchyard_port, switchyard_admin)?;
        command.envs(settings.iter().copied());
        let mut switchyard = Process::start("switchyard", &mut command, &at("logs"))?;
        switchyard_ready(&mut switchyard, switchyard_admin, &at("trust/ca.crt"))?;
        let address = format!("https://localhost:{switchyard_port}");
        let flags = ["--switchyard-address".to_owned(), address];
        let webhook = LoopbackWebhook::start(directory, &flags)?;

        Ok(Self {
            switchyard,
            webhook,
            https: http::client_trusting(&at("trust/ca.crt"))?,
            directory: directory.to_owned(),
            switchyard_port,
            switchyard_admin,
            settings: owned(settings),
        })
    }

    /// Stops switchyard, does something to its data directory, and starts it again.
    ///
    /// # Errors
    /// If it does not stop, or does not become ready again.
    pub fn restart_switchyard(&mut self, between: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        self.switchyard.signal(Signal::TERM)?;
        self.switchyard.finish(Duration::from_secs(60))?;
        between(&self.directory.join("data"))?;
        let admin = self.switchyard_admin;
        let mut command = switchyard(&self.directory, self.switchyard_port, admin)?;
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        let mut process = Process::start("switchyard", &mut command, &self.logs())?;
        switchyard_ready(&mut process, admin, &self.directory.join("trust/ca.crt"))?;
        self.switchyard = process;
        Ok(())
    }

    /// The command line with the settings to connect.
    ///
    /// # Errors
    /// If it was not built.
    pub fn enclii(&self) -> Result<Command> {
        let mut command = Command::new(program("enclii")?);
        command
            .env("ENCLII_ADDR", format!("https://localhost:{}", self.switchyard_port))
            .env("ENCLII_CACERT", self.directory.join("trust/ca.crt"))
            .env("ENCLII_TOKEN_FILE", self.directory.join("bootstrap-token"));
        Ok(command)
    }

    /// The response of switchyard to a GET request with the bootstrap token.
    ///
    /// # Errors
    /// If it is not 2xx.
    pub fn get(&self, path: &str) -> Result<Value> {
        let token = std::fs::read_to_string(self.directory.join("bootstrap-token"))?;
        let url = format!("https://localhost:{}{path}", self.switchyard_port);
        let answer = self.https.get(url).bearer_auth(token.trim()).send()?;
        ensure!(answer.status().is_success(), "GET {path}: {}", answer.status());
        Ok(serde_json::from_slice(&answer.bytes()?)?)
    }

    /// The webhook's response to a review.
    ///
    /// # Errors
    /// If it is not 200.
    pub fn review(&self, review: &Value) -> Result<Value> {
        self.webhook.review(review)
    }

    /// The webhook's address for reviews.
    #[must_use]
    pub fn webhook_url(&self) -> String {
        self.webhook.url()
    }

    /// The port of switchyard.
    #[must_use]
    pub fn switchyard_port(&self) -> u16 {
        self.switchyard_port
    }

    /// The folder of the logs.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.directory.join("logs")
    }
}

fn owned(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Writes the file that says whose each token is.
///
/// # Errors
/// If the file cannot be written.
pub fn write_identities(
    directory: &Path,
    places: &[NamespaceScope<'_>],
    identities: &[Identity],
) -> Result<()> {
    write(&directory.join("identities.json"), &identities_file(places, identities))
}

pub(crate) fn switchyard(directory: &Path, port: u16, admin: u16) -> Result<Command> {
    let at = |name: &str| directory.join(name);
    let mut command = Command::new(program("switchyard")?);
    command
        .arg("serve")
        .args(["--listen", &format!("127.0.0.1:{port}"), "--admin", &format!("127.0.0.1:{admin}")])
        .arg("--data")
        .arg(at("data"))
        .arg("--development-identities")
        .arg(at("identities.json"))
        .arg("--publish-directory")
        .arg(at("bundles"))
        .arg("--trust-directory")
        .arg(at("trust"))
        .arg("--certificates-directory")
        .arg(at("switchyard-certificates"))
        .arg("--bootstrap-token-file")
        .arg(at("bootstrap-token"));
    Ok(command)
}

/// Waits until switchyard serves and has published its CA, which it does in no fixed order.
pub(crate) fn switchyard_ready(process: &mut Process, admin: u16, ca: &Path) -> Result<()> {
    ready(process, admin)?;
    wait::until("switchyard's CA", Duration::from_secs(60), || {
        process.check()?;
        Ok(ca.exists().then_some(()))
    })
}

fn identities_file(places: &[NamespaceScope<'_>], identities: &[Identity]) -> Value {
    let namespaces: serde_json::Map<_, _> = places
        .iter()
        .map(|it| {
            (it.namespace.to_owned(), json!({"project": it.project, "environment": it.environment}))
        })
        .collect();
    let pods: Vec<_> = identities
        .iter()
        .map(|it| {
            json!({
                "token": it.token, "namespace": it.namespace,
                "service_account": it.service_account, "pod": it.pod, "uid": it.uid
            })
        })
        .collect();
    json!({"namespaces": namespaces, "identities": pods})
}

fn write(path: &Path, value: &Value) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file =
        std::fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    file.write_all(value.to_string().as_bytes())
        .with_context(|| format!("write {}", path.display()))
}
