//! Programs that do not handle a reload signal by themselves, as far as the command of a container
//! shows them.
//!
//! Most runtimes end at such a signal, and some of them look from outside as if they caught it.
//! Servers with a meaning of their own for the signal are not in the table, and neither is what a
//! command does not show, as a program in Go.

use contract::ReloadRequest;

use crate::app_container::AppContainer;
use crate::diagnostics::{Diagnostics, Warning};

/// A program, and the signals that it does not handle by itself.
struct SignalUse {
    program: &'static str,
    unhandled: &'static [&'static str],
}

const ALL: &[&str] = &["SIGHUP", "SIGUSR1", "SIGUSR2"];

/// Each tried without a handler: Java 17, Node.js 20, Perl 5.36, PHP 8.2, Puma 5.6, Python 3.11,
/// Ruby 3.1, uvicorn 0.17. All end, but Java goes on after SIGUSR2, which it uses itself, and
/// Node.js starts its debugger at SIGUSR1.
const PROGRAMS: &[SignalUse] = &[
    SignalUse { program: "java", unhandled: ALL },
    SignalUse { program: "node", unhandled: ALL },
    SignalUse { program: "perl", unhandled: ALL },
    SignalUse { program: "php", unhandled: ALL },
    // The others restart its workers, or itself. Without a file for its output, SIGHUP stops it.
    SignalUse { program: "puma", unhandled: &["SIGHUP"] },
    SignalUse { program: "python", unhandled: ALL },
    SignalUse { program: "ruby", unhandled: ALL },
    SignalUse { program: "uvicorn", unhandled: ALL },
];

/// Other names of some.
const ALIASES: &[(&str, &str)] = &[("nodejs", "node"), ("pypy", "python"), ("rails", "puma")];

/// Programs that start another one: its name follows, after options and what else is skipped.
const LAUNCHERS: &[(&str, Skip)] = &[
    ("bundle", Skip::Word("exec")),
    ("catatonit", Skip::Options),
    ("dumb-init", Skip::Options),
    ("enclii-agent", Skip::Word("exec")),
    ("env", Skip::Options),
    ("exec", Skip::Options),
    ("gosu", Skip::One),
    ("su-exec", Skip::One),
    ("tini", Skip::Options),
];

/// What an interpreter may run that has a meaning for the signals.
const HANDLERS: &[&str] = &["gunicorn", "supervisord", "unicorn", "uwsgi"];

const SHELLS: &[&str] = &["ash", "bash", "dash", "sh"];

/// What is between a launcher and the program.
#[derive(Clone, Copy)]
enum Skip {
    /// Options and variables.
    Options,
    /// One word.
    One,
    /// This word.
    Word(&'static str),
}

/// The most words of a command that are looked at, and the most bytes of a shell's script.
const MAX_WORDS: usize = 64;
const MAX_SCRIPT_BYTES: usize = 4096;

/// Warns if the container's command shows a program that does not handle the signal.
pub(crate) fn warn(app: &AppContainer<'_>, reload: &ReloadRequest, diagnostics: &mut Diagnostics) {
    let ReloadRequest::Signal(signal) = reload else { return };
    let command = app.container.command.iter().flatten();
    // Without a command the image may have an entrypoint that starts its arguments.
    let words = command.chain(app.container.args.iter().flatten()).map(|word| &**word);
    let words: Vec<&str> = words.take(MAX_WORDS).collect();
    if let Some(program) = unhandled_by(&words, signal.name()) {
        let field = if app.container.command.is_some() { ".command" } else { ".args" };
        let (at, signal) = (app.at(format_args!("{field}")), signal.name());
        diagnostics.warn(Warning::UnhandledSignal { at, program, signal });
    }
}

/// The program of a command line, if it is one that does not handle the signal.
fn unhandled_by(words: &[&str], signal: &str) -> Option<&'static str> {
    let mut rest = words;
    // Each round takes a word.
    loop {
        let (first, after) = rest.split_first()?;
        let program = name(first);
        if let Some((_, skip)) = LAUNCHERS.iter().find(|(name, _)| *name == program) {
            rest = skipped(after, *skip);
        } else if SHELLS.contains(&program) {
            return of_script(script(after)?, signal);
        } else {
            return of_program(program, after, signal);
        }
    }
}

/// Likewise of a shell's script, whose last command is what goes on running. A script in it is one
/// word, so this ends.
fn of_script(script: &str, signal: &str) -> Option<&'static str> {
    let mut commands = script.split([';', '\n', '|', '&']).map(str::trim);
    let last = commands.rfind(|it| !it.is_empty())?;
    let words = last.split_whitespace().map(|word| word.trim_matches(['"', '\'']));
    let words: Vec<&str> = words.take(MAX_WORDS).collect();
    unhandled_by(skipped(&words, Skip::Options), signal)
}

fn of_program(program: &str, arguments: &[&str], signal: &str) -> Option<&'static str> {
    let found = known(program)?;
    // What an interpreter runs may be a server: a script, or a module.
    let run = arguments.iter().find(|word| !word.starts_with('-')).map(|word| name(word));
    if run.is_some_and(|run| HANDLERS.contains(&run)) {
        return None;
    }
    let found = run.and_then(known).unwrap_or(found);
    found.unhandled.contains(&signal).then_some(found.program)
}

fn known(program: &str) -> Option<&'static SignalUse> {
    let alias = ALIASES.iter().find(|(name, _)| *name == program);
    let program = alias.map_or(program, |(_, program)| program);
    PROGRAMS.iter().find(|it| it.program == program)
}

/// A program without its directory and version: `/usr/bin/python3.11` is `python`.
fn name(word: &str) -> &str {
    let file = word.rsplit('/').next().unwrap_or_default();
    file.trim_end_matches(|it: char| it.is_ascii_digit() || it == '.')
}

fn skipped<'w, 't>(words: &'w [&'t str], skip: Skip) -> &'w [&'t str] {
    let count = match skip {
        Skip::Options => {
            words.iter().take_while(|it| it.starts_with('-') || it.contains('=')).count()
        }
        Skip::One => words.len().min(1),
        Skip::Word(word) => {
            let words = words.iter().take_while(|it| it.starts_with('-') || **it == word);
            words.count()
        }
    };
    words.get(count..).unwrap_or_default()
}

/// The beginning of a shell's script; `None` if it runs a file.
fn script<'t>(arguments: &[&'t str]) -> Option<&'t str> {
    let is_command =
        |it: &&'t str| it.starts_with('-') && !it.starts_with("--") && it.contains('c');
    let option = arguments.iter().position(is_command)?;
    let script = arguments.get(option + 1)?;
    let most = script.len().min(MAX_SCRIPT_BYTES);
    let end = (0..=most).rev().find(|at| script.is_char_boundary(*at))?;
    script.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The program, for SIGHUP, SIGUSR1 and SIGUSR2.
    fn of_line(line: &str) -> [Option<&'static str>; 3] {
        let words: Vec<&str> = line.split(' ').collect();
        ["SIGHUP", "SIGUSR1", "SIGUSR2"].map(|signal| unhandled_by(&words, signal))
    }

    #[test]
    fn a_runtime_has_no_handler_of_its_own() {
        for (line, expected) in [
            ("java -jar app.jar", [Some("java"); 3]),
            ("/opt/java/openjdk/bin/java -Xmx1g Main", [Some("java"); 3]),
            ("node server.js", [Some("node"); 3]),
            ("python3.11 -u app.py", [Some("python"); 3]),
            ("/usr/bin/env python app.py", [Some("python"); 3]),
            ("ruby app.rb", [Some("ruby"); 3]),
            ("perl app.pl", [Some("perl"); 3]),
            ("php8.2 app.php", [Some("php"); 3]),
            ("uvicorn app:app", [Some("uvicorn"); 3]),
            ("python -m uvicorn app:app", [Some("uvicorn"); 3]),
            ("puma -C config/puma.rb", [Some("puma"), None, None]),
            ("bundle exec rails server", [Some("puma"), None, None]),
            ("ruby bin/rails server", [Some("puma"), None, None]),
        ] {
            assert_eq!(of_line(line), expected, "{line}");
        }
    }

    #[test]
    fn a_server_with_a_meaning_for_the_signal_does_not() {
        for line in [
            "nginx -g daemon off;",
            "haproxy -W -f /etc/haproxy.cfg",
            "postgres",
            "docker-entrypoint.sh postgres",
            "php-fpm8.2 -F",
            "php-fpm",
            "gunicorn app:app",
            "python3 -m gunicorn app:app",
            "/usr/bin/python3 /usr/bin/gunicorn app:app",
            "uwsgi --ini app.ini",
            "bundle exec unicorn",
            "supervisord",
            "prometheus --config.file=x",
            "/app",
            "sh",
            "sh run.sh",
            "",
        ] {
            assert_eq!(of_line(line), [None; 3], "{line}");
        }
    }

    #[test]
    fn what_starts_a_program_is_seen_through() {
        for line in [
            "tini -- java -jar app.jar",
            "/sbin/tini -g -- java -jar app.jar",
            "dumb-init java -jar app.jar",
            "gosu app:app java -jar app.jar",
            "env -i A=b java -jar app.jar",
            "/run/enclii/bin/enclii-agent exec -- java -jar app.jar",
            "dumb-init /usr/bin/env JAVA_OPTS=x java",
        ] {
            assert_eq!(of_line(line)[0], Some("java"), "{line}");
        }
        let shell = |script| unhandled_by(&["sh", "-ec", script], "SIGHUP");
        for (script, expected) in [
            ("java -jar app.jar", Some("java")),
            ("exec java $JAVA_OPTS -jar app.jar", Some("java")),
            ("./migrate && exec \"java\" -jar app.jar", Some("java")),
            ("set -e\nA=b exec java -jar app.jar\n", Some("java")),
            ("exec tini -- java", Some("java")),
            ("java -version; exec nginx", None),
            ("exec sh -c java", Some("java")),
            ("while true; do sleep 1; done", None),
            ("", None),
        ] {
            assert_eq!(shell(script), expected, "{script}");
        }
        assert_eq!(unhandled_by(&["bash", "-c"], "SIGHUP"), None);
    }

    #[test]
    fn other_signals_are_not_looked_at() {
        assert_eq!(unhandled_by(&["java"], "SIGWINCH"), None);
    }
}
