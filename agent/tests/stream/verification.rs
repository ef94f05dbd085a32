//! A generation that does not work never stays: it is refused before it is written, or taken back.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use contract::AgentConfig;
use contract::stream::{AgentMessage, CheckOutcome, CheckStage, FailedStep, ReloadOutcome};
use rcgen::generate_simple_self_signed;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::pod::{Agent, Pod, applied};
use crate::server::{Server, Session, TestCa, snapshot, with_timeout};

/// A certificate and its key, PEM.
struct Pair {
    certificate: String,
    key: String,
}

impl Pair {
    fn new() -> Self {
        let generated = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self { certificate: generated.cert.pem(), key: generated.signing_key.serialize_pem() }
    }
}

/// A server with TLS that takes up its certificate on a POST, if it likes it. Otherwise it keeps
/// the one it has and says that all is well, as nginx does. What it wants to read before it speaks
/// TLS is the caller's.
struct TlsApplication {
    port: u16,
    reload: String,
    /// Takes up no other certificate.
    is_stubborn: Arc<Mutex<bool>>,
    reloads: Arc<Mutex<usize>>,
    _running: JoinSet<()>,
}

impl TlsApplication {
    async fn start(pod: &Pod, pair: &Pair, request: &'static [u8]) -> Self {
        let volume = pod.volume();
        let acceptor = Arc::new(Mutex::new(acceptor_of(&pair.certificate, &pair.key).unwrap()));
        let (is_stubborn, reloads) = (Arc::new(Mutex::new(false)), Arc::new(Mutex::new(0)));
        let tls = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = tls.local_addr().unwrap().port();
        let reload = format!("http=http://{}/reload", http.local_addr().unwrap());
        let mut running = JoinSet::new();
        let current = Arc::clone(&acceptor);
        running.spawn(async move {
            loop {
                let (mut tcp, _) = tls.accept().await.unwrap();
                let mut asked = vec![0; request.len()];
                let is_asked = tcp.read_exact(&mut asked).await.is_ok() && asked == request;
                if !is_asked || (!asked.is_empty() && tcp.write_all(b"S").await.is_err()) {
                    continue;
                }
                let acceptor = current.lock().unwrap().clone();
                let _ = acceptor.accept(tcp).await;
            }
        });
        let (stubborn, count) = (Arc::clone(&is_stubborn), Arc::clone(&reloads));
        running.spawn(async move {
            loop {
                let (mut tcp, _) = http.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(tcp.read_u8().await.unwrap());
                }
                let read = |name| std::fs::read_to_string(volume.join(name)).unwrap();
                let is_stubborn = *stubborn.lock().unwrap();
                let new = acceptor_of(&read("tls.crt"), &read("tls.key"));
                if let Some(new) = new.filter(|_| !is_stubborn) {
                    *acceptor.lock().unwrap() = new;
                }
                *count.lock().unwrap() += 1;
                tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            }
        });
        Self { port, reload, is_stubborn, reloads, _running: running }
    }

    fn set_stubborn(&self, is_stubborn: bool) {
        *self.is_stubborn.lock().unwrap() = is_stubborn;
    }

    fn reloads(&self) -> usize {
        *self.reloads.lock().unwrap()
    }
}

fn acceptor_of(certificate: &str, key: &str) -> Option<TlsAcceptor> {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).ok()?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).ok()?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    Some(TlsAcceptor::from(Arc::new(config.ok()?)))
}

/// A pod whose application serves the certificate of its first generation.
struct VerifiedPod {
    pod: Pod,
    application: TlsApplication,
    server: Server,
    session: Session,
    config: AgentConfig,
    agent: Option<Agent>,
}

impl VerifiedPod {
    async fn start() -> Self {
        Self::start_with("", b"").await
    }

    /// With more options of its check, and what the application reads before TLS.
    async fn start_with(options: &str, request: &'static [u8]) -> Self {
        let (ca, pod, first) = (TestCa::new(), Pod::new(), Pair::new());
        let application = TlsApplication::start(&pod, &first, request).await;
        let server = Server::start(&ca).await;
        let mut config = pod.config(server.address(), &ca.pem, &application.reload);
        let check = format!("tls={},timeout=1s{options}", application.port);
        config.verify = vec![check.parse().unwrap()];
        let agent = Some(Pod::start_with(config.clone()));
        let (mut session, _) = server.session().await;
        session.send(&generation(1, &first)).await;
        assert_eq!(applied(&session.receive().await), (1, ReloadOutcome::NotNeeded));
        Self { pod, application, server, session, config, agent }
    }

    /// Receives the outcome of the only check.
    async fn checked(&mut self) -> (CheckStage, CheckOutcome, String) {
        let message = self.session.receive().await;
        let AgentMessage::Checked { stage, checks, .. } = message else { panic!("{message:?}") };
        assert_eq!(checks.len(), 1);
        assert!(checks[0].check.starts_with("tls="));
        (stage, checks[0].outcome, checks[0].detail.clone())
    }

    /// Receives that a generation was refused, and returns the reason.
    async fn refused(&mut self, expected: u64) -> String {
        let message = self.session.receive().await;
        let AgentMessage::Failed { wanted, step, detail } = message else { panic!("{message:?}") };
        assert_eq!((wanted[0].generation.0, step), (expected, FailedStep::Check));
        detail
    }

    async fn wait_for_reloads(&self, count: usize) {
        with_timeout(async {
            while self.application.reloads() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    fn certificate(&self) -> String {
        String::from_utf8(self.pod.file("tls.crt").unwrap()).unwrap()
    }
}

fn generation(number: u64, pair: &Pair) -> contract::stream::ServerMessage {
    let (certificate, key) = (pair.certificate.as_bytes(), pair.key.as_bytes());
    snapshot(number, &[("tls.crt", certificate), ("tls.key", key)])
}

#[tokio::test]
async fn a_generation_that_the_application_takes_up_passes() {
    let mut it = VerifiedPod::start().await;
    for number in 2..=3 {
        it.session.send(&generation(number, &Pair::new())).await;
        let (stage, outcome, _) = it.checked().await;
        assert_eq!((stage, outcome), (CheckStage::Before, CheckOutcome::Passed));
        let (stage, outcome, detail) = it.checked().await;
        assert_eq!((stage, outcome), (CheckStage::After, CheckOutcome::Passed));
        assert_eq!(detail, "serves tls.crt");
        let applied = applied(&it.session.receive().await);
        assert_eq!(applied, (number, ReloadOutcome::Accepted));
    }
}

#[tokio::test]
async fn postgres_is_asked_for_tls_in_its_own_protocol() {
    let request = &[0, 0, 0, 8, 4, 210, 22, 47];
    for (options, outcome) in
        [(",starttls=postgres", CheckOutcome::Passed), ("", CheckOutcome::Failed)]
    {
        let mut it = VerifiedPod::start_with(options, request).await;
        it.session.send(&generation(2, &Pair::new())).await;
        assert_eq!(it.checked().await.0, CheckStage::Before);
        let (stage, found, detail) = it.checked().await;
        assert_eq!((stage, found), (CheckStage::After, outcome), "{detail}");
    }
}

#[tokio::test]
async fn a_certificate_without_its_key_never_reaches_the_application() {
    let mut it = VerifiedPod::start().await;
    let before = it.certificate();
    let (one, two) = (Pair::new(), Pair::new());
    let broken = Pair { certificate: one.certificate, key: two.key };
    it.session.send(&generation(2, &broken)).await;
    let (stage, outcome, _) = it.checked().await;
    assert_eq!((stage, outcome), (CheckStage::Before, CheckOutcome::Failed));
    let detail = it.refused(2).await;
    assert!(detail.contains("private key"), "{detail}");
    assert_eq!((it.certificate(), it.application.reloads()), (before, 0));
    // A later one that works is taken up.
    let next = Pair::new();
    it.session.send(&generation(3, &next)).await;
    assert_eq!(it.checked().await.1, CheckOutcome::Passed);
    assert_eq!(it.checked().await.1, CheckOutcome::Passed);
    assert_eq!(applied(&it.session.receive().await), (3, ReloadOutcome::Accepted));
    assert_eq!(it.certificate(), next.certificate);
}

#[tokio::test]
async fn a_generation_that_is_not_taken_up_is_taken_back_and_not_tried_again() {
    let mut it = VerifiedPod::start().await;
    let before = it.certificate();
    it.application.set_stubborn(true);
    let bad = Pair::new();
    it.session.send(&generation(2, &bad)).await;
    assert_eq!(it.checked().await.0, CheckStage::Before);
    let (stage, outcome, detail) = it.checked().await;
    assert_eq!((stage, outcome), (CheckStage::After, CheckOutcome::Failed));
    assert!(detail.contains("another certificate than tls.crt"), "{detail}");
    let (stage, outcome, _) = it.checked().await;
    assert_eq!((stage, outcome), (CheckStage::Restored, CheckOutcome::Passed));
    assert_eq!(applied(&it.session.receive().await), (1, ReloadOutcome::Accepted));
    assert!(it.refused(2).await.contains("another certificate"));
    assert_eq!((it.certificate(), it.application.reloads()), (before.clone(), 2));

    // Neither on this connection nor after a restart of the agent is it tried again.
    it.session.send(&generation(2, &bad)).await;
    it.refused(2).await;
    it.agent.take().unwrap().stop().await;
    it.agent = Some(Pod::start_with(it.config.clone()));
    let mut session = it.server.login().await.open().await;
    let hello = session.receive().await;
    let AgentMessage::Hello { holds, refused, .. } = hello else { panic!("{hello:?}") };
    assert_eq!((holds[0].generation.0, refused[0].generation.0), (1, 2));
    it.session = session;
    it.session.send(&generation(2, &bad)).await;
    it.refused(2).await;
    assert_eq!((it.certificate(), it.application.reloads()), (before, 2));
}

#[tokio::test]
async fn the_last_generation_that_worked_comes_back_even_if_two_failed_in_a_row() {
    let mut it = VerifiedPod::start().await;
    let before = it.certificate();
    it.application.set_stubborn(true);
    it.session.send(&generation(2, &Pair::new())).await;
    assert_eq!(it.checked().await.0, CheckStage::Before);
    // The next one comes while that one is still being looked at.
    it.wait_for_reloads(1).await;
    it.session.send(&generation(3, &Pair::new())).await;
    assert_eq!(it.checked().await.0, CheckStage::Before);
    assert_eq!(it.checked().await.0, CheckStage::After);
    assert_eq!(it.checked().await.0, CheckStage::Restored);
    assert_eq!(applied(&it.session.receive().await), (1, ReloadOutcome::Accepted));
    it.refused(3).await;
    assert_eq!(it.certificate(), before);
}

#[tokio::test]
async fn an_agent_that_is_killed_while_it_checks_goes_on_after_its_restart() {
    let mut it = VerifiedPod::start().await;
    let before = it.certificate();
    it.application.set_stubborn(true);
    it.session.send(&generation(2, &Pair::new())).await;
    assert_eq!(it.checked().await.0, CheckStage::Before);
    it.wait_for_reloads(1).await;
    drop(it.agent.take());
    assert_ne!(it.certificate(), before);
    it.agent = Some(Pod::start_with(it.config.clone()));
    it.session = it.server.session().await.0;
    let (stage, outcome, _) = it.checked().await;
    assert_eq!((stage, outcome), (CheckStage::After, CheckOutcome::Failed));
    assert_eq!(it.checked().await.0, CheckStage::Restored);
    assert_eq!(applied(&it.session.receive().await), (1, ReloadOutcome::Accepted));
    it.refused(2).await;
    assert_eq!(it.certificate(), before);
}
