//! The agent as a process: stopped and continued, and what its server can make it hold.

use std::time::Duration;

use contract::layout::{CONFIG_VARIABLE, MAX_POD_BYTES};
use contract::stream::frame::{self, MAX_HEADER_BYTES};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::pod::{Pod, applied};
use crate::server::{Server, TestCa, snapshot, with_timeout};

/// What a debug build of the agent takes more than a released one, and what fragments take, in
/// bytes.
const SLACK: usize = 4 << 20;

fn start(pod: &Pod, server: &Server, ca: &TestCa) -> Child {
    let config = pod.config(server.address(), &ca.pem, "none");
    let mut command = Command::new(env!("CARGO_BIN_EXE_enclii-agent"));
    command.env_clear().env(CONFIG_VARIABLE, config.to_json().unwrap());
    command.kill_on_drop(true).spawn().unwrap()
}

fn signal(agent: &Child, signal: Signal) {
    let pid = i32::try_from(agent.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// The most memory that the process has had so far, in bytes.
fn peak_memory(agent: &Child) -> usize {
    let status = format!("/proc/{}/status", agent.id().unwrap());
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10
}

#[tokio::test]
async fn a_stopped_agent_goes_on_with_what_came_or_with_another_server() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let address = server.address();
    let agent = start(&pod, &server, &ca);
    let (mut session, _) = server.session().await;
    session.send(&snapshot(1, &[("A", b"1")])).await;
    assert_eq!(applied(&session.receive().await).0, 1);

    // What came meanwhile counts.
    signal(&agent, Signal::STOP);
    session.send(&snapshot(2, &[("A", b"2")])).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(pod.file("A").as_deref(), Some(&b"1"[..]));
    signal(&agent, Signal::CONT);
    assert_eq!(applied(&session.receive().await).0, 2);

    // The server has gone meanwhile, and another one has come.
    signal(&agent, Signal::STOP);
    drop((session, server));
    sleep(Duration::from_secs(1)).await;
    let server = Server::at(address, &ca).await;
    signal(&agent, Signal::CONT);
    let (mut session, holds) = server.session().await;
    assert_eq!(holds, [2]);
    session.send(&snapshot(3, &[("A", b"3")])).await;
    assert_eq!(applied(&session.receive().await).0, 3);
    assert_eq!(pod.file("A").as_deref(), Some(&b"3"[..]));
}

/// What the server announces is not reserved beyond the limits, and what it sends is not kept.
#[tokio::test]
async fn garbage_takes_no_more_memory_than_the_largest_generation() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let agent = start(&pod, &server, &ca);
    let (mut session, _) = server.session().await;
    session.send(&snapshot(1, &[("A", b"1")])).await;
    session.receive().await;
    let before = peak_memory(&agent);

    // Almost a whole frame, of the largest size that there is.
    let value = vec![b'x'; MAX_POD_BYTES];
    let frame = frame::encode(&vec![b' '; MAX_HEADER_BYTES], &[&value]);
    let (most, last) = frame.expose().split_at(frame.len() - 1);
    session.write(most).await;
    assert_eq!(pod.file("A").as_deref(), Some(&b"1"[..]));
    session.write(last).await;
    session.wait_closed().await;
    {
        // A body without an end, in the answer to the login.
        let mut connection = server.login().await.into_connection();
        let head = "HTTP/1.1 500 Oops\r\ntransfer-encoding: chunked\r\n\r\n";
        connection.write_all(head.as_bytes()).await.unwrap();
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        with_timeout(async { while connection.write_all(chunk.as_bytes()).await.is_ok() {} }).await;
    }
    let (mut session, holds) = server.session().await;
    assert_eq!(holds, [1]);
    session.send(&snapshot(2, &[("A", b"2")])).await;
    assert_eq!(applied(&session.receive().await).0, 2);
    // The buffer of the stream, and the message that is taken out of it.
    let limit = before + 2 * (MAX_HEADER_BYTES + MAX_POD_BYTES) + SLACK;
    let peak = peak_memory(&agent);
    assert!(peak <= limit, "{} KiB, over {} KiB", peak >> 10, limit >> 10);
}
