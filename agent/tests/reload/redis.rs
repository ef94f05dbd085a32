//! A real Redis with TLS.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use e2e::port::free_port;
use e2e::process::Process;

use crate::pair::ServerPair;
use crate::pod::Pod;
use crate::rotated::RotatedPod;
use crate::tls_client::served;

/// A session that was there before.
struct KeptSession(BufReader<TcpStream>);

impl KeptSession {
    fn connect(port: u16) -> Option<Self> {
        let mut client = Self(BufReader::new(TcpStream::connect(("127.0.0.1", port)).ok()?));
        client.ping().then_some(client)
    }

    fn ping(&mut self) -> bool {
        let mut line = String::new();
        let sent = self.0.get_mut().write_all(b"PING\r\n");
        sent.and_then(|()| self.0.read_line(&mut line)).is_ok() && line == "+PONG\r\n"
    }
}

fn secrets<'a>(url: &'a str, pair: &'a ServerPair) -> [(&'a str, &'a [u8]); 3] {
    [
        ("URL", url.as_bytes()),
        ("tls.crt", pair.certificate.as_bytes()),
        ("tls.key", pair.key.as_bytes()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn rotations_reach_redis_and_a_broken_certificate_does_not() {
    let (pod, mut current) = (Pod::new(), ServerPair::new());
    let (port, tls_port) = (free_port().unwrap(), free_port().unwrap());
    let url = format!("redis://127.0.0.1:{port}");
    let volume = pod.volume();
    let first = secrets(&url, &current);
    let mut it = RotatedPod::start(pod, "redis-config=URL", |_| {}, &first).await;

    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("redis-server");
    command.arg("--port").arg(port.to_string()).args(["--bind", "127.0.0.1", "--save", ""]);
    command.arg("--dir").arg(folder.path()).arg("--tls-port").arg(tls_port.to_string());
    command.arg("--tls-cert-file").arg(volume.join("tls.crt"));
    command.arg("--tls-key-file").arg(volume.join("tls.key"));
    command.args(["--tls-auth-clients", "no"]);
    let _redis = Process::start("redis", &mut command, folder.path()).unwrap();
    let mut session = e2e::wait::until("Redis to answer", Duration::from_secs(20), || {
        Ok(KeptSession::connect(port))
    })
    .unwrap();

    assert_eq!(served(tls_port).await, current.leaf());
    for _ in 0..3 {
        current = ServerPair::new();
        it.rotate(&secrets(&url, &current)).await;
        assert_eq!(served(tls_port).await, current.leaf());
    }
    let said = it.refused(&secrets(&url, &ServerPair::broken())).await;
    assert!(said.contains("did not take the certificate"), "{said}");
    assert_eq!(served(tls_port).await, current.leaf());
    assert!(session.ping(), "the session was cut");

    // A login that is refused says nothing of the files, so they stay.
    current = ServerPair::new();
    let wrong = format!("redis://nobody:canary@127.0.0.1:{port}");
    it.send(&secrets(&wrong, &current)).await;
    let detail = it.not_told().await;
    assert!(detail.contains("refuses the user") && !detail.contains("canary"), "{detail}");
}
