//! A command that the Injector would run after a change, as a way to tell the application.

use contract::ReloadRequest;

/// Why a command cannot be replaced, and what to write in its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the agent runs no command; remove it and write `{instead}`, or what else of \
     enclii.io/reload tells the application"
)]
pub(super) struct CommandError {
    instead: &'static str,
}

/// What comes before a command that a shell runs.
const SHELLS: [&str; 6] = ["sh", "/bin/sh", "bash", "/bin/bash", "ash", "/bin/ash"];

/// What may end a command without a meaning here.
const ENDS: [&str; 8] =
    ["|| true", "|| :", "; true", "; exit 0", "|| exit 0", "2>/dev/null", "2>&1", ">/dev/null"];

/// The way to tell the application that a command means.
///
/// # Errors
/// When it means none.
pub(super) fn reload(command: &str) -> Result<ReloadRequest, CommandError> {
    let command = stripped(command);
    let words: Vec<&str> = command.split_whitespace().collect();
    // Two commands in one cannot be told by one signal or POST. In quotation marks these mean
    // nothing to a shell.
    let is_quoted = |word: &str| {
        ['\'', '"'].iter().any(|quote| {
            word.len() > 1
                && word.starts_with(*quote)
                && word.ends_with(*quote)
                && word.matches(*quote).count() == 2
        })
    };
    let ends_here = |word: &&str| word.contains([';', '|', '&']) && !is_quoted(word);
    let is_one = !command.contains('\n') && !words.iter().skip(1).any(ends_here);
    let found = if is_one { signal(&words).or_else(|| post(&words)) } else { None };
    found.and_then(|text| text.parse().ok()).ok_or_else(|| instead(&words))
}

/// A command without its shell, and without what ignores its failure.
fn stripped(command: &str) -> &str {
    let mut command = command.trim();
    for shell in SHELLS {
        let rest = command.strip_prefix(shell).filter(|rest| rest.starts_with(' '));
        let Some(rest) = rest.map(str::trim_start) else { continue };
        let script = ["-c ", "-ec ", "-ce "].iter().find_map(|it| rest.strip_prefix(it));
        if let Some(script) = script {
            command = script.trim();
            for quote in ['\'', '"'] {
                let inner = command.strip_prefix(quote).and_then(|it| it.strip_suffix(quote));
                command = inner.unwrap_or(command).trim();
            }
        }
        break;
    }
    while let Some(rest) = ENDS.iter().find_map(|end| command.strip_suffix(end)) {
        command = rest.trim_end();
    }
    command
}

/// A signal: `kill -HUP 1`, `pkill -HUP nginx`, `killall -s HUP x`, `nginx -s reload`.
fn signal(words: &[&str]) -> Option<String> {
    let (program, rest) = words.split_first()?;
    let program = program.rsplit('/').next()?;
    let name = match (program, rest) {
        ("nginx" | "openresty", ["-s", "reload"]) => "HUP",
        ("kill" | "pkill" | "killall", ["-s" | "--signal", name, _, ..]) => name,
        ("kill" | "pkill" | "killall", [option, _, ..]) => {
            option.strip_prefix("--signal=").or_else(|| option.strip_prefix('-'))?
        }
        _ => return None,
    };
    let name = match name.strip_prefix("SIG").unwrap_or(name) {
        "1" => "HUP",
        "10" => "USR1",
        "12" => "USR2",
        name => name,
    };
    // Of the others, most end a process.
    matches!(name, "HUP" | "USR1" | "USR2" | "WINCH").then(|| format!("signal=SIG{name}"))
}

/// Options that change nothing of a POST.
const PLAIN_OPTIONS: [&str; 18] = [
    "-X",
    "--request",
    "POST",
    "-XPOST",
    "--request=POST",
    "-q",
    "-qO-",
    "-O-",
    "--quiet",
    "--silent",
    "--show-error",
    "--fail",
    "--insecure",
    "-o",
    "--output",
    "/dev/null",
    "--post-data=",
    "--post-data=''",
];

/// Whether an option changes nothing of a POST: also curl's short ones in one word.
fn is_plain(option: &str) -> bool {
    let letters = option.strip_prefix('-').unwrap_or_default();
    PLAIN_OPTIONS.contains(&option)
        || option == "--post-data=\"\""
        || (!letters.is_empty() && letters.chars().all(|it| "sSfk".contains(it)))
}

/// A POST: `curl -X POST http://localhost:9090/-/reload`.
fn post(words: &[&str]) -> Option<String> {
    let (program, rest) = words.split_first()?;
    let program = program.rsplit('/').next()?;
    let is_post = match program {
        "curl" => {
            rest.windows(2).any(|it| matches!(it, ["-X" | "--request", "POST"]))
                || rest.iter().any(|it| matches!(*it, "-XPOST" | "--request=POST"))
        }
        "wget" => rest.iter().any(|it| it.starts_with("--post-data")),
        _ => false,
    };
    // The agent sends no body, no header and no credentials.
    let mut others = rest.iter().filter(|it| !is_plain(it));
    let url = others.next()?.trim_matches(['\'', '"']);
    let is_url = url.starts_with("http://") || url.starts_with("https://");
    (is_post && is_url && others.next().is_none()).then(|| format!("http={url}"))
}

/// What to write in place of a command.
fn instead(words: &[&str]) -> CommandError {
    let has = |text: &str| words.iter().any(|word| word.contains(text));
    let instead = if has("curl") || has("wget") {
        "enclii.io/reload: http=http://127.0.0.1:PORT/PATH"
    } else if has("kubectl") || has("rollout") || has("TERM") || has("KILL") || has("restart") {
        "enclii.io/reload: restart"
    } else {
        "enclii.io/reload: signal=SIGHUP"
    };
    CommandError { instead }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_and_posts_are_recognised() {
        for (command, expected) in [
            ("kill -HUP 1", "signal=SIGHUP"),
            ("kill -SIGHUP $(pidof nginx)", "signal=SIGHUP"),
            ("kill -1 $(cat /run/app.pid)", "signal=SIGHUP"),
            ("kill -s USR1 7", "signal=SIGUSR1"),
            ("/bin/kill -USR2 1 || true", "signal=SIGUSR2"),
            ("pkill -HUP nginx", "signal=SIGHUP"),
            ("pkill --signal HUP -f app", "signal=SIGHUP"),
            ("pkill --signal=SIGHUP app", "signal=SIGHUP"),
            ("killall -HUP haproxy", "signal=SIGHUP"),
            ("sh -c 'kill -HUP $(pidof app)'", "signal=SIGHUP"),
            ("/bin/sh -c \"pkill -HUP app || true\"", "signal=SIGHUP"),
            ("nginx -s reload", "signal=SIGHUP"),
            ("/usr/sbin/nginx -s reload 2>/dev/null", "signal=SIGHUP"),
            ("curl -X POST http://127.0.0.1:9090/-/reload", "http=http://127.0.0.1:9090/-/reload"),
            (
                "curl -s -XPOST 'http://127.0.0.1:8080/reload' >/dev/null 2>&1",
                "http=http://127.0.0.1:8080/reload",
            ),
            ("curl -sf -X POST http://127.0.0.1:1/r", "http=http://127.0.0.1:1/r"),
            ("curl --silent --fail -X POST http://127.0.0.1:1/r", "http=http://127.0.0.1:1/r"),
            ("curl -X POST -o /dev/null http://127.0.0.1:1/r", "http=http://127.0.0.1:1/r"),
            ("curl -X POST 'http://127.0.0.1:1/r?a=1&b=2'", "http=http://127.0.0.1:1/r?a=1&b=2"),
            ("wget -qO- --post-data='' http://127.0.0.1:1/r", "http=http://127.0.0.1:1/r"),
            ("wget -q -O- --post-data=\"\" http://127.0.0.1:1/r", "http=http://127.0.0.1:1/r"),
            ("wget --post-data= http://127.0.0.1:1/r", "http=http://127.0.0.1:1/r"),
        ] {
            let found = reload(command).unwrap_or_else(|error| panic!("{command}: {error}"));
            assert_eq!(found.to_string(), expected, "{command}");
        }
    }

    #[test]
    fn other_commands_are_refused_with_what_replaces_them() {
        for (command, expected) in [
            ("touch /tmp/reloaded", "`enclii.io/reload: signal=SIGHUP`"),
            ("kill -TERM 1", "`enclii.io/reload: restart`"),
            ("kill 1", "`enclii.io/reload: signal=SIGHUP`"),
            ("kill -HUP", "signal=SIGHUP"),
            ("sh /scripts/reload.sh", "signal=SIGHUP"),
            ("kill -HUP 1 && rm -rf /", "signal=SIGHUP"),
            ("kill -HUP 1\n/scripts/warm-cache.sh", "signal=SIGHUP"),
            ("kill -HUP 'a';'b'", "signal=SIGHUP"),
            ("wget --post-data={} http://127.0.0.1:80/r", "http=http://127.0.0.1:PORT/PATH"),
            ("curl -X POST http://127.0.0.1:80/r?a=1&b=2", "http=http://127.0.0.1:PORT/PATH"),
            ("kubectl rollout restart deployment/app", "`enclii.io/reload: restart`"),
            (
                "curl -X POST http://127.0.0.1:80/r && kill -HUP 1",
                "http=http://127.0.0.1:PORT/PATH",
            ),
            ("curl -X POST -u a:b http://127.0.0.1:80/r", "http=http://127.0.0.1:PORT/PATH"),
            ("curl -X POST http://127.0.0.1:80/r -d {}", "http=http://127.0.0.1:PORT/PATH"),
            ("curl -X POST http://127.0.0.1:80/r ; rm x", "http=http://127.0.0.1:PORT/PATH"),
            ("curl http://127.0.0.1:8080/reload", "http=http://127.0.0.1:PORT/PATH"),
            ("curl -X POST http://reloader.example/x", "http=http://127.0.0.1:PORT/PATH"),
            ("", "signal=SIGHUP"),
        ] {
            let error = reload(command).unwrap_err().to_string();
            assert!(error.contains(expected), "{command}: {error}");
        }
    }
}
