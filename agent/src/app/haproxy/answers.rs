//! Commands of HAProxy's runtime API, and what their answers say (management guide, section 9.3).
//! Pure.

use contract::Redacted;

/// The longest part of an answer that is quoted, in characters.
const MAX_QUOTED: usize = 200;

/// The shortest line of a payload that counts as a part of the secret, in bytes.
const MIN_SECRET_LINE: usize = 16;

/// The certificates that HAProxy has loaded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LoadedCertificates<'t> {
    /// The one that is being changed.
    pub(super) in_transaction: Option<&'t str>,
    /// Their names: the paths by which the configuration loads them.
    pub(super) names: Vec<&'t str>,
    /// What is no list of certificates.
    other: Option<&'t str>,
}

/// Reads the answer to `show ssl cert`.
pub(super) fn certificates(answer: &str) -> LoadedCertificates<'_> {
    let mut found = LoadedCertificates { in_transaction: None, names: Vec::new(), other: None };
    for line in answer.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.strip_prefix('*') {
            Some(name) => found.in_transaction = Some(name),
            None if line.starts_with('#') => {}
            None if line.starts_with(['/', '@']) || !line.contains(' ') => found.names.push(line),
            None => found.other = found.other.or(Some(line)),
        }
    }
    found
}

impl LoadedCertificates<'_> {
    /// For people: what there is instead of a certificate of ours.
    pub(super) fn summary(&self) -> String {
        match (self.other, self.names.as_slice()) {
            (Some(other), _) => format!("it says {}", shortened(other)),
            (None, []) => "it has loaded none".to_owned(),
            (None, [first, rest @ ..]) => {
                format!("it has {} and {} more", shortened(first), rest.len())
            }
        }
    }
}

/// A command on one certificate.
pub(super) fn command(word: &str, name: &str) -> Redacted {
    Redacted::from(format!("{word} ssl cert {}\n", escaped(name)).as_bytes())
}

/// The command that loads a certificate. A payload ends with an empty line, and has none.
pub(super) fn set_command(name: &str, payload: &Redacted) -> Redacted {
    let start = format!("set ssl cert {} <<\n", escaped(name));
    Redacted::new([start.as_bytes(), payload.expose(), b"\n"].concat())
}

/// Whether the certificate was loaded, and can be committed.
pub(super) fn is_set(answer: &str) -> bool {
    answer.contains("Transaction created") || answer.contains("Transaction updated")
}

/// Whether HAProxy has another change open.
pub(super) fn is_of_another_transaction(answer: &str) -> bool {
    answer.contains("ongoing transaction is about")
}

/// Whether HAProxy looks for the certificate by another name: it takes `.crt` and `.key` at the
/// end of one for the kind of a file.
pub(super) fn is_not_found(answer: &str) -> bool {
    answer.contains("not referenced by the configuration")
}

/// Whether HAProxy uses the certificate.
pub(super) fn is_committed(answer: &str) -> bool {
    answer.contains("Success!")
}

/// An answer for people, on one line. One that has a part of the payload is not shown.
pub(super) fn quoted(answer: &str, payload: &Redacted) -> String {
    let mut lines = payload.expose().split(|byte| *byte == b'\n');
    let is_quoted = |line: &[u8]| {
        line.len() >= MIN_SECRET_LINE && answer.as_bytes().windows(line.len()).any(|it| it == line)
    };
    if lines.any(is_quoted) {
        return "its answer has a part of the file".to_owned();
    }
    let words = answer.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() { "it says nothing".to_owned() } else { shortened(&words) }
}

fn shortened(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(MAX_QUOTED).collect()
}

/// A word of a command. Spaces and backslashes have a backslash before them.
fn escaped(word: &str) -> String {
    word.replace('\\', "\\\\").replace(' ', "\\ ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_certificates() {
        let answer =
            "# transaction\n*/run/secrets/a.pem\n# filename\n/run/secrets/a.pem\n/b.pem\n\n";
        let found = certificates(answer);
        assert_eq!(found.in_transaction, Some("/run/secrets/a.pem"));
        assert_eq!(found.names, ["/run/secrets/a.pem", "/b.pem"]);
        assert_eq!(certificates("# filename\n\n").summary(), "it has loaded none");
        assert_eq!(certificates("/etc/x.pem\n").summary(), "it has /etc/x.pem and 0 more");
        let unknown = "Unknown command: 'show', but maybe one of the following ones is better:\n";
        assert!(certificates(unknown).summary().starts_with("it says Unknown command"));
        let denied = certificates("Permission denied\n\n");
        assert_eq!(denied.summary(), "it says Permission denied");
    }

    #[test]
    fn what_is_sent_is_one_command() {
        let payload = Redacted::from(b"-----BEGIN X-----\nAA\n-----END X-----\n".as_slice());
        assert_eq!(
            set_command("/run/a b.pem", &payload).expose(),
            b"set ssl cert /run/a\\ b.pem <<\n-----BEGIN X-----\nAA\n-----END X-----\n\n"
        );
        assert_eq!(command("abort", "/a").expose(), b"abort ssl cert /a\n");
    }

    #[test]
    fn what_answers_say() {
        assert!(is_set("Transaction created for certificate /a!\n\n"));
        assert!(is_set("Transaction updated for certificate /a!\n\n"));
        assert!(!is_set("unable to load certificate\nCan't update /a!\n"));
        let other = "The ongoing transaction is about '/b' but you are trying to set '/a'\n";
        assert!(is_of_another_transaction(other) && !is_set(other));
        let not_found = "Can't replace a certificate which is not referenced by the configuration!";
        assert!(is_not_found(not_found) && !is_set(not_found) && !is_not_found(other));
        assert!(is_committed("Committing /a.\nSuccess!\n\n"));
        assert!(!is_committed("No ongoing transaction!\nCan't commit /a!\n"));
    }

    #[test]
    fn no_part_of_a_file_is_quoted() {
        let payload = Redacted::from(b"short\nMIIEcanarycanarycanary\n".as_slice());
        assert_eq!(quoted("no key\nCan't load\n", &payload), "no key Can't load");
        assert_eq!(quoted("", &payload), "it says nothing");
        let leak = "Unknown command: 'MIIEcanarycanarycanary'";
        assert!(!quoted(leak, &payload).contains("canary"));
        assert_eq!(quoted(&"x".repeat(999), &payload).len(), MAX_QUOTED);
    }
}
