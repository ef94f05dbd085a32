//! A real HAProxy, told over its runtime API while clients keep their connections.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::port::free_port;
use e2e::process::Process;
use tempfile::TempDir;

use crate::pair::ServerPair;
use crate::pod::Pod;
use crate::rotated::RotatedPod;
use crate::tls_client::{KeptConnections, served};

/// HAProxy's files, and a pod whose secrets it serves: one certificate with its key in one file,
/// and one whose key is in another.
struct Haproxy {
    folder: TempDir,
    volume: PathBuf,
    port: u16,
    other_port: u16,
    process: Option<Process>,
}

impl Haproxy {
    fn new(pod: &Pod) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            volume: pod.volume(),
            port: free_port().unwrap(),
            other_port: free_port().unwrap(),
            process: None,
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("admin.sock")
    }

    fn reload(&self) -> String {
        format!("haproxy={}", self.socket().display())
    }

    fn start(&mut self) {
        let Self { folder, volume, port, other_port, .. } = &*self;
        let config = folder.path().join("haproxy.cfg");
        let text = format!(
            "global\n  stats socket {socket} mode 600 level admin\n\
             defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n\
             \x20 timeout server 60s\n  timeout http-keep-alive 60s\n\
             frontend one\n  bind 127.0.0.1:{port} ssl crt {volume}/tls.pem\n\
             \x20 http-request return status 200\n\
             frontend two\n  bind 127.0.0.1:{other_port} ssl crt {volume}/sub/api.pem\n\
             \x20 http-request return status 200\n",
            socket = self.socket().display(),
            volume = volume.display(),
        );
        File::create(&config).unwrap().write_all(text.as_bytes()).unwrap();
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&config);
        self.process = Some(Process::start("haproxy", &mut command, folder.path()).unwrap());
        e2e::wait::until("HAProxy to listen", Duration::from_secs(20), || {
            self.process.as_mut().unwrap().check()?;
            let address = ("127.0.0.1", self.other_port);
            Ok(std::net::TcpStream::connect(address).is_ok().then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error}"));
    }

    fn ask(&self, command: &str) -> String {
        ask(&self.socket(), command)
    }
}

fn ask(socket: &Path, command: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(command.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The secrets of a generation.
struct HaproxySecrets {
    pem: String,
    certificate: String,
    key: String,
}

impl HaproxySecrets {
    fn of(one: &ServerPair, two: &ServerPair) -> Self {
        let (certificate, key) = (two.certificate.clone(), two.key.clone());
        Self { pem: one.both(), certificate, key }
    }

    fn list(&self) -> [(&str, &[u8]); 3] {
        [
            ("tls.pem", self.pem.as_bytes()),
            ("api_crt", self.certificate.as_bytes()),
            ("api_key", self.key.as_bytes()),
        ]
    }
}

/// A pod with a HAProxy that runs.
async fn running() -> (RotatedPod, Haproxy, [ServerPair; 2]) {
    let (it, mut haproxy, pairs) = started().await;
    haproxy.start();
    assert_eq!(served(haproxy.port).await, pairs[0].leaf());
    assert_eq!(served(haproxy.other_port).await, pairs[1].leaf());
    assert!(it.pod.volume().is_dir());
    (it, haproxy, pairs)
}

/// A pod with its first generation, and a HAProxy that does not run yet.
async fn started() -> (RotatedPod, Haproxy, [ServerPair; 2]) {
    let (pod, pairs) = (Pod::new(), [ServerPair::new(), ServerPair::new()]);
    let haproxy = Haproxy::new(&pod);
    let secrets = HaproxySecrets::of(&pairs[0], &pairs[1]);
    let at = |config: &mut contract::AgentConfig| {
        // HAProxy looks for the key beside the certificate.
        let path = |file: &str, path: &str| (file.parse().unwrap(), path.parse().unwrap());
        config.files.paths =
            [path("api_crt", "sub/api.pem"), path("api_key", "sub/api.pem.key")].into();
    };
    let it = RotatedPod::start(pod, &haproxy.reload(), at, &secrets.list()).await;
    (it, haproxy, pairs)
}

#[tokio::test(flavor = "multi_thread")]
async fn three_rotations_under_load_close_no_kept_connection() {
    let (mut it, haproxy, _) = running().await;
    let load = KeptConnections::start(haproxy.port, 8);
    for _ in 0..3 {
        let before = load.requests();
        let (one, two) = (ServerPair::new(), ServerPair::new());
        it.rotate(&HaproxySecrets::of(&one, &two).list()).await;
        assert_eq!(served(haproxy.port).await, one.leaf());
        assert_eq!(served(haproxy.other_port).await, two.leaf());
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(load.requests() > before + 50, "the clients stand still");
    }
    let (requests, closed) = load.stop().await;
    assert_eq!(closed, 0, "of {requests} requests");
    println!("{requests} requests on kept connections, {closed} closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_certificate_is_reported_and_the_old_one_stays() {
    let (mut it, haproxy, pairs) = running().await;
    let load = KeptConnections::start(haproxy.port, 4);
    let other = ServerPair::new();
    let said = it.refused(&HaproxySecrets::of(&ServerPair::broken(), &other).list()).await;
    assert!(said.contains("tls.pem") && said.contains("its private key is not its own"), "{said}");
    assert!(!said.contains("MII") && !said.contains("BEGIN"), "{said}");
    assert_eq!(served(haproxy.port).await, pairs[0].leaf());
    // The other one of that generation was fine, and went back with it.
    assert_eq!(served(haproxy.other_port).await, pairs[1].leaf());
    assert_eq!(haproxy.ask("show ssl cert\n").matches('*').count(), 0, "a transaction is open");
    let (requests, closed) = load.stop().await;
    assert_eq!(closed, 0, "of {requests} requests");
    // What works afterwards is taken.
    let (one, two) = (ServerPair::new(), ServerPair::new());
    it.rotate(&HaproxySecrets::of(&one, &two).list()).await;
    assert_eq!(served(haproxy.port).await, one.leaf());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_agent_left_open_is_no_obstacle() {
    let (mut it, haproxy, pairs) = running().await;
    let name = format!("{}/tls.pem", haproxy.volume.display());
    let stale = ServerPair::new().both().replace("\n\n", "\n");
    let said = haproxy.ask(&format!("set ssl cert {name} <<\n{}\n\n", stale.trim()));
    assert!(said.contains("Transaction created"), "{said}");
    assert_eq!(served(haproxy.port).await, pairs[0].leaf());
    let (one, two) = (ServerPair::new(), ServerPair::new());
    it.rotate(&HaproxySecrets::of(&one, &two).list()).await;
    assert_eq!(served(haproxy.port).await, one.leaf());
    assert_eq!(served(haproxy.other_port).await, two.leaf());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_waits_for_haproxy_and_outlives_the_agent() {
    let (mut it, mut haproxy, _) = started().await;
    let (one, two) = (ServerPair::new(), ServerPair::new());
    it.send(&HaproxySecrets::of(&one, &two).list()).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    it.restart_agent().await;
    haproxy.start();
    it.taken().await;
    assert_eq!(served(haproxy.port).await, one.leaf());
}
