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
    for (line, word, expected) in [
        ("enclii", "sec", "secrets"),
        ("enclii secrets", "roll", "rollback"),
        ("enclii secrets get", "--ser", "--service"),
        ("enclii secrets export --format", "k8", "k8s-secret"),
        ("enclii completions", "po", "powershell"),
    ] {
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", complete]).env("LINE", line).env("WORD", word);
        let done = finish(&mut bash, script.as_bytes());
        let found = String::from_utf8(done.out).unwrap();
        assert!(
            found.lines().any(|it| it.trim() == expected),
            "{line} {word}: {found} {}",
            done.err
        );
    }
    let done = finish(Command::new("bash").args(["-n", "/dev/stdin"]), script.as_bytes());
    assert_eq!(done.code, Some(0), "{}", done.err);
}
