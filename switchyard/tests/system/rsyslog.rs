//! Syslog over TLS to a real rsyslog: events from while it was down, or killed, still arrive.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::harness::{Harness, until, write};

/// Events while rsyslog is down: an hour of a busy cluster.
const MANY: usize = 20_000;

struct Rsyslog {
    directory: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Rsyslog {
    fn new(directory: &Path) -> Self {
        let port = e2e::port::free_port().unwrap();
        let directory = directory.join("rsyslog");
        std::fs::create_dir(&directory).unwrap();
        certificates(&directory);
        let at = directory.to_str().unwrap();
        let config = format!(
            "global(workDirectory=\"{at}\" maxMessageSize=\"64k\" defaultNetstreamDriver=\"ossl\"
    defaultNetstreamDriverCAFile=\"{at}/ca.pem\" \
    defaultNetstreamDriverCertFile=\"{at}/server.pem\" \
    defaultNetstreamDriverKeyFile=\"{at}/server.key\")
module(load=\"imtcp\" streamDriver.name=\"ossl\" streamDriver.mode=\"1\" \
streamDriver.authMode=\"anon\")
template(name=\"raw\" type=\"string\" string=\"%rawmsg%\\n\")
ruleset(name=\"in\") {{ action(type=\"omfile\" file=\"{at}/out\" template=\"raw\" \
asyncWriting=\"off\" flushOnTXEnd=\"on\") }}
input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\" ruleset=\"in\")\n"
        );
        write(&directory.join("rsyslog.conf"), &config);
        Self { directory, port, child: None }
    }

    fn start(&mut self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.directory.join("log"))
            .unwrap();
        let mut command = Command::new("/usr/sbin/rsyslogd");
        command
            .arg("-n")
            .arg("-f")
            .arg(self.directory.join("rsyslog.conf"))
            .arg("-i")
            .arg(self.directory.join("pid"));
        self.child = Some(
            command
                .stderr(log)
                .spawn()
                .expect("rsyslogd is needed: tests/stores/test.sh installs it"),
        );
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            child.wait().unwrap();
        }
        // A stale PID file would prevent the next start.
        let _ = std::fs::remove_file(self.directory.join("pid"));
    }

    /// How often each record arrived, by sequence.
    fn arrived(&self) -> BTreeMap<u64, usize> {
        let text = std::fs::read(self.directory.join("out")).unwrap_or_default();
        let mut arrived = BTreeMap::new();
        // A kill may leave a partial line, directly followed by the next record.
        for rest in String::from_utf8_lossy(&text).split("externalId=").skip(1) {
            let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
            *arrived.entry(number.parse().unwrap()).or_default() += 1;
        }
        arrived
    }
}

/// A failed test leaves no process behind.
impl Drop for Rsyslog {
    fn drop(&mut self) {
        self.kill();
    }
}

fn certificates(directory: &Path) {
    let script = "
        req='openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
        $req -x509 -days 2 -keyout ca.key -out ca.pem -subj /CN=test &&
        $req -keyout server.key -out server.csr -subj /CN=localhost &&
        printf 'subjectAltName=DNS:localhost' > names &&
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out \
        server.pem -extfile names";
    let made = Command::new("sh").arg("-c").arg(script).current_dir(directory).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rsyslog: make test-stores"]
async fn rsyslog_gets_every_event_however_long_it_was_away() {
    let mut rsyslog = None;
    let harness = Harness::start_prepared(|at| {
        let it = Rsyslog::new(at);
        let sinks = format!(
            "sinks:\n- name: siem\n  format: cef\n  syslog: {{address: 'localhost:{}', ca: \
                {}/ca.pem}}\n",
            it.port,
            it.directory.display()
        );
        rsyslog = Some(it);
        write(&at.join("sinks.yaml"), &sinks);
        vec!["--audit-sinks".to_owned(), at.join("sinks.yaml").to_str().unwrap().to_owned()]
    })
    .await;
    let mut rsyslog = rsyslog.unwrap();
    harness.set("shop.prod.api", &[("A", b"hunter2")]).await;
    rsyslog.start();
    until("the first event", async || !rsyslog.arrived().is_empty()).await;

    // Down while an hour's worth of events accumulates; requests do not wait for it.
    rsyslog.kill();
    let events = (0..MANY).map(|at| {
        let resource = audit::Resource {
            kind: audit::ResourceKind::Secret,
            id: format!("SECRET_{at}"),
            scope: Some("shop.prod".to_owned()),
        };
        let origin = audit::Origin::default();
        let actor = audit::Actor::Token { name: "load".to_owned() };
        audit::Event {
            actor,
            action: audit::Action::Read,
            resource,
            version: Some(1),
            outcome: audit::Outcome::Allowed,
            origin,
            details: None,
        }
    });
    fill(&harness, events.collect());
    harness.done(http::Method::GET, "/v1/secrets/shop.prod.api/A", b"").await;
    until("the export failure to be counted", async || {
        harness
            .metrics()
            .await
            .contains("enclii_switchyard_audit_export_failures_total{sink=\"siem\"}")
    })
    .await;
    let before = rsyslog.arrived().len();
    assert!(before < MANY);

    // It returns and is killed while it catches up.
    rsyslog.start();
    until("some of it", async || rsyslog.arrived().len() > before).await;
    rsyslog.kill();
    rsyslog.start();
    let head = harness.json("/v1/audit/checkpoints").await["head"]["sequence"].as_u64().unwrap();
    until("all of it", async || rsyslog.arrived().range(..=head).count() as u64 == head).await;

    // Suspended: the API does not wait, and nothing is lost.
    let stopped = rustix::process::Pid::from_child(rsyslog.child.as_ref().unwrap());
    rustix::process::kill_process(stopped, rustix::process::Signal::STOP).unwrap();
    harness.set("shop.prod.api", &[("A", b"hunter2")]).await;
    rustix::process::kill_process(stopped, rustix::process::Signal::CONT).unwrap();
    until("what came last", async || {
        rsyslog.arrived().range(..=head + 1).count() as u64 == head + 1
    })
    .await;
    let text = std::fs::read_to_string(rsyslog.directory.join("out")).unwrap();
    assert!(text.contains("CEF:0|Enclii|Secrets|") && !text.contains("hunter2"));
}

/// Appends many events to the audit log, as switchyard would.
fn fill(harness: &Harness, events: Vec<audit::Event>) {
    let mut database = harness.database();
    let transaction =
        database.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let head = "SELECT sequence, hash FROM audit_head";
    let (mut sequence, hash): (i64, Vec<u8>) =
        transaction.query_row(head, (), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let mut hash = audit::Hash::from_slice(&hash).unwrap();
    for event in events {
        sequence += 1;
        let record = audit::Record::new(
            u64::try_from(sequence).unwrap(),
            jiff::Timestamp::now(),
            event,
            &hash,
        );
        hash = record.hash;
        let sql = "INSERT INTO audit_events (sequence, at, actor_type, actor_id, action, \
            resource_type, resource_id, scope, version, outcome, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        let row = rusqlite::params![
            sequence,
            record.at.as_millisecond(),
            record.actor_type,
            record.actor_id,
            record.action,
            record.resource_type,
            record.resource_id,
            record.scope,
            record.version.map(|version| i64::try_from(version).unwrap()),
            record.outcome,
            record.hash.0,
        ];
        transaction.prepare_cached(sql).unwrap().execute(row).unwrap();
    }
    let head = "UPDATE audit_head SET sequence = ?1, hash = ?2";
    transaction.execute(head, rusqlite::params![sequence, hash.0]).unwrap();
    transaction.commit().unwrap();
}
