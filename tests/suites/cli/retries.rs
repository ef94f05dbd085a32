//! A write whose response is lost is retried, and takes effect once.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::harness::{CliHarness, finish};

/// A proxy in front of switchyard. It forwards the requests of the first `broken` connections,
/// withholds the responses, and closes the connections when nothing more arrives: the write took
/// effect, and its response is lost.
fn breaking_proxy(switchyard: u16, broken: usize) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let breaks = count.fetch_add(1, Ordering::SeqCst) < broken;
            let (client, server) =
                (client.unwrap(), TcpStream::connect(("127.0.0.1", switchyard)).unwrap());
            let requested = Arc::new(AtomicBool::new(false));
            let (from, to, flag) =
                (client.try_clone().unwrap(), server.try_clone().unwrap(), Arc::clone(&requested));
            std::thread::spawn(move || forward(from, to, &flag));
            std::thread::spawn(move || backward(server, client, &requested, breaks));
        }
    });
    (port, connections)
}

/// Client to server. The client's second application data record is its request: the first ends the
/// handshake.
fn forward(mut client: TcpStream, mut server: TcpStream, requested: &AtomicBool) {
    const APPLICATION_DATA: u8 = 23;
    let mut records = 0;
    let mut header = [0; 5];
    while client.read_exact(&mut header).is_ok() {
        let mut body = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
        records += usize::from(header[0] == APPLICATION_DATA);
        if records == 2 {
            requested.store(true, Ordering::SeqCst);
        }
        if client.read_exact(&mut body).is_err()
            || server.write_all(&header).and_then(|()| server.write_all(&body)).is_err()
        {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
}

/// Server to client, unless the connection is to break and the request was sent.
fn backward(mut server: TcpStream, mut client: TcpStream, requested: &AtomicBool, breaks: bool) {
    let mut piece = [0; 65536];
    let mut withheld = false;
    loop {
        let _ = server.set_read_timeout(withheld.then_some(Duration::from_millis(500)));
        let Ok(length @ 1..) = server.read(&mut piece) else { break };
        if breaks && requested.load(Ordering::SeqCst) {
            withheld = true;
        } else if client.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
    let _ = client.shutdown(Shutdown::Both);
}

#[test]
fn a_write_over_a_broken_connection_takes_effect_once() {
    let harness = CliHarness::start();
    harness.set("A", b"0");
    let command = harness.enclii(&[]);
    let address = command
        .get_envs()
        .find(|(name, _)| *name == "ENCLII_ADDR")
        .unwrap()
        .1
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let (port, connections) =
        breaking_proxy(address.rsplit(':').next().unwrap().parse().unwrap(), 2);
    let mut command =
        harness.enclii(&["secrets", "set", "A=1", "--if-version", "1", "--output", "json"]);
    let done = finish(command.env("ENCLII_ADDR", format!("https://localhost:{port}")), b"");
    assert_eq!(done.code, Some(0), "{}", done.err);
    let written: serde_json::Value = serde_json::from_slice(&done.out).unwrap();
    assert_eq!(written["versions"], json!({"A": 2}));
    assert!(connections.load(Ordering::SeqCst) >= 3, "no connection was broken");
    assert_eq!(
        harness.json(&["secrets", "versions", "A"])["versions"].as_array().unwrap().len(),
        2,
        "the write took effect more than once"
    );
}
