//! A switchyard of a test's own, and the command line as its user would have it set up.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use e2e::loopback::Loopback;
use serde_json::Value;

/// A running system.
pub(crate) struct World {
    // Fields go in this order: the processes before what they write to.
    pub(crate) system: Loopback,
    pub(crate) directory: tempfile::TempDir,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl World {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| vec![])
    }

    /// With further variables of switchyard's environment, which may speak of files in the
    /// directory.
    pub(crate) fn start_with(settings: impl FnOnce(&Path) -> Vec<(&'static str, String)>) -> Self {
        let directory = tempfile::Builder::new().prefix("enclii-cli-").tempdir().unwrap();
        let settings = settings(directory.path());
        let settings: Vec<_> =
            settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let system = Loopback::start_with(directory.path(), &[], &[], &settings).unwrap();
        Self { system, directory }
    }

    /// The program, about the usual scope.
    pub(crate) fn enclii(&self, words: &[&str]) -> Command {
        let mut command = self.system.enclii().unwrap();
        command
            .args(words)
            .env("ENCLII_PROJECT", "shop")
            .env("ENCLII_ENV", "prod")
            .env("ENCLII_SERVICE", "api");
        // No session of whoever runs the tests.
        command.env("XDG_CONFIG_HOME", self.directory.path());
        command
    }

    /// Runs it to its end, without a terminal.
    pub(crate) fn run(&self, words: &[&str], stdin: &[u8]) -> Done {
        finish(&mut self.enclii(words), stdin)
    }

    /// Runs what must succeed, and gives what it printed.
    pub(crate) fn ok(&self, words: &[&str], stdin: &[u8]) -> String {
        let done = self.run(words, stdin);
        assert_eq!(done.code, Some(0), "enclii {words:?}: {}", done.err);
        String::from_utf8(done.out).unwrap()
    }

    /// Runs what must succeed, and gives the JSON that it printed.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let text = self.ok(&[words, ["--output", "json"].as_slice()].concat(), b"");
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("enclii {words:?}: {error}: {text}"))
    }

    /// Runs what must fail with an exit code, and gives what it said.
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

    /// A file of the test's.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.directory.path().join(name);
        std::fs::File::create(&path).and_then(|mut it| it.write_all(bytes)).unwrap();
        text(&path)
    }

    /// How many audit events there are of an action.
    pub(crate) fn events(&self, action: &str) -> usize {
        let events = self.system.get(&format!("/v1/audit?limit=1000&action={action}")).unwrap();
        events["events"].as_array().unwrap().len()
    }
}

/// Runs a program to its end.
pub(crate) fn finish(command: &mut Command, stdin: &[u8]) -> Done {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    std::thread::scope(|threads| {
        // A program that does not read what it is given ends all the same.
        threads.spawn(move || drop(pipe.write_all(stdin)));
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        Done { code: status.code(), out: stdout, err: String::from_utf8(stderr).unwrap() }
    })
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
