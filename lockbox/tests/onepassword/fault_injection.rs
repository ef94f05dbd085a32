//! Faults between the backend and Connect, and restarts of Connect during calls.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use lockbox::conformance::ConformanceStore as _;
use lockbox::conformance::fault_injection;

use super::fake_connect::StopPoint;
use super::fault_proxy::{ALL, Fault, FaultPlan, Proxy};
use super::*;

/// A store with short timeouts, since some faults never answer.
async fn store_behind_faults(harness: &TestStore, plan: FaultPlan) -> (Proxy, OnePassword) {
    let proxy = Proxy::start(harness.connect.address(), plan).await.unwrap();
    let config = config(format!("http://{}", proxy.address()), harness.directory.path());
    let config = OnePasswordConfig {
        timeout: Duration::from_millis(300),
        visibility_timeout: Duration::from_secs(2),
        ..config
    };
    (proxy, OnePassword::new(&config).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_each_kind_of_fault() {
    let runs = (0..ALL.len()).map(async |at| {
        let (harness, fault) = (TestStore::new().await, ALL[at]);
        // Every second server has late visibility.
        harness.connect.state().delay = Duration::from_millis(40) * (at as u32 % 2);
        let plan = FaultPlan { seed: at as u64, share: 0.4, kinds: &ALL[at..=at] };
        let (proxy, store) = store_behind_faults(&harness, plan).await;
        let report = fault_injection::run(&store, "suite", at as u64, 16, || proxy.calm()).await;
        let report = report.unwrap_or_else(|failure| panic!("{fault:?}: {failure}"));
        assert!(
            proxy.counts()[&fault] > 10 && report.acknowledged > 5,
            "{fault:?} {:?}: {report:?}",
            proxy.counts()
        );
    });
    join_all(runs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_faults() {
    let runs = (1..=3).map(async |seed: u64| {
        let harness = TestStore::new().await;
        harness.connect.state().delay = Duration::from_millis(20) * (seed as u32 - 1);
        let (proxy, store) =
            store_behind_faults(&harness, FaultPlan { seed, share: 0.6, kinds: ALL }).await;
        let report = fault_injection::run(&store, "suite", seed, 25, || proxy.calm())
            .await
            .unwrap_or_else(|failure| panic!("{failure}"));
        let counts = proxy.counts();
        assert!(
            ALL.iter().all(|fault| counts[fault] > 0) && report.acknowledged > 5,
            "{counts:?} {report:?}"
        );
        report.failed
    });
    let failed: usize = join_all(runs).await.into_iter().sum();
    assert!(failed > 0, "no call failed, so that nothing of it was tried");
}

/// Faults of every kind happen as well.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_restarts_during_calls() {
    let mut harness = TestStore::new().await;
    harness.connect.state().delay = Duration::from_millis(20);
    let (proxy, store) =
        store_behind_faults(&harness, FaultPlan { seed: 9, share: 0.1, kinds: ALL }).await;
    let over = AtomicBool::new(false);
    let calm = || {
        proxy.calm();
        over.store(true, Ordering::SeqCst);
    };
    let work = async {
        let report = fault_injection::run(&store, "suite", 9, 25, calm).await;
        over.store(true, Ordering::SeqCst);
        report.unwrap_or_else(|failure| panic!("{failure}"))
    };
    let restarts = async {
        for at in 0.. {
            let halt = if at % 2 == 0 { StopPoint::Before } else { StopPoint::After };
            // These numbers reach every request of every operation.
            harness.connect.state().halt = Some((at * 7 % 13, halt));
            while harness.connect.state().halt.is_some() {
                if over.load(Ordering::SeqCst) {
                    harness.connect.state().halt = None;
                    return;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            harness.connect.down();
            tokio::time::sleep(Duration::from_millis(20)).await;
            harness.connect.up().await;
        }
    };
    let (report, ()) = tokio::join!(work, restarts);
    let halted = harness.connect.state().halted.clone();
    let counts = proxy.counts();
    assert!(
        report.acknowledged > 10 && halted.len() > 10,
        "{report:?}, in the middle of {halted:?}"
    );
    assert!(halted.iter().any(|request| request.starts_with("POST")), "{halted:?}");
    assert!(ALL.iter().all(|fault| counts[fault] > 0), "{counts:?}");
}

/// An operation on secret `A`, which has one version.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Write,
    Rotate,
    Destroy,
    Delete,
    Show,
    Follow,
}

impl Operation {
    const ALL: [Self; 6] =
        [Self::Write, Self::Rotate, Self::Destroy, Self::Delete, Self::Show, Self::Follow];

    /// The method of the request that changes the vault.
    fn method(self) -> &'static str {
        match self {
            Self::Write | Self::Rotate | Self::Show => "POST",
            Self::Destroy | Self::Delete => "DELETE",
            Self::Follow => "PUT",
        }
    }

    /// Creates the versions of `A` that the operation needs.
    async fn prepare(self, harness: &TestStore) -> Vec<StoredVersion> {
        let mut stored = vec![harness.put("A", 1, "one").await];
        if matches!(self, Self::Follow) {
            stored.push(harness.put("A", 2, "two").await);
            for _ in 0..2 {
                harness.store.poll_changes(&[known("A", &stored[0])]).await.unwrap();
            }
        }
        stored
    }

    async fn run(
        self,
        store: &OnePassword,
        before: &[StoredVersion],
    ) -> Result<Vec<(&'static str, StoredVersion)>, StoreError> {
        let (a, b, two) = (secret("A"), secret("B"), Redacted::from("two".to_owned()));
        let second = Put { name: &a, version: Version(2), value: &two };
        let stored = |version, reference| StoredVersion { version: Version(version), reference };
        match self {
            Self::Write => {
                let mut references = store
                    .write(&scope(), &[second, Put { name: &b, version: Version(1), value: &two }])
                    .await?;
                let (of_b, of_a) = (references.pop().unwrap(), references.pop().unwrap());
                return Ok(vec![("A", stored(2, of_a)), ("B", stored(1, of_b))]);
            }
            Self::Rotate => {
                return Ok(vec![(
                    "A",
                    stored(2, store.rotate(&scope(), second, &before[0].reference).await?),
                )]);
            }
            Self::Destroy => store.destroy(&scope(), &a, &before[0]).await?,
            Self::Delete => store.delete(&scope(), &a).await?,
            Self::Show | Self::Follow => {
                for _ in 0..3 {
                    let changes = store.poll_changes(&[known("A", before.last().unwrap())]).await?;
                    assert!(changes.is_empty(), "nobody changed anything: {changes:?}");
                }
            }
        }
        Ok(Vec::new())
    }

    /// The titles of all items afterwards, without their common prefix.
    fn leaves(self) -> &'static [&'static str] {
        match self {
            Self::Write => &["A#v1", "A#v2", "B#v1"],
            Self::Rotate => &["A#v1", "A#v2"],
            Self::Destroy | Self::Delete => &[],
            Self::Show => &["A", "A#v1"],
            Self::Follow => &["A", "A#v1", "A#v2"],
        }
    }
}

/// Runs `operation` and restarts Connect at request number `at`. Returns that request, if there was
/// one.
async fn restarted(operation: Operation, at: u32, halt: StopPoint) -> Option<String> {
    let mut harness = TestStore::new().await;
    let before = operation.prepare(&harness).await;
    harness.connect.state().halt = Some((at, halt));
    let TestStore { connect, store, directory: _directory } = &mut harness;
    let over = AtomicBool::new(false);
    let work = async {
        let written = operation.run(store, &before).await;
        over.store(true, Ordering::SeqCst);
        written
    };
    let restart = async {
        while connect.state().halt.is_some() {
            if over.load(Ordering::SeqCst) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        connect.down();
        connect.up().await;
    };
    let (written, ()) = tokio::join!(work, restart);
    let request = harness.connect.state().halted.pop();
    let place = format!("{operation:?}, {halt:?} request {at}, {request:?}");
    let written = written.unwrap_or_else(|error| panic!("{place}: {}", error_chain(&error)));
    let titles = harness.connect.state().titles();
    assert_eq!(
        titles,
        operation
            .leaves()
            .iter()
            .map(|end| format!("enclii/shop.prod.api/{end}"))
            .collect::<Vec<_>>(),
        "{place}"
    );
    for (name, stored) in &written {
        assert_eq!(harness.get(name, stored).await.unwrap(), "two", "{place}");
    }
    let current = harness.connect.state().titled("enclii/shop.prod.api/A").pop();
    let expected = matches!(operation, Operation::Show | Operation::Follow)
        .then(|| if before.len() == 1 { "one" } else { "two" });
    assert_eq!(
        current.as_ref().and_then(|item| item["fields"][0]["value"].as_str()),
        expected,
        "{place}"
    );
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_at_any_request_of_any_operation_is_survived() {
    let operations = Operation::ALL
        .into_iter()
        .flat_map(|operation| [StopPoint::Before, StopPoint::After].map(|halt| (operation, halt)));
    let runs = operations.map(async |(operation, halt)| {
        let mut requests = Vec::new();
        while let Some(request) = restarted(operation, requests.len() as u32, halt).await {
            requests.push(request);
        }
        assert!(
            requests.iter().any(|request| request.starts_with(operation.method())),
            "{operation:?}: {requests:?}"
        );
    });
    join_all(runs).await;
}

/// A person edits the current item while request number `at` is in flight and its answer is lost.
/// Returns that request, if there was one.
async fn typed(at: u32, halt: StopPoint) -> Option<String> {
    let mut harness = TestStore::new().await;
    let before = Operation::Follow.prepare(&harness).await;
    harness.connect.state().halt = Some((at, halt));
    let TestStore { connect, store, directory: _directory } = &mut harness;
    let known = [known("A", &before[1])];
    let over = AtomicBool::new(false);
    let work = async {
        for _ in 0..3 {
            store
                .poll_changes(&known)
                .await
                .unwrap_or_else(|error| panic!("{halt:?} request {at}: {}", error_chain(&error)));
        }
        over.store(true, Ordering::SeqCst);
    };
    let person = async {
        while connect.state().halt.is_some() {
            if over.load(Ordering::SeqCst) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        connect.state().type_in("enclii/shop.prod.api/A", "value", "typed");
        connect.down();
        connect.up().await;
    };
    tokio::join!(work, person);
    let request = harness.connect.state().halted.pop()?;
    let changes = harness.store.poll_changes(&known).await.unwrap();
    let values: Vec<_> = changes.iter().map(|change| change.value.expose()).collect();
    assert_eq!(values, [b"typed"], "{halt:?} request {at}, {request}");
    Some(request)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_while_an_answer_is_lost_is_not_overwritten() {
    let runs = [StopPoint::Before, StopPoint::After].map(async |halt| {
        let mut requests = Vec::new();
        while let Some(request) = typed(requests.len() as u32, halt).await {
            requests.push(request);
        }
        assert!(requests.iter().any(|request| request.starts_with("PUT")), "{requests:?}");
    });
    join_all(runs).await;
}

/// Earlier values stay, and the same version can be written again.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_connect_does_not_survive_is_refused_and_can_be_repeated() {
    let mut harness =
        TestStore::with(|config| config.visibility_timeout = Duration::from_millis(500)).await;
    let one = harness.put("A", 1, "one").await;
    harness.connect.state().halt = Some((3, StopPoint::After));
    let TestStore { connect, store, directory: _directory } = &mut harness;
    let work = Operation::Write.run(store, std::slice::from_ref(&one));
    let leave = async {
        while connect.state().halt.is_some() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        connect.down();
    };
    let (written, ()) = tokio::join!(work, leave);
    assert!(matches!(written, Err(StoreError::Backend { .. })), "{written:?}");
    harness.connect.up().await;
    assert_eq!(harness.get("A", &one).await.unwrap(), "one");
    let two = harness.put("A", 2, "other").await;
    assert_eq!(harness.get("A", &two).await.unwrap(), "other");
    assert_eq!(harness.get("A", &one).await.unwrap(), "one");
}

/// The backend gives up after the first value instead of trying each of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_to_a_server_that_never_answers_ends() {
    let harness = TestStore::new().await;
    let (proxy, _) = store_behind_faults(&harness, FaultPlan::CALM).await;
    let config = config(format!("http://{}", proxy.address()), harness.directory.path());
    let waits = (Duration::from_millis(100), Duration::from_millis(200));
    let store = OnePassword::new(&OnePasswordConfig {
        timeout: waits.0,
        visibility_timeout: waits.1,
        ..config
    })
    .unwrap();
    until_healthy(&store).await;
    let before = proxy.requests();
    proxy.follow(FaultPlan { seed: 1, share: 2.0, kinds: &[Fault::BlackHole] });
    let names: Vec<_> = (0..200).map(|at| secret(&format!("N{at}"))).collect();
    let value = Redacted::from("x".to_owned());
    let puts: Vec<Put<'_>> =
        names.iter().map(|name| Put { name, version: Version(1), value: &value }).collect();
    let error = store.write(&scope(), &puts).await.unwrap_err();
    assert!(matches!(error, StoreError::Backend { .. }), "{error:?}");
    assert!(proxy.requests() - before < 40, "{} requests", proxy.requests() - before);
    assert!(harness.connect.state().titles().is_empty());
}

/// On a busy machine, a call may take longer than these short timeouts.
async fn until_healthy(store: &OnePassword) {
    while store.health().await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
