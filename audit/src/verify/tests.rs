use proptest::prelude::*;

use super::*;
use crate::fixture::{self, chain_of, key, link, time};

fn checkpoints(records: &[Record], every: usize) -> Vec<Checkpoint> {
    records
        .iter()
        .skip(every - 1)
        .step_by(every)
        .map(|it| key(1).sign(it.sequence, it.hash, time(it.sequence)))
        .collect()
}

fn check(records: &[Record], checkpoints: Vec<Checkpoint>) -> Report {
    verify(records, checkpoints, &[key(1).public().clone()])
}

fn found(records: &[Record], checkpoints: Vec<Checkpoint>) -> (u64, Tampering) {
    let Finding { sequence, kind } =
        check(records, checkpoints).finding.expect("nothing was found");
    (sequence, kind)
}

/// Numbers the records in order and leaves their hashes alone.
fn renumber(records: &mut [Record]) {
    for (record, sequence) in records.iter_mut().zip(1..) {
        record.sequence = sequence;
    }
}

#[test]
fn an_untouched_log_is_valid() {
    let records = chain_of(100);
    let report = check(&records, checkpoints(&records, 10));
    assert_eq!((report.records, report.checkpoints, report.finding), (100, 10, None));
    assert_eq!((report.first, report.last), (Some(1), Some((100, records[99].hash))));
    assert_eq!(
        report.signed,
        Some((100, time(100).round(jiff::Unit::Millisecond).unwrap()))
            .map(|(n, _)| (n, report.signed.unwrap().1))
    );
    assert_eq!(check(&[], vec![]).finding, None);
}

#[test]
fn each_kind_of_tampering_is_named_with_the_first_wrong_record() {
    let whole = chain_of(100);
    let with = |change: &dyn Fn(&mut Vec<Record>)| {
        let mut records = whole.clone();
        change(&mut records);
        found(&records, checkpoints(&whole, 10))
    };
    // In a file, where sequence numbers stay as they are.
    assert_eq!(with(&|it| it[41].actor_id.push('x')), (42, Tampering::Edited));
    assert_eq!(with(&|it| drop(it.remove(41))), (42, Tampering::Deleted { until: Some(42) }));
    assert_eq!(with(&|it| drop(it.drain(41..51))), (42, Tampering::Deleted { until: Some(51) }));
    assert_eq!(with(&|it| it.swap(41, 42)), (42, Tampering::Reordered));
    assert_eq!(with(&|it| it.swap(3, 99)), (4, Tampering::Reordered));
    assert_eq!(with(&|it| it.insert(41, it[40].clone())), (42, Tampering::Duplicated));
    assert_eq!(with(&|it| it.insert(90, it[4].clone())), (91, Tampering::Duplicated));
    assert_eq!(
        with(&|it| it.insert(41, Record { details: None, ..it[41].clone() })),
        (42, Tampering::Inserted)
    );
    assert_eq!(
        with(&|it| it.insert(41, Record { hash: Hash([7; 32]), ..it[40].clone() })),
        (42, Tampering::Inserted)
    );
    assert_eq!(with(&|it| it.truncate(95)), (96, Tampering::CutOff { until: 100 }));
    assert_eq!(with(&Vec::clear), (1, Tampering::CutOff { until: 100 }));
    assert_eq!(with(&|it| drop(it.drain(..7))), (1, Tampering::Deleted { until: Some(7) }));
    // In a database, where the attacker renumbers the other records.
    let numbered = |change: &dyn Fn(&mut Vec<Record>)| {
        with(&|it| {
            change(it);
            renumber(it);
        })
    };
    assert_eq!(
        numbered(&|it| drop(it.drain(41..44))),
        (42, Tampering::Deleted { until: Some(44) })
    );
    assert_eq!(numbered(&|it| it.swap(41, 42)), (42, Tampering::Reordered));
    assert_eq!(numbered(&|it| it.swap(41, 47)), (42, Tampering::Reordered));
    assert_eq!(
        numbered(&|it| it.insert(41, Record { details: None, ..it[41].clone() })),
        (42, Tampering::Inserted)
    );
    assert_eq!(numbered(&|it| it.insert(41, it[20].clone())), (42, Tampering::Duplicated));
    // With all later hashes recomputed, only checkpoints reveal it.
    assert_eq!(
        with(&|it| drop(std::mem::replace(it, relinked(it, |it| it[41].actor_id.push('x'))))),
        (41, Tampering::Rewritten { until: 50 })
    );
    assert_eq!(
        with(&|it| drop(std::mem::replace(it, relinked(it, |it| drop(it.remove(0)))))),
        (1, Tampering::Rewritten { until: 10 })
    );
    // With only its own hash recomputed, the next record reveals it.
    let hashed = |it: &mut Vec<Record>| {
        it[41].actor_id.push('x');
        it[41].hash = chain_hash(&it[40].hash, &it[41]);
    };
    assert_eq!(with(&|it| hashed(it)), (43, Tampering::Edited));
}

fn relinked(records: &[Record], change: impl FnOnce(&mut Vec<Record>)) -> Vec<Record> {
    let mut records = records.to_vec();
    change(&mut records);
    renumber(&mut records);
    link(records)
}

#[test]
fn a_forged_checkpoint_is_reported() {
    let records = chain_of(20);
    let mut forged = checkpoints(&records, 10);
    forged[1] = key(2).sign(20, records[19].hash, time(20));
    assert_eq!(found(&records, forged), (20, Tampering::Forged { key_id: key(2).public().id() }));
    let mut moved = checkpoints(&records, 10);
    moved[0].sequence = 11;
    assert_eq!(found(&records, moved).1, Tampering::Forged { key_id: key(1).public().id() });
}

#[test]
fn a_partial_log_is_verified_from_its_first_record() {
    let records = chain_of(100);
    let part = |checkpoints, records: &[Record]| {
        let mut verifier =
            Verifier::new(StartingPoint::Anywhere, checkpoints, &[key(1).public().clone()]);
        records.iter().for_each(|record| verifier.push(record));
        verifier.finish()
    };
    let report = part(checkpoints(&records, 10), &records[40..]);
    assert_eq!(
        (report.finding, report.partial, report.anchored, report.checkpoints),
        (None, true, true, 6)
    );
    let report = part(checkpoints(&records, 10), &records[43..]);
    assert_eq!(
        (report.finding, report.partial, report.anchored, report.first),
        (None, true, false, Some(44))
    );
    let mut edited = records[40..].to_vec();
    edited[0].actor_id.push('x');
    assert_eq!(
        part(checkpoints(&records, 10), &edited).finding,
        Some(Finding { sequence: 41, kind: Tampering::Edited })
    );
    assert!(!part(vec![], &records).partial);
}

proptest! {
    #[test]
    fn every_change_is_detected(
        length in 2usize..60,
        at in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        way in 0..26usize,
        seed in fixture::anything(),
    ) {
        let record = |sequence| {
            let fields = if sequence % 7 == 0 { seed.clone() } else { fixture::record(sequence) };
            Record { sequence, ..fields }
        };
        let whole = link((1..=length as u64).map(record).collect());
        let (at, to) = (at.index(length), to.index(length));
        let mut records = whole.clone();
        match way {
            0..fixture::CHANGES => records[at] = fixture::change(&records[at], way),
            19 => drop(records.remove(at)),
            20 => records.swap(at, to),
            21 => records.insert(at, records[to].clone()),
            22 => records.truncate(at),
            23 => { records.remove(at); renumber(&mut records); records = link(records); }
            24 => { records.swap(at, to); renumber(&mut records); }
            _ => { records[at] = fixture::change(&records[at], 2); records = link(records); }
        }
        let checkpoints = vec![key(1).sign(length as u64, whole[length - 1].hash, time(1))];
        let report = check(&records, checkpoints);
        if records == whole {
            prop_assert_eq!(report.finding, None);
        } else {
            let finding = report.finding.unwrap();
            prop_assert!(finding.sequence <= length as u64 + 1, "{:?}", finding);
        }
    }
}
