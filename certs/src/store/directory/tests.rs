use std::os::unix::fs::PermissionsExt;

use super::*;

fn files(parts: &[(&str, &str)]) -> CertFiles {
    let mut files = CertFiles::default();
    for (name, content) in parts {
        files.insert(name, Zeroizing::new(content.as_bytes().to_vec()));
    }
    files
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

async fn written(directory: &DirectoryCertStore, new: &CertFiles, seen: &Loaded) -> bool {
    matches!(directory.store(new, seen).await.unwrap(), StoreOutcome::Written(_))
}

#[tokio::test]
async fn stored_files_can_be_loaded_and_are_private() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("certs");
    let directory = DirectoryCertStore::new(&path);
    let nothing = directory.load().await.unwrap();
    assert!(nothing.files.is_empty());

    let first = files(&[("tls.crt", "certificate"), ("tls.key", "key")]);
    assert!(written(&directory, &first, &nothing).await);
    let loaded = directory.load().await.unwrap();
    assert_eq!(loaded.files, first);
    assert_eq!(fs::read(path.join("tls.key")).unwrap(), b"key");
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("..data/")), 0o700);
    assert_eq!(mode(&path.join("tls.key")), 0o600);

    let second = files(&[("tls.crt", "other")]);
    assert!(written(&directory, &second, &loaded).await);
    assert_eq!(directory.load().await.unwrap().files, second);
    assert!(!path.join("tls.key").exists());
    assert_eq!(generations(&path).unwrap().len(), 1);
}

#[tokio::test]
async fn the_slower_writer_gets_a_conflict() {
    let home = tempfile::tempdir().unwrap();
    let directory = DirectoryCertStore::new(home.path());
    let seen = directory.load().await.unwrap();
    assert!(written(&directory, &files(&[("ca.crt", "one")]), &seen).await);
    assert!(!written(&directory, &files(&[("ca.crt", "two")]), &seen).await);
    assert_eq!(directory.load().await.unwrap().files, files(&[("ca.crt", "one")]));
}

#[tokio::test]
async fn a_held_lock_is_a_conflict_and_not_an_error() {
    let home = tempfile::tempdir().unwrap();
    let directory = DirectoryCertStore::new(home.path());
    let _held = lock(&home.path().join(LOCK)).unwrap().unwrap();
    assert!(!written(&directory, &files(&[("ca.crt", "one")]), &Loaded::default()).await);
}

#[tokio::test]
async fn leftovers_of_a_crash_do_no_harm() {
    let home = tempfile::tempdir().unwrap();
    let directory = DirectoryCertStore::new(home.path());
    let seen = Loaded::default();
    assert!(written(&directory, &files(&[("ca.crt", "one")]), &seen).await);
    // Killed between generation and link, and again between link and rename.
    let path = home.path();
    fs::create_dir(path.join("..generation-2")).unwrap();
    symlink("..generation-2", path.join(NEW_LINK)).unwrap();
    let seen = directory.load().await.unwrap();
    assert_eq!(seen.files, files(&[("ca.crt", "one")]));
    assert!(written(&directory, &files(&[("ca.crt", "two")]), &seen).await);
    assert_eq!(directory.load().await.unwrap().files, files(&[("ca.crt", "two")]));
    assert_eq!(generations(path).unwrap().len(), 1);
}

#[tokio::test]
async fn a_change_is_noticed_and_reading_is_not_a_change() {
    let home = tempfile::tempdir().unwrap();
    let directory = DirectoryCertStore::new(home.path());
    assert!(written(&directory, &files(&[("ca.crt", "one")]), &Loaded::default()).await);
    let seen = directory.load().await.unwrap();
    let short = Duration::from_millis(300);
    assert!(tokio::time::timeout(short, directory.changed(&seen)).await.is_err());

    let long = Duration::from_secs(10);
    let (noticed, ()) = tokio::join!(tokio::time::timeout(long, directory.changed(&seen)), async {
        tokio::time::sleep(short).await;
        let _ = directory.load().await;
        assert!(written(&directory, &files(&[("ca.crt", "two")]), &seen).await);
    });
    noticed.unwrap();

    let seen = directory.load().await.unwrap();
    fs::remove_dir_all(home.path()).unwrap();
    tokio::time::timeout(long, directory.changed(&seen)).await.unwrap();
}

#[tokio::test]
async fn an_error_names_the_path() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("file");
    File::create(&path).unwrap();
    let error = DirectoryCertStore::new(path.join("certs"))
        .store(&files(&[("ca.crt", "one")]), &Loaded::default())
        .await
        .unwrap_err();
    assert!(error.to_string().ends_with("file/certs"), "{error}");
}
