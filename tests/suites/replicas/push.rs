//! A write at one replica reaches the pods of the other, and pods survive the end of their replica.

use std::time::Instant;

use crate::harness::{ReplicaPair, write};

const WRITES: usize = 20;

#[test]
fn a_write_at_one_reaches_the_agents_of_the_other() {
    let pair = ReplicaPair::start();
    write(&pair.one, &[("A", "first")]);
    let (mut at_one, mut at_two) = (pair.agent(0, pair.one.port()), pair.agent(1, pair.two.port()));
    for agent in [&mut at_one, &mut at_two] {
        agent.wait_for_value("A", "first").unwrap();
    }
    let mut times = Vec::new();
    for number in 0..WRITES {
        let value = format!("value-{number}");
        // Alternates the direction.
        let (writer, reader) =
            if number % 2 == 0 { (&pair.one, &mut at_two) } else { (&pair.two, &mut at_one) };
        let from = Instant::now();
        let generation = write(writer, &[("A", &value)]);
        reader.wait_for_value("A", &value).unwrap();
        times.push(from.elapsed());
        // Generations are consecutive: none is missing and none is made twice.
        assert_eq!(generation, number as u64 + 2);
        assert_eq!(reader.generation(), Some(generation.to_string()));
    }
    times.sort_unstable();
    println!(
        "write at one replica -> file of a pod at the other: median {:?}, slowest {:?}",
        times[WRITES / 2],
        times[WRITES - 1]
    );
}

#[test]
fn the_pods_of_a_replica_that_was_killed_are_served_by_the_other() {
    let mut pair = ReplicaPair::start();
    write(&pair.one, &[("A", "first")]);
    let balancer = pair.balancer();
    let mut agents: Vec<_> = (0..6).map(|number| pair.agent(number, balancer.port())).collect();
    for agent in &mut agents {
        agent.wait_for_value("A", "first").unwrap();
    }
    // The proxy alternates, so each replica has some agents.
    let connected = pair.one.metrics().unwrap();
    assert!(
        !connected.contains("enclii_switchyard_agent_streams 0\n")
            && !connected.contains("enclii_switchyard_agent_streams 6\n"),
        "{connected}"
    );

    let from = Instant::now();
    pair.one.kill().unwrap();
    let generation = write(&pair.two, &[("A", "second")]);
    for agent in &mut agents {
        agent.wait_for_value("A", "second").unwrap();
    }
    println!("a replica was killed -> the other serves all of its pods: {:?}", from.elapsed());
    assert!(agents.iter().all(|agent| agent.generation() == Some(generation.to_string())));

    // It restarts, and then the other one is killed.
    pair.one.run().unwrap();
    pair.two.kill().unwrap();
    write(&pair.one, &[("A", "third")]);
    for agent in &mut agents {
        agent.wait_for_value("A", "third").unwrap();
    }
}
