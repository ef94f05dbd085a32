//! Credentials in the arguments of a program and in what a shell is given to run.

use super::rule::{Confidence, Rule};
use super::value::{is_literal_password, is_one_of};
use super::{detect, detect_form, detect_named};

/// A credential in one of the arguments.
pub(crate) struct ArgumentMatch {
    /// The argument's index.
    pub(crate) index: usize,
    /// The option or variable that holds it; empty if its form alone gives it away.
    pub(crate) name: String,
    pub(crate) rule: &'static Rule,
}

/// Looks through arguments in their order. One match for each of them, a certain one if there is.
pub(crate) fn detect_arguments<'a>(arguments: impl Iterator<Item = &'a str>) -> Vec<ArgumentMatch> {
    let mut found: Vec<ArgumentMatch> = Vec::new();
    let mut state = State::default();
    for (index, argument) in arguments.enumerate() {
        let of_option = state.option.clone().or_else(|| option_name(argument));
        let by_form = detect_form(argument).map(|rule| (of_option.unwrap_or_default(), rule));
        // The value of an option is the whole argument; a script is many words.
        let whole = state.value(argument);
        let by_name: Vec<_> =
            whole.into_iter().chain(words(argument).filter_map(|it| state.step(it))).collect();
        let is_certain =
            |found: &(String, &'static Rule)| found.1.confidence == Confidence::Certain;
        let all = || by_form.iter().chain(&by_name);
        let best = all().find(|it| is_certain(it)).or_else(|| all().next()).cloned();
        found.extend(best.map(|(name, rule)| ArgumentMatch { index, name, rule }));
    }
    found
}

/// What the words before say about the next one.
#[derive(Default)]
struct State {
    /// The program that runs, as far as its short options matter.
    program: Option<Program>,
    /// The option that waits for its value.
    option: Option<String>,
}

/// Programs whose short options take a password.
#[derive(Clone, Copy, PartialEq)]
enum Program {
    Curl,
    Mongo,
    MySql,
    Redis,
    Login,
}

impl Program {
    fn of(word: &str) -> Option<Self> {
        let name = word.rsplit('/').next().unwrap_or(word);
        match name {
            "curl" => Some(Self::Curl),
            "mongo" | "mongosh" | "mongodump" | "mongorestore" | "sshpass" => Some(Self::Mongo),
            "redis-cli" => Some(Self::Redis),
            "login" => Some(Self::Login),
            _ if name.starts_with("mysql") || name.starts_with("mariadb") => Some(Self::MySql),
            _ => None,
        }
    }
}

impl State {
    /// Takes the value of the option before it.
    fn value(&mut self, argument: &str) -> Option<(String, &'static Rule)> {
        let option = self.option.take().filter(|_| !argument.starts_with('-'))?;
        judge(&option, argument)
    }

    /// Takes the next word. Answers with what it, or the option before it, gives away.
    fn step(&mut self, word: &str) -> Option<(String, &'static Rule)> {
        if let Some(found) = self.value(word) {
            return Some(found);
        }
        if let Some(program) = Program::of(word) {
            self.program = Some(program);
            return None;
        }
        if let Some(rest) = word.strip_prefix('-') {
            let rest = rest.strip_prefix('-').unwrap_or(rest);
            if let Some(name) = self.short_option(word) {
                self.option = Some(name.to_owned());
                return None;
            }
            if let Some(password) = word.strip_prefix("-p").filter(|rest| !rest.is_empty())
                && self.program == Some(Program::MySql)
                && !password.starts_with('-')
            {
                return judge("password", password.trim_start_matches('='));
            }
            return match rest.split_once('=') {
                Some((name, value)) => assignment(name, value),
                None => {
                    // One letter means something else to each program.
                    self.option = (rest.len() > 1).then(|| rest.to_owned());
                    None
                }
            };
        }
        if let Some((name, value)) = word.split_once('=') {
            return assignment(name, value);
        }
        // A header: `X-Api-Key: …`
        let (name, value) = word.split_once(": ")?;
        judge(name, value)
    }

    /// The name of what a short option of the program takes.
    fn short_option(&self, word: &str) -> Option<&'static str> {
        match (self.program?, word) {
            (Program::Redis, "-a") | (Program::Mongo | Program::Login, "-p") => Some("password"),
            (Program::Curl, "-u" | "--user") => Some("basic-auth"),
            (Program::Curl, "-H" | "--header") => Some("header"),
            _ => None,
        }
    }
}

/// The name in `--name=value`.
fn option_name(argument: &str) -> Option<String> {
    let (name, _) = argument.strip_prefix('-')?.split_once('=')?;
    let name = name.trim_start_matches('-');
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    name.bytes().all(is_name).then(|| name.to_owned())
}

/// `name=value`, also where the value is an assignment itself: `--set=auth.password=…`.
fn assignment(name: &str, value: &str) -> Option<(String, &'static Rule)> {
    // `-Dname=value`
    let name = name.strip_prefix('D').filter(|rest| rest.contains('.')).unwrap_or(name);
    let is_name = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
    };
    if !is_name(name) {
        return None;
    }
    judge(name, value).or_else(|| {
        let (inner, value) = value.split_once('=')?;
        if is_name(inner) { judge(inner, value) } else { None }
    })
}

/// Decides on the value of an option. In a shell, `$` begins what stands for another value.
fn judge(name: &str, value: &str) -> Option<(String, &'static Rule)> {
    let value = value.trim_matches(['"', '\'']);
    if value.contains('$') && !value.starts_with("$2") || value.starts_with('`') {
        return None;
    }
    if name == "header" {
        let (name, value) = value.split_once(':')?;
        return detect(name, value).map(|rule| (name.to_owned(), rule));
    }
    // An assignment as the value of an option: `--set auth.password=…`
    if let Some((inner, value)) = value.split_once('=')
        && !is_one_of(name, &["password", "token"])
        && let Some(rule) = detect_named(inner, value)
    {
        return Some((inner.to_owned(), rule));
    }
    if name == "basic-auth" && !value.split_once(':').is_some_and(|(_, it)| is_literal_password(it))
    {
        return None;
    }
    detect_named(name, value).map(|rule| (name.to_owned(), rule))
}

/// The words of a script: what is between spaces and separators, and each quoted text as a whole.
fn words(script: &str) -> impl Iterator<Item = &str> {
    let mut rest = script;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(is_separator);
        if rest.is_empty() {
            return None;
        }
        let (mut quote, mut end) = (None, rest.len());
        for (at, c) in rest.char_indices() {
            match quote {
                Some(open) if c == open => quote = None,
                Some(_) => {}
                None if matches!(c, '"' | '\'') => quote = Some(c),
                None if is_separator(c) => {
                    end = at;
                    break;
                }
                None => {}
            }
        }
        let word = &rest[..end];
        rest = &rest[end..];
        Some(word.trim_matches(['"', '\'']))
    })
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, ';' | '|' | '&')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arguments: &[&str]) -> Vec<(usize, String)> {
        detect_arguments(arguments.iter().copied())
            .into_iter()
            .map(|found| (found.index, found.name))
            .collect()
    }

    #[test]
    fn options_and_variables_hold_credentials() {
        for (arguments, index, name) in [
            (&["--password=hunter2"][..], 0, "password"),
            (&["--db-password", "hunter2"], 1, "db-password"),
            (&["-Dspring.datasource.password=x1y2"], 0, "spring.datasource.password"),
            (&["--set", "auth.password=hunter2"], 1, "auth.password"),
            (&["--set=auth.password=hunter2"], 0, "auth.password"),
            (&["sh", "-c", "export DB_PASSWORD='hunter2' && run"], 2, "DB_PASSWORD"),
            (&["sh", "-c", "redis-cli -a hunter2 ping"], 2, "password"),
            (&["mysqladmin", "-uroot", "-phunter2", "ping"], 2, "password"),
            (&["curl", "-u", "admin:hunter2", "http://x"], 2, "basic-auth"),
            (&["curl -H 'X-Api-Key: hunter2'"], 0, "X-Api-Key"),
        ] {
            assert_eq!(names(arguments), [(index, name.to_owned())], "{arguments:?}");
        }
        for arguments in [
            &["--password", "--user"][..],
            &["--password=$(PASSWORD)"],
            &["--password-file=/x"],
            &["sh", "-c", "PASSWORD=\"$(cat /x)\" run"],
            &["sh", "-c", "mysql -p\"$PW\""],
            &["curl", "-u", "$USER:$PASS"],
            &["docker", "run", "-p", "8080:80"],
            &["--token-ttl=1h", "--v=4"],
            &["'", "\"", "=", "-", "--", "-=", ": "],
        ] {
            assert_eq!(names(arguments), [], "{arguments:?}");
        }
    }
}
