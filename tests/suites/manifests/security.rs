//! Every test that SECURITY.md names exists.

use std::fs;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The Rust files below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_test_that_the_threat_table_names_exists() {
    let page = fs::read_to_string(repository().join("SECURITY.md")).unwrap();
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| ")).collect();
    assert!(rows.len() > 10, "the table is gone");
    let mut files = Vec::new();
    sources(&repository(), &mut files);
    let texts: Vec<_> =
        files.iter().map(|file| (file, fs::read_to_string(file).unwrap())).collect();
    let quoted = rows.iter().flat_map(|row| row.split('`').skip(1).step_by(2));
    let mut tests = 0;
    for word in quoted {
        if word.ends_with(".rs") {
            assert!(files.iter().any(|file| file.ends_with(word)), "{word} does not exist");
        } else if word.matches('_').count() > 2 {
            let function = format!("fn {word}(");
            assert!(texts.iter().any(|(_, text)| text.contains(&function)), "no test {word}");
            tests += 1;
        }
    }
    assert!(tests > 10, "{tests} tests are named");
}
