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
