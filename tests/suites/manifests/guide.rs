//! The guide has every annotation, and its snippets read two files of one generation.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use contract::annotations;

/// Open without waiting for the other end (`O_NONBLOCK` of Linux).
const NONBLOCK: i32 = 0o4000;

fn guide() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide.md");
    fs::read_to_string(path).unwrap()
}

#[test]
fn the_guide_has_a_row_for_every_annotation() {
    let guide = guide();
    let of_files = annotations::FILE_KEYS.iter().map(|(key, _)| format!("{key}FILE"));
    for key in annotations::KEYS.iter().map(|(key, _)| String::from(*key)).chain(of_files) {
        assert!(guide.contains(&format!("\n| `{key}` | ")), "docs/guide.md lacks {key}");
    }
}

/// The snippet in a language that resolves `..data`.
fn snippet(language: &str) -> String {
    let guide = guide();
    let blocks = guide.split("```").skip(1).step_by(2);
    let ours = blocks.filter_map(|block| block.strip_prefix(&format!("{language}\n")));
    let mut found = ours.filter(|block| block.contains("/run/secrets/..data"));
    found.next().unwrap_or_else(|| panic!("no snippet in {language}")).to_owned()
}

fn create(path: &Path, text: &str) {
    File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// The first file of generation 1 is a pipe, so that a reader waits in the middle; the files of
/// generation 2 are there.
fn secrets() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("..1")).unwrap();
    fs::create_dir(path("..2")).unwrap();
    assert!(Command::new("mkfifo").arg(path("..1/tls.crt")).status().unwrap().success());
    create(&path("..1/tls.key"), "1");
    create(&path("..2/tls.crt"), "2");
    create(&path("..2/tls.key"), "2");
    symlink("..1", path("..data")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{name}"), path(name)).unwrap();
    }
    directory
}

/// Swaps the generations while the program reads the first file.
fn swap_while_it_reads(secrets: &Path, program: &mut Child) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let pipe = secrets.join("..1/tls.crt");
    // There is no other end before the program opens the file.
    let mut pipe = loop {
        match OpenOptions::new().write(true).custom_flags(NONBLOCK).open(&pipe) {
            Ok(pipe) => break pipe,
            Err(error) => {
                let ended = program.try_wait().unwrap();
                assert!(ended.is_none() && Instant::now() < deadline, "{error}, {ended:?}");
                thread::sleep(Duration::from_millis(5));
            }
        }
    };
    symlink("..2", secrets.join("..new")).unwrap();
    fs::rename(secrets.join("..new"), secrets.join("..data")).unwrap();
    pipe.write_all(b"1").unwrap();
}

/// The two files as a program read them; `None` if there is no such program.
fn read_by(words: &[&str], script: &str) -> Option<String> {
    let secrets = secrets();
    let directory = secrets.path().to_str().unwrap();
    let script = script.replace("/run/secrets", directory);
    let (program, options) = words.split_first().unwrap();
    let mut command = Command::new(program);
    command.args(options).arg(script).stdout(Stdio::piped());
    let mut child = match command.spawn() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        child => child.unwrap(),
    };
    swap_while_it_reads(secrets.path(), &mut child);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", output.status);
    Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[test]
fn the_snippets_read_two_files_of_one_generation() {
    let shell = &["sh", "-ec"][..];
    let print = "printf '%s %s' \"$cert\" \"$key\"";
    let by_path = "cert=$(cat /run/secrets/tls.crt) key=$(cat /run/secrets/tls.key)";
    // What the snippets are for.
    assert_eq!(read_by(shell, &format!("{by_path}\n{print}")).unwrap(), "1 2");
    for (language, words, print) in [
        ("sh", shell, print),
        ("python", &["python3", "-c"], "print(cert.decode(), key.decode())"),
        ("ruby", &["ruby", "-e"], "print cert, ' ', key"),
        ("js", &["node", "-e"], "process.stdout.write(`${cert} ${key}`)"),
    ] {
        match read_by(words, &format!("{}\n{print}", snippet(language))) {
            Some(read) => assert_eq!(read, "1 1", "{language}"),
            None => assert_ne!(language, "sh", "there is no shell"),
        }
    }
}
