//! A test pod: a volume, a token file, and an agent.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use agent::app::{Application, PROC};
use agent::render::Renderer;
use agent::supervisor::{self, Mode, Stopped, SupervisorError};
use agent::verify::Verifier;
use contract::agent_config::{Files, Source};
use contract::annotations::FileMode;
use contract::stream::{AgentMessage, ReloadOutcome};
use contract::{AgentConfig, ReloadRequest};
use runtime::signals::Shutdown;
use runtime::tasks::Tasks;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::server::with_timeout;

/// A pod's directories.
pub(crate) struct Pod {
    directory: TempDir,
}

impl Pod {
    pub(crate) fn new() -> Self {
        let pod = Self { directory: tempfile::tempdir().unwrap() };
        fs::create_dir(pod.volume()).unwrap();
        pod.write_token("token-1");
        pod
    }

    pub(crate) fn volume(&self) -> PathBuf {
        self.directory.path().join("secrets")
    }

    pub(crate) fn write_token(&self, token: &str) {
        write(&self.directory.path().join("token"), token.as_bytes());
    }

    pub(crate) fn remove_token(&self) {
        fs::remove_file(self.directory.path().join("token")).unwrap();
    }

    /// The content of a secret's file.
    pub(crate) fn file(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.volume().join(name)).ok()
    }

    pub(crate) fn config(&self, server: SocketAddr, ca: &str, reload: &str) -> AgentConfig {
        let source = Source::Switchyard {
            address: format!("https://{server}"),
            ca: ca.to_owned(),
            token_file: self.directory.path().join("token").to_str().unwrap().to_owned(),
        };
        let files = Files::new(self.volume().to_str().unwrap().to_owned(), FileMode::OWNER);
        let bundles = vec!["api-prod".parse().unwrap()];
        let reload = reload.parse::<ReloadRequest>().unwrap().resolve(None).unwrap();
        AgentConfig { reload, ..AgentConfig::new(source, bundles, files) }
    }

    pub(crate) fn start(&self, server: SocketAddr, ca: &str, reload: &str) -> Agent {
        Self::start_with(self.config(server, ca, reload))
    }

    pub(crate) fn start_with(config: AgentConfig) -> Agent {
        let verifier = Verifier::new(&config);
        Self::start_checked(config, verifier)
    }

    /// Starts an agent with another program that tries logins.
    pub(crate) fn start_checked(config: AgentConfig, verifier: Verifier) -> Agent {
        Self::start_in(config, verifier, None)
    }

    /// Starts an agent with another program that renders templates.
    pub(crate) fn start_rendering(config: AgentConfig, renderer: Renderer) -> Agent {
        let verifier = Verifier::new(&config);
        Self::run(config, (verifier, renderer), None)
    }

    /// Starts an agent in a pod with this UID.
    pub(crate) fn start_in(
        config: AgentConfig,
        verifier: Verifier,
        pod_uid: Option<&str>,
    ) -> Agent {
        Self::run(config, (verifier, Renderer::default()), pod_uid)
    }

    fn run(
        config: AgentConfig,
        (verifier, renderer): (Verifier, Renderer),
        pod_uid: Option<&str>,
    ) -> Agent {
        let application = Application::new(&config, pod_uid.map(str::to_owned), PROC.into());
        Self::start_for(config, (application.unwrap(), verifier, renderer))
    }

    /// Starts an agent with these parts.
    pub(crate) fn start_for(
        config: AgentConfig,
        parts: (Application, Verifier, Renderer),
    ) -> Agent {
        let (tasks, shutdown) = (Tasks::new(), Shutdown::manual());
        let mut running = JoinSet::new();
        let agent_shutdown = shutdown.clone();
        running.spawn(async move {
            supervisor::run(config, parts, Mode::Serve, &tasks, &agent_shutdown).await
        });
        Agent { running, shutdown }
    }
}

/// A running agent. Dropping it ends it as if it were killed.
pub(crate) struct Agent {
    running: JoinSet<Result<Stopped, SupervisorError>>,
    shutdown: Shutdown,
}

impl Agent {
    /// Shuts it down gracefully.
    pub(crate) async fn stop(mut self) {
        self.shutdown.request();
        let stopped = with_timeout(self.running.join_next()).await.unwrap().unwrap().unwrap();
        assert!(matches!(stopped, Stopped::Shutdown), "{stopped:?}");
    }
}

pub(crate) fn write(path: &Path, bytes: &[u8]) {
    fs::File::create(path).unwrap().write_all(bytes).unwrap();
}

/// The generation of an `applied` message with a single bundle, and the outcome of the reload.
pub(crate) fn applied(message: &AgentMessage) -> (u64, ReloadOutcome) {
    let AgentMessage::Applied { holds, reload } = message else { panic!("{message:?}") };
    assert_eq!(holds.len(), 1);
    (holds[0].generation.0, *reload)
}
