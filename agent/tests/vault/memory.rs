//! A value that was replaced is not in the agent's memory any more.
//!
//! The test reads the memory of the real process. It is undumpable, so the test needs root.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use serde_json::json;

use crate::harness::{Cluster, KV_POLICY};
use crate::tls::{authority, proxy};

/// Starts every marker. Fragments of a value are recognised by it.
const PREFIX: &str = "vault-memory-canary-93c1e7-";

/// A value that repeats its number's marker, so that each fragment of it is found.
fn value(number: u32) -> String {
    format!("{PREFIX}{number:04};").repeat(200)
}

/// The numbers whose values are in the writable memory of a process, at least in part.
fn numbers_in_memory(process: u32) -> Vec<u32> {
    let memory = File::open(format!("/proc/{process}/mem")).unwrap();
    let mut found = Vec::new();
    for mapping in fs::read_to_string(format!("/proc/{process}/maps")).unwrap().lines() {
        let (range, rest) = mapping.split_once(' ').unwrap();
        if !rest.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let address = |text| u64::from_str_radix(text, 16).unwrap();
        let mut bytes = vec![0; usize::try_from(address(end) - address(start)).unwrap()];
        // A mapping may have shrunk since it was listed.
        let Ok(count) = memory.read_at(&mut bytes, address(start)) else { continue };
        let markers = bytes[..count].windows(PREFIX.len() + 4);
        let markers = markers.filter(|window| window.starts_with(PREFIX.as_bytes()));
        let digits = markers.filter_map(|window| std::str::from_utf8(&window[PREFIX.len()..]).ok());
        found.extend(digits.filter_map(|digits| digits.parse::<u32>().ok()));
    }
    found.sort_unstable();
    found.dedup();
    found
}

#[test]
fn only_the_current_value_is_in_memory() {
    let cluster = Cluster::start(KV_POLICY, ("1h", "1h"));
    let (ca, issuer) = authority();
    let address = proxy(cluster.vault.port(), &issuer, &rustls::version::TLS13);
    let secret = json!({"X": {"type": "kv", "mount": "secret", "path": "shop/one", "field": "x"}});
    let mut pod = cluster.pod(secret);
    pod.source().address = format!("https://{address}");
    pod.source().ca = ca;
    for number in 1..=3 {
        cluster.put("shop/one", json!({"x": value(number), "other": value(100 + number)}));
        if number == 1 {
            pod.start();
        }
        pod.until_file("X", &value(number));
        let process = pod.process();
        pod.until("only the current value in memory", |_| numbers_in_memory(process) == [number]);
    }
}
