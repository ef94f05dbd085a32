//! Events and reports that are written together.

use audit::{Report, verify};

use super::*;
use crate::audit::{Event, Outcome, Pod, Resource, ResourceKind};
use crate::repository::{AuditEntry, AuditQuery, PodReport, ReportedState};

fn entry(pod: usize, bundle: &Bundle, generation: Option<u64>) -> AuditEntry {
    let pod = Pod {
        namespace: "shop-prod".to_owned(),
        service_account: "api".to_owned(),
        name: format!("api-{pod}"),
        uid: format!("uid-{pod}"),
    };
    let state = match generation {
        Some(number) => ReportedState::Applied {
            generation: Generation(number),
            tag: None,
            reload: "succeeded".to_owned(),
        },
        None => ReportedState::Failed {
            wanted: Generation(9),
            step: "write".to_owned(),
            detail: "no space".to_owned(),
        },
    };
    let event = Event {
        actor: Actor::Pod(pod.clone()),
        action: Action::Applied,
        resource: Resource {
            kind: ResourceKind::Bundle,
            id: bundle.name.as_str().to_owned(),
            scope: Some(bundle.scope.to_string()),
        },
        version: generation,
        outcome: Outcome::Allowed,
        origin: Origin::default(),
        details: Some("'; DROP TABLE audit_events; --".to_owned()),
    };
    AuditEntry {
        at: Timestamp::now(),
        event,
        report: Some(PodReport { pod, bundle: bundle.id, state }),
    }
}

/// Whatever fits into one statement and is left over.
pub(super) async fn batches_of_any_size_are_one_chain(fixture: SecretsFixture) {
    fixture.write("one").await.unwrap();
    let repository = &fixture.secrets.repository;
    let bundle = repository.bundle(&scope()).await.unwrap().unwrap();
    let mut pods = 0;
    for size in [0, 1, 3, 4, 7, 16, 31, 64, 85, 149, 200] {
        let batch = (pods..pods + size).map(|pod| entry(pod, &bundle, Some(pod as u64 + 1)));
        repository.append(batch.collect()).await.unwrap();
        pods += size;
    }
    // In one batch, and about the same pods: the last word counts.
    let again: Vec<_> = (0..40)
        .map(|at| entry(at % 20, &bundle, (at < 20 || at % 2 == 0).then_some(1000 + at as u64)))
        .collect();
    repository.append(again).await.unwrap();

    let all = AuditQuery { limit: 10_000, ..AuditQuery::default() };
    let records = repository.audit(&all).await.unwrap();
    let Report { records: verified, finding, .. } = verify(&records, Vec::new(), &[]);
    assert_eq!((verified, finding), (records.len() as u64, None));
    let applied: Vec<_> = records.iter().filter(|it| it.action == "applied").collect();
    assert_eq!(applied.len(), pods + 40);
    for (number, record) in applied[..pods].iter().enumerate() {
        let pod = record.pod.as_ref().unwrap();
        assert_eq!(
            (&*pod.uid, record.version),
            (&*format!("uid-{number}"), Some(number as u64 + 1))
        );
    }
    let held: BTreeMap<_, _> =
        repository.pod_generations(bundle.id).await.unwrap().into_iter().collect();
    assert_eq!(held.len(), pods);
    for number in 0..pods {
        let expected = match number {
            // A failure keeps what was applied before.
            0..20 if number % 2 == 1 => 1000 + number as u64,
            0..20 => 1020 + number as u64,
            _ => number as u64 + 1,
        };
        assert_eq!(held[&format!("uid-{number}")], Some(Generation(expected)), "{number}");
    }
}
