//! Killed between the event and the answer, again and again, while people read and agents come and
//! go: whoever was handed a value is in the trail, each with everything that an event has to say.
//!
//! That the trail may say more than was handed out is its nature: an event is written first.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use audit::{Action, Outcome, Record, ResourceKind, Start, Verifier};
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

/// A value that somebody was handed.
#[derive(Clone, Debug)]
struct HandedOut {
    trace: String,
    /// The secret, or the bundle.
    resource: &'static str,
    /// The version, or the generation; unknown where the answer was torn in the middle.
    version: Option<u64>,
    /// The pod's UID, where it was one.
    pod: Option<&'static str>,
}

/// What everybody was handed, in all rounds.
#[derive(Default)]
struct HandedOutLog {
    handed: Mutex<Vec<HandedOut>>,
    count: AtomicUsize,
}

impl HandedOutLog {
    fn add(&self, handed: HandedOut) {
        self.handed.lock().unwrap().push(handed);
        self.count.fetch_add(1, Ordering::SeqCst);
    }
}

/// How a round ends.
#[derive(Clone, Copy, Debug)]
enum KillPoint {
    /// At some moment.
    Anywhere,
    /// Before so many of these system calls were done.
    At(&'static str),
}

/// Reads a secret, or a bundle, until switchyard is gone.
async fn read(
    harness: &Harness,
    token: &str,
    (path, resource): (&str, &'static str),
    seen: &HandedOutLog,
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
        // A part of a value is a value.
        let whole = body.collect().await.ok().map(|body| body.to_bytes());
        let version = whole
            .and_then(|body| serde_json::from_slice::<SecretValue>(&body).ok())
            .map(|value| value.version.0);
        seen.add(HandedOut { trace, resource, version, pod: None });
    }
}

/// Logs in, is told what to hold, and comes again, until switchyard is gone.
async fn follow(harness: &Harness, (token, uid): (&str, &'static str), seen: &HandedOutLog) {
    let resource = "api-prod";
    while let Some(mut agent) = TestAgent::try_connect(harness, token, resource, vec![]).await {
        for _ in 0..3 {
            match agent.next().await {
                Some(ServerMessage::Hold(snapshot)) => {
                    let version = Some(snapshot.bundles[0].generation.0);
                    seen.add(HandedOut {
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

/// New generations, until switchyard is gone.
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

/// Ends it when something was handed out since the round began.
async fn end(harness: &Harness, how: End, random: &mut SeededRng, seen: &HandedOutLog, before: usize) {
    until("something to be handed out", async || {
        seen.count.load(Ordering::SeqCst) >= before + READERS + AGENTS
    })
    .await;
    match how {
        KillPoint::Anywhere => {
            tokio::time::sleep(Duration::from_micros(random.below(30_000))).await;
            harness.kill();
        }
        KillPoint::At(calls) => {
            let mut faults = SyscallFaults::attach(
                harness.process(),
                &format!("{calls}:signal=KILL:when={}", 1 + random.below(40)),
            );
            until("its end", async || harness.has_ended()).await;
            faults.end();
        }
    }
}

/// Round after round on the same data, and then the trail beside what was handed out.
async fn rounds(directory: PathBuf, flags: &[&str], ends: &[KillPoint]) {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let mut random = SeededRng::new(u64::from(since.subsec_nanos()));
    let flags: Vec<String> =
        ["--rate-limit", "0"].iter().chain(flags).map(|flag| (*flag).to_owned()).collect();
    let seen = HandedOutLog::default();
    for how in ends {
        let harness = Harness::start_child_with(directory.clone(), &flags).await;
        let (token, before) = (harness.token(), seen.count.load(Ordering::SeqCst));
        harness
            .try_set(&token, "shop.prod.api", &[("A", b"first"), ("B", b"other")])
            .await
            .unwrap();
        let paths = [
            ("/v1/secrets/shop.prod.api/A", "A"),
            ("/v1/secrets/shop.prod.api/B?version=1", "B"),
            ("/v1/bundles/shop.prod.api/values", "api-prod"),
        ];
        let readers = (0..READERS).map(|at| read(&harness, &token, paths[at % paths.len()], &seen));
        let pods = [("api-one", "1"), ("api-two", "2"), ("api-one", "1")];
        let agents = pods[..AGENTS].iter().map(|pod| follow(&harness, *pod, &seen));
        let (readers, agents) =
            (futures_util::future::join_all(readers), futures_util::future::join_all(agents));
        tokio::join!(
            readers,
            agents,
            write(&harness, &token),
            end(&harness, *how, &mut random, &seen, before)
        );
    }
    let harness = Harness::start_child_with(directory, &flags).await;
    compare(&records(&harness).await, &seen.handed.lock().unwrap());
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

fn compare(records: &[Record], handed: &[HandedOut]) {
    let mut verifier = Verifier::new(Start::Genesis, vec![], &[]);
    records.iter().for_each(|record| verifier.push(record));
    assert_eq!(verifier.finish().finding, None);
    records.iter().for_each(says_everything);
    let mut reads: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in records.iter().filter(|record| record.action == Action::Read.as_str()) {
        reads.entry(record.trace_id.as_deref().unwrap()).or_default().push(record);
    }
    for HandedOut { trace, resource, version, pod } in handed {
        let there = reads.get(trace.as_str()).into_iter().flatten().any(|record| {
            record.resource_id == *resource
                && version.is_none_or(|version| record.version == Some(version))
                && record.pod.as_ref().map(|pod| pod.uid.as_str()) == *pod
                && (pod.is_some() || record.user_agent.as_deref() == Some(USER_AGENT))
        });
        assert!(
            there,
            "{resource} {version:?} was handed out in {trace}, and the trail has {:?}",
            reads.get(trace.as_str())
        );
    }
    for pod in [true, false] {
        assert!(
            handed.iter().any(|handed| handed.pod.is_some() == pod),
            "nobody was handed anything"
        );
    }
}

/// Every field that docs/audit.md promises, of any event.
fn says_everything(record: &Record) {
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
        ["user", "token", "pod", "store", "system", "anonymous"].contains(&actor_type.as_str()),
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
    // A pod is named with its namespace, its service account, its name and its UID, and nobody else
    // is.
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
async fn whoever_was_handed_a_value_is_in_the_trail() {
    let directory = tempfile::tempdir().unwrap();
    rounds(directory.path().to_owned(), &[], &[KillPoint::Anywhere; 4]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and strace: make test-stores"]
async fn killed_on_either_side_of_the_flush_and_before_an_answer() {
    let directory = tempfile::tempdir().unwrap();
    let each = [
        KillPoint::Anywhere,
        KillPoint::At("fsync,fdatasync"),
        KillPoint::At("sendto,writev"),
        KillPoint::At("pwrite64"),
        KillPoint::At("sendto,writev"),
    ];
    rounds(directory.path().to_owned(), &[], &each.repeat(8)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL, root and strace: make test-stores"]
async fn the_same_on_postgres() {
    let (directory, postgres) = (tempfile::tempdir().unwrap(), Postgres::start().unwrap());
    let each = [KillPoint::Anywhere, KillPoint::At("sendto,writev")];
    rounds(directory.path().to_owned(), &["--database-url", &postgres.url()], &each.repeat(10))
        .await;
}
