//! The agent ends at any call that changes a volume, or has no room for it, in a pod with two
//! volumes.

use contract::secret_volume::SecretVolume;

use super::*;
use crate::files::directory::faults::{Fault, with_fault};
use crate::plan::VolumeFile;

/// The secrets' volume and another one.
struct PodVolumes {
    secrets: TestVolume,
    other: TestVolume,
}

/// What the agent has of them.
type Opened = (SecretsVolume, SecretVolumes);

impl PodVolumes {
    /// With generation 1, which works.
    fn new() -> Self {
        let volumes = Self { secrets: TestVolume::new(), other: TestVolume::new() };
        let (mut files, mut others) = volumes.open();
        publish_all(&mut files, &mut others, &generation(1), (false, false)).unwrap();
        mark_proven(&mut (files, others));
        volumes
    }

    fn open(&self) -> Opened {
        let directory = self.other.path().to_str().unwrap().to_owned();
        let others = [SecretVolume { directory, sources: Vec::new() }];
        let (files, mut others) = (self.secrets.open(), SecretVolumes::open(&others).unwrap());
        others.adopt_proven(&files).unwrap();
        (files, others)
    }

    /// The generation that each of them shows, of which it has to have every file.
    fn shown(&self) -> [u64; 2] {
        let secrets = self.secrets.visible();
        let shown = std::str::from_utf8(&secrets["A"]).unwrap().parse().unwrap();
        assert_eq!(secrets, files_of(shown), "files of two generations");
        let read = |path: &str| fs::read_to_string(self.other.path().join(path)).ok();
        let key = read("tls/key").unwrap();
        let other = key.parse::<u64>().unwrap();
        let own = (1..9).filter(|it| read(&format!("of-{it}")).is_some()).collect::<Vec<_>>();
        assert_eq!((read("tls/crt").unwrap(), own), (key, vec![other]), "of two generations");
        [shown, other]
    }

    /// The generations that are on the volumes, and what the agent needs no more.
    fn names(&self) -> [Vec<String>; 2] {
        [&self.secrets, &self.other].map(|volume| {
            let mut names = volume.names();
            names.retain(|name| name.starts_with("..") && name != "..reload");
            names
        })
    }
}

fn files_of(generation: u64) -> ExpectedFiles {
    let text = generation.to_string();
    let own = format!("OF_{generation}");
    model(&[("A", text.as_bytes()), ("B", b"always"), (&own, b"")])
}

fn generation(number: u64) -> DesiredFiles {
    let file = |path: String, text: &str| {
        let bytes = Redacted::from(text.as_bytes());
        (path.parse::<FilePath>().unwrap(), VolumeFile { bytes, mode: 0o400 })
    };
    let text = number.to_string();
    let contents = [
        file("tls/key".to_owned(), &text),
        file("tls/crt".to_owned(), &text),
        file(format!("of-{number}"), ""),
    ];
    DesiredFiles { volumes: vec![contents.into()], ..desired(number, &files_of(number)) }
}

fn mark_proven((files, others): &mut Opened) {
    files.mark_proven().and_then(|()| others.mark_proven()).unwrap();
}

fn write((files, others): &mut Opened, number: u64) -> Result<(), VolumeError> {
    publish_all(files, others, &generation(number), (true, true))
}

/// Everything that happens with a generation: it comes, works or does not, and the one that it
/// replaces is removed.
fn follow(opened: &mut Opened, number: u64, works: bool) {
    write(opened, number).unwrap();
    if works {
        mark_proven(opened);
    } else {
        assert!(restore_all(&mut opened.0, &mut opened.1, true).unwrap());
    }
    opened.0.clear_reload_pending().unwrap();
    opened.0.remove_previous().and_then(|()| opened.1.remove_previous()).unwrap();
}

/// Asserts that the next run of the agent has nothing of this one to suffer from.
fn recovers(volumes: &PodVolumes, at: &str) {
    // What does not work is taken back from all volumes, to what did before.
    let mut opened = volumes.open();
    write(&mut opened, 4).unwrap();
    assert_eq!(volumes.shown(), [4, 4], "{at}");
    assert!(restore_all(&mut opened.0, &mut opened.1, true).unwrap(), "{at}");
    let [proven, others] = volumes.shown();
    assert!(proven == others && proven < 3, "{at}: {proven} and {others}");
    follow(&mut opened, 3, true);
    assert_eq!(volumes.shown(), [3, 3], "{at}");
    assert_eq!(volumes.names(), [["..3", "..data"], ["..3", "..data"]], "{at}");
}

#[test]
fn killed_at_any_call_of_a_write_or_of_a_way_back() {
    for works in [true, false] {
        let mut seen = BTreeSet::new();
        for call in 0.. {
            let at = format!("{}, call {call}", if works { "write" } else { "way back" });
            let volumes = PodVolumes::new();
            let mut opened = volumes.open();
            let done = with_fault(Fault::Killed, call, || follow(&mut opened, 2, works)).is_some();
            drop(opened);
            let shown = volumes.shown();
            seen.insert(shown);
            // The next run ends early, too.
            for second in 0.. {
                let opened = with_fault(Fault::Killed, second, || volumes.open());
                assert_eq!(volumes.shown(), shown, "{at}, then {second}");
                if opened.is_some() {
                    break;
                }
            }
            recovers(&volumes, &at);
            if done {
                assert!(call > 40, "only {call} calls");
                break;
            }
        }
        // It was killed before, between and after the swaps, of which the secrets' volume's is
        // the last one, on both ways.
        let expected: &[[u64; 2]] = match works {
            true => &[[1, 1], [1, 2], [2, 2]],
            false => &[[1, 1], [1, 2], [2, 1], [2, 2]],
        };
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn without_room_at_any_call_all_volumes_change_or_none() {
    let (mut refused, mut calls) = (0, 0);
    loop {
        let at = format!("call {calls}");
        let volumes = PodVolumes::new();
        let mut opened = volumes.open();
        let before = volumes.names();
        let result = with_fault(Fault::NoRoom(1), calls, || write(&mut opened, 2)).unwrap();
        if let Err(error) = &result {
            refused += 1;
            assert!(matches!(error, VolumeError::Full { .. }), "{at}: {error:?}");
            assert!(error.to_string().contains("the memory volume is full"));
            assert_eq!(volumes.shown(), [1, 1], "{at}");
            let mut names = volumes.names();
            names.iter_mut().for_each(|it| it.retain(|it| it != "..proven"));
            assert_eq!(names, before, "{at}: leftovers");
            assert!(!opened.0.reload_pending(), "{at}");
            // There is room again.
            write(&mut opened, 2).unwrap();
        }
        assert_eq!(volumes.shown(), [2, 2], "{at}");
        assert!(restore_all(&mut opened.0, &mut opened.1, true).unwrap());
        assert_eq!(volumes.shown(), [1, 1], "{at}");
        if result.is_ok() {
            break;
        }
        calls += 1;
    }
    assert!(refused > 20, "refused at {refused} calls");
}

/// What is kept for late readers gives way.
#[test]
fn without_room_at_any_call_the_previous_generation_makes_some() {
    for call in 0..40 {
        let volumes = PodVolumes::new();
        let mut opened = volumes.open();
        write(&mut opened, 2).unwrap();
        mark_proven(&mut opened);
        with_fault(Fault::NoRoom(1), call, || write(&mut opened, 3)).unwrap().unwrap();
        assert_eq!(volumes.shown(), [3, 3], "call {call}");
        assert!(restore_all(&mut opened.0, &mut opened.1, true).unwrap());
        assert_eq!(volumes.shown(), [2, 2], "call {call}");
    }
}

/// A generation that does not work has to go, whatever else is on the volume.
#[test]
fn without_room_the_way_back_takes_that_of_the_previous_generation() {
    for call in 0.. {
        let volumes = PodVolumes::new();
        let mut opened = volumes.open();
        // Two in a row that are not known to work, so that the previous one is not the proven one.
        write(&mut opened, 2).unwrap();
        write(&mut opened, 3).unwrap();
        let work = || restore_all(&mut opened.0, &mut opened.1, true);
        assert!(with_fault(Fault::NoRoom(1), call, work).unwrap().unwrap(), "call {call}");
        assert_eq!(volumes.shown(), [1, 1], "call {call}");
        if call > 12 {
            break;
        }
    }
}

#[test]
fn killed_at_any_call_of_a_record() {
    let refused = || {
        let mut refused = crate::refused::RefusedGenerations::default();
        let failed = desired(2, &model(&[])).held;
        refused.add(&failed, &[], ("it does not work", 0));
        refused
    };
    for call in 0.. {
        let volumes = PodVolumes::new();
        let (files, _) = volumes.open();
        files.save_trust_bundle("old").unwrap();
        let done = with_fault(Fault::Killed, call, || {
            files.record_status("{}").unwrap();
            files.save_trust_bundle("new").unwrap();
            files.record_refused(&refused()).unwrap();
            files.record_restart().unwrap();
            files.clear_restart().unwrap();
            files.record_fatal_signal().unwrap();
        });
        drop(files);
        let (files, _) = volumes.open();
        let trust = files.trust_bundle().unwrap();
        assert!(trust == "old" || trust == "new", "call {call}: {trust}");
        let known = files.refused();
        assert!(known == Default::default() || known == refused(), "call {call}");
        assert!(!volumes.secrets.names().iter().any(|name| name.ends_with("_tmp")), "call {call}");
        recovers_records(&volumes);
        if done.is_some() {
            assert!(call > 15, "only {call} calls");
            break;
        }
    }
}

fn recovers_records(volumes: &PodVolumes) {
    let mut opened = volumes.open();
    follow(&mut opened, 2, true);
    assert_eq!(volumes.shown(), [2, 2]);
}
