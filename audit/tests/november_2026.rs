//! An export and checkpoints written by the release of November 2026: canonical bytes, hashes, text
//! and signatures must never change.

use audit::{Checkpoint, Format, Hash, Record, SigningKey, canonicalize, chain_hash, verify};

const EXPORT: &str = include_str!("../../switchyard/tests/fixtures/2026-11/export.jsonl");
const CHECKPOINTS: &str = include_str!("../../switchyard/tests/fixtures/2026-11/checkpoints.jsonl");
const KEY: &[u8] = include_bytes!("../../switchyard/tests/fixtures/2026-11/audit-key");

#[test]
fn records_keep_their_text_canonical_bytes_and_hashes() {
    let mut previous = Hash::GENESIS;
    let mut bytes = Vec::new();
    for line in EXPORT.lines() {
        let record: Record = serde_json::from_str(line).unwrap();
        assert_eq!(Format::Jsonl.line(&record), line);
        assert_eq!(chain_hash(&previous, &record), record.hash, "record {}", record.sequence);
        bytes.extend(canonicalize(&record));
        previous = record.hash;
    }
    // Computed by an independent program from the documented canonical form.
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, "dbadbad9a16dbe6e3e541d3a1ef4378bbf9012061982c0da8ec6f579c683e3f7");
    assert_eq!(
        previous.to_string(),
        "47f1c7724f1089c582a4158fdfc2e6f5929582ed7c88f9c6611ea9d6d085d73a"
    );
}

#[test]
fn checkpoints_keep_their_text_and_signatures() {
    let key = SigningKey::from_pkcs8(KEY).unwrap();
    let checkpoints: Vec<Checkpoint> = CHECKPOINTS
        .lines()
        .map(|line| {
            let checkpoint: Checkpoint = serde_json::from_str(line).unwrap();
            assert_eq!(serde_json::to_string(&checkpoint).unwrap(), line);
            let signed = key.sign(checkpoint.sequence, checkpoint.hash, checkpoint.at);
            assert_eq!(signed, checkpoint, "Ed25519 is deterministic");
            checkpoint
        })
        .collect();
    let records: Vec<Record> =
        EXPORT.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let covered: Vec<_> =
        checkpoints.into_iter().filter(|it| it.sequence <= records.len() as u64).collect();
    assert!(!covered.is_empty());
    let count = covered.len() as u64;
    let report = verify(&records, covered, &[key.public().clone()]);
    assert_eq!((report.finding, report.checkpoints), (None, count));
}
