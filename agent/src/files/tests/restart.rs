//! A restart of the containers is done once for each generation, whatever crashes in between.

use super::*;

/// What the next run of the agent finds: whether a reload is pending, and whether the containers
/// were restarted for it.
fn found(volume: &TestVolume) -> (bool, bool) {
    let files = volume.open();
    (files.reload_pending(), files.was_restarted())
}

#[test]
fn a_restart_counts_as_done_once_it_is_recorded_and_only_for_its_generation() {
    let volume = TestVolume::new();
    volume.open().publish(&desired(1, &model(&[("A", b"1")])), false).unwrap();
    assert_eq!(found(&volume), (false, false));
    volume.open().publish(&desired(2, &model(&[("A", b"2")])), true).unwrap();
    // Crashes before the record change nothing.
    assert_eq!(found(&volume), (true, false));
    assert_eq!(found(&volume), (true, false));
    volume.open().record_restart().unwrap();
    assert_eq!(found(&volume), (true, true));
    // A crash between the two steps of the next run.
    volume.open().clear_reload_pending().unwrap();
    assert_eq!(found(&volume), (false, true));
    volume.open().clear_restart().unwrap();
    assert_eq!(found(&volume), (false, false));
    // The record of another generation is none of this one.
    volume.open().record_restart().unwrap();
    volume.open().publish(&desired(3, &model(&[("A", b"3")])), true).unwrap();
    assert_eq!(found(&volume), (true, false));
    assert!(!volume.names().iter().any(|name| name.ends_with("_tmp")), "{:?}", volume.names());
}

#[test]
fn the_generation_that_works_comes_back_with_its_names() {
    let volume = TestVolume::new();
    let old = model(&[("A", b"old"), ("GONE", b"x")]);
    let mut files = volume.open();
    files.publish(&desired(1, &old), false).unwrap();
    assert!(!files.restore_proven(true).unwrap(), "nothing is known to work yet");
    files.mark_proven().unwrap();
    assert!(!files.restore_proven(true).unwrap(), "it is the current one");
    // Two in a row do not work, and the agent starts again in between.
    for (generation, restarts) in [(2, false), (3, true)] {
        files.record_proven().unwrap();
        let new = model(&[("A", b"new"), ("B", b"y")]);
        files.publish(&desired(generation, &new), true).unwrap();
        files.remove_previous().unwrap();
        if restarts {
            files = volume.open();
        }
        assert!(files.is_unproven());
        assert_eq!(volume.visible(), new);
    }
    files.clear_reload_pending().unwrap();
    assert!(files.restore_proven(true).unwrap());
    assert!(files.reload_pending() && !files.is_unproven());
    assert_eq!(volume.visible(), old);
    files.remove_previous().unwrap();
    assert_eq!(volume.names(), ["..1", "..data", "..reload", "A", "GONE", "kubernetes.io"]);
    let files = volume.open();
    assert!(!files.is_unproven());
    assert_eq!(volume.visible(), old);
}
