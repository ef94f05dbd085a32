//! Certificates from files, put there the way kubelet and cert-manager do it.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]
#![allow(dead_code, reason = "each test file uses a part of the support")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use certs::alt_names::SubjectAltNames;
use certs::cert_key_pair::CertKeyPair;
use certs::files::{FileCertificates, FilesError};
use certs::issue::{create_ca, issue_leaf};
use certs::renewal::RenewalPolicy;
use certs::state::{CertFiles, State};
use runtime::tasks::Tasks;
use support::{ManualClock, NAME, connect, eventually, hello};

fn made(now: SystemTime) -> CertFiles {
    let names = SubjectAltNames::parse([NAME]).unwrap();
    let (state, _) =
        State::default().advance("somebody else", &names, now, &RenewalPolicy::default()).unwrap();
    state.to_files()
}

fn put(directory: &Path, files: &CertFiles) {
    for name in ["tls.crt", "tls.key", "ca.crt"] {
        let text = files.content(name).unwrap();
        let new = directory.join("new");
        write(&new, text);
        fs::rename(&new, directory.join(name)).unwrap();
    }
}

fn write(path: &Path, bytes: &[u8]) {
    use std::io::Write;
    fs::File::create(path).unwrap().write_all(bytes).unwrap();
}

/// As kubelet does it: a new directory, and one link swapped over.
fn swap(directory: &Path, generation: &str, files: &CertFiles) {
    let target = directory.join(generation);
    fs::create_dir(&target).unwrap();
    put(&target, files);
    let new = directory.join("..data_tmp");
    symlink(generation, &new).unwrap();
    fs::rename(&new, directory.join("..data")).unwrap();
    for name in ["tls.crt", "tls.key", "ca.crt"] {
        let _ = symlink(Path::new("..data").join(name), directory.join(name));
    }
}

#[tokio::test]
async fn each_swap_is_followed() {
    let (home, hand, tasks) = (tempfile::tempdir().unwrap(), ManualClock::new(), Tasks::new());
    let certificates = FileCertificates::new(home.path(), hand.clock());
    let (resolver, bundle) = (certificates.resolver(), certificates.bundle());
    let address = hello(certificates.resolver(), &tasks).await;
    tasks.spawn("certificates", certificates.run(tasks.stopping()));
    for round in 0..4 {
        let files = made(hand.now());
        swap(home.path(), &format!("..{round}"), &files);
        let ca = files.content("ca.crt").unwrap();
        eventually("bundle followed", || bundle.borrow().as_pem().as_bytes() == ca).await;
        eventually("pair followed", || {
            let shown = resolver.certificate().map(|one| one.pem().into_bytes());
            shown.as_deref() == files.content("tls.crt")
        })
        .await;
        let held = bundle.borrow().clone();
        connect(address, &held, &hand).await.unwrap();
    }
    assert_eq!(tasks.drain(Duration::from_secs(5)).await, Ok(()));
}

#[test]
fn what_is_bad_is_named_and_the_last_good_pair_stays() {
    let (home, hand) = (tempfile::tempdir().unwrap(), ManualClock::new());
    let path = |name: &str| home.path().join(name);
    let mut certificates = FileCertificates::new(home.path(), hand.clock());
    let missing = certificates.reload().unwrap_err();
    assert_eq!(missing.to_string(), format!("read {}", path("tls.crt").display()));

    let good = made(hand.now());
    put(home.path(), &good);
    assert!(certificates.reload().unwrap());
    assert!(!certificates.reload().unwrap());
    let served = certificates.resolver().certificate();

    let other = made(hand.now());
    let table = [
        ("tls.key", other.content("tls.key").unwrap()),
        ("tls.key", b"junk"),
        ("tls.crt", b"junk"),
        ("ca.crt", b"junk"),
    ];
    for (name, bytes) in table {
        put(home.path(), &good);
        write(&path(name), bytes);
        let error = certificates.reload().unwrap_err();
        assert_eq!(error.to_string(), format!("use {}", path(name).display()));
        assert!(!certificates.reload().unwrap(), "reported once");
        assert!(certificates.resolver().certificate() == served);
    }

    put(home.path(), &other);
    assert!(certificates.reload().unwrap());
    assert!(certificates.resolver().certificate() != served);
}

#[test]
fn a_certificate_of_tomorrow_is_taken_tomorrow() {
    let (home, hand) = (tempfile::tempdir().unwrap(), ManualClock::new());
    let day = Duration::from_secs(24 * 3600);
    put(home.path(), &made(hand.now() + day));
    let mut certificates = FileCertificates::new(home.path(), hand.clock());
    let error = certificates.reload().unwrap_err();
    assert!(matches!(error, FilesError::NotValid { .. }), "{error}");
    hand.advance(day);
    assert!(certificates.reload().unwrap());
}

#[test]
fn a_bundle_is_optional() {
    let (home, hand) = (tempfile::tempdir().unwrap(), ManualClock::new());
    put(home.path(), &made(hand.now()));
    fs::remove_file(home.path().join("ca.crt")).unwrap();
    let mut certificates = FileCertificates::new(home.path(), hand.clock());
    assert!(certificates.reload().unwrap());
    assert!(certificates.bundle().borrow().is_empty());
}

#[test]
fn a_pair_made_elsewhere_is_read() {
    let hand = ManualClock::new();
    let life = Duration::from_secs(3600);
    let ca = create_ca("a", hand.now(), life).unwrap();
    let one =
        issue_leaf(&ca, &SubjectAltNames::parse(["a", "10.0.0.1"]).unwrap(), hand.now(), life)
            .unwrap();
    let text = format!("# a comment\n{}{}", one.certificate().pem(), ca.certificate().pem());
    let files = {
        let mut files = CertFiles::default();
        files.insert("tls.crt", text.into_bytes().into());
        files
    };
    let read = CertKeyPair::from_pem(files.content("tls.crt").unwrap(), b"no key").unwrap_err();
    assert_eq!(read, certs::cert_key_pair::CertKeyPairError::Key);
}
