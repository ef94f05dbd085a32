//! A hostile pod costs time in proportion to its size.

use std::time::{Duration, Instant};

use injection::{Pod, ScanLimits, findings};
use serde_json::json;

/// What rules look for, again and again, so that each could begin everywhere.
const PIECES: &[&str] = &[
    "ghp_",
    "ghp_.",
    "ya29.",
    "glpat-.",
    "eyJ.",
    "://",
    "a://b:c",
    "a://b:c/",
    "a:b@",
    "a://",
    "password=",
    "?sv=1&sig=",
    "1234567890:AA",
    "-----BEGIN ",
    "-----BEGIN A-----",
    "basic a ",
    "bearer ",
    "\"auth\":",
    "\"auths\"\"password\"",
    "AccountKey=",
    "@tcp(",
    "aB3",
    "hvs.",
    "AKIA ",
    "--a=b ",
    "a=b=c=",
    "$2a$",
    "{",
    "é",
    "A3-",
    "k: v ",
    "'",
    "b ",
];

#[test]
fn no_piece_repeated_takes_long() {
    // A scan that looks at the rest of the text again at each piece takes minutes.
    const LIMIT: Duration = Duration::from_secs(10);
    for piece in PIECES {
        let value = piece.repeat(64 * 1024 / piece.len());
        let json = json!({
            "metadata": { "annotations": { "key": value } },
            "spec": { "containers": [{
                "env": [{ "name": "A_KEY", "value": value }], "args": [value],
            }] },
        })
        .to_string();
        let pod = Pod::parse(&json).unwrap();
        let start = Instant::now();
        let found = findings(&pod, ScanLimits::OFFLINE);
        assert!(start.elapsed() < LIMIT, "{piece}: {:?}, {:?}", start.elapsed(), found.list.len());
    }
}
