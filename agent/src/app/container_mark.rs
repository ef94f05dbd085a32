//! Tells from the mounts of a process which container it is in.
//!
//! The container that gets a signal mounts a directory of the secrets volume of its own, named
//! after it (see [`contract::layout::CONTAINER_MARKS`]). `/proc/PID/mountinfo` lists it for each
//! of the container's processes, to every user, and no process can overwrite that, as one that sets
//! its title overwrites its environment.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use contract::layout::CONTAINER_MARKS;

// Nodes with thousands of mounts have them in their own namespace, not in a container's.
const MAX_MOUNTS_BYTES: u64 = 1 << 20;

/// The mark of one container, as its processes' mounts have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ContainerMark {
    /// The device of the secrets volume, as `MAJOR:MINOR`.
    device: String,
    /// The directory on it.
    root: String,
}

/// What the mounts of a process say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    /// It is in the container.
    InContainer,
    /// It is not.
    Elsewhere,
    /// They cannot be read, or the process has changed its root directory and shows only those
    /// below it.
    Unknown,
}

impl ContainerMark {
    /// The mark of `container`, if the agent's secrets volume is mounted at `directory` and kubelet
    /// has made the container's directory there: it does that before the container starts.
    pub(super) fn find(proc: &Path, directory: &Path, container: &str) -> Option<Self> {
        if !directory.join(CONTAINER_MARKS).join(container).is_dir() {
            return None;
        }
        Self::parse(&read_mounts(&proc.join("self/mountinfo")).ok()?, directory, container)
    }

    fn parse(own_mounts: &str, directory: &Path, container: &str) -> Option<Self> {
        // The last one is on top of the others at the same place.
        let mount = mounts(own_mounts).filter(|it| Path::new(it.at) == directory).last()?;
        let root = mount.root.trim_end_matches('/');
        let (device, root) =
            (mount.device.to_owned(), format!("{root}/{CONTAINER_MARKS}/{container}"));
        Some(Self { device, root })
    }

    /// Whether a process is in the container.
    pub(super) fn membership(&self, proc: &Path, pid: i32) -> Membership {
        match read_mounts(&proc.join(pid.to_string()).join("mountinfo")) {
            Ok(mounts) => self.membership_by(&mounts),
            Err(_) => Membership::Unknown,
        }
    }

    fn membership_by(&self, text: &str) -> Membership {
        let is_mark = |it: &Mount<'_>| it.device == self.device && it.root == self.root;
        if mounts(text).any(|it| is_mark(&it)) {
            Membership::InContainer
        } else if mounts(text).any(|it| it.at == "/") {
            Membership::Elsewhere
        } else {
            Membership::Unknown
        }
    }
}

/// One line of `mountinfo`, see proc_pid_mountinfo(5).
struct Mount<'t> {
    device: &'t str,
    /// The directory of the device that is mounted.
    root: &'t str,
    /// Where it is mounted.
    at: &'t str,
}

/// The mounts that can be read. None of the names that matter here has a character that the file
/// escapes.
fn mounts(text: &str) -> impl Iterator<Item = Mount<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(2);
        Some(Mount { device: fields.next()?, root: fields.next()?, at: fields.next()? })
    })
}

fn read_mounts(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_MOUNTS_BYTES).read_to_end(&mut bytes)?;
    // The name of a mount may be any bytes.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: &str = "\
100 90 0:50 / / rw,relatime master:1 - overlay overlay rw
101 100 0:51 / /proc rw - proc proc rw
102 100 0:77 / /run/secrets rw,relatime - tmpfs tmpfs rw,size=9216k
";

    fn mark() -> ContainerMark {
        ContainerMark::parse(AGENT, Path::new("/run/secrets"), "app").unwrap()
    }

    #[test]
    fn the_mark_is_a_directory_of_the_agents_volume() {
        let expected = ContainerMark { device: "0:77".into(), root: "/.container/app".into() };
        assert_eq!(mark(), expected);
        assert_eq!(ContainerMark::parse(AGENT, Path::new("/run/other"), "app"), None);
        // A volume on a disk, as tests on a machine without memory volumes have it.
        let disk = "1 2 254:0 /kubelet/pods/u/volumes/enclii-secrets /run/secrets rw - ext4 x rw\n";
        let found = ContainerMark::parse(disk, Path::new("/run/secrets"), "app").unwrap();
        assert_eq!(found.root, "/kubelet/pods/u/volumes/enclii-secrets/.container/app");
    }

    #[test]
    fn mounts_tell_the_container() {
        let root = "1 0 0:9 / / rw - overlay overlay rw\n";
        for (mounts, expected) in [
            ("2 1 0:77 /.container/app /run/enclii/container ro - tmpfs tmpfs rw\n", true),
            // A process can mount it elsewhere, and the volume itself is in every container.
            ("2 1 0:77 /.container/app /mnt ro shared:7 - tmpfs tmpfs rw\n", true),
            ("2 1 0:77 / /run/secrets ro - tmpfs tmpfs rw\n", false),
            ("2 1 0:77 /.container/app-2 /run/enclii/container ro - tmpfs tmpfs rw\n", false),
            ("2 1 0:78 /.container/app /run/enclii/container ro - tmpfs tmpfs rw\n", false),
            ("", false),
            ("garbage\n\n", false),
        ] {
            let expected = if expected { Membership::InContainer } else { Membership::Elsewhere };
            assert_eq!(mark().membership_by(&format!("{root}{mounts}")), expected, "{mounts}");
        }
        assert_eq!(
            mark().membership_by("7 1 0:9 /var/lib /chroot rw - x x rw\n"),
            Membership::Unknown
        );
        assert_eq!(mark().membership_by(""), Membership::Unknown);
        assert_eq!(mark().membership(Path::new("/proc"), i32::MAX), Membership::Unknown);
    }

    #[test]
    fn a_mount_may_have_any_name() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("7")).unwrap();
        let text = b"1 0 0:9 / / rw - x x rw\n2 1 0:8 / /\xff rw - x x rw\n";
        let mut file = File::create(temp.path().join("7/mountinfo")).unwrap();
        io::Write::write_all(&mut file, text).unwrap();
        assert_eq!(mark().membership(temp.path(), 7), Membership::Elsewhere);
    }

    #[test]
    fn a_mark_needs_its_directory_and_the_volume() {
        let temp = tempfile::tempdir().unwrap();
        let find = || ContainerMark::find(Path::new("/proc"), temp.path(), "app");
        assert_eq!(find(), None);
        std::fs::create_dir_all(temp.path().join(CONTAINER_MARKS).join("app")).unwrap();
        // It is not a mount.
        assert_eq!(find(), None);
    }
}
