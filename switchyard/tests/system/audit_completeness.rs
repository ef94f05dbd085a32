//! Kills switchyard between audit event and response, repeatedly, while people read and agents
//! reconnect: every delivered value has a complete audit event.
//!
//! The log may have more events than deliveries, because an event is written first.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use audit::{Action, Outcome, Record, ResourceKind, StartingPoint, Verifier};
use bytes::Bytes;
use contract::api::SecretValue;
use contract::stream::ServerMessage;
use e2e::postgres::Postgres;
use e2e::random::SeededRng;
use http::Request;
use http_body_util::{BodyExt as _, Full};

use crate::agent::TestAgent;
use crate::fault_injection::SyscallFaults;
use crate::harness::{Harness, until};

const READERS: usize = 6;
const AGENTS: usize = 3;
const USER_AGENT: &str = "reader/1.0";

/// A delivered value.
#[derive(Clone, Debug)]
struct Delivery {
    trace: String,
    /// The secret or the bundle.
    resource: &'static str,
    /// The version or generation, unless the response was cut off.
    version: Option<u64>,
    /// The pod's UID, for a delivery to a pod.
    pod: Option<&'static str>,
}

/// All deliveries, in all rounds.
#[derive(Default)]
struct Deliveries {
    deliveries: Mutex<Vec<Delivery>>,
    count: AtomicUsize,
}

impl Deliveries {
    fn add(&self, delivery: Delivery) {
        self.deliveries.lock().unwrap().push(delivery);
        self.count.fetch_add(1, Ordering::SeqCst);
    }
}

/// When a round's kill happens.
#[derive(Clone, Copy, Debug)]
enum KillPoint {
    /// At a random moment.
    Anytime,
    /// At a random one of these system calls.
    AtSyscall(&'static str),
}

/// Reads a secret or a bundle until switchyard is killed.
async fn read(
    harness: &Harness,
    token: &str,
    (path, resource): (&str, &'static str),
    deliveries: &Deliveries,
) {
    let request = || {
        let request = Request::builder()
            .uri(path)
            .header("host", "localhost")
            .header("user-agent", USER_AGENT);
        request
            .header("authorization", format!("Bearer {token}"))
            .body(Full::<Bytes>::default())
            .unwrap()
    };
    while let Some(answer) = harness.try_send(request()).await {
        assert_eq!(answer.status(), 200);
        let (head, body) = answer.into_parts();
        let trace = head.headers["trace-id"].to_str().unwrap().to_owned();
        // A partial value counts as delivered.
        let whole = body.collect().await.ok().map(|body| body.to_bytes());
        let version = whole
            .and_then(|body| serde_json::from_slice::<SecretValue>(&body).ok())
            .map(|value| value.version.0);
        deliveries.add(Delivery { trace, resource, version, pod: None });
    }
}

/// Connects as an agent, receives generations and reconnects, until switchyard is killed.
async fn follow(harness: &Harness, (token, uid): (&str, &'static str), deliveries: &Deliveries) {
    let resource = "api-prod";
    while let Some(mut agent) = TestAgent::try_connect(harness, token, resource, vec![]).await {
        for _ in 0..3 {
            match agent.next().await {
                Some(ServerMessage::Hold(snapshot)) => {
                    let version = Some(snapshot.bundles[0].generation.0);
                    deliveries.add(Delivery {
                        trace: agent.trace.clone(),
                        resource,
                        version,
                        pod: Some(uid),
                    });
                }
                Some(_) => {}
                None => break,
            }
        }
    }
}

/// Writes new generations until switchyard is killed.
async fn write(harness: &Harness, token: &str) {
    for number in 0_u64.. {
        if harness
            .try_set(token, "shop.prod.api", &[("A", number.to_string().as_bytes())])
            .await
            .is_none()
        {
            return;
        }
    }
}

/// Kills switchyard after some deliveries in this round.
async fn end(
    harness: &Harness,
    how: KillPoint,
    random: &mut SeededRng,
    deliveries: &Deliveries,
    before: usize,
) {
    until("deliveries", async || {
        deliveries.count.load(Ordering::SeqCst) >= before + READERS + AGENTS
    })
    .await;
    match how {
        KillPoint::Anytime => {
            tokio::time::sleep(Duration::from_micros(random.below(30_000))).await;
            harness.kill();
        }
        KillPoint::AtSyscall(calls) => {
            let mut faults = SyscallFaults::attach(
                harness.process(),
                &format!("{calls}:signal=KILL:when={}", 1 + random.below(40)),
            );
            until("its end", async || harness.has_ended()).await;
            faults.end();
        }
    }
}

/// Runs all rounds on the same data, then compares the audit log with the deliveries.
async fn rounds(directory: PathBuf, flags: &[&str], ends: &[KillPoint]) {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let mut random = SeededRng::new(u64::from(since.subsec_nanos()));
    let flags: Vec<String> =
        ["--rate-limit", "0"].iter().chain(flags).map(|flag| (*flag).to_owned()).collect();
    let deliveries = Deliveries::default();
    for how in ends {
        let harness = Harness::start_child_with(directory.clone(), &flags).await;
        let (token, before) = (harness.token(), deliveries.count.load(Ordering::SeqCst));
        harness
            .try_set(&token, "shop.prod.api", &[("A", b"first"), ("B", b"other")])
            .await
            .unwrap();
        let paths = [
            ("/v1/secrets/shop.prod.api/A", "A"),
            ("/v1/secrets/shop.prod.api/B?version=1", "B"),
            ("/v1/bundles/shop.prod.api/values", "api-prod"),
        ];
        let readers =
            (0..READERS).map(|at| read(&harness, &token, paths[at % paths.len()], &deliveries));
        let pods = [("api-one", "1"), ("api-two", "2"), ("api-one", "1")];
        let agents = pods[..AGENTS].iter().map(|pod| follow(&harness, *pod, &deliveries));
        let (readers, agents) =
            (futures_util::future::join_all(readers), futures_util::future::join_all(agents));
        tokio::join!(
            readers,
            agents,
            write(&harness, &token),
            end(&harness, *how, &mut random, &deliveries, before)
        );
    }
    let harness = Harness::start_child_with(directory, &flags).await;
    compare(&records(&harness).await, &deliveries.deliveries.lock().unwrap());
    harness.kill();
}

async fn records(harness: &Harness) -> Vec<Record> {
    let mut all: Vec<Record> = Vec::new();
    loop {
        let page = harness.json(&format!("/v1/audit?limit=1000&after={}", all.len())).await;
        let page: Vec<Record> = serde_json::from_value(page["events"].clone()).unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

fn compare(records: &[Record], deliveries: &[Delivery]) {
    let mut verifier = Verifier::new(StartingPoint::Genesis, vec![], &[]);
    records.iter().for_each(|record| verifier.push(record));
    assert_eq!(verifier.finish().finding, None);
    // Switchyard's own events have no client.
    records.iter().filter(|it| it.actor_type != "system").for_each(assert_complete);
    let mut reads: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in records.iter().filter(|record| record.action == Action::Read.as_str()) {
        reads.entry(record.trace_id.as_deref().unwrap()).or_default().push(record);
    }
    for Delivery { trace, resource, version, pod } in deliveries {
        let there = reads.get(trace.as_str()).into_iter().flatten().any(|record| {
            record.resource_id == *resource
                && version.is_none_or(|version| record.version == Some(version))
                && record.pod.as_ref().map(|pod| pod.uid.as_str()) == *pod
                && (pod.is_some() || record.user_agent.as_deref() == Some(USER_AGENT))
        });
        assert!(
            there,
            "{resource} {version:?} was delivered in {trace}, and the audit log has {:?}",
            reads.get(trace.as_str())
        );
    }
    for pod in [true, false] {
        assert!(deliveries.iter().any(|it| it.pod.is_some() == pod), "no deliveries of this kind");
    }
}

/// Checks every field that docs/audit.md promises.
fn assert_complete(record: &Record) {
    let Record {
        actor_type,
        actor_id,
        action,
        resource_type,
        resource_id,
        scope,
        version,
        outcome,
        address,
        user_agent,
        trace_id,
        pod,
        details,
        ..
    } = record;
    assert!(
        ["user", "token", "pod", "store", "anonymous"].contains(&actor_type.as_str()),
        "{record:?}"
    );
    let action = Action::parse(action).unwrap_or_else(|| panic!("{record:?}"));
    assert!(
        ResourceKind::ALL.iter().any(|kind| kind.as_str() == resource_type)
            && !resource_id.is_empty(),
        "{record:?}"
    );
    assert!(Outcome::parse(outcome).is_some() && !actor_id.is_empty(), "{record:?}");
    assert_eq!(address.as_deref(), Some("127.0.0.1"), "{record:?}");
    assert!(
        trace_id
            .as_ref()
            .is_some_and(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())),
        "{record:?}"
    );
    // Exactly the events of pods name a pod, completely.
    let named = pod.as_ref().is_some_and(|pod| {
        [&pod.namespace, &pod.service_account, &pod.name, &pod.uid]
            .iter()
            .all(|part| !part.is_empty())
    });
    assert_eq!((named, pod.is_some()), (actor_type == "pod", actor_type == "pod"), "{record:?}");
    if actor_type == "pod" {
        assert!(user_agent.is_some(), "{record:?}");
    }
    if matches!(action, Action::Read | Action::Write | Action::Rotate) {
        assert_eq!(scope.as_deref(), Some("shop.prod.api"), "{record:?}");
        assert!(version.is_some_and(|version| version > 0), "{record:?}");
        assert!(
            details.as_ref().is_some_and(|rule| !rule.is_empty()),
            "the rule that decided: {record:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_delivered_value_has_an_audit_event() {
    let directory = tempfile::tempdir().unwrap();
    rounds(directory.path().to_owned(), &[], &[KillPoint::Anytime; 4]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and strace: make test-stores"]
async fn kills_around_the_flush_and_before_the_response_lose_no_event() {
    let directory = tempfile::tempdir().unwrap();
    let each = [
        KillPoint::Anytime,
        KillPoint::AtSyscall("fsync,fdatasync"),
        KillPoint::AtSyscall("sendto,writev"),
        KillPoint::AtSyscall("pwrite64"),
        KillPoint::AtSyscall("sendto,writev"),
    ];
    rounds(directory.path().to_owned(), &[], &each.repeat(8)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL, root and strace: make test-stores"]
async fn every_delivered_value_has_an_audit_event_on_postgres() {
    let (directory, postgres) = (tempfile::tempdir().unwrap(), Postgres::start().unwrap());
    let each = [KillPoint::Anytime, KillPoint::AtSyscall("sendto,writev")];
    rounds(directory.path().to_owned(), &["--database-url", &postgres.url()], &each.repeat(10))
        .await;
}
