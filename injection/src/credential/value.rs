//! What a value looks like: a stand-in for a value, a random text, or neither.

/// Whether something else fills the value in, or it says that somebody should: `$(NAME)`,
/// `<password>`, `{{ x }}`, `vault:path#key`, `REDACTED`, `xxxx`.
pub(super) fn is_placeholder(value: &str) -> bool {
    let value = value.trim();
    is_filled_in(value) || is_reference(value) || says_replace_me(value) || is_one_character(value)
}

/// Templates of every kind.
fn is_filled_in(value: &str) -> bool {
    const INSIDE: &[&[u8]] = &[b"$(", b"${", b"{{", b"#{", b"<%", b"[[", b"%(", b"@@"];
    const AROUND: &[(&str, &str)] =
        &[("<", ">"), ("[", "]"), ("{", "}"), ("%", "%"), ("__", "__"), ("@", "@")];
    let is_variable = value.strip_prefix('$').is_some_and(|name| {
        name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
            && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
    });
    let is_around = |(start, end): &(&str, &str)| {
        value.len() > start.len() + end.len()
            && value.strip_prefix(start).and_then(|rest| rest.strip_suffix(end)).is_some_and(
                |inner| !inner.bytes().any(|b| matches!(b, b'"' | b'\'' | b'{' | b'[' | b'<')),
            )
    };
    is_variable
        || matches!(value, "%s" | "%v" | "%d")
        || value.starts_with('`')
        || value.as_bytes().windows(2).any(|pair| INSIDE.contains(&pair))
        || AROUND.iter().any(is_around)
}

/// A name that another program fetches the value by, or a value that it decrypts.
fn is_reference(value: &str) -> bool {
    const STARTS: &[&str] = &[
        "vault:",
        "op://",
        "ref+",
        "secretref",
        "arn:",
        "ssm:",
        "ENC[",
        "sops:",
        "keyvault:",
        "@Microsoft.KeyVault",
        "gcp:secretmanager",
        "azurekeyvault",
        "AWS_SECRET:",
        "secret://",
        "file:",
        "env:",
        "projects/",
        "kms:",
        "awssm:",
        "gsm:",
        "sm://",
        "akv://",
        "bao:",
    ];
    value.as_bytes().first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'@')
        && STARTS.iter().any(|start| starts_with_ignoring_case(value, start))
}

pub(super) fn starts_with_ignoring_case(text: &str, start: &str) -> bool {
    text.as_bytes()
        .get(..start.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
}

fn says_replace_me(value: &str) -> bool {
    const WHOLE: &[&str] = &["todo", "tbd", "fixme", "n/a", "null", "undefined", "user:password"];
    // The bound keeps the copy small: what says "replace me" is short.
    if value.len() > 64 {
        return false;
    }
    let lower = value.to_ascii_lowercase();
    WHOLE.contains(&&*lower)
        || value.contains("EXAMPLE")
        || is_name_in_capitals(value)
        || ["redacted", "placeholder", "xxxx"].iter().any(|word| lower.contains(word))
        || ["your", "replace", "insert", "enter-", "enter_", "put-", "put_", "my-api-key-here"]
            .iter()
            .any(|word| is_first_word(&lower, word))
        || lower.ends_with("_here")
        || lower.ends_with("-here")
}

/// `HF_TOKEN` as a value: the name of what has to be there.
fn is_name_in_capitals(value: &str) -> bool {
    value.contains('_')
        && value.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
        && ["PASSWORD", "TOKEN", "SECRET", "KEY"].iter().any(|end| value.ends_with(end))
}

/// Whether `lower` begins with `word`, alone or before another word.
fn is_first_word(lower: &str, word: &str) -> bool {
    let Some(rest) = lower.strip_prefix(word) else { return false };
    let is_key_of = |rest: &str| {
        ["password", "secret", "token", "key", "api", "me", "this", "with"]
            .iter()
            .any(|next| rest.starts_with(next))
    };
    word.ends_with(['-', '_'])
        || rest.is_empty()
        || rest.strip_prefix(['-', '_', ' ']).is_some()
        || is_key_of(rest)
}

pub(super) fn is_one_of(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// `xxxx`, `****`, `....`, `0000`
fn is_one_character(value: &str) -> bool {
    let mut bytes = value.bytes();
    let Some(first) = bytes.next() else { return true };
    let same = bytes.all(|b| b == first);
    same && (value.len() > 2 || !first.is_ascii_alphanumeric())
}

/// A literal password, as opposed to what stands for one in an address: `PASSWORD`, `password` in
/// capitals, `$(X)`.
pub(super) fn is_literal_password(password: &str) -> bool {
    const STAND_INS: &[&str] = &["PASSWORD", "PASS", "PASSWD", "PWD", "PW", "SECRET", "TOKEN"];
    !password.is_empty()
        && !is_placeholder(password)
        && !STAND_INS.contains(&password)
        && !password.starts_with(['$', '{', '<'])
}

/// Whether the characters after a token's prefix are as different as random ones are.
/// `is_mixed`: random ones would be of two classes.
pub(super) fn is_varied(body: &str, is_mixed: bool) -> bool {
    const FAKE: &[&str] = &["example", "xxxx", "your", "placeholder", "redacted", "changeme"];
    let (mut seen, mut classes) = (0_u128, 0_u8);
    for byte in body.bytes().filter(u8::is_ascii_alphanumeric) {
        seen |= 1 << byte;
        classes |= match byte {
            b'0'..=b'9' => 1,
            b'a'..=b'z' => 2,
            _ => 4,
        };
    }
    let head = body.get(..64).unwrap_or(body).to_ascii_lowercase();
    seen.count_ones() >= 5.max(body.len().min(40) as u32 / 5)
        && (!is_mixed || classes.count_ones() >= 2)
        && !FAKE.iter().any(|word| head.contains(word))
        && !has_sequence(&head)
        && !is_words(body)
}

/// `12345678`, `abcdefgh`
fn has_sequence(text: &str) -> bool {
    let mut run = 1;
    text.as_bytes().windows(2).any(|pair| {
        run = if pair[1] == pair[0] + 1 && pair[0].is_ascii_alphanumeric() { run + 1 } else { 1 };
        run >= 8
    })
}

/// Whether the parts between punctuation are words, small numbers or versions.
fn is_words(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric()).all(|part| {
        let letters = part.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = part.len() - letters.len();
        let after_first = letters.get(1..).unwrap_or_default();
        // One case, or a capital first; random text of one case has digits inside.
        let is_word = letters.bytes().all(|b| b.is_ascii_alphabetic())
            && (after_first.bytes().all(|b| b.is_ascii_lowercase())
                || letters.bytes().all(|b| b.is_ascii_uppercase()));
        let is_short = letters.len() <= 20 && digits <= 4;
        (is_word && is_short) || is_camel_case(part)
    })
}

/// `aLongIdentifier`: words of three letters and more.
fn is_camel_case(part: &str) -> bool {
    let capitals = part.bytes().filter(u8::is_ascii_uppercase).count();
    part.len() < 60
        && part.bytes().all(|b| b.is_ascii_alphabetic())
        && part.len() >= 4 * (capitals + 1)
}

/// Whether a value looks drawn at random: 16 characters and more of one piece, without the words,
/// paths, addresses and dates that names like `*_KEY` have too.
pub(super) fn is_random(value: &str) -> bool {
    let value = value.strip_prefix("base64:").unwrap_or(value);
    if value.contains("://") || value.contains("ssh-") || is_uuid(value) {
        return false;
    }
    // In `name: 3Fz…` the second word is.
    value
        .split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';' | ':'))
        .take(64)
        .any(is_random_word)
}

fn is_random_word(word: &str) -> bool {
    let is_fit = (16..=2048).contains(&word.len())
        && word.bytes().all(|b| b.is_ascii_graphic())
        && !word.starts_with(['/', '.', '~', '$'])
        && !is_uuid(word);
    is_fit && !is_placeholder(word) && is_varied(word, true) && changes(word) * 6 >= word.len()
}

/// How often a letter follows a digit, or a capital a small letter, or the other way around.
fn changes(word: &str) -> usize {
    let class = |byte: u8| match byte {
        b'0'..=b'9' => 1,
        b'a'..=b'z' => 2,
        b'A'..=b'Z' => 3,
        _ => 0,
    };
    word.as_bytes()
        .windows(2)
        .filter(|pair| {
            let (left, right) = (class(pair[0]), class(pair[1]));
            left != 0 && right != 0 && left != right
        })
        .count()
}

pub(super) fn is_uuid(value: &str) -> bool {
    value.len() == 36
        && value.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Whether a value beside the name of a credential can be one: not a switch, a path, a file's
/// name, an address, a sentence, or what stands for a value.
pub(super) fn could_be_secret(value: &str) -> bool {
    const SWITCHES: &[&str] = &[
        "true", "false", "yes", "no", "on", "off", "none", "null", "nil", "auto", "default",
        "enabled", "disabled", "required", "optional", "empty", "unset",
    ];
    let is_path = value.starts_with("./")
        || value.starts_with("../")
        || value.starts_with("~/")
        || (value.starts_with('/') && !is_random_word(&value[1..]));
    let is_structure = value.starts_with(['{', '[']) && !is_random(value);
    let is_sentence = value.split_whitespace().count() > 4;
    value.len() >= 2
        && !is_one_of(value, SWITCHES)
        && !is_path
        && !is_structure
        && !is_sentence
        && !value.contains("://")
        && !is_file_name(value)
        && !is_placeholder(value)
}

fn is_file_name(value: &str) -> bool {
    const ENDINGS: &[&str] = &[
        "pem",
        "key",
        "json",
        "yaml",
        "yml",
        "txt",
        "crt",
        "jks",
        "p12",
        "pfx",
        "pub",
        "env",
        "conf",
        "properties",
        "csv",
    ];
    value.rsplit_once('.').is_some_and(|(stem, end)| !stem.is_empty() && ENDINGS.contains(&end))
}

/// A number of at most `digits` digits, with a sign or a fraction or without.
pub(super) fn is_number(value: &str, digits: usize) -> bool {
    value.len() <= digits && value.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-'))
}

/// The name of an object, as Kubernetes writes it: small letters with a dash between.
pub(super) fn is_object_name(value: &str) -> bool {
    value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-./".contains(&b))
        && value.contains(['-', '/'])
        && is_words(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_a_value_is_told_from_one() {
        for value in [
            "$(X)",
            "a-$(X)",
            "${X}",
            "$X",
            "{{ x }}",
            "<password>",
            "[YOUR-PASSWORD]",
            "%X%",
            "__X__",
            "@@X@@",
            "#{X}#",
            "REDACTED",
            "xxxx",
            "****",
            "your-password",
            "REPLACE_ME",
            "vault:a/b#c",
            "op://a/b/c",
            "ENC[AES256_GCM,data:x]",
            "",
            "`cat x`",
            "{password}",
            "YOUR_API_KEY",
            "insert-password-here",
            "TODO",
        ] {
            assert!(is_placeholder(value), "{value}");
        }
        for value in [
            "hunter2",
            "changeme",
            "P@$$w0rd",
            "pa$sword",
            "$2a$10$abcdefgh",
            "example1",
            "a",
            "{\"a\":\"b\"}",
            "yourself1",
            "x1x1",
            "envoy",
            "s3cr3t!",
        ] {
            assert!(!is_placeholder(value), "{value}");
        }
    }

    #[test]
    fn random_text_is_told_from_words() {
        for value in [
            "f3a91c07d2b84e6f9a1c",
            "hQ3vT8kLx0ZpR7mNc2",
            "base64:kX9vQ2mT7pLs0aZr4eWq1yUb6nHc=",
            "devkey: hQ3vT8kLx0ZpR7mNc2",
        ] {
            assert!(is_random(value), "{value}");
        }
        for value in [
            "a-long-kebab-case-name-of-a-thing",
            "A_LONG_CONSTANT_NAME_OF_A_THING",
            "aLongCamelCaseIdentifier",
            "https://example.com/a/b/c/d",
            "/var/lib/some/long/path",
            "123e4567-e89b-12d3-a456-426614174000",
            "ingress-nginx-4.8.3",
            "short1",
            "com.example.app.ProductionConfiguration",
            "aaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert!(!is_random(value), "{value}");
        }
    }
}
