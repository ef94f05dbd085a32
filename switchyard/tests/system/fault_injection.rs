//! Full, read-only and frozen disks, and failing system calls. Needs root.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Fills the disk to the last byte.
pub(crate) fn fill(directory: &Path) {
    let mut file = File::create(directory.join("filler")).unwrap();
    let mut block = 1 << 16;
    while block > 0 {
        if std::io::Write::write_all(&mut file, &vec![7; block]).is_err() {
            block /= 2;
        }
    }
}

/// A small mounted disk. Unmounted on drop.
pub(crate) struct MountedDisk(PathBuf);

impl MountedDisk {
    pub(crate) fn tmpfs(at: &Path, size: &str) -> Self {
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "tmpfs"])
            .arg(at));
        Self(at.to_owned())
    }

    /// A freezable ext4 file system, in an image file in `directory`.
    pub(crate) fn ext4(directory: &Path, at: &Path) -> Self {
        let image = directory.join("image");
        File::create(&image).and_then(|file| file.set_len(64 << 20)).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image));
        std::fs::create_dir(at).unwrap();
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(at));
        let mounted = Self(at.to_owned());
        std::fs::set_permissions(at, Permissions::from_mode(0o700)).unwrap();
        mounted
    }
}

impl Drop for MountedDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Injects errors into a process's system calls, with strace.
pub(crate) struct SyscallFaults(Child);

impl SyscallFaults {
    pub(crate) fn attach(process: u32, inject: &str) -> Self {
        let calls = inject.split(':').next().unwrap();
        let mut command = Command::new("strace");
        command.args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            &format!("trace={calls}"),
            "-e",
            &format!("inject={inject}"),
            "-p",
            &process.to_string(),
        ]);
        let child = command
            .stderr(Stdio::null())
            .spawn()
            .expect("strace is needed: tests/stores/test.sh installs it");
        let status = format!("/proc/{process}/status");
        // Attached once the kernel reports a tracer. A process killed immediately becomes a zombie.
        let waits = |line: &str| line == "TracerPid:\t0";
        let ended = |line: &str| line.starts_with("State:\tZ");
        loop {
            let about = std::fs::read_to_string(&status).unwrap();
            if !about.lines().any(waits) || about.lines().any(ended) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Self(child)
    }

    pub(crate) fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for SyscallFaults {
    fn drop(&mut self) {
        self.end();
    }
}

/// Makes the database's files and directory immutable. This also affects open files, which would
/// prevent a read-only remount.
pub(crate) struct ReadOnlyFiles(Vec<PathBuf>);

impl ReadOnlyFiles {
    pub(crate) fn make(data: &Path) -> Self {
        let files = ["switchyard.db", "switchyard.db-wal"].map(|name| data.join(name));
        let all = Self(files.into_iter().chain([data.to_owned()]).collect());
        run(Command::new("chattr").arg("+i").args(&all.0));
        all
    }
}

impl Drop for ReadOnlyFiles {
    fn drop(&mut self) {
        let _ = Command::new("chattr").arg("-i").args(&self.0).status();
    }
}

/// Freezes a file system: writers block until this is dropped.
pub(crate) struct FrozenFilesystem(PathBuf);

impl FrozenFilesystem {
    pub(crate) fn freeze(mounted: &Path) -> Self {
        run(Command::new("fsfreeze").arg("--freeze").arg(mounted));
        Self(mounted.to_owned())
    }
}

impl Drop for FrozenFilesystem {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("--unfreeze").arg(&self.0).status();
    }
}

fn run(command: &mut Command) {
    let done = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(done.success(), "{command:?}: this test needs root");
}
