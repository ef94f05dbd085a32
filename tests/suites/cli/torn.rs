//! A write whose answer never came is sent again, and is done once.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::world::{World, finish};

/// Stands in front of switchyard. Of the first `torn` connections it hands the request on, keeps
/// what comes back, and cuts the line once nothing more comes: the write is done, and the answer is
/// lost.
fn tearing(switchyard: u16, torn: usize) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let tear = count.fetch_add(1, Ordering::SeqCst) < torn;
            let (client, server) =
                (client.unwrap(), TcpStream::connect(("127.0.0.1", switchyard)).unwrap());
            let asked = Arc::new(AtomicBool::new(false));
            let (from, to, flag) =
                (client.try_clone().unwrap(), server.try_clone().unwrap(), Arc::clone(&asked));
            std::thread::spawn(move || forth(from, to, &flag));
            std::thread::spawn(move || back(server, client, &asked, tear));
        }
    });
    (port, connections)
}

/// To the server. The client's second record of application data is its request: the first ends the
/// handshake.
fn forth(mut client: TcpStream, mut server: TcpStream, asked: &AtomicBool) {
    const APPLICATION_DATA: u8 = 23;
    let mut records = 0;
    let mut header = [0; 5];
    while client.read_exact(&mut header).is_ok() {
        let mut body = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
        records += usize::from(header[0] == APPLICATION_DATA);
        if records == 2 {
            asked.store(true, Ordering::SeqCst);
        }
        if client.read_exact(&mut body).is_err()
            || server.write_all(&header).and_then(|()| server.write_all(&body)).is_err()
        {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
}

/// To the client, unless the line is to be torn and the request is on its way.
fn back(mut server: TcpStream, mut client: TcpStream, asked: &AtomicBool, tear: bool) {
    let mut piece = [0; 65536];
    let mut kept = false;
    loop {
        let _ = server.set_read_timeout(kept.then_some(Duration::from_millis(500)));
        let Ok(length @ 1..) = server.read(&mut piece) else { break };
        if tear && asked.load(Ordering::SeqCst) {
            kept = true;
        } else if client.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
    let _ = client.shutdown(Shutdown::Both);
}

#[test]
fn a_write_that_was_torn_is_done_once() {
    let world = World::start();
    world.set("A", b"0");
    let command = world.enclii(&[]);
    let address = command
        .get_envs()
        .find(|(name, _)| *name == "ENCLII_ADDR")
        .unwrap()
        .1
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let (port, connections) = tearing(address.rsplit(':').next().unwrap().parse().unwrap(), 2);
    let mut command =
        world.enclii(&["secrets", "set", "A=1", "--if-version", "1", "--output", "json"]);
    let done = finish(command.env("ENCLII_ADDR", format!("https://localhost:{port}")), b"");
    assert_eq!(done.code, Some(0), "{}", done.err);
    let written: serde_json::Value = serde_json::from_slice(&done.out).unwrap();
    assert_eq!(written["versions"], json!({"A": 2}));
    assert!(connections.load(Ordering::SeqCst) >= 3, "no connection was torn");
    assert_eq!(
        world.json(&["secrets", "versions", "A"])["versions"].as_array().unwrap().len(),
        2,
        "it was done more than once"
    );
}
