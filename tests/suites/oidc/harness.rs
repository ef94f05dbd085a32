//! An identity provider and a switchyard that trusts it, both on loopback, and the command line of
//! several people.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use e2e::port::free_port;
use e2e::process::{Process, program};
use e2e::{http, wait};
use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::browser::Browser;

pub(crate) struct OidcHarness {
    directory: tempfile::TempDir,
    _provider: Process,
    _switchyard: Process,
    pub(crate) issuer: String,
    address: String,
    https: Client,
    plain: Client,
}

impl OidcHarness {
    pub(crate) fn start() -> Result<Self> {
        let _ = runtime::provider::install();
        let directory = tempfile::tempdir()?;
        let logs = directory.path().join("logs");
        std::fs::create_dir_all(&logs)?;
        let plain = http::plain_client()?;

        let modules = std::env::var("ENCLII_OIDC_MODULES")
            .context("ENCLII_OIDC_MODULES is not set; tests/oidc/test.sh sets it")?;
        let port = free_port()?;
        let issuer = format!("http://127.0.0.1:{port}");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("oidc/provider.mjs");
        let mut provider = Process::start(
            "provider",
            Command::new("node").arg(script).arg(modules).arg(port.to_string()),
            &logs,
        )?;
        wait_for_server(
            &mut provider,
            &plain,
            &format!("{issuer}/.well-known/openid-configuration"),
        )?;

        let (port, admin) = (free_port()?, free_port()?);
        let mut switchyard = Process::start(
            "switchyard",
            &mut switchyard(directory.path(), &issuer, port, admin)?,
            &logs,
        )?;
        wait_for_server(&mut switchyard, &plain, &format!("http://127.0.0.1:{admin}/readyz"))?;
        let ca = directory.path().join("trust/ca.crt");
        wait::until("the CA to be published", Duration::from_secs(30), || {
            Ok(ca.exists().then_some(()))
        })?;
        let https = http::client_trusting(&ca)?;
        let address = format!("https://localhost:{port}");
        Ok(Self {
            directory,
            _provider: provider,
            _switchyard: switchyard,
            issuer,
            address,
            https,
            plain,
        })
    }

    /// The command line of one person, who has their own configuration directory.
    pub(crate) fn enclii(&self, person: &str, words: &[&str]) -> Result<Command> {
        let mut command = Command::new(program("enclii")?);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("XDG_CONFIG_HOME", self.home(person))
            .env("ENCLII_ADDR", &self.address)
            .env("ENCLII_CACERT", self.directory.path().join("trust/ca.crt"))
            .args(words)
            .stdin(Stdio::null());
        Ok(command)
    }

    pub(crate) fn home(&self, person: &str) -> PathBuf {
        self.directory.path().join("homes").join(person)
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, person: &str, words: &[&str]) -> Result<PersonOutput> {
        let Output { status, stdout, stderr } = self.enclii(person, words)?.output()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(PersonOutput {
            code: status.code().context("ended by a signal")?,
            out: text(stdout),
            err: text(stderr),
        })
    }

    /// Logs a person in, in a browser on this machine or by a device code.
    pub(crate) fn log_in(&self, person: &'static str, words: &[&str]) -> Result<PersonOutput> {
        let mut child =
            self.enclii(person, words)?.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("standard error")?);
        let (mut err, mut url) = (String::new(), None);
        while url.is_none() && lines.read_line(&mut err)? > 0 {
            // The URL with a query completes the login: the only line of a browser login, the
            // second one of a device login.
            let last = err.lines().last().unwrap_or_default();
            url = last
                .split_whitespace()
                .find(|it| it.starts_with("http") && it.contains('?'))
                .map(str::to_owned);
        }
        if let Some(url) = url {
            Browser::new(person)?.log_in(&url)?;
        }
        lines.read_to_string(&mut err)?;
        finish(child, err)
    }

    /// A token with these claims, signed with the key. `header` overrides fields of the JOSE
    /// header.
    pub(crate) fn sign(&self, key: &str, header: &Value, claims: &Value) -> Result<String> {
        let body = json!({ "key": key, "header": header, "claims": claims }).to_string();
        Ok(self.plain.post(format!("{}/test/sign", self.issuer)).body(body).send()?.text()?)
    }

    /// Offers an ID token to switchyard. Returns the status and body of the response.
    pub(crate) fn offer(&self, id_token: &str, nonce: Option<&str>) -> Result<(u16, Value)> {
        let mut body = json!({ "id_token": id_token });
        if let Some(nonce) = nonce {
            body["nonce"] = json!(nonce);
        }
        let answer =
            self.https.post(format!("{}/v1/login", self.address)).body(body.to_string()).send()?;
        Ok((answer.status().as_u16(), serde_json::from_slice(&answer.bytes()?)?))
    }

    /// Sends a GET with the token. Returns the status and body of the response.
    pub(crate) fn get(&self, path: &str, token: &str) -> Result<(u16, Value)> {
        let answer = self.https.get(format!("{}{path}", self.address)).bearer_auth(token).send()?;
        Ok((answer.status().as_u16(), serde_json::from_slice(&answer.bytes()?)?))
    }

    /// The audit events of one action, as the bootstrap token sees them.
    pub(crate) fn audit(&self, action: &str) -> Result<Vec<Value>> {
        let token = std::fs::read_to_string(self.directory.path().join("bootstrap-token"))?;
        let (status, body) =
            self.get(&format!("/v1/audit?action={action}&limit=1000"), token.trim())?;
        ensure!(status == 200, "{body}");
        Ok(body["events"].as_array().context("events")?.clone())
    }
}

/// The exit code and output of a command.
#[derive(Debug)]
pub(crate) struct PersonOutput {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl PersonOutput {
    /// The standard output of a command that must have succeeded.
    pub(crate) fn success(self) -> Result<String> {
        ensure!(self.code == 0, "{self:?}");
        Ok(self.out)
    }
}

pub(crate) fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

fn finish(child: Child, err: String) -> Result<PersonOutput> {
    let Output { status, stdout, .. } = child.wait_with_output()?;
    Ok(PersonOutput {
        code: status.code().context("ended by a signal")?,
        out: String::from_utf8_lossy(&stdout).into_owned(),
        err,
    })
}

fn switchyard(directory: &Path, issuer: &str, port: u16, admin: u16) -> Result<Command> {
    std::fs::File::create(directory.join("identities.json"))?.write_all(b"{}")?;
    let mut command = Command::new(program("switchyard")?);
    command.args([
        "serve",
        "--listen",
        &format!("127.0.0.1:{port}"),
        "--admin",
        &format!("127.0.0.1:{admin}"),
    ]);
    for (flag, name) in [
        ("--data", "data"),
        ("--development-identities", "identities.json"),
        ("--publish-directory", "bundles"),
        ("--trust-directory", "trust"),
        ("--certificates-directory", "certificates"),
        ("--bootstrap-token-file", "bootstrap-token"),
    ] {
        command.arg(flag).arg(directory.join(name));
    }
    command.args(["--oidc-issuer", issuer, "--oidc-client-id", "enclii"]).args([
        "--oidc-role",
        "platform=owner",
        "--oidc-role",
        "shop-devs=developer@shop",
    ]);
    Ok(command)
}

fn wait_for_server(process: &mut Process, client: &Client, url: &str) -> Result<()> {
    wait::until("the server to answer", Duration::from_secs(60), || {
        process.check()?;
        Ok(client.get(url).send().ok().filter(|answer| answer.status().is_success()).map(drop))
    })
    .with_context(|| process.tail())
}
