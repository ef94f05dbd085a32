//! Completion scripts.

use std::process::Command;

use crate::harness::finish;

fn script(shell: &str) -> String {
    let done = finish(
        Command::new(e2e::process::program("enclii").unwrap()).args(["completions", shell]),
        b"",
    );
    assert_eq!(done.code, Some(0), "{}", done.err);
    String::from_utf8(done.out).unwrap()
}

#[test]
fn every_shell_has_a_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = script(shell);
        assert!(script.contains("enclii") && script.contains("rollback"), "{shell}");
    }
}

#[test]
fn bash_completes() {
    // Loads the script, then completes a line as bash does: with the words before the cursor and
    // the word at the cursor.
    let complete = r#"
        set -eu
        source /dev/stdin
        read -ra words <<< "$LINE"
        COMP_WORDS=("${words[@]}" "$WORD"); COMP_CWORD=${#words[@]}
        COMP_LINE="$LINE $WORD"; COMP_POINT=${#COMP_LINE}
        function_name=$(complete -p enclii | sed 's/.*-F \([^ ]*\).*/\1/')
        "$function_name" enclii "$WORD" "${words[-1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let script = script("bash");
    let directory = tempfile::tempdir().unwrap();
    std::fs::File::create(directory.path().join("some-file")).unwrap();
    let complete = |line: &str, word: &str| -> Vec<String> {
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", complete]).env("LINE", line).env("WORD", word);
        bash.current_dir(directory.path());
        let done = finish(&mut bash, script.as_bytes());
        let found = String::from_utf8(done.out).unwrap();
        found.lines().map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).collect()
    };
    for (line, word, expected) in [
        ("enclii", "sec", "secrets"),
        ("enclii secrets", "roll", "rollback"),
        ("enclii secrets get", "--ser", "--service"),
        ("enclii secrets export --format", "k8", "k8s-secret"),
        ("enclii completions", "po", "powershell"),
        ("enclii tokens create ci --role", "", "readonly"),
        ("enclii secrets rotate A --alphabet", "", "base64url"),
        ("enclii secrets import --token-file", "some", "some-file"),
    ] {
        let found = complete(line, word);
        assert!(found.iter().any(|it| it == expected), "{line} {word}: {found:?}");
    }
    // Neither what is hidden nor a file where none is meant.
    for (line, word, wrong) in [
        ("enclii secrets get", "--tok", "--token"),
        ("enclii", "--tok", "--token"),
        ("enclii run", "--run", "--runtime-directory"),
        ("enclii tokens create ci --role", "", "some-file"),
        ("enclii secrets get A --service", "some", "some-file"),
        ("enclii audit list --outcome", "", "some-file"),
    ] {
        let found = complete(line, word);
        assert!(!found.iter().any(|it| it == wrong), "{line} {word}: {found:?}");
    }
    let done = finish(Command::new("bash").args(["-n", "/dev/stdin"]), script.as_bytes());
    assert_eq!(done.code, Some(0), "{}", done.err);
}
