//! Faults between the backend and Connect, and Connect restarted in the middle of whatever it does.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use lockbox::conformance::disturbed;

use super::connect::Halt;
use super::faults::{ALL, Fault, Plan, Proxy};
use super::*;

/// A store whose calls are short, since some faults answer nothing.
async fn between_faults(world: &World, plan: Plan) -> (Proxy, OnePassword) {
    let proxy = Proxy::start(world.connect.address(), plan).await.unwrap();
    let config = config(format!("http://{}", proxy.address()), world.directory.path());
    let config = OnePasswordConfig {
        timeout: Duration::from_millis(300),
        settle: Duration::from_secs(2),
        ..config
    };
    (proxy, OnePassword::new(&config).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_its_word_whatever_the_fault_is() {
    let runs = (0..ALL.len()).map(async |at| {
        let (world, fault) = (World::new().await, ALL[at]);
        // Every second one shows its writes late.
        world.connect.world().delay = Duration::from_millis(40) * (at as u32 % 2);
        let plan = Plan { seed: at as u64, share: 0.4, kinds: &ALL[at..=at] };
        let (proxy, store) = between_faults(&world, plan).await;
        let report = disturbed::run(&store, "suite", at as u64, 16, || proxy.calm()).await;
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
async fn it_keeps_its_word_between_faults_that_make_calls_fail() {
    let runs = (1..=3).map(async |seed: u64| {
        let world = World::new().await;
        world.connect.world().delay = Duration::from_millis(20) * (seed as u32 - 1);
        let (proxy, store) = between_faults(&world, Plan { seed, share: 0.6, kinds: ALL }).await;
        let report = disturbed::run(&store, "suite", seed, 25, || proxy.calm())
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

/// With faults of every kind on the way besides.
#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_its_word_while_connect_is_restarted_in_the_middle_of_calls() {
    let mut world = World::new().await;
    world.connect.world().delay = Duration::from_millis(20);
    let (proxy, store) = between_faults(&world, Plan { seed: 9, share: 0.1, kinds: ALL }).await;
    let over = AtomicBool::new(false);
    let calm = || {
        proxy.calm();
        over.store(true, Ordering::SeqCst);
    };
    let work = async {
        let report = disturbed::run(&store, "suite", 9, 25, calm).await;
        over.store(true, Ordering::SeqCst);
        report.unwrap_or_else(|failure| panic!("{failure}"))
    };
    let restarts = async {
        for at in 0.. {
            let halt = if at % 2 == 0 { Halt::Before } else { Halt::After };
            // Numbers that visit every step of every operation.
            world.connect.world().halt = Some((at * 7 % 13, halt));
            while world.connect.world().halt.is_some() {
                if over.load(Ordering::SeqCst) {
                    world.connect.world().halt = None;
                    return;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            world.connect.down();
            tokio::time::sleep(Duration::from_millis(20)).await;
            world.connect.up().await;
        }
    };
    let (report, ()) = tokio::join!(work, restarts);
    let halted = world.connect.world().halted.clone();
    let counts = proxy.counts();
    assert!(
        report.acknowledged > 10 && halted.len() > 10,
        "{report:?}, in the middle of {halted:?}"
    );
    assert!(halted.iter().any(|request| request.starts_with("POST")), "{halted:?}");
    assert!(ALL.iter().all(|fault| counts[fault] > 0), "{counts:?}");
}

/// What one thing that is done to secret `A`, which has a version, should leave.
#[derive(Clone, Copy, Debug)]
enum Act {
    Write,
    Rotate,
    Destroy,
    Delete,
    Show,
    Follow,
}

impl Act {
    const ALL: [Self; 6] =
        [Self::Write, Self::Rotate, Self::Destroy, Self::Delete, Self::Show, Self::Follow];

    /// The request that makes the difference.
    fn method(self) -> &'static str {
        match self {
            Self::Write | Self::Rotate | Self::Show => "POST",
            Self::Destroy | Self::Delete => "DELETE",
            Self::Follow => "PUT",
        }
    }

    /// The versions of `A` from before.
    async fn prepare(self, world: &World) -> Vec<Stored> {
        let mut stored = vec![world.put("A", 1, "one").await];
        if matches!(self, Self::Follow) {
            stored.push(world.put("A", 2, "two").await);
            for _ in 0..2 {
                world.store.changes(&[known("A", &stored[0])]).await.unwrap();
            }
        }
        stored
    }

    async fn run(
        self,
        store: &OnePassword,
        before: &[Stored],
    ) -> Result<Vec<(&'static str, Stored)>, StoreError> {
        let (a, b, two) = (secret("A"), secret("B"), Redacted::from("two".to_owned()));
        let second = Put { name: &a, version: Version(2), value: &two };
        let stored = |version, reference| Stored { version: Version(version), reference };
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
                    let changes = store.changes(&[known("A", before.last().unwrap())]).await?;
                    assert!(changes.is_empty(), "nobody changed anything: {changes:?}");
                }
            }
        }
        Ok(Vec::new())
    }

    /// The titles of all items afterwards, without what all of them begin with.
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

/// Does `act` and restarts Connect at the request of number `at`. The request, if there was one.
async fn restarted(act: Act, at: u32, halt: Halt) -> Option<String> {
    let mut world = World::new().await;
    let before = act.prepare(&world).await;
    world.connect.world().halt = Some((at, halt));
    let World { connect, store, directory: _directory } = &mut world;
    let over = AtomicBool::new(false);
    let work = async {
        let written = act.run(store, &before).await;
        over.store(true, Ordering::SeqCst);
        written
    };
    let restart = async {
        while connect.world().halt.is_some() {
            if over.load(Ordering::SeqCst) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        connect.down();
        connect.up().await;
    };
    let (written, ()) = tokio::join!(work, restart);
    let request = world.connect.world().halted.pop();
    let place = format!("{act:?}, {halt:?} request {at}, {request:?}");
    let written = written.unwrap_or_else(|error| panic!("{place}: {}", said(&error)));
    let titles = world.connect.world().titles();
    assert_eq!(
        titles,
        act.leaves().iter().map(|end| format!("enclii/shop.prod.api/{end}")).collect::<Vec<_>>(),
        "{place}"
    );
    for (name, stored) in &written {
        assert_eq!(world.get(name, stored).await.unwrap(), "two", "{place}");
    }
    let current = world.connect.world().titled("enclii/shop.prod.api/A").pop();
    let expected = matches!(act, Act::Show | Act::Follow)
        .then(|| if before.len() == 1 { "one" } else { "two" });
    assert_eq!(
        current.as_ref().and_then(|item| item["fields"][0]["value"].as_str()),
        expected,
        "{place}"
    );
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_at_any_request_of_anything_is_not_noticed() {
    let acts =
        Act::ALL.into_iter().flat_map(|act| [Halt::Before, Halt::After].map(|halt| (act, halt)));
    let runs = acts.map(async |(act, halt)| {
        let mut requests = Vec::new();
        while let Some(request) = restarted(act, requests.len() as u32, halt).await {
            requests.push(request);
        }
        assert!(
            requests.iter().any(|request| request.starts_with(act.method())),
            "{act:?}: {requests:?}"
        );
    });
    join_all(runs).await;
}

/// A person changes the item that follows the version in use while the request of number `at` is
/// under way, and its answer is lost. The request, if there was one.
async fn typed(at: u32, halt: Halt) -> Option<String> {
    let mut world = World::new().await;
    let before = Act::Follow.prepare(&world).await;
    world.connect.world().halt = Some((at, halt));
    let World { connect, store, directory: _directory } = &mut world;
    let known = [known("A", &before[1])];
    let over = AtomicBool::new(false);
    let work = async {
        for _ in 0..3 {
            store
                .changes(&known)
                .await
                .unwrap_or_else(|error| panic!("{halt:?} request {at}: {}", said(&error)));
        }
        over.store(true, Ordering::SeqCst);
    };
    let person = async {
        while connect.world().halt.is_some() {
            if over.load(Ordering::SeqCst) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        connect.world().type_in("enclii/shop.prod.api/A", "value", "typed");
        connect.down();
        connect.up().await;
    };
    tokio::join!(work, person);
    let request = world.connect.world().halted.pop()?;
    let changes = world.store.changes(&known).await.unwrap();
    let values: Vec<_> = changes.iter().map(|change| change.value.expose()).collect();
    assert_eq!(values, [b"typed"], "{halt:?} request {at}, {request}");
    Some(request)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_types_while_an_answer_is_lost_is_not_overwritten() {
    let runs = [Halt::Before, Halt::After].map(async |halt| {
        let mut requests = Vec::new();
        while let Some(request) = typed(requests.len() as u32, halt).await {
            requests.push(request);
        }
        assert!(requests.iter().any(|request| request.starts_with("PUT")), "{requests:?}");
    });
    join_all(runs).await;
}

/// The write is refused, what was there is there, and the same version can be written again.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_connect_leaves_for_good_is_refused_and_in_nobodys_way() {
    let mut world = World::with(|config| config.settle = Duration::from_millis(500)).await;
    let one = world.put("A", 1, "one").await;
    world.connect.world().halt = Some((3, Halt::After));
    let World { connect, store, directory: _directory } = &mut world;
    let work = Act::Write.run(store, std::slice::from_ref(&one));
    let leave = async {
        while connect.world().halt.is_some() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        connect.down();
    };
    let (written, ()) = tokio::join!(work, leave);
    assert!(matches!(written, Err(StoreError::Backend { .. })), "{written:?}");
    world.connect.up().await;
    assert_eq!(world.get("A", &one).await.unwrap(), "one");
    let two = world.put("A", 2, "other").await;
    assert_eq!(world.get("A", &two).await.unwrap(), "other");
    assert_eq!(world.get("A", &one).await.unwrap(), "one");
}

/// A Connect that takes everything and answers nothing is not asked again for each of the values.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_to_one_who_never_answers_ends() {
    let world = World::new().await;
    let (proxy, _) = between_faults(&world, Plan::CALM).await;
    let config = config(format!("http://{}", proxy.address()), world.directory.path());
    let waits = (Duration::from_millis(100), Duration::from_millis(200));
    let store =
        OnePassword::new(&OnePasswordConfig { timeout: waits.0, settle: waits.1, ..config })
            .unwrap();
    until_healthy(&store).await;
    let before = proxy.requests();
    proxy.follow(Plan { seed: 1, share: 2.0, kinds: &[Fault::BlackHole] });
    let names: Vec<_> = (0..200).map(|at| secret(&format!("N{at}"))).collect();
    let value = Redacted::from("x".to_owned());
    let puts: Vec<Put<'_>> =
        names.iter().map(|name| Put { name, version: Version(1), value: &value }).collect();
    let error = store.write(&scope(), &puts).await.unwrap_err();
    assert!(matches!(error, StoreError::Backend { .. }), "{error:?}");
    assert!(proxy.requests() - before < 40, "{} requests", proxy.requests() - before);
    assert!(world.connect.world().titles().is_empty());
}

/// A busy machine may take longer than such short waits.
async fn until_healthy(store: &OnePassword) {
    while store.health().await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
