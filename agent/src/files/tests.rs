//! What a reader of the volume sees, during swaps and after crashes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use contract::annotations::FileMode;
use contract::layout::SERVICE_ACCOUNT_DIRECTORY;
use contract::{Generation, Redacted};
use tempfile::TempDir;

use super::*;

mod atomic_writer;
mod crash;
mod full;
mod mount_points;
mod readers;
mod restart;
mod secret_volumes;
mod system_calls;

type ExpectedFiles = BTreeMap<String, Vec<u8>>;

struct TestVolume(TempDir);

impl TestVolume {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn try_open(&self) -> Result<SecretsVolume, VolumeError> {
        SecretsVolume::open(&FilesConfig::new(
            self.path().to_str().unwrap().to_owned(),
            FileMode::OWNER,
        ))
    }

    fn open(&self) -> SecretsVolume {
        self.try_open().unwrap()
    }

    /// What an application sees: every name that leads to a file.
    fn visible(&self) -> ExpectedFiles {
        let entries = fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        entries
            .filter(|name| !name.starts_with("..") && name != SERVICE_ACCOUNT_DIRECTORY)
            .filter_map(|name| fs::read(self.path().join(&name)).ok().map(|bytes| (name, bytes)))
            .collect()
    }

    /// Every name in the volume itself.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        io::Write::write_all(&mut fs::File::create(self.path().join(name)).unwrap(), bytes)
            .unwrap();
    }
}

fn desired(generation: u64, files: &ExpectedFiles) -> DesiredFiles {
    DesiredFiles {
        files: files
            .iter()
            .map(|(name, bytes)| (parse_file_name(name).unwrap(), Redacted::from(bytes.as_slice())))
            .collect(),
        env: BTreeMap::new(),
        paths: BTreeMap::new(),
        volumes: Vec::new(),
        held: vec![BundleGeneration {
            bundle: "api-prod".parse().unwrap(),
            generation: Generation(generation),
            tag: None,
        }],
    }
}

fn model(pairs: &[(&str, &[u8])]) -> ExpectedFiles {
    pairs.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect()
}

fn bundles() -> Vec<BundleRef> {
    vec!["api-prod".parse().unwrap()]
}

/// The number alone would say that the files of another generation are the right ones.
#[test]
fn a_restarted_agent_knows_the_tag_of_its_files() {
    let volume = TestVolume::new();
    let mut tagged = desired(2, &model(&[("A", b"1")]));
    tagged.held[0].tag = Some("4f0c2b7a91d3e586".parse().unwrap());
    volume.open().publish(&tagged, false).unwrap();
    assert_eq!(volume.open().held(&bundles()), tagged.held);
    assert_eq!(
        fs::read_link(volume.path().join("..data")).unwrap(),
        Path::new("..2.4f0c2b7a91d3e586")
    );
}

#[test]
fn the_first_generation_creates_directory_and_links() {
    let volume = TestVolume::new();
    let mut files = volume.open();
    assert_eq!(files.current(), CurrentFiles::None);
    assert!(files.held(&bundles()).is_empty());
    assert!(!generation_exists(volume.path()));
    files.publish(&desired(12, &model(&[("A", b"1"), ("tls.crt", b"2")])), false).unwrap();
    assert_eq!(volume.names(), ["..12", "..data", "A", "kubernetes.io", "tls.crt"]);
    assert_eq!(fs::read_link(volume.path().join("..data")).unwrap(), Path::new("..12"));
    assert_eq!(fs::read_link(volume.path().join("A")).unwrap(), Path::new("..data/A"));
    assert!(volume.path().join("kubernetes.io/serviceaccount").is_dir());
    assert!(generation_exists(volume.path()));
    assert_eq!(files.held(&bundles())[0].generation, Generation(12));
}

#[test]
fn bytes_come_out_as_they_went_in() {
    let volume = TestVolume::new();
    let all: Vec<u8> = (0..=255).collect();
    let contents = model(&[
        ("EMPTY", b""),
        ("NUL", b"a\0b\0"),
        ("NEWLINES", b"\n\nx\n\n"),
        ("BINARY", &all),
        ("LARGE", &vec![b'x'; MAX_VALUE_BYTES]),
    ]);
    volume.open().publish(&desired(1, &contents), false).unwrap();
    assert_eq!(volume.visible(), contents);
}

/// The cases of kubelet's `atomic_writer_test.go`, `TestUpdate` and `TestMultipleUpdates`.
#[test]
fn one_generation_follows_another() {
    let steps = [
        model(&[("foo", b"foo"), ("bar", b"bar")]),
        model(&[("foo", b"foo2"), ("bar", b"bar2")]),
        model(&[("foo", b"foo2"), ("bar", b"bar2"), ("blu", b"zip")]),
        model(&[("foo", b"foo2"), ("zip", b"zab")]),
        model(&[("zip", b"zab")]),
        model(&[]),
        model(&[("foo", b"foo")]),
    ];
    let volume = TestVolume::new();
    let mut files = volume.open();
    for (at, contents) in steps.iter().enumerate() {
        files.publish(&desired(at as u64 + 1, contents), false).unwrap();
        assert_eq!(volume.visible(), *contents);
        let CurrentFiles::Readable(current) = files.current() else { panic!() };
        assert_eq!(current, desired(1, contents).files);
        // The link of a removed name is gone, and the previous generation is kept.
        let expected = 2 + contents.len() + 1 + usize::from(at > 0);
        assert_eq!(volume.names().len(), expected, "{:?}", volume.names());
    }
}

#[test]
fn the_previous_generation_stays_until_it_is_removed() {
    let volume = TestVolume::new();
    let mut files = volume.open();
    files.publish(&desired(1, &model(&[("A", b"1")])), false).unwrap();
    let resolved = fs::canonicalize(volume.path().join("A")).unwrap();
    files.publish(&desired(2, &model(&[("A", b"2")])), false).unwrap();
    assert_eq!(fs::read(&resolved).unwrap(), b"1");
    files.remove_previous().unwrap();
    assert!(!resolved.exists());
    assert_eq!(volume.visible(), model(&[("A", b"2")]));
}

#[test]
fn a_generation_that_is_published_again_gets_a_new_directory() {
    let volume = TestVolume::new();
    let mut files = volume.open();
    for (generation, directory) in [(1, "..1"), (2, "..2"), (1, "..1_2"), (1, "..1")] {
        files.publish(&desired(generation, &model(&[("A", directory.as_bytes())])), false).unwrap();
        assert_eq!(fs::read_link(volume.path().join("..data")).unwrap(), Path::new(directory));
        assert_eq!(files.held(&bundles())[0].generation, Generation(generation));
        assert_eq!(volume.visible(), model(&[("A", directory.as_bytes())]));
    }
}

#[test]
fn a_restarted_agent_adopts_the_current_generation() {
    let volume = TestVolume::new();
    let contents = model(&[("A", b"1"), ("B", b"")]);
    volume.open().publish(&desired(7, &contents), false).unwrap();
    let before = fs::canonicalize(volume.path().join("A")).unwrap();
    let files = volume.open();
    assert_eq!(files.held(&bundles())[0].generation, Generation(7));
    assert!(files.held(&[]).is_empty());
    assert_eq!(files.current(), CurrentFiles::Readable(desired(7, &contents).files));
    assert_eq!(fs::canonicalize(volume.path().join("A")).unwrap(), before);
}

#[test]
fn a_generation_with_foreign_entries_is_unreadable() {
    for plant in [
        |at: &Path| fs::create_dir(at.join("D")).unwrap(),
        |at: &Path| symlink("/etc/passwd", at.join("L")).unwrap(),
        |at: &Path| {
            drop(fs::File::create(at.join("not a name")).unwrap());
        },
    ] {
        let volume = TestVolume::new();
        let mut files = volume.open();
        files.publish(&desired(1, &model(&[("A", b"1")])), false).unwrap();
        plant(&volume.path().join("..1"));
        assert_eq!(volume.open().current(), CurrentFiles::Unreadable);
        files.publish(&desired(2, &model(&[("A", b"1")])), false).unwrap();
        files.remove_previous().unwrap();
        assert_eq!(volume.names(), ["..2", "..data", "A", "kubernetes.io"]);
    }
}

#[test]
fn readers_of_a_file_may_enter_its_directory() {
    for (file, directory) in [
        ("0400", 0o700),
        ("0440", 0o750),
        ("0444", 0o755),
        ("0600", 0o700),
        ("0404", 0o705),
        ("0644", 0o755),
    ] {
        let temp = tempfile::tempdir().unwrap();
        let config =
            FilesConfig::new(temp.path().to_str().unwrap().to_owned(), file.parse().unwrap());
        SecretsVolume::open(&config)
            .unwrap()
            .publish(&desired(1, &model(&[("A", b"1")])), false)
            .unwrap();
        let mode =
            |path: &str| fs::metadata(temp.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("..1"), directory, "{file}");
        assert_eq!(mode("..1/A"), u32::from(config.mode.bits()));
        assert_eq!(mode("kubernetes.io"), 0o755);
        assert_eq!(mode("kubernetes.io/serviceaccount"), 0o755);
    }
}

#[test]
fn foreign_files_stay_unless_they_occupy_a_needed_name() {
    let volume = TestVolume::new();
    volume.write("foreign", b"theirs");
    volume.write("A", b"in the way");
    fs::create_dir_all(volume.path().join("kubernetes.io/serviceaccount")).unwrap();
    volume.write("kubernetes.io/serviceaccount/token", b"token");
    symlink("foreign", volume.path().join("link")).unwrap();
    fs::create_dir(volume.path().join("..data")).unwrap();
    fs::create_dir_all(volume.path().join("..data_tmp/deep/er")).unwrap();
    let mut files = volume.open();
    files.publish(&desired(1, &model(&[("A", b"1")])), false).unwrap();
    let expected = model(&[("A", b"1"), ("foreign", b"theirs"), ("link", b"theirs")]);
    assert_eq!(volume.visible(), expected);
    assert_eq!(
        fs::read(volume.path().join("kubernetes.io/serviceaccount/token")).unwrap(),
        b"token"
    );
    assert_eq!(volume.names(), ["..1", "..data", "A", "foreign", "kubernetes.io", "link"]);
}

#[test]
fn a_failed_write_changes_nothing() {
    let volume = TestVolume::new();
    let mut files = volume.open();
    let before = model(&[("A", b"1")]);
    files.publish(&desired(1, &before), false).unwrap();
    // A link cannot replace a directory, so the link of the last name fails.
    fs::create_dir(volume.path().join("Z")).unwrap();
    let names = volume.names();
    let error = files
        .publish(&desired(2, &model(&[("A", b"2"), ("N", b"new"), ("Z", b"3")])), true)
        .unwrap_err();
    assert!(matches!(&error, VolumeError::Link { name, .. } if name == "Z"), "{error:?}");
    assert_eq!(volume.visible(), before);
    assert_eq!(volume.names(), names);
    assert!(!files.reload_pending());
    fs::remove_dir(volume.path().join("Z")).unwrap();
    files.publish(&desired(2, &model(&[("A", b"2")])), true).unwrap();
    assert_eq!(volume.visible(), model(&[("A", b"2")]));
}

#[test]
fn a_full_volume_is_reported_as_full() {
    let full = || io::Error::from(io::ErrorKind::StorageFull);
    assert!(VolumeError::from_write("A", full()).to_string().contains("the memory volume is full"));
    assert!(matches!(VolumeError::from_create("..1", full()), VolumeError::Full { .. }));
    assert!(matches!(
        VolumeError::from_write("A", io::Error::other("x")),
        VolumeError::Write { .. }
    ));
    // The kernel's errors map to these kinds.
    assert!(matches!(
        VolumeError::from_write("A", rustix::io::Errno::NOSPC.into()),
        VolumeError::Full { .. }
    ));
    assert!(matches!(
        VolumeError::from_write("A", rustix::io::Errno::DQUOT.into()),
        VolumeError::Full { .. }
    ));
}

#[test]
fn a_missing_volume_is_named() {
    let error =
        SecretsVolume::open(&FilesConfig::new("/nowhere/at/all".to_owned(), FileMode::OWNER))
            .unwrap_err();
    assert_eq!(error.to_string(), "open volume /nowhere/at/all");
}

#[test]
fn a_reload_is_pending_until_it_is_cleared() {
    let volume = TestVolume::new();
    let mut files = volume.open();
    files.publish(&desired(1, &model(&[("A", b"1")])), false).unwrap();
    assert!(!files.reload_pending());
    files.publish(&desired(2, &model(&[("A", b"2")])), true).unwrap();
    assert!(files.reload_pending());
    files.publish(&desired(3, &model(&[("A", b"3")])), true).unwrap();
    let files = volume.open();
    assert!(files.reload_pending());
    files.clear_reload_pending().unwrap();
    assert!(!files.reload_pending());
    files.clear_reload_pending().unwrap();
}

#[test]
fn a_trust_bundle_is_saved_for_the_next_run() {
    let volume = TestVolume::new();
    let files = volume.open();
    assert_eq!(files.trust_bundle(), None);
    files.save_trust_bundle("old").unwrap();
    files.save_trust_bundle("new").unwrap();
    volume.write("..trust_tmp", b"half");
    assert_eq!(volume.open().trust_bundle().as_deref(), Some("new"));
    assert_eq!(volume.names(), ["..trust.pem", "kubernetes.io"]);
}
