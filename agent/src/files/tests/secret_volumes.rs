//! The volumes of Secrets that the agent fills, and files at other paths.

use contract::FilePath;
use contract::secret_volume::{SecretVolume, VolumeFileMode};

use super::*;
use crate::plan::VolumeFile;

fn path(text: &str) -> FilePath {
    text.parse().unwrap()
}

/// The files of a generation, which also fill a volume.
fn filled(generation: u64, files: &[(&str, &str, u32)]) -> DesiredFiles {
    let file = |(at, bytes, mode): &(&str, &str, u32)| {
        (path(at), VolumeFile { bytes: Redacted::from(bytes.as_bytes()), mode: *mode })
    };
    let volumes = vec![files.iter().map(file).collect()];
    DesiredFiles { volumes, ..desired(generation, &model(&[])) }
}

fn open(volume: &TestVolume) -> SecretVolumes {
    let directory = volume.path().to_str().unwrap().to_owned();
    SecretVolumes::open(&[SecretVolume { directory, sources: Vec::new() }]).unwrap()
}

/// Whether the volumes were changed for these files.
fn publish(volumes: &mut SecretVolumes, files: &DesiredFiles) -> bool {
    let held = volumes.hold(files);
    volumes.publish(files).unwrap();
    assert!(volumes.hold(files));
    !held
}

fn read(volume: &TestVolume, path: &str) -> String {
    fs::read_to_string(volume.path().join(path)).unwrap()
}

#[test]
fn a_volume_holds_its_files_with_their_modes_at_their_paths() {
    let volume = TestVolume::new();
    let files = [("tls/deep/key", "k", 0o400), ("tls/crt", "c", 0o644), (".netrc", "n", 0o755)];
    assert!(publish(&mut open(&volume), &filled(1, &files)));
    for (at, bytes, mode) in files {
        assert_eq!(read(&volume, at), bytes);
        let found = fs::metadata(volume.path().join(at)).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{at}");
    }
    assert_eq!(volume.names(), ["..1", "..data", ".netrc", "tls"]);
    let mode = |at| fs::metadata(volume.path().join(at)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode("..1"), mode("..1/tls"), mode("..1/tls/deep")], [0o755; 3]);
}

#[test]
fn a_volume_is_swapped_as_a_whole_and_only_when_its_files_differ() {
    let volume = TestVolume::new();
    let mut volumes = open(&volume);
    let first = [("a", "1", 0o644), ("d/b", "2", 0o644)];
    assert!(publish(&mut volumes, &filled(1, &first)));
    assert!(!publish(&mut volumes, &filled(2, &first)));
    assert!(!publish(&mut open(&volume), &filled(2, &first)), "after a restart");
    let resolved = fs::canonicalize(volume.path().join("d")).unwrap();
    assert!(publish(&mut volumes, &filled(3, &[("a", "1", 0o644), ("c", "3", 0o644)])));
    assert_eq!((read(&volume, "a"), read(&volume, "c")), ("1".into(), "3".into()));
    assert!(!volume.path().join("d").exists() && resolved.join("b").exists());
    volumes.remove_previous().unwrap();
    assert_eq!(volume.names(), ["..3", "..data", "a", "c"]);
    // One file less is another generation too, and so are none.
    assert!(publish(&mut volumes, &filled(4, &[("a", "1", 0o644)])));
    assert!(publish(&mut volumes, &filled(5, &[])));
    assert!(!publish(&mut volumes, &filled(6, &[])));
}

#[test]
fn the_owner_can_always_read_a_file_of_a_volume() {
    let mode = VolumeFileMode::of_kubelet(0o040, false).unwrap();
    let volume = TestVolume::new();
    let files = filled(1, &[("a", "1", u32::from(mode.bits()))]);
    publish(&mut open(&volume), &files);
    assert!(!publish(&mut open(&volume), &files));
    // Another mode is another file, as it is for kubelet.
    let files = filled(2, &[("a", "1", 0o644)]);
    assert!(publish(&mut open(&volume), &files));
    let mode = fs::metadata(volume.path().join("a")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o644);
}

#[test]
fn a_missing_volume_of_a_secret_is_named() {
    let directory = "/nowhere/volumes/certs".to_owned();
    let error = SecretVolumes::open(&[SecretVolume { directory, sources: Vec::new() }]);
    assert_eq!(error.unwrap_err().to_string(), "open volume /nowhere/volumes/certs");
}

#[test]
fn a_file_is_at_its_other_path_too_and_changes_with_it() {
    let volume = TestVolume::new();
    let directory = volume.path().to_str().unwrap().to_owned();
    let name = |text: &str| text.parse::<SecretName>().unwrap();
    let config = FilesConfig {
        paths: [(name("KEY"), path("nginx/tls/key")), (name("URL"), path("url"))].into(),
        ..FilesConfig::new(directory, FileMode::OWNER)
    };
    let files = |generation, value: &[u8]| {
        let mut files = desired(generation, &model(&[("KEY", value), ("URL", b"u")]));
        let links = config.paths.iter().map(|(name, path)| (path.clone(), FileName::from(name)));
        files.paths = links.collect();
        files
    };
    let mut opened = SecretsVolume::open(&config).unwrap();
    opened.publish(&files(1, b"old"), false).unwrap();
    assert_eq!((read(&volume, "nginx/tls/key"), read(&volume, "url")), ("old".into(), "u".into()));
    assert_eq!(opened.current(), CurrentFiles::Readable(files(1, b"old").files));
    assert_eq!(
        fs::read_link(volume.path().join("..1/nginx/tls/key")).unwrap(),
        Path::new("../../KEY")
    );
    let mut opened = SecretsVolume::open(&config).unwrap();
    assert_eq!(opened.current(), CurrentFiles::Readable(files(1, b"old").files));
    opened.publish(&files(2, b"new"), false).unwrap();
    opened.mark_proven().unwrap();
    opened.remove_previous().unwrap();
    assert_eq!(read(&volume, "nginx/tls/key"), "new");
    assert_eq!(volume.names(), ["..2", "..data", "KEY", "URL", "kubernetes.io", "nginx", "url"]);
    // The links go with the file.
    opened.publish(&desired(3, &model(&[("URL", b"u")])), false).unwrap();
    opened.mark_proven().unwrap();
    opened.remove_previous().unwrap();
    assert_eq!(volume.names(), ["..3", "..data", "URL", "kubernetes.io"]);
}
