//! A switchyard per test, and the command line set up for it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use e2e::loopback::Loopback;
use serde_json::Value;

/// A running system and its directory.
pub(crate) struct CliHarness {
    // Dropped in this order: the processes before the directory that they write to.
    pub(crate) system: Loopback,
    pub(crate) directory: tempfile::TempDir,
}

/// The exit code and output of a program.
#[derive(Debug)]
pub(crate) struct CliOutput {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl CliHarness {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| vec![])
    }

    /// Sets further environment variables of switchyard, which may name files in the directory.
    pub(crate) fn start_with(settings: impl FnOnce(&Path) -> Vec<(&'static str, String)>) -> Self {
        let directory = tempfile::Builder::new().prefix("enclii-cli-").tempdir().unwrap();
        let settings = settings(directory.path());
        let settings: Vec<_> =
            settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let system = Loopback::start_with(directory.path(), &[], &[], &settings).unwrap();
        Self { system, directory }
    }

    /// The command, with the scope of most tests.
    pub(crate) fn enclii(&self, words: &[&str]) -> Command {
        let mut command = self.system.enclii().unwrap();
        command
            .args(words)
            .env("ENCLII_PROJECT", "shop")
            .env("ENCLII_ENV", "prod")
            .env("ENCLII_SERVICE", "api");
        // Not the session of the person who runs the tests.
        command.env("XDG_CONFIG_HOME", self.directory.path());
        command
    }

    /// Runs the command to its end, without a terminal.
    pub(crate) fn run(&self, words: &[&str], stdin: &[u8]) -> CliOutput {
        finish(&mut self.enclii(words), stdin)
    }

    /// Runs a command that must succeed. Returns its standard output.
    pub(crate) fn ok(&self, words: &[&str], stdin: &[u8]) -> String {
        let done = self.run(words, stdin);
        assert_eq!(done.code, Some(0), "enclii {words:?}: {}", done.err);
        String::from_utf8(done.out).unwrap()
    }

    /// Runs a command that must succeed. Returns its JSON output.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let text = self.ok(&[words, ["--output", "json"].as_slice()].concat(), b"");
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("enclii {words:?}: {error}: {text}"))
    }

    /// Runs a command that must fail with the exit code. Returns its standard error.
    pub(crate) fn fails(&self, code: i32, words: &[&str]) -> String {
        let done = self.run(words, b"");
        assert_eq!(
            done.code,
            Some(code),
            "enclii {words:?}: {} {}",
            String::from_utf8_lossy(&done.out),
            done.err
        );
        done.err
    }

    pub(crate) fn set(&self, name: &str, value: &[u8]) {
        self.ok(&["secrets", "set", &format!("{name}=-")], value);
    }

    /// Creates a file in the directory. Returns its path.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.directory.path().join(name);
        std::fs::File::create(&path).and_then(|mut it| it.write_all(bytes)).unwrap();
        text(&path)
    }

    /// The number of audit events of an action.
    pub(crate) fn events(&self, action: &str) -> usize {
        let events = self.system.get(&format!("/v1/audit?limit=1000&action={action}")).unwrap();
        events["events"].as_array().unwrap().len()
    }
}

/// Runs a program to its end.
pub(crate) fn finish(command: &mut Command, stdin: &[u8]) -> CliOutput {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    std::thread::scope(|threads| {
        // The program may end without reading its input.
        threads.spawn(move || drop(pipe.write_all(stdin)));
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        CliOutput { code: status.code(), out: stdout, err: String::from_utf8(stderr).unwrap() }
    })
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
