//! The process is killed at each system call that changes a volume, by strace.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use contract::AgentConfig;
use contract::layout::CONFIG_VARIABLE;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::pod::{Pod, applied};
use crate::server::{Server, TestCa, snapshot, with_timeout};
use crate::volumes::with_volume;

/// Those that change a volume, apart from opening and writing a file that is not visible yet.
const CALLS: [&str; 5] = ["mkdirat", "fchmod", "symlinkat", "renameat", "unlinkat"];

/// A pod whose volumes hold generation 1.
struct VolumesPod {
    pod: Pod,
    certs: TempDir,
    config: AgentConfig,
}

impl VolumesPod {
    async fn start(server: &Server, ca: &TestCa) -> Self {
        let (pod, certs) = (Pod::new(), tempfile::tempdir().unwrap());
        let config = with_volume(pod.config(server.address(), &ca.pem, "none"), certs.path());
        let started = Self { pod, certs, config };
        started.gets(server, 1, &[]).await;
        started
    }

    /// An agent in this process gets a generation.
    async fn gets(&self, server: &Server, generation: u64, gone: &[&str]) {
        let agent = Pod::start_with(self.config.clone());
        let (mut session, _) = server.session().await;
        session.send(&of(generation)).await;
        assert_eq!(applied(&session.receive().await).0, generation);
        agent.stop().await;
        assert_eq!(self.shown(), [generation, generation]);
        for name in gone {
            assert!(self.pod.file(name).is_none(), "{name}");
        }
    }

    /// The generation that each volume shows, of which it has to have every file.
    fn shown(&self) -> [u64; 2] {
        let parse = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().parse().unwrap();
        let own: u64 = parse(self.pod.file("KEY").unwrap());
        assert_eq!(self.pod.file("OTHER"), self.pod.file("KEY"));
        assert!(self.pod.file(&format!("OF_{own}")).is_some());
        [own, parse(fs::read(self.certs.path().join("tls/key")).unwrap())]
    }

    /// The agent, which ends at this call of the system call.
    fn traced(&self, call: &str, number: u32) -> TracedAgent {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
        command.args(["-e", &format!("inject={call}:signal=KILL:when={number}")]);
        command.arg(env!("CARGO_BIN_EXE_enclii-agent"));
        command.env(CONFIG_VARIABLE, self.config.to_json().unwrap());
        command.stderr(Stdio::null()).kill_on_drop(true);
        let spawned = command.spawn();
        let strace =
            spawned.unwrap_or_else(|error| panic!("tests/stores/test.sh installs strace: {error}"));
        TracedAgent { strace }
    }
}

/// An agent under strace. Dropping it kills both: strace alone would leave its program behind.
struct TracedAgent {
    strace: Child,
}

impl Drop for TracedAgent {
    fn drop(&mut self) {
        let Some(strace) = self.strace.id() else { return };
        let children = fs::read_to_string(format!("/proc/{strace}/task/{strace}/children"));
        for child in children.unwrap_or_default().split_whitespace() {
            let child = child.parse().ok().and_then(Pid::from_raw);
            let _ = child.map(|child| kill_process(child, Signal::KILL));
        }
    }
}

fn of(generation: u64) -> contract::stream::ServerMessage {
    let text = generation.to_string();
    let own = format!("OF_{generation}");
    snapshot(generation, &[("KEY", text.as_bytes()), ("OTHER", text.as_bytes()), (&own, b"")])
}

fn leftovers(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|it| it.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    names.filter(|name| name.starts_with("..") && name.ends_with("_tmp")).collect()
}

#[tokio::test]
#[ignore = "needs root and strace: make test-stores"]
async fn killed_at_any_system_call_of_a_write() {
    let ca = TestCa::new();
    let server = Server::start(&ca).await;
    let (mut seen, mut kills) = (std::collections::BTreeSet::new(), 0);
    for call in CALLS {
        for number in 1.. {
            let at = format!("{call} {number}");
            let it = VolumesPod::start(&server, &ca).await;
            let mut agent = it.traced(call, number);
            let written = async {
                let (mut session, _) = server.login().await.open().await.with_hello().await?;
                session.try_send(&of(2)).await?;
                let report = session.try_receive().await?;
                assert_eq!(applied(&report).0, 2);
                Some(session)
            };
            let ended = tokio::select! {
                session = written => match session {
                    // It is alive until the end of the stream at least.
                    Some(session) => Some(session),
                    None => {
                        with_timeout(agent.strace.wait()).await.unwrap();
                        None
                    }
                },
                _ = agent.strace.wait() => None,
            };
            let shown = it.shown();
            seen.insert(shown);
            assert_ne!(shown, [2, 1], "{at}: the secrets' volume was not the last one");
            let is_alive = ended.is_some();
            drop((ended, agent));
            it.gets(&server, 3, &["OF_1", "OF_2"]).await;
            let volume = it.pod.volume();
            for directory in [volume.as_path(), it.certs.path()] {
                assert!(leftovers(directory).is_empty(), "{at}: {:?}", leftovers(directory));
            }
            if is_alive {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills > 30, "killed {kills} times");
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [[1, 1], [1, 2], [2, 2]]);
}
