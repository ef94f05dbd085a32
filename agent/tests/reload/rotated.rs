//! A pod with its agent, and generations that the test sends.

use std::time::Duration;

use agent::app::{Application, PROC};
use agent::render::Renderer;
use agent::verify::Verifier;
use contract::AgentConfig;
use contract::stream::{
    AgentMessage, CheckOutcome, CheckStage, FailedStep, ReloadOutcome, ServerMessage,
};

use crate::pod::{Agent, Pod, applied};
use crate::server::{Server, Session, TestCa, snapshot};

/// A pod that holds its first generation.
pub(crate) struct RotatedPod {
    pub(crate) pod: Pod,
    config: AgentConfig,
    server: Server,
    session: Session,
    agent: Option<Agent>,
    generation: u64,
}

impl RotatedPod {
    /// Starts the agent in a pod, and waits until it has written these secrets.
    pub(crate) async fn start(
        pod: Pod,
        reload: &str,
        change: impl FnOnce(&mut AgentConfig),
        secrets: &[(&str, &[u8])],
    ) -> Self {
        let ca = TestCa::new();
        let server = Server::start(&ca).await;
        let mut config = pod.config(server.address(), &ca.pem, reload);
        change(&mut config);
        let agent = Some(start(&config));
        let (mut session, _) = server.session().await;
        session.send(&snapshot(1, secrets)).await;
        assert_eq!(applied(&session.receive().await), (1, ReloadOutcome::NotNeeded));
        Self { pod, config, server, session, agent, generation: 1 }
    }

    /// Sends a message.
    pub(crate) async fn ask(&mut self, message: &ServerMessage) {
        self.session.send(message).await;
    }

    /// The next message of the agent.
    pub(crate) async fn message(&mut self) -> AgentMessage {
        self.session.receive().await
    }

    /// Sends the next generation.
    pub(crate) async fn send(&mut self, secrets: &[(&str, &[u8])]) {
        self.generation += 1;
        self.session.send(&snapshot(self.generation, secrets)).await;
    }

    /// Sends the next generation, which the application takes.
    pub(crate) async fn rotate(&mut self, secrets: &[(&str, &[u8])]) {
        self.send(secrets).await;
        self.taken().await;
    }

    /// Waits until the application has taken the current generation.
    pub(crate) async fn taken(&mut self) {
        let said = self.checked(CheckStage::After, CheckOutcome::Passed).await;
        assert!(!said.is_empty());
        let report = self.session.receive().await;
        assert_eq!(applied(&report), (self.generation, ReloadOutcome::Accepted));
    }

    /// Sends the next generation, which the application refuses. Returns what it says. The
    /// generation before it is back.
    pub(crate) async fn refused(&mut self, secrets: &[(&str, &[u8])]) -> String {
        let before = self.generation;
        self.send(secrets).await;
        let said = self.checked(CheckStage::After, CheckOutcome::Failed).await;
        self.checked(CheckStage::Restored, CheckOutcome::Passed).await;
        let report = self.session.receive().await;
        assert_eq!(applied(&report), (before, ReloadOutcome::Accepted));
        let report = self.session.receive().await;
        let AgentMessage::Failed { wanted, step, detail } = report else { panic!("{report:?}") };
        assert_eq!((wanted[0].generation.0, step), (self.generation, FailedStep::Check));
        assert!(detail.contains(&said), "{detail}: {said}");
        said
    }

    /// Receives what the application said of its files.
    async fn checked(&mut self, expected: CheckStage, outcome: CheckOutcome) -> String {
        let report = self.session.receive().await;
        let AgentMessage::Checked { stage, checks, .. } = report else { panic!("{report:?}") };
        assert_eq!((stage, checks.len()), (expected, 1), "{checks:?}");
        let check = &checks[0];
        assert_eq!((check.check.as_str(), check.outcome), ("reload", outcome), "{check:?}");
        assert_eq!(check.in_use, (outcome == CheckOutcome::Passed).then_some(true));
        check.detail.clone()
    }

    /// Receives that the application could not be told of the current generation, and why.
    pub(crate) async fn not_told(&mut self) -> String {
        let report = self.session.receive().await;
        assert_eq!(applied(&report), (self.generation, ReloadOutcome::Failed));
        let report = self.session.receive().await;
        let AgentMessage::Failed { step, detail, .. } = report else { panic!("{report:?}") };
        assert_eq!(step, FailedStep::Reload);
        detail
    }

    /// Kills the agent, starts another one and returns once it is connected.
    pub(crate) async fn restart_agent(&mut self) {
        drop(self.agent.take());
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.agent = Some(start(&self.config));
        self.session = self.server.session().await.0;
    }
}

fn start(config: &AgentConfig) -> Agent {
    let program = e2e::process::program("enclii-login-check").unwrap();
    let application = Application::new(config, None, PROC.into()).unwrap();
    let application = application.with_login_program(program.clone());
    let verifier = Verifier::new(config).with_login_program(program);
    Pod::start_for(config.clone(), (application, verifier, Renderer::default()))
}
