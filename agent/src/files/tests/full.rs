//! Real memory volumes without room for another generation. These tests mount them, so they need
//! root and a mount namespace of their own.

use std::process::Command;

use super::*;

/// A small memory volume. Unmounted on drop.
struct SmallVolume(TestVolume);

impl SmallVolume {
    fn new() -> Self {
        let volume = TestVolume::new();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=4m,nr_inodes=1000", "tmpfs"]).arg(volume.path());
        assert!(command.status().unwrap().success(), "{command:?}: this test needs root");
        Self(volume)
    }

    /// Leaves room for so many more pages or entries.
    fn leave(&self, room: Room) {
        let used = rustix::fs::statvfs(self.0.path()).unwrap();
        let pages = (used.f_blocks - used.f_bfree) * used.f_frsize / 4096;
        let option = match room {
            Room::Pages(more) => format!("size={}k", (pages + more) * 4),
            Room::Entries(more) => format!("nr_inodes={}", used.f_files - used.f_ffree + more),
            Room::Plenty => "size=4m,nr_inodes=1000".to_owned(),
        };
        let mut command = Command::new("mount");
        command.args(["-o", &format!("remount,{option}")]).arg(self.0.path());
        assert!(command.status().unwrap().success(), "{command:?}");
    }
}

impl Drop for SmallVolume {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[derive(Clone, Copy, Debug)]
enum Room {
    Pages(u64),
    Entries(u64),
    Plenty,
}

fn files_of(text: &str) -> ExpectedFiles {
    let large = text.repeat(3000);
    model(&[("A", text.as_bytes()), ("B", large.as_bytes()), (text, b"new")])
}

/// Each amount of room, from none to enough. The old files stay until the new ones fit.
fn rotates_in(room: impl Fn(u64) -> Room) {
    let mut refused = 0;
    for more in 0.. {
        let volume = SmallVolume::new();
        let mut files = volume.0.open();
        files.publish(&desired(1, &files_of("one")), false).unwrap();
        let names = volume.0.names();
        volume.leave(room(more));
        let result = files.publish(&desired(2, &files_of("two")), true);
        if let Err(error) = &result {
            refused += 1;
            assert!(matches!(error, VolumeError::Full { .. }), "{:?}: {error:?}", room(more));
            assert_eq!(volume.0.visible(), files_of("one"), "{:?}", room(more));
            assert_eq!(volume.0.names(), names, "{:?}: leftovers", room(more));
            assert!(!files.reload_pending());
            // A restart in this state changes nothing.
            drop(files);
            files = volume.0.open();
            assert_eq!(volume.0.visible(), files_of("one"), "{:?}", room(more));
            volume.leave(Room::Plenty);
            files.publish(&desired(2, &files_of("two")), true).unwrap();
        }
        assert_eq!(volume.0.visible(), files_of("two"), "{:?}", room(more));
        assert!(files.reload_pending());
        if result.is_ok() {
            break;
        }
    }
    assert!(refused > 3, "only {refused} amounts of room were too small");
}

#[test]
#[ignore = "needs root: make test-stores"]
fn a_volume_without_pages_keeps_its_files_until_there_is_room() {
    rotates_in(Room::Pages);
}

#[test]
#[ignore = "needs root: make test-stores"]
fn a_volume_without_entries_keeps_its_files_until_there_is_room() {
    rotates_in(Room::Entries);
}

/// As long as there is room for two generations, every one comes through, however fast they come:
/// the one that is kept for late readers gives way.
#[test]
#[ignore = "needs root: make test-stores"]
fn the_previous_generation_gives_way_to_the_next() {
    for room in [Room::Pages(9), Room::Entries(9)] {
        let volume = SmallVolume::new();
        let mut files = volume.0.open();
        files.publish(&desired(1, &files_of("one")), false).unwrap();
        files.mark_proven().unwrap();
        volume.leave(room);
        for (generation, text) in (2..).zip(["two", "three", "four"]) {
            files.record_proven().unwrap_or_else(|error| panic!("{room:?}: {error}"));
            let published = files.publish(&desired(generation, &files_of(text)), true);
            published.unwrap_or_else(|error| panic!("{room:?}, {text}: {error}"));
            files.mark_proven().unwrap();
            assert_eq!(volume.0.visible(), files_of(text), "{room:?}");
        }
    }
}

/// The first files of a pod do not fit: it has none, and gets them when they do.
#[test]
#[ignore = "needs root: make test-stores"]
fn the_first_generation_comes_as_a_whole_or_not_at_all() {
    for room in [Room::Pages(3), Room::Entries(3)] {
        let volume = SmallVolume::new();
        let mut files = volume.0.open();
        volume.leave(room);
        let error = files.publish(&desired(1, &files_of("one")), false).unwrap_err();
        assert!(matches!(error, VolumeError::Full { .. }), "{room:?}: {error:?}");
        assert!(!files.has_generation() && !generation_exists(volume.0.path()), "{room:?}");
        assert!(volume.0.visible().is_empty(), "{room:?}");
        volume.leave(Room::Plenty);
        files.publish(&desired(1, &files_of("one")), false).unwrap();
        assert_eq!(volume.0.visible(), files_of("one"), "{room:?}");
    }
}
