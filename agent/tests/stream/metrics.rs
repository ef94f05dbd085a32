//! The agent's own metrics, scraped from the real program while secrets rotate.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use contract::AgentConfig;
use contract::layout::CONFIG_VARIABLE;
use contract::stream::{AgentMessage, CheckStage, FailedStep, ReloadOutcome};
use e2e::port::free_port;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::pod::{Pod, applied};
use crate::server::{Server, Session, TestCa, snapshot, with_timeout};

/// A value and a secret's name, which no scrape may show.
const HIDDEN: [&str; 2] = ["SECRET_NAME", "canary-51e2d8b604"];

fn start(config: &AgentConfig) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_enclii-agent"));
    command.env_clear().env(CONFIG_VARIABLE, config.to_json().unwrap());
    command.stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
}

/// Stops the agent as kubelet does, and returns its log.
async fn stop(mut agent: Child) -> String {
    let pid = i32::try_from(agent.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    let mut log = String::new();
    with_timeout(agent.stderr.take().unwrap().read_to_string(&mut log)).await.unwrap();
    assert!(with_timeout(agent.wait()).await.unwrap().success(), "{log}");
    log
}

/// An application that answers its reload with 200 and its check with 200, or 500 if it is broken.
async fn application(is_broken: Arc<AtomicBool>) -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut running = JoinSet::new();
    running.spawn(async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(tcp.read_u8().await.unwrap());
            }
            let fails = head.starts_with(b"GET ") && is_broken.load(Ordering::Relaxed);
            let status = if fails { "500 Broken" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            tcp.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (port, running)
}

async fn connect(port: u16) -> TcpStream {
    with_timeout(TcpStream::connect(("127.0.0.1", port))).await.unwrap()
}

async fn scrape(port: u16) -> String {
    let mut tcp = connect(port).await;
    tcp.write_all(b"GET /metrics HTTP/1.1\r\nhost: pod\r\n\r\n").await.unwrap();
    let mut text = String::new();
    with_timeout(tcp.read_to_string(&mut text)).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("# EOF\n"), "{text}");
    assert!(!HIDDEN.iter().any(|hidden| text.contains(hidden)), "{text}");
    text
}

/// Waits until the port is open and a scrape has this.
async fn until_scraped(port: u16, words: &str) {
    let scraped = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err()
            || !scrape(port).await.contains(words)
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    with_timeout(scraped).await;
}

/// The samples of a scrape that are not 0, but for times, without `enclii_agent_`.
async fn counted(port: u16) -> Vec<String> {
    let text = scrape(port).await;
    let samples = text.lines().filter_map(|line| line.strip_prefix("enclii_agent_"));
    let samples = samples.filter(|it| !it.ends_with(" 0") && !it.contains("timestamp"));
    samples.map(str::to_owned).collect()
}

async fn since(port: u16) -> u64 {
    let text = scrape(port).await;
    let name = "enclii_agent_bundle_held_since_timestamp_seconds{bundle=\"api-prod\"} ";
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
}

async fn checked(session: &mut Session) -> CheckStage {
    let message = session.receive().await;
    let AgentMessage::Checked { stage, .. } = message else { panic!("{message:?}") };
    stage
}

#[tokio::test]
async fn a_scrape_sees_rotations_reloads_and_failed_checks() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let is_broken = Arc::new(AtomicBool::new(false));
    let (app, _application) = application(Arc::clone(&is_broken)).await;
    let server = Server::start(&ca).await;
    let reload = format!("http=http://127.0.0.1:{app}/reload");
    let mut config = pod.config(server.address(), &ca.pem, &reload);
    config.verify = vec![format!("http=http://127.0.0.1:{app}/ready,timeout=1s").parse().unwrap()];
    let port = free_port().unwrap();
    config.agent_metrics = Some(port.try_into().unwrap());
    let agent = start(&config);

    // The port is open before the source answers, and says that it does not.
    until_scraped(port, "_connected 0\n").await;
    let (mut session, _) = server.session().await;
    let [name, value] = HIDDEN;
    let generation =
        |number: u64| snapshot(number, &[(name, format!("{value}{number}").as_bytes())]);
    session.send(&generation(1)).await;
    assert_eq!(applied(&session.receive().await), (1, ReloadOutcome::NotNeeded));
    assert_eq!(counted(port).await, ["connected 1", "bundle_generation{bundle=\"api-prod\"} 1"]);
    let first = since(port).await;
    assert!(first > 1_700_000_000, "{first}");

    // A client that says nothing for the rest of the test, and half a request.
    let _silent = connect(port).await;
    let mut slow = connect(port).await;
    slow.write_all(b"GET /metrics HTTP/1.1\r\n").await.unwrap();

    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    session.send(&generation(2)).await;
    assert_eq!(checked(&mut session).await, CheckStage::After);
    assert_eq!(applied(&session.receive().await), (2, ReloadOutcome::Accepted));
    assert_eq!(
        counted(port).await,
        [
            "connected 1",
            "bundle_generation{bundle=\"api-prod\"} 2",
            "reloads_total{outcome=\"accepted\"} 1",
            "checks_total{stage=\"after\",outcome=\"passed\"} 1",
        ]
    );
    assert!(since(port).await > first);

    is_broken.store(true, Ordering::Relaxed);
    session.send(&generation(3)).await;
    assert_eq!(checked(&mut session).await, CheckStage::After);
    assert_eq!(checked(&mut session).await, CheckStage::Restored);
    assert_eq!(applied(&session.receive().await).0, 2);
    let report = session.receive().await;
    assert!(matches!(report, AgentMessage::Failed { step: FailedStep::Check, .. }), "{report:?}");
    assert_eq!(
        counted(port).await,
        [
            "connected 1",
            "bundle_generation{bundle=\"api-prod\"} 2",
            "reloads_total{outcome=\"accepted\"} 3",
            "checks_total{stage=\"after\",outcome=\"passed\"} 1",
            "checks_total{stage=\"after\",outcome=\"failed\"} 1",
            "checks_total{stage=\"restored\",outcome=\"failed\"} 1",
            "failed_generations_total{step=\"check\"} 1",
            "restored_generations_total 1",
            "refused_generations 1",
        ]
    );

    // The next one works.
    is_broken.store(false, Ordering::Relaxed);
    session.send(&generation(4)).await;
    assert_eq!(checked(&mut session).await, CheckStage::After);
    assert_eq!(applied(&session.receive().await), (4, ReloadOutcome::Accepted));
    assert!(scrape(port).await.contains("\nenclii_agent_refused_generations 0\n"));

    drop(session);
    until_scraped(port, "_connected 0\n").await;
    assert!(!stop(agent).await.contains("no metrics"));
}

#[tokio::test]
async fn a_port_in_use_is_said_and_the_files_are_delivered() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let taken = runtime::listen::bind("[::]:0".parse().unwrap()).unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut config = pod.config(server.address(), &ca.pem, "none");
    config.agent_metrics = Some(port.try_into().unwrap());
    let agent = start(&config);
    let (mut session, _) = server.session().await;
    for number in 1..=2 {
        session.send(&snapshot(number, &[("A", number.to_string().as_bytes())])).await;
        assert_eq!(applied(&session.receive().await).0, number);
        assert_eq!(pod.file("A").unwrap(), number.to_string().as_bytes());
    }
    let log = stop(agent).await;
    let said = log.lines().find(|line| line.contains("no metrics, files are not affected"));
    let said = said.unwrap_or_else(|| panic!("{log}"));
    assert!(said.contains("\"level\":\"ERROR\""), "{said}");
    assert!(said.contains(&format!("open metrics port {port}: Address already in use")), "{said}");
}

/// The agent cannot be dumped, so only root sees its descriptors.
#[tokio::test]
async fn no_port_is_open_unless_the_pod_asks() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped without root: what the agent has open");
        return;
    }
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let agent = start(&pod.config(server.address(), &ca.pem, "none"));
    let (session, _) = server.session().await;
    let inodes = listening(agent.id().unwrap());
    assert_eq!(inodes, [""; 0]);
    drop((session, agent));

    let mut config = pod.config(server.address(), &ca.pem, "none");
    config.agent_metrics = Some(free_port().unwrap().try_into().unwrap());
    let agent = start(&config);
    let (_session, _) = server.session().await;
    assert_eq!(listening(agent.id().unwrap()).len(), 1, "what the first half looks for");
}

/// The sockets of a process that listen, by the inodes of its descriptors.
fn listening(pid: u32) -> Vec<String> {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = descriptors.filter_map(|it| std::fs::read_link(it.unwrap().path()).ok());
    let own: Vec<_> = links.map(|it| it.to_string_lossy().into_owned()).collect();
    let tables = ["tcp", "tcp6"].map(|it| std::fs::read_to_string(format!("/proc/{pid}/net/{it}")));
    let tables: String = tables.into_iter().flatten().collect();
    let fields = tables.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    // State 0A is LISTEN; the tenth field is the inode.
    let listening = fields.filter(|it| it.get(3) == Some(&"0A"));
    let inodes = listening.filter_map(|it| Some(format!("socket:[{}]", it.get(9)?)));
    inodes.filter(|it| own.contains(it)).collect()
}
