//! The cases of kubelet's `AtomicWriter`, for the volumes that the agent fills in its place.

use contract::secret_volume::SecretVolume;

use super::*;
use crate::plan::VolumeFile;

/// Leaves something in a volume.
type Plant = fn(&Path);

/// A volume's files, each as `path mode content`.
type Payload = &'static [&'static str];

fn parse(line: &str) -> (FilePath, VolumeFile) {
    let mut parts = line.splitn(3, ' ');
    let path = parts.next().unwrap().parse().unwrap();
    let mode = u32::from_str_radix(parts.next().unwrap(), 8).unwrap();
    (path, VolumeFile { bytes: Redacted::from(parts.next().unwrap_or("").as_bytes()), mode })
}

fn payload(generation: u64, lines: Payload) -> DesiredFiles {
    let contents = lines.iter().map(|line| parse(line)).collect();
    DesiredFiles { volumes: vec![contents], ..desired(generation, &model(&[])) }
}

fn open(volume: &TestVolume) -> SecretVolumes {
    let directory = volume.path().to_str().unwrap().to_owned();
    SecretVolumes::open(&[SecretVolume { directory, sources: Vec::new() }]).unwrap()
}

/// Everything that an application finds below `at`, in the form of a payload.
fn found(root: &Path, at: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if name.starts_with("..") {
            continue;
        }
        let about = fs::metadata(&path).unwrap();
        if about.is_dir() {
            lines.extend(found(root, &path));
        } else {
            let (mode, text) =
                (about.permissions().mode() & 0o777, fs::read_to_string(&path).unwrap());
            lines.push(format!("{name} {mode:o} {text}"));
        }
    }
    lines.sort();
    lines
}

/// One payload after another. Each has to be found exactly, and nothing of the others.
fn becomes(case: &str, payloads: &[Payload]) {
    for restarts in [false, true] {
        let volume = TestVolume::new();
        let mut volumes = open(&volume);
        for (at, lines) in payloads.iter().enumerate() {
            if restarts {
                volumes = open(&volume);
            }
            volumes.publish(&payload(at as u64 + 1, lines)).unwrap();
            let mut expected = lines.to_vec();
            expected.sort_unstable();
            assert_eq!(found(volume.path(), volume.path()), expected, "{case}, payload {at}");
            volumes.mark_proven().unwrap();
            volumes.remove_previous().unwrap();
            assert_eq!(found(volume.path(), volume.path()), expected, "{case}, payload {at}");
            let firsts = lines.iter().map(|line| line.split(['/', ' ']).next().unwrap());
            let links = firsts.collect::<BTreeSet<_>>().len();
            assert_eq!(volume.names().len(), links + 2, "{case}: {:?}", volume.names());
        }
    }
}

#[test]
fn payloads_follow_one_another() {
    for (case, payloads) in [
        ("nothing", &[&[][..]][..]),
        ("one file", &[&["foo 644 foo"]]),
        ("an empty file", &[&["foo 644 "]]),
        ("names with dots", &[&[".hidden 644 x", "foo.txt 644 x", "f..o 644 x"]]),
        (
            "two files, one changes",
            &[&["foo 644 foo", "bar 644 bar"], &["foo 644 foo2", "bar 644 bar"]],
        ),
        ("nothing changes", &[&["foo 644 foo"], &["foo 644 foo"]]),
        ("a file is added", &[&["foo 644 foo"], &["foo 644 foo", "bar 644 bar"]]),
        ("a file is removed", &[&["foo 644 foo", "bar 644 bar"], &["bar 644 bar"]]),
        ("all are removed, and come back", &[&["foo 644 foo"], &[], &["foo 644 foo"]]),
        ("a file is renamed", &[&["foo 644 foo"], &["bar 644 foo"]]),
        ("two files change places", &[&["foo 644 1", "bar 644 2"], &["foo 644 2", "bar 644 1"]]),
        ("paths", &[&["foo 644 1", "a/b/c 644 2", "a/b/d 644 3", "a/e 644 4"]]),
        ("a path changes", &[&["a/b/c 644 1", "a/d 644 2"], &["a/b/c 644 3", "a/d 644 2"]]),
        ("a path is added beside another", &[&["a/b 644 1"], &["a/b 644 1", "a/c/d 644 2"]]),
        ("a path is removed beside another", &[&["a/b 644 1", "a/c/d 644 2"], &["a/b 644 1"]]),
        ("the last path of a directory is removed", &[&["a/b/c 644 1", "x 644 x"], &["x 644 x"]]),
        ("a path is renamed", &[&["a/b 644 1"], &["a/c 644 1"], &["b/c 644 1"]]),
        (
            "a file becomes a directory, and a file again",
            &[&["a 644 1"], &["a/b 644 2"], &["a/b/c 644 3"], &["a 644 4"]],
        ),
        ("a directory below becomes a file", &[&["a/b/c 644 1"], &["a/b 644 2"]]),
        ("modes", &[&["a 400 1", "b/c 755 2"]]),
        (
            "only a mode changes",
            &[&["a 400 1", "b 644 2"], &["a 440 1", "b 644 2"], &["a 400 1", "b 600 2"]],
        ),
        ("binary names in another alphabet", &[&["ключ/пароль 644 1"], &["ключ 644 2"]]),
    ] {
        becomes(case, payloads);
    }
}

#[test]
fn any_leftovers_of_a_crash_give_way() {
    let plants: [(&str, Plant); 7] = [
        ("a half-written generation", |at| {
            fs::create_dir_all(at.join("..2/a")).unwrap();
            drop(fs::File::create(at.join("..2/a/half")).unwrap());
        }),
        ("a link to nothing", |at| symlink("..9", at.join("..data_tmp")).unwrap()),
        ("a file in its place", |at| drop(fs::File::create(at.join("..data_tmp")).unwrap())),
        ("a link of a file that never came", |at| symlink("..data/gone", at.join("gone")).unwrap()),
        ("a temporary link", |at| symlink("..data/x", at.join("..link_tmp")).unwrap()),
        ("an older name of kubelet's", |at| {
            fs::create_dir(at.join("..2026_11_30_00_00_00.123456789")).unwrap();
        }),
        ("a data link to nothing", |at| {
            fs::remove_file(at.join("..data")).unwrap();
            symlink("..9", at.join("..data")).unwrap();
        }),
    ];
    for (case, plant) in plants {
        let volume = TestVolume::new();
        open(&volume).publish(&payload(1, &["a/b 644 1"])).unwrap();
        plant(volume.path());
        let mut volumes = open(&volume);
        volumes.publish(&payload(2, &["a/b 644 2"])).unwrap();
        volumes.mark_proven().unwrap();
        volumes.remove_previous().unwrap();
        assert_eq!(found(volume.path(), volume.path()), ["a/b 644 2"], "{case}");
        assert_eq!(volume.names(), ["..2", "..data", "a"], "{case}");
    }
}

#[test]
fn a_path_that_leads_elsewhere_is_none() {
    let long = "x".repeat(256);
    let deep = "x/".repeat(256) + "x";
    for path in [
        "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "./a", "a/./b", "..data",
        "..2", "..a/b", "a\0b", "a\nb", &long, &deep,
    ] {
        assert!(path.parse::<FilePath>().is_err(), "{path:?}");
    }
    for path in ["a", ".a", "a.b", "a..b", "a/b.c", &long[1..], &deep[2..]] {
        assert!(path.parse::<FilePath>().is_ok(), "{path:?}");
    }
}
