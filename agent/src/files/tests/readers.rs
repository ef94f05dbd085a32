//! Readers beside a writer that rotates as fast as they can read.
//!
//! `ENCLII_TORN_READS` sets how many files they read, in all.

use super::*;

const NAMES: [&str; 3] = ["A", "B", "C"];
/// Files on both sides of a page, so that a copy takes more than one step.
const REPEATS: usize = 800;
const READERS: u64 = 2;
/// The files that a reader reads in a round: one by its path, all by the resolved directory.
const READS_IN_A_ROUND: u64 = 1 + NAMES.len() as u64;

/// What each file of a generation holds.
fn stamp(generation: u64) -> Vec<u8> {
    format!("{generation:06}").repeat(REPEATS).into_bytes()
}

fn stamped(generation: u64) -> ExpectedFiles {
    NAMES.iter().map(|name| ((*name).to_owned(), stamp(generation))).collect()
}

/// The generation that wrote all of these bytes.
fn generation_of(bytes: &[u8]) -> u64 {
    let text = std::str::from_utf8(bytes.get(..6).unwrap_or_default()).unwrap();
    let generation = text.parse().unwrap_or_else(|_| panic!("a file of {} bytes", bytes.len()));
    assert!(bytes == stamp(generation), "torn file of {} bytes", bytes.len());
    generation
}

#[expect(clippy::disallowed_methods, reason = "how long the test is, not what it tests")]
fn total_reads() -> u64 {
    std::env::var("ENCLII_TORN_READS").map_or(100_000, |text| text.parse().unwrap())
}

#[test]
fn a_reader_beside_a_writer_never_sees_a_torn_or_mixed_generation() {
    let rounds_each = total_reads().div_ceil(READERS * READS_IN_A_ROUND);
    let volume = TestVolume::new();
    let mut files = volume.open();
    files.publish(&desired(1, &stamped(1)), false).unwrap();

    let rounds: [AtomicU64; READERS as usize] = Default::default();
    let read = |rounds: &AtomicU64| {
        let (mut last, mut rounds_of_last) = (0, 0);
        for _ in 0..rounds_each {
            let by_path = generation_of(&fs::read(volume.path().join("B")).unwrap());
            let resolved = fs::canonicalize(volume.path().join("..data")).unwrap();
            let all = NAMES.map(|name| generation_of(&fs::read(resolved.join(name)).unwrap()));
            assert!(all.iter().all(|it| *it == all[0]), "mixed generations: {all:?}");
            assert!(last <= by_path && by_path <= all[0], "back to an earlier generation");
            rounds_of_last = if last == all[0] { rounds_of_last + 1 } else { 0 };
            last = all[0];
            rounds.fetch_add(1, Ordering::SeqCst);
            if rounds_of_last > 50 {
                // The writer gets no time.
                std::thread::yield_now();
            }
        }
        last
    };
    let last = std::thread::scope(|scope| {
        let readers: Vec<_> = rounds.iter().map(|it| scope.spawn(|| read(it))).collect();
        let mut generation = 1;
        while readers.iter().any(|it| !it.is_finished()) {
            generation += 1;
            files.publish(&desired(generation, &stamped(generation)), false).unwrap();
            // A reader that began a round before this swap ends it before the next one: what it
            // resolved is the current or the previous generation.
            let seen = rounds.each_ref().map(|it| it.load(Ordering::SeqCst));
            for ((rounds, seen), reader) in rounds.iter().zip(seen).zip(&readers) {
                while rounds.load(Ordering::SeqCst) < seen + 2 && !reader.is_finished() {
                    std::thread::yield_now();
                }
            }
        }
        readers.into_iter().map(|it| it.join().unwrap()).max().unwrap()
    });
    // They did not read one generation alone, even on a machine that gives the writer little time.
    assert!(last > 20, "only {last} generations in {rounds_each} rounds");
}
