//! The example application's pod on loopback, as the webhook leaves it: what the measurements are
//! of.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use contract::layout::{AGENT_CONTAINER, DATA_LINK, SECRETS_VOLUME, TOKEN_FILE, TOKEN_VOLUME};
use e2e::loopback::{Identity, Loopback, NamespaceScope};
use e2e::pod::Pod;
use e2e::port::free_port;
use e2e::process::Process;
use e2e::sample::AppState;
use e2e::{admission, http, wait};
use serde_json::Value;
use tempfile::TempDir;

use crate::secret_writer::SecretWriter;

const EXAMPLE: &str = include_str!("../../manifests/examples/api.yaml");
const STEP_TIMEOUT: Duration = Duration::from_secs(20);

/// The example's namespace.
pub const NAMESPACE: &str = "shop-prod";
/// The example's bundle.
pub const BUNDLE: &str = "api-prod";
/// The secret that is written again and again.
pub const SECRET: &str = "DATABASE_URL";

/// How many secrets an agent holds, unless the measurement says otherwise.
pub const SECRETS: usize = 20;

/// The names of the secrets of a bundle with so many, at least one.
#[must_use]
pub fn names(count: usize) -> Vec<String> {
    let others = (3..=count).map(|number| format!("SECRET_{number:02}"));
    let first = [SECRET.to_owned(), "STRIPE_API_KEY".to_owned()];
    first.into_iter().chain(others).take(count).collect()
}

/// A value like no other: as long as a connection string is.
#[must_use]
pub fn value(hint: &str, number: usize) -> String {
    format!("postgres://shop:{hint}-{number:08}@db.shop-prod.svc:5432/shop")
}

/// The pod of the example that is reviewed.
///
/// # Errors
/// If the example has no workload.
pub fn example() -> Result<Value> {
    let documents = admission::documents(EXAMPLE)?;
    admission::pod_of(
        documents
            .iter()
            .find(|it| it["kind"] == "Deployment")
            .context("the example has no Deployment")?,
    )
}

/// The pod without the credentials that a bundle with so many secrets has not: it is refused with
/// them.
fn asking_for(mut pod: Value, count: usize) -> Value {
    let (all, held) = (names(SECRETS), names(count));
    if let Some(env) = pod.pointer_mut("/spec/containers/0/env").and_then(Value::as_array_mut) {
        let is_kept =
            |name: &str| held.iter().any(|it| it == name) || !all.iter().any(|it| it == name);
        env.retain(|it| it["name"].as_str().is_none_or(is_kept));
    }
    pod
}

/// Switchyard with a bundle of secrets, the webhook, and the pod that it has patched.
pub struct Setup {
    // Before the directories: the servers end first.
    /// The two servers.
    pub system: Loopback,
    /// Writes to the pod's bundle.
    pub store: SecretWriter,
    /// The review of the pod, as the API server would send it.
    pub review: String,
    patched: Value,
    identity: Identity,
    directory: TempDir,
}

impl Setup {
    /// Starts all of it, with twenty secrets.
    ///
    /// # Errors
    /// If a server does not start, or the webhook refuses the pod.
    pub fn start() -> Result<Self> {
        Self::with_secrets(SECRETS)
    }

    /// Starts all of it, with so many secrets.
    ///
    /// # Errors
    /// As [`Setup::start`].
    pub fn with_secrets(count: usize) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("enclii-bench-").tempdir()?;
        let token = directory.path().display().to_string();
        let uid = format!("bench-{}", std::process::id());
        let identity = Identity {
            namespace: NAMESPACE.into(),
            service_account: "api".into(),
            pod: "api-bench".into(),
            uid,
            token,
        };
        let places =
            [NamespaceScope { namespace: NAMESPACE, project: "shop", environment: "prod" }];
        let system = Loopback::start(directory.path(), &places, std::slice::from_ref(&identity))?;
        let store = SecretWriter::like(&system.enclii()?, "shop.prod.api")?;
        let secrets: Vec<_> = names(count)
            .into_iter()
            .enumerate()
            .map(|(number, name)| (name, value("first", number)))
            .collect();
        store.write(secrets.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;

        let pod = asking_for(example()?, count);
        let review = admission::review(&pod, "705ab4f5-6393-11e8-b7cc-42010a800002");
        // The webhook learns of the new bundle by watching, a moment after the write.
        let answer = wait::until("the webhook to know the bundle", STEP_TIMEOUT, || {
            Ok(Some(system.review(&review)?).filter(|it| it["response"]["allowed"] == true))
        })?;
        let patched = admission::apply(pod, &answer)?;
        Ok(Self { system, store, review: review.to_string(), patched, identity, directory })
    }

    /// The CAs that the agent is told to trust.
    ///
    /// # Errors
    /// If switchyard has not published them.
    pub fn trust(&self) -> Result<String> {
        std::fs::read_to_string(self.directory.path().join("trust/ca.crt"))
            .context("read switchyard's CA")
    }

    /// The directory with the certificate of the webhook, its key and its CA.
    #[must_use]
    pub fn webhook_certificates(&self) -> PathBuf {
        self.directory.path().join("webhook-certificates")
    }

    /// The directory of this setup, which goes with it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The pod with volumes of its own and nothing in them.
    ///
    /// # Errors
    /// If the volumes cannot be made.
    pub fn volumes(&self) -> Result<Volumes> {
        // The pod's volumes lie in memory, as they do on a node, where this machine lets us.
        let name = || tempfile::Builder::new().prefix("enclii-bench-").to_owned();
        let memory = name().tempdir_in("/dev/shm").or_else(|_| name().tempdir())?;
        let directories: BTreeMap<String, PathBuf> =
            [(SECRETS_VOLUME, "secrets"), (TOKEN_VOLUME, "identity")]
                .map(|(volume, directory)| (volume.to_owned(), memory.path().join(directory)))
                .into();
        for directory in directories.values() {
            std::fs::create_dir(directory)?;
        }
        let mut token = File::options()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(directories[TOKEN_VOLUME].join(TOKEN_FILE))?;
        token.write_all(self.identity.token.as_bytes())?;
        let secrets = directories[SECRETS_VOLUME].clone();
        Ok(Volumes {
            pod: Pod::new(self.patched["spec"].clone(), &self.identity.uid, directories),
            secrets,
            logs: self.system.logs(),
            _memory: memory,
        })
    }
}

/// The patched pod, ready to start.
pub struct Volumes {
    pod: Pod,
    secrets: PathBuf,
    logs: PathBuf,
    // Gone with this value.
    _memory: TempDir,
}

impl Volumes {
    /// Starts the agent.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_agent(&self) -> Result<Process> {
        Process::start("agent", &mut self.pod.container(AGENT_CONTAINER)?, &self.logs)
    }

    /// Whether the agent has written a generation.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.secrets.join(DATA_LINK).symlink_metadata().is_ok()
    }

    /// The file that the application reads.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.secrets.join(name)
    }

    /// Starts the agent and, once the files are there, the application.
    ///
    /// # Errors
    /// If one of them does not come up.
    pub fn run(self) -> Result<RunningPod> {
        let mut agent = self.start_agent()?;
        wait::until("the agent's files", STEP_TIMEOUT, || {
            agent.check()?;
            Ok(self.complete().then_some(()))
        })?;
        let port = free_port()?;
        let mut command = self.pod.container("api")?;
        command.args(["--listen", &format!("127.0.0.1:{port}")]);
        let application = Process::start("application", &mut command, &self.logs)?;
        let mut running =
            RunningPod { agent, application, port, client: http::plain_client()?, volumes: self };
        let state = wait::until("the application", STEP_TIMEOUT, || {
            running.application.check()?;
            Ok(running.state().ok())
        })?;
        ensure!(
            state.digests.contains_key(SECRET),
            "the application knows of no file for {SECRET}"
        );
        Ok(running)
    }
}

/// The pod's processes.
pub struct RunningPod {
    /// The agent.
    pub agent: Process,
    /// The application.
    pub application: Process,
    /// Its volumes.
    pub volumes: Volumes,
    port: u16,
    client: reqwest::blocking::Client,
}

impl RunningPod {
    /// What the application says of itself.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn state(&self) -> Result<AppState> {
        Ok(serde_json::from_slice(
            &self.client.get(format!("http://127.0.0.1:{}/state", self.port)).send()?.bytes()?,
        )?)
    }
}
