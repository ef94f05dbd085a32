//! What agents say of their pods, in the ledger.

use contract::Generation;
use contract::api::PodCheck;
use contract::stream::{BundleGeneration, CheckStage};

use super::history::POLICY;
use super::*;
use crate::audit::Pod;
use crate::repository::{
    AgentPage, AgentPosition, AgentRow, AgentState, AuditEntry, CheckedStages, PodReport,
    ReportedState,
};

const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

fn pod(name: &str) -> Pod {
    Pod {
        namespace: "shop-prod".into(),
        service_account: "api".into(),
        name: name.into(),
        uid: format!("uid-{name}"),
    }
}

fn state(name: &str) -> AgentState {
    AgentState {
        pod: pod(name),
        agent: "1.2.3".into(),
        connected_at: Timestamp::from_millisecond(1_800_000_000_000).unwrap(),
        disconnected_at: None,
        refused: vec![BundleGeneration {
            bundle: "api-prod".parse().unwrap(),
            generation: Generation(2),
            tag: Some("0a".parse().unwrap()),
        }],
        checks: CheckedStages::default(),
    }
}

fn check(stage: CheckStage) -> PodCheck {
    PodCheck {
        stage: stage.as_str().into(),
        check: "tls=8443".into(),
        outcome: "passed".into(),
        in_use: None,
        detail: String::new(),
        at: Timestamp::from_millisecond(1_800_000_000_001).unwrap(),
    }
}

impl SecretsFixture {
    async fn report(&self, name: &str, state: ReportedState) {
        let bundle = self.bundle("shop.prod.api").await;
        let event =
            caller().event(Action::Applied, &scope(), &super::name(), Some(Version(1)), None);
        let report = Some(PodReport { pod: pod(name), bundle: bundle.id, state });
        let entry = AuditEntry { at: Timestamp::now(), event, report };
        self.secrets.repository.append(vec![entry]).await.unwrap();
    }

    async fn agents(&self, page: AgentPage) -> Vec<AgentRow> {
        self.secrets.repository.agents(&page).await.unwrap()
    }
}

pub(super) async fn the_state_of_a_pod_outlives_its_replica(fixture: SecretsFixture) {
    fixture.write("one").await.unwrap();
    let repository = &fixture.secrets.repository;
    let page = || AgentPage { limit: 10, ..AgentPage::default() };
    let mut first = state("a");
    first.checks.put(CheckStage::After, vec![check(CheckStage::After)]);
    repository.put_agents("one", vec![first.clone(), state("b")]).await.unwrap();
    // Nobody has said yet that the replica lives.
    assert!(fixture.agents(page()).await.iter().all(|it| !it.is_connected));
    repository.replica_seen("one").await.unwrap();
    let rows = fixture.agents(page()).await;
    assert!(rows.iter().all(|it| it.is_connected) && rows[0].state == first);

    // The pod has gone to another replica, and the first one notices that its stream has ended.
    repository.replica_seen("two").await.unwrap();
    let mut moved = state("a");
    moved.checks.put(CheckStage::Before, vec![check(CheckStage::Before)]);
    repository.put_agents("two", vec![moved]).await.unwrap();
    first.disconnected_at = Some(first.connected_at);
    repository.put_agents("one", vec![first]).await.unwrap();
    repository.replica_ended("one").await.unwrap();
    let rows = fixture.agents(page()).await;
    assert_eq!(rows.iter().map(|it| it.is_connected).collect::<Vec<_>>(), [true, false]);
    let checks = rows[0].state.checks.clone();
    assert_eq!(checks.all(), [check(CheckStage::Before), check(CheckStage::After)]);

    fixture.live(DAY * 2).await;
    assert_eq!(fixture.rows("agent_states").await, 2);
    repository.pod_seen("uid-a").await.unwrap();
    fixture.prune(POLICY).await;
    let rows = fixture.agents(page()).await;
    assert_eq!(rows.iter().map(|it| it.state.pod.name.as_str()).collect::<Vec<_>>(), ["a"]);
}

pub(super) async fn pods_are_paged_with_what_they_hold(fixture: SecretsFixture) {
    fixture.write("one").await.unwrap();
    let (tag, other) = (Some("0a".parse().unwrap()), Some("0b".parse().unwrap()));
    let applied = |generation, tag: &Option<contract::GenerationTag>| ReportedState::Applied {
        generation: Generation(generation),
        tag: tag.clone(),
        reload: "signalled".into(),
    };
    let states = ["c", "a", "b"].map(state).to_vec();
    fixture.secrets.repository.put_agents("one", states).await.unwrap();
    fixture.report("a", applied(1, &tag)).await;
    let bundle = fixture.bundle("shop.prod.api").await;
    let names = |rows: &[AgentRow]| -> String {
        rows.iter().map(|it| it.state.pod.name.as_str()).collect()
    };
    let page = || AgentPage { limit: 2, ..AgentPage::default() };
    assert_eq!(names(&fixture.agents(page()).await), "ab");
    let after = Some(AgentPosition::from(&pod("b")));
    assert_eq!(names(&fixture.agents(AgentPage { after, ..page() }).await), "c");
    for (namespace, pod, bundle, expected) in [
        (Some("shop-prod"), None, None, "ab"),
        (Some("other"), None, None, ""),
        (Some("shop-prod"), Some("c"), None, "c"),
        (None, None, Some(bundle.id), "a"),
    ] {
        let (namespace, pod) = (namespace.map(str::to_owned), pod.map(str::to_owned));
        let page = AgentPage { namespace, pod, bundle, ..page() };
        assert_eq!(names(&fixture.agents(page).await), expected);
    }

    // What is held, since when, and what failed.
    let held = async || fixture.agents(page()).await[0].holdings[0].clone();
    let first = held().await;
    assert_eq!((first.generation, &first.tag), (Some(Generation(1)), &tag));
    assert!(first.since.is_some() && first.reloaded_at == first.since && first.failed.is_none());
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    fixture.report("a", applied(1, &tag)).await;
    let again = held().await;
    assert!(again.since == first.since && again.reloaded_at > first.reloaded_at);
    let failed = |step: &str| ReportedState::Failed {
        wanted: Generation(3),
        step: step.into(),
        detail: "seen".into(),
    };
    fixture.report("a", applied(3, &tag)).await;
    fixture.report("a", failed("check")).await;
    assert_eq!(held().await.generation, Some(Generation(3)));
    let (generation, tag) = (Generation(2), other.clone());
    fixture.report("a", ReportedState::Restored { generation, tag }).await;
    let restored = held().await;
    assert_eq!((restored.generation, restored.tag), (Some(Generation(2)), other.clone()));
    assert_eq!(restored.failed.map(|it| it.generation), Some(Generation(3)));
    fixture.report("a", applied(4, &other)).await;
    assert_eq!(held().await.failed, None);
    // Another step says nothing about later generations.
    fixture.report("a", failed("write")).await;
    fixture.report("a", applied(2, &other)).await;
    assert_eq!(held().await.failed, None);
}
