//! The mount points of other volumes.

use contract::agent_config::MountPoint;

use super::*;

#[test]
fn other_volumes_find_their_mount_points() {
    let temp = tempfile::tempdir().unwrap();
    let open = |points: &[(&str, bool)]| {
        let point = |(path, file): &(&str, bool)| MountPoint { path: (*path).into(), file: *file };
        let directory = temp.path().to_str().unwrap().to_owned();
        SecretsVolume::open(&FilesConfig {
            mount_points: points.iter().map(point).collect(),
            ..FilesConfig::new(directory, FileMode::OWNER)
        })
    };
    let points = [
        ("azure/tokens", false),
        ("eks.amazonaws.com/serviceaccount", false),
        ("pki/ca/root.pem", true),
        ("tokens", false),
        ("x.pem", true),
    ];
    // A restarted agent finds them there.
    for _ in 0..2 {
        let mut volume = open(&points).unwrap();
        volume.publish(&desired(1, &model(&[("A", b"1")])), false).unwrap();
        for (path, file) in points {
            let found = fs::symlink_metadata(temp.path().join(path)).unwrap();
            assert_eq!((found.is_file(), found.is_dir()), (file, !file), "{path}");
        }
        assert_eq!(fs::read(temp.path().join("A")).unwrap(), b"1");
    }
    for (path, message) in [
        ("../x", "create mount point ../x: it is not a path below the volume"),
        ("..data/x", "create mount point ..data/x: it is not a path below the volume"),
        ("x.pem/y", "create mount point x.pem/y in the volume"),
    ] {
        assert_eq!(open(&[(path, false)]).unwrap_err().to_string(), message);
    }
    // A link out of the volume is not followed.
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), temp.path().join("out")).unwrap();
    assert!(open(&[("out/x", false)]).is_err());
    assert!(!outside.path().join("x").exists());
}
