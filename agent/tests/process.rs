//! The agent as a process: command line, exit status, log.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "stream/pod.rs"]
#[expect(dead_code, reason = "the other test uses all of it")]
mod pod;
#[path = "stream/server.rs"]
#[expect(dead_code, reason = "the other test uses all of it")]
mod server;

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use contract::AgentConfig;
use contract::layout::CONFIG_VARIABLE;
use contract::stream::{AgentMessage, ReloadOutcome};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command as AsyncCommand};

use pod::Pod;
use server::{Server, TestCa, snapshot, snapshot_of, with_timeout};

const PROGRAM: &str = env!("CARGO_BIN_EXE_enclii-agent");

/// Values that a log must not show in any form.
const CANARY: &str = "canary-7f3a9c51e2d8b604";
const TOKEN: &str = "token-canary-0b6d4f2e";

fn run(words: &[&str], config: Option<&AgentConfig>) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(words).env_clear();
    if let Some(config) = config {
        command.env(CONFIG_VARIABLE, config.to_json().unwrap());
    }
    command.output().unwrap()
}

fn start(config: &AgentConfig) -> Child {
    start_as("run", config)
}

fn start_as(word: &str, config: &AgentConfig) -> Child {
    let mut command = AsyncCommand::new(PROGRAM);
    command
        .arg(word)
        .env_clear()
        .env(CONFIG_VARIABLE, config.to_json().unwrap())
        .env("ENCLII_LOG_FILTER", "trace");
    command.stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
}

/// The exit code and the log of an agent that ends by itself within a minute.
async fn ended(mut child: Child) -> (Option<i32>, String) {
    let mut log = String::new();
    let mut stderr = child.stderr.take().unwrap();
    let read = stderr.read_to_string(&mut log);
    tokio::time::timeout(Duration::from_secs(60), read).await.unwrap().unwrap();
    (with_timeout(child.wait()).await.unwrap().code(), log)
}

/// Stops the agent as kubelet does, and returns its log.
async fn stop(mut child: Child) -> String {
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    let mut log = String::new();
    with_timeout(child.stderr.take().unwrap().read_to_string(&mut log)).await.unwrap();
    assert!(with_timeout(child.wait()).await.unwrap().success(), "{log}");
    log
}

#[test]
fn the_command_line() {
    let output = run(&["--version"], None);
    assert_eq!(output.stdout, concat!("enclii-agent ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
    assert!(run(&["--help"], None).stdout.starts_with(b"Writes a pod's secrets"));
    for words in [&["walk"][..], &[], &["wait"]] {
        let output = run(words, None);
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stderr.starts_with(b"enclii-agent: read "), "{output:?}");
    }
}

#[test]
fn a_missing_volume_ends_the_agent_with_an_error_that_names_it() {
    let pod = Pod::new();
    let mut config = pod.config("127.0.0.1:9".parse().unwrap(), &TestCa::new().pem, "none");
    config.files.directory = "/nowhere/at/all".to_owned();
    let output = run(&[], Some(&config));
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("open volume /nowhere/at/all: No such file"), "{log}");
}

#[tokio::test]
async fn the_hook_ends_with_the_first_files_and_the_log_shows_no_value() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    pod.write_token(TOKEN);
    let server = Server::start(&ca).await;
    let config = pod.config(server.address(), &ca.pem, "none");
    let agent = start(&config);
    let mut hook = AsyncCommand::new(PROGRAM);
    let mut hook = hook
        .arg("wait")
        .env_clear()
        .env(CONFIG_VARIABLE, config.to_json().unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();

    let (mut session, _) = server.session().await;
    assert!(hook.try_wait().unwrap().is_none());
    let value = |text: &str| format!("{CANARY}-{text}").into_bytes();
    session.send(&snapshot(1, &[("A", &value("first"))])).await;
    session.receive().await;
    assert!(with_timeout(hook.wait()).await.unwrap().success());

    // Every kind of failure, too.
    session.send(&snapshot(2, &[("A", &value("second"))])).await;
    session.receive().await;
    session.send(&snapshot_of("other-prod", 3, &[("A", &value("third"))])).await;
    assert!(matches!(session.receive().await, AgentMessage::Failed { .. }));
    std::fs::create_dir(pod.volume().join("B")).unwrap();
    session.send(&snapshot(4, &[("B", &value("fourth"))])).await;
    assert!(matches!(session.receive().await, AgentMessage::Failed { .. }));
    let wrong_length = [
        r#"{"kind":"hold","bundles":[{"bundle":"api-prod","generation":5,"secrets":["#,
        &format!(r#"{{"name":"A","version":1,"length":3,"x":"{CANARY}"}}"#),
        "]}]}",
    ]
    .concat();
    session
        .write(
            contract::stream::frame::encode(wrong_length.as_bytes(), &[&value("fifth")]).expose(),
        )
        .await;
    session.wait_closed().await;
    let (session, _) = server.session().await;

    let log = stop(agent).await;
    drop(session);
    for line in log.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
    for expected in [
        "\"message\":\"files replaced\"",
        "\"bundle\":\"api-prod\"",
        "\"generation\":\"2\"",
        "\"milliseconds\":",
        "\"message\":\"agent stopped\"",
    ] {
        assert!(log.contains(expected), "{expected} is not in\n{log}");
    }
    for hidden in [CANARY, TOKEN] {
        let hex: String = hidden.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(!log.contains(hidden) && !log.contains(&hex), "{log}");
        for skipped in 0..3 {
            // In base64 the end of a text depends on what follows it, and the rest only on its
            // offset modulo 3.
            let encoded = STANDARD_NO_PAD.encode(&hidden.as_bytes()[skipped..]);
            assert!(!log.contains(&encoded[..encoded.len() - 4]), "{log}");
        }
        let bytes = format!("{:?}", hidden.as_bytes());
        assert!(!log.contains(bytes.trim_matches(['[', ']'])), "{log}");
    }
}

const DENIED: &str = "service account shop/web may not read bundle api-prod";

fn denial() -> String {
    format!(r#"{{"title":"access denied","status":403,"detail":"{DENIED}"}}"#)
}

#[tokio::test]
async fn a_denial_before_the_first_files_ends_the_agent_and_is_logged() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let mut agent = start(&pod.config(server.address(), &ca.pem, "none"));
    server.login().await.refuse("403 Forbidden", &denial()).await;
    assert_eq!(with_timeout(agent.wait()).await.unwrap().code(), Some(1));
    let mut log = String::new();
    with_timeout(agent.stderr.take().unwrap().read_to_string(&mut log)).await.unwrap();
    assert!(
        log.lines().any(|line| line.contains("\"level\":\"ERROR\"") && line.contains(DENIED)),
        "{log}"
    );
}

#[tokio::test]
async fn a_later_denial_is_logged_once_and_the_files_stay() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let agent = start(&pod.config(server.address(), &ca.pem, "none"));
    let (mut session, _) = server.session().await;
    session.send(&snapshot(1, &[("A", b"x")])).await;
    session.receive().await;
    drop(session);
    for _ in 0..2 {
        server.login().await.refuse("403 Forbidden", &denial()).await;
    }
    let (session, _) = server.session().await;
    let log = stop(agent).await;
    drop(session);
    assert_eq!(log.matches(DENIED).count(), 1, "{log}");
    assert_eq!(pod.file("A").as_deref(), Some(&b"x"[..]));
}

#[tokio::test]
async fn the_process_dumps_no_core_and_its_memory_belongs_to_root() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let agent = start(&pod.config(server.address(), &ca.pem, "none"));
    let (session, _) = server.session().await;
    let proc = PathBuf::from(format!("/proc/{}", agent.id().unwrap()));
    let limits = std::fs::read_to_string(proc.join("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let words: Vec<_> = core.split_ascii_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{core}");
    // The files of an undumpable process belong to root.
    assert_eq!(std::fs::metadata(proc.join("mem")).unwrap().uid(), 0);
    stop(agent).await;
    drop(session);
}

/// The containers restart 30 s after the agent's start at the earliest, so this takes as long.
#[tokio::test]
async fn two_changes_are_one_restart_which_is_not_repeated() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let config = pod.config(server.address(), &ca.pem, "restart");
    let started = Instant::now();
    let agent = start(&config);
    let (mut session, _) = server.session().await;
    session.send(&snapshot(1, &[("A", b"one")])).await;
    assert!(matches!(session.receive().await, AgentMessage::Applied { .. }));
    session.send(&snapshot(2, &[("A", b"two")])).await;
    session.send(&snapshot(3, &[("A", b"three")])).await;
    let (code, log) = ended(agent).await;
    assert_eq!(code, Some(88), "{log}");
    assert!(started.elapsed() >= Duration::from_secs(30), "{:?}", started.elapsed());
    assert_eq!(log.matches("all containers restart, since").count(), 1, "{log}");
    assert_eq!(pod.file("A").as_deref(), Some(&b"three"[..]));
    drop(session);

    // Kubelet has started it again, with all the others.
    let agent = start(&config);
    let (mut session, holds) = server.session().await;
    assert_eq!(holds, [3]);
    let report = session.receive().await;
    assert!(matches!(report, AgentMessage::Applied { .. }), "{report:?}");
    session.send(&snapshot(3, &[("A", b"three")])).await;
    session.receive().await;
    let log = stop(agent).await;
    assert!(log.contains("all containers were restarted with the current files"), "{log}");
    assert!(!log.contains("all containers restart, since"), "{log}");
}

#[tokio::test]
async fn an_init_container_writes_the_files_once_and_closes_its_stream() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let mut config = pod.config(server.address(), &ca.pem, "none");
    config.files.env = vec!["A".parse().unwrap()];
    // In a pod whose containers are all created again it runs again.
    for generation in [1, 2] {
        let agent = start_as("init", &config);
        let (mut session, _) = server.session().await;
        session.send(&snapshot(generation, &[("A", generation.to_string().as_bytes())])).await;
        let report = session.receive().await;
        assert_eq!(pod::applied(&report), (generation, ReloadOutcome::NotNeeded));
        session.wait_closed().await;
        let (code, log) = ended(agent).await;
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("files written once"), "{log}");
        assert!(!log.contains("not connected") && !log.contains("not closed in time"), "{log}");
        assert_eq!(pod.file("A").unwrap(), generation.to_string().as_bytes());
    }
    // With files, a value that cannot be one keeps them; without, the pod does not start.
    for (volume, code) in [("again", 0), ("fresh", 1)] {
        if volume == "fresh" {
            std::fs::remove_dir_all(pod.volume()).unwrap();
            std::fs::create_dir(pod.volume()).unwrap();
        }
        let agent = start_as("init", &config);
        let (mut session, _) = server.session().await;
        session.send(&snapshot(3, &[("A", b"it's")])).await;
        let report = session.receive().await;
        assert!(matches!(report, AgentMessage::Failed { .. }), "{report:?}");
        let (found, log) = ended(agent).await;
        assert_eq!(found, Some(code), "{log}");
        assert!(log.contains("A has a single quote"), "{log}");
    }
}

#[tokio::test]
async fn an_init_container_that_is_denied_fails_at_once() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let agent = start_as("init", &pod.config(server.address(), &ca.pem, "none"));
    server.login().await.refuse("403 Forbidden", &denial()).await;
    let (code, log) = ended(agent).await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains(DENIED), "{log}");
}

#[tokio::test]
async fn the_status_is_printed_for_people_and_for_programs() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let config = pod.config(server.address(), &ca.pem, "none");
    let before = run(&["status"], Some(&config));
    assert!(!before.status.success());
    assert!(String::from_utf8(before.stderr).unwrap().contains("read status in "));

    let agent = start(&config);
    let (mut session, _) = server.session().await;
    session.send(&snapshot(7, &[("A", CANARY.as_bytes())])).await;
    session.receive().await;
    let print = |words: &[&str]| {
        let output = run(words, Some(&config));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains(CANARY), "{text}");
        (output.status.success(), text)
    };
    let (is_well, text) = print(&["status"]);
    assert!(is_well, "{text}");
    assert!(text.contains("✓ bundle api-prod: generation 7"), "{text}");
    assert!(text.contains("connected for"), "{text}");
    let status = contract::AgentStatus::from_json(print(&["status", "--json"]).1.as_bytes());
    assert!(status.unwrap().source.connected);

    drop((session, server));
    with_timeout(async {
        while print(&["status"]).0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let (_, text) = print(&["status"]);
    assert!(text.contains("✗ there is no connection to switchyard"), "{text}");
    stop(agent).await;
}
