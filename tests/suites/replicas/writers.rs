//! Concurrent writers at both replicas.

use std::collections::BTreeSet;

use crate::harness::{ReplicaPair, SCOPE, body};

const WRITES: usize = 25;
const WRITERS: usize = 2;

#[test]
fn no_generation_is_made_twice_and_none_is_lost() {
    let pair = ReplicaPair::start();
    let written: Vec<(u64, u64)> = std::thread::scope(|threads| {
        let writers: Vec<_> = [&pair.one, &pair.two]
            .into_iter()
            .flat_map(|replica| (0..WRITERS).map(move |writer| (replica, writer)))
            .map(|(replica, writer)| {
                threads.spawn(move || {
                    let mut written = Vec::new();
                    while written.len() < WRITES {
                        let value = format!("{}-{writer}-{}", replica.port(), written.len());
                        let (status, answer) = replica
                            .post(&format!("/v1/secrets/{SCOPE}/"), &body(&[("A", &value)]))
                            .unwrap();
                        // With four writers, one can lose repeatedly; a loser gets a conflict.
                        if status != 409 {
                            assert_eq!(status, 200, "{answer}");
                            let number = |at: &serde_json::Value| at.as_u64().unwrap();
                            written.push((
                                number(&answer["versions"]["A"]),
                                number(&answer["bundles"][0]["generation"]),
                            ));
                        }
                    }
                    written
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    let all: BTreeSet<u64> = (1..=(2 * WRITERS * WRITES) as u64).collect();
    assert_eq!(written.iter().map(|(version, _)| *version).collect::<BTreeSet<_>>(), all);
    assert_eq!(written.iter().map(|(_, generation)| *generation).collect::<BTreeSet<_>>(), all);
    // Versions and generations increase together.
    assert!(written.iter().all(|(version, generation)| version == generation));

    // Both replicas have the same final state and deliver it to their pods.
    let values: BTreeSet<_> = [&pair.one, &pair.two]
        .iter()
        .map(|replica| {
            let (status, answer) = replica.get(&format!("/v1/secrets/{SCOPE}/A")).unwrap();
            assert_eq!(status, 200, "{answer}");
            answer.to_string()
        })
        .collect();
    assert_eq!(values.len(), 1, "{values:?}");
    let (mut at_one, mut at_two) = (pair.agent(0, pair.one.port()), pair.agent(1, pair.two.port()));
    let generation = all.len().to_string();
    for agent in [&mut at_one, &mut at_two] {
        agent.wait_for_generation(&generation).unwrap();
    }
    assert_eq!(at_one.value("A").unwrap(), at_two.value("A").unwrap());
}
