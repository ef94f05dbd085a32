//! Tokens with a structure of their own. Each function gets a whole run of letters, digits, `_`,
//! `-`, `.` and `~`.

use super::rule::Alphabet;
use super::value::is_varied;

/// Whether `text` has a length in the range and only characters of the alphabet.
fn fits(text: &str, alphabet: Alphabet, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len()) && text.bytes().all(|byte| alphabet.has(byte))
}

/// The parts between dots, if there are `N`.
fn parts<const N: usize>(word: &str, separator: char) -> Option<[&str; N]> {
    let mut split = word.split(separator);
    let mut parts = [""; N];
    for part in &mut parts {
        *part = split.next()?;
    }
    split.next().is_none().then_some(parts)
}

/// Three parts of base64url, the first two of them JSON objects, and signed.
pub(super) fn json_web_token(word: &str) -> bool {
    let Some([header, claims, signature]) = parts(word.trim_end_matches('.'), '.') else {
        return false;
    };
    header.starts_with("eyJ")
        && claims.starts_with("eyJ")
        && [header, claims].iter().all(|part| fits(part, Alphabet::Word, 8, usize::MAX))
        && fits(signature, Alphabet::Word, 20, usize::MAX)
        && is_varied(signature, true)
}

/// A user ID, a time, and a signature.
pub(super) fn discord(word: &str) -> bool {
    let Some([user, time, signature]) = parts(word, '.') else { return false };
    user.starts_with(['M', 'N', 'O'])
        && fits(user, Alphabet::Word, 23, 28)
        && fits(time, Alphabet::Word, 6, 7)
        && fits(signature, Alphabet::Word, 27, 45)
        && is_varied(signature, true)
        && is_varied(user, true)
}

/// `….atlasv1.…`
pub(super) fn terraform(word: &str) -> bool {
    let Some([id, "atlasv1", secret]) = parts(word, '.') else { return false };
    fits(id, Alphabet::Alnum, 14, 14)
        && fits(secret, Alphabet::Word, 60, 70)
        && is_varied(secret, true)
}

/// Three characters, a digit, and `Q~`.
pub(super) fn azure_ad(word: &str) -> bool {
    let bytes = word.as_bytes();
    (37..=40).contains(&bytes.len())
        && bytes[3].is_ascii_digit()
        && &bytes[4..6] == b"Q~"
        && is_varied(&word[6..], true)
}

/// `v1.0-`, 24 hexadecimal digits, 146 more.
pub(super) fn cloudflare(word: &str) -> bool {
    let Some((id, secret)) = word.strip_prefix("v1.0-").and_then(|rest| rest.split_once('-'))
    else {
        return false;
    };
    fits(id, Alphabet::Hex, 24, 24) && fits(secret, Alphabet::Hex, 146, 146)
}

/// `A3-` and groups of capitals and digits.
pub(super) fn onepassword(word: &str) -> bool {
    word.strip_prefix("A3-").is_some_and(|rest| {
        (31..=36).contains(&rest.len())
            && rest.split('-').all(|part| fits(part, Alphabet::Upper, 5, 11))
            && is_varied(rest, false)
    })
}

/// Three hexadecimal groups of 32, 8 and 8.
pub(super) fn mailgun(word: &str) -> bool {
    let Some([key, id, check]) = parts(word, '-') else { return false };
    fits(key, Alphabet::Hex, 32, 32)
        && fits(id, Alphabet::Hex, 8, 8)
        && fits(check, Alphabet::Hex, 8, 8)
        && is_varied(key, true)
}

/// 32 hexadecimal digits and the data centre, `-us14`.
pub(super) fn mailchimp(word: &str) -> bool {
    let Some([key, center]) = parts(word, '-') else { return false };
    let number = center.strip_prefix("us").unwrap_or_default();
    fits(key, Alphabet::Hex, 32, 32)
        && (1..=2).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && is_varied(key, true)
}

/// 40 characters that end in `NRAL`.
pub(super) fn newrelic(word: &str) -> bool {
    let key = word.strip_prefix("eu01xx").unwrap_or(word);
    key.strip_suffix("NRAL").is_some_and(|key| {
        word.len() == 40 && fits(key, Alphabet::Hex, 30, 36) && is_varied(key, true)
    })
}

/// `pat`, 14 characters, and 64 hexadecimal digits.
pub(super) fn airtable(word: &str) -> bool {
    let Some([id, secret]) = parts(word, '.') else { return false };
    id.starts_with("pat")
        && fits(id, Alphabet::Alnum, 17, 17)
        && fits(secret, Alphabet::Hex, 64, 64)
        && is_varied(secret, true)
}

/// `…_…_mmk`
pub(super) fn maxmind(word: &str) -> bool {
    let Some([id, secret, "mmk"]) = parts(word, '_') else { return false };
    fits(id, Alphabet::Alnum, 6, 6)
        && fits(secret, Alphabet::Alnum, 29, 29)
        && is_varied(secret, true)
}
