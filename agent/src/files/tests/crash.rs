//! What a reader of the volume sees after a crash at any step.

use proptest::prelude::*;

use super::*;

/// Publishes up to, but not including, step `stop`, as if the agent crashed there. Returns whether
/// the swap was reached.
fn crash(volume: &TestVolume, desired: &DesiredFiles, stop: usize) -> bool {
    let files = volume.open();
    let entries = files.list().unwrap();
    let name = unused_name(&desired.held, &entries);
    let tree = tree::of_files(desired, files.file_mode);
    let set_reload_pending = files.current_directory.is_some() && !files.reload_pending();
    let steps = steps::publish_steps(tree.keys(), &entries, set_reload_pending);
    let done = &steps[..stop.min(steps.len())];
    for step in done {
        files.perform(step, &name, &tree).unwrap();
    }
    done.contains(&VolumeStep::SwapDataLink)
}

#[test]
fn a_crash_after_any_step_shows_the_old_files_or_the_new_ones() {
    let old = model(&[("A", b"old"), ("GONE", b"x")]);
    let new = model(&[("A", b"new"), ("B", b"y")]);
    let mut reached = [false, false];
    for stop in 0..=9 {
        let volume = TestVolume::new();
        volume.open().publish(&desired(1, &old), false).unwrap();
        let swapped = crash(&volume, &desired(2, &new), stop);
        reached[usize::from(swapped)] = true;
        let expected = if swapped { &new } else { &old };
        assert_eq!(volume.visible(), *expected, "after {stop} steps");

        let files = volume.open();
        assert_eq!(volume.visible(), *expected, "after {stop} steps and a restart");
        assert!(!swapped || files.reload_pending());
        let directory = if swapped { "..2" } else { "..1" };
        let mut names =
            vec![directory.to_owned(), "..data".to_owned(), SERVICE_ACCOUNT_DIRECTORY.to_owned()];
        names.extend(expected.keys().cloned());
        names.extend(files.reload_pending().then(|| RELOAD_PENDING_FILE.to_owned()));
        names.sort();
        assert_eq!(volume.names(), names, "after {stop} steps and a restart");
    }
    assert_eq!(reached, [true, true]);
}

/// Makes every secret a variable too.
fn with_env(mut desired: DesiredFiles) -> DesiredFiles {
    let line = |(name, value): (&FileName, &Redacted)| {
        let text = String::from_utf8(value.expose().to_vec()).unwrap();
        (name.clone(), Redacted::from(format!("{}='{text}'", name.as_str()).as_bytes()))
    };
    desired.env = desired.files.iter().map(line).collect();
    desired
}

/// Kubelet reads a variable when it creates a container, which may be at any time.
#[test]
fn a_crash_after_any_step_shows_kubelet_the_old_variables_or_the_new_ones() {
    let mut reached = [false, false];
    for stop in 0..=12 {
        let volume = TestVolume::new();
        volume.open().publish(&with_env(desired(1, &model(&[("A", b"old")]))), false).unwrap();
        let new = model(&[("A", b"new"), ("B", b"y")]);
        let swapped = crash(&volume, &with_env(desired(2, &new)), stop);
        reached[usize::from(swapped)] = true;
        let seen = |name| fs::read(volume.path().join(".env").join(name)).ok();
        for _ in ["the crash", "a restart"] {
            let expected: &[u8] = if swapped { b"A='new'" } else { b"A='old'" };
            assert_eq!(seen("A").as_deref(), Some(expected), "after {stop} steps");
            assert_eq!(seen("B").is_some(), swapped, "after {stop} steps");
            drop(volume.open());
        }
    }
    assert_eq!(reached, [true, true]);
}

fn contents() -> impl Strategy<Value = ExpectedFiles> {
    prop::collection::btree_map("[A-D]", prop::collection::vec(any::<u8>(), 0..20), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_history_of_writes_and_crashes_shows_whole_generations(
        history in prop::collection::vec((contents(), 1u64..4, prop::option::of(0usize..12)), 1..8)
    ) {
        let volume = TestVolume::new();
        let mut expected = ExpectedFiles::new();
        for (contents, generation, stop) in history {
            let desired = desired(generation, &contents);
            let swapped = match stop {
                Some(stop) => crash(&volume, &desired, stop),
                None => {
                    volume.open().publish(&desired, false).unwrap();
                    true
                }
            };
            if swapped {
                expected = contents;
            }
            prop_assert_eq!(volume.visible(), expected.clone());
        }
        volume.open().remove_previous().unwrap();
        let is_generation = |name: &&String| {
            name.starts_with("..") && !name.contains("data") && !name.contains("reload")
        };
        let left = volume.names().iter().filter(is_generation).count();
        prop_assert!(left <= 1, "{:?}", volume.names());
    }
}
