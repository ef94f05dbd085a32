//! Generations that failed a check in a pod.

use contract::stream::{CheckOutcome, CheckResult, CheckStage, FailedStep};

use super::*;

impl DuplexAgent {
    async fn hold(&mut self) -> Vec<BundleGeneration> {
        match self.next().await {
            Some(ServerMessage::Hold(snapshot)) => snapshot.holds(),
            other => panic!("{other:?}"),
        }
    }

    async fn failed_check(&mut self, wanted: &[BundleGeneration]) {
        self.failed(wanted, FailedStep::Check).await;
    }

    async fn failed(&mut self, wanted: &[BundleGeneration], step: FailedStep) {
        let wanted = wanted.to_vec();
        let detail = "postgres=URL: the login is refused".to_owned();
        self.send(&AgentMessage::Failed { wanted, step, detail }).await;
    }
}

impl TestSwitchyard {
    /// Waits until an event is in the audit log.
    async fn recorded(&self, action: &str) {
        let query = AuditQuery { action: Some(action.into()), limit: 1, ..AuditQuery::default() };
        let recorded = async {
            while self.app.repository.audit(&query).await.unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), recorded).await.unwrap();
    }

    /// That the agent is sent nothing: the next message is the trust bundle of now. The stream
    /// handles one event after the other.
    async fn sends_nothing(&self, agent: &mut DuplexAgent) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.trust.send_replace(TrustBundle::new([&certificate(), &certificate()]));
        match agent.next().await {
            Some(ServerMessage::Trust { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Numbers of the bundles `api-prod` and `web-prod`.
fn numbers(holds: &[BundleGeneration]) -> Vec<u64> {
    holds.iter().map(|it| it.generation.0).collect()
}

async fn two_bundles() -> TestSwitchyard {
    let switchyard = TestSwitchyard::new().await;
    switchyard.write_to("shop.prod.web", &["W"], "one").await;
    switchyard.grant("api", "shop.prod.web", None, Reach::Project).await;
    switchyard
}

#[tokio::test]
async fn a_generation_that_failed_a_check_holds_up_no_other_bundle() {
    holds_up_no_other_bundle(FailedStep::Check).await;
}

/// A template that fails, a value that cannot be a variable.
#[tokio::test]
async fn a_generation_that_cannot_become_files_holds_up_no_other_bundle() {
    holds_up_no_other_bundle(FailedStep::Plan).await;
}

async fn holds_up_no_other_bundle(step: FailedStep) {
    let switchyard = two_bundles().await;
    let both = ["api-prod", "web-prod"];
    let mut agent = switchyard.connect(switchyard.admit(pod(), &both).await).await;
    let first = agent.hold().await;
    let (holds, reload) = (first.clone(), ReloadOutcome::NotNeeded);
    agent.send(&AgentMessage::Applied { holds, reload }).await;
    switchyard.write("broken").await;
    let second = agent.hold().await;
    assert_eq!(numbers(&second), [2, 1]);
    agent.failed(&second, step).await;
    switchyard.recorded("failed").await;
    switchyard.sends_nothing(&mut agent).await;
    // The other bundle moves, beside what the pod holds of this one.
    switchyard.write_to("shop.prod.web", &["W"], "two").await;
    let third = agent.hold().await;
    assert_eq!(numbers(&third), [1, 2]);
    assert_eq!(third[0], first[0], "it is the same generation, with its tag");

    // At the next stream the agent says it.
    drop(agent);
    let refused = vec![second[0].clone()];
    let admitted = switchyard.admit(pod(), &both).await;
    let mut agent = switchyard.connect_with(admitted, third.clone(), refused).await;
    // A bundle of a grant is sent again: its secrets may be others.
    assert_eq!(agent.hold().await, third);
    switchyard.write_to("shop.prod.web", &["W"], "three").await;
    assert_eq!(numbers(&agent.hold().await), [1, 3]);
    switchyard.write("works").await;
    assert_eq!(numbers(&agent.hold().await), [3, 3]);
}

#[tokio::test]
async fn a_pod_cannot_ask_for_a_generation_that_it_never_had() {
    let switchyard = two_bundles().await;
    switchyard.write("two").await;
    let both = ["api-prod", "web-prod"];
    let mut agent = switchyard.connect(switchyard.admit(pod(), &both).await).await;
    let current = agent.hold().await;
    assert_eq!(numbers(&current), [2, 1]);
    drop(agent);
    // It says that it holds the first one, whose tag it does not know.
    let mut claimed = current.clone();
    claimed[0].generation = Generation(1);
    let admitted = switchyard.admit(pod(), &both).await;
    let mut agent = switchyard.connect_with(admitted, claimed, vec![current[0].clone()]).await;
    switchyard.write_to("shop.prod.web", &["W"], "two").await;
    switchyard.sends_nothing(&mut agent).await;
    let reads = AuditQuery { action: Some("read".into()), limit: 100, ..AuditQuery::default() };
    let reads = switchyard.app.repository.audit(&reads).await.unwrap();
    assert!(reads.iter().all(|it| it.version != Some(1) || it.resource_id == "web-prod"));
}

#[tokio::test]
async fn a_pod_that_holds_nothing_is_sent_what_it_refuses() {
    let switchyard = TestSwitchyard::new().await;
    let mut agent = switchyard.connect(switchyard.admit(pod(), &["api-prod"]).await).await;
    let current = agent.hold().await;
    drop(agent);
    let admitted = switchyard.admit(pod(), &["api-prod"]).await;
    let mut agent = switchyard.connect_with(admitted, vec![], current.clone()).await;
    assert_eq!(agent.hold().await, current);
    // It is sent once on a stream.
    agent.failed_check(&current).await;
    switchyard.recorded("failed").await;
    switchyard.sends_nothing(&mut agent).await;
}

#[tokio::test]
async fn failed_checks_and_restores_are_events_and_passed_checks_are_none() {
    let switchyard = TestSwitchyard::new().await;
    let mut agent = switchyard.connect(switchyard.admit(pod(), &["api-prod"]).await).await;
    let first = agent.hold().await;
    let result = |outcome| CheckResult {
        check: "postgres=URL".to_owned(),
        outcome,
        in_use: None,
        detail: "seen\n".to_owned(),
    };
    let checked = |wanted: &[BundleGeneration], stage, outcome| AgentMessage::Checked {
        wanted: wanted.to_vec(),
        stage,
        checks: vec![result(outcome)],
    };
    agent.send(&checked(&first, CheckStage::After, CheckOutcome::Passed)).await;
    switchyard.write("broken").await;
    let second = agent.hold().await;
    agent.send(&checked(&second, CheckStage::After, CheckOutcome::Failed)).await;
    agent.failed_check(&second).await;
    agent.send(&checked(&first, CheckStage::Restored, CheckOutcome::Passed)).await;
    switchyard.recorded("reverted").await;
    let all = AuditQuery { limit: 100, ..AuditQuery::default() };
    let events = switchyard.app.repository.audit(&all).await.unwrap();
    let of_pod: Vec<_> = events
        .iter()
        .filter(|it| ["checked", "failed", "reverted"].contains(&it.action.as_str()))
        .map(|it| (it.action.as_str(), it.version, it.outcome.as_str(), it.details.as_deref()))
        .collect();
    assert_eq!(
        of_pod,
        [
            ("checked", Some(2), "failed", Some("after: postgres=URL failed: seen\\u{a}")),
            ("failed", Some(2), "failed", Some("check: postgres=URL: the login is refused")),
            ("reverted", Some(1), "allowed", Some("restored: postgres=URL passed")),
        ]
    );
    let state = switchyard.app.agents.state("1").unwrap();
    assert_eq!(state.refused, second);
    let checks: Vec<_> = state.checks.all();
    let words: Vec<_> = checks.iter().map(|it| (it.stage.as_str(), it.outcome.as_str())).collect();
    assert_eq!(words, [("after", "failed"), ("restored", "passed")]);
}
