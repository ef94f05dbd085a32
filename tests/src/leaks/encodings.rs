//! The encodings in which a word may turn up.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// What to search for: the word itself, base64 (for each of its three positions in a group of three
/// bytes), hex, and every character escaped.
pub(super) fn forms(word: &str) -> Vec<(String, Vec<u8>)> {
    let mut forms = vec![("raw".to_owned(), word.as_bytes().to_vec())];
    for shift in 0..3usize {
        // Characters that also hold bits of the text before or after the word are cut off.
        let padded = [vec![0; shift], word.as_bytes().to_vec()].concat();
        let from = [0, 2, 3][shift];
        let whole = padded.len() * 8 / 6;
        for (name, engine) in [("base64", &STANDARD), ("base64url", &URL_SAFE)] {
            forms.push((
                format!("{name}, shifted by {shift}"),
                engine.encode(&padded).as_bytes()[from..whole].to_vec(),
            ));
        }
    }
    let each =
        |form: &dyn Fn(u8) -> String| word.bytes().map(form).collect::<String>().into_bytes();
    forms.push(("hex".to_owned(), each(&|byte| format!("{byte:02x}"))));
    forms.push(("HEX".to_owned(), each(&|byte| format!("{byte:02X}"))));
    forms.push(("URL-escaped".to_owned(), each(&|byte| format!("%{byte:02X}"))));
    forms.push(("JSON-escaped".to_owned(), each(&|byte| format!("\\u{byte:04x}"))));
    forms.push(("list of bytes".to_owned(), each(&|byte| format!("{byte}, "))));
    forms
}

/// The name of the first form that `text` contains.
pub(super) fn find(text: &[u8], forms: &[(String, Vec<u8>)]) -> Option<String> {
    forms.iter().find(|(_, form)| contains(text, form)).map(|(name, _)| name.clone())
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    // Finds the first byte, then compares the rest: etcd's files are tens of megabytes.
    let Some((first, rest)) = needle.split_first() else { return true };
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|byte| byte == first) {
        let start = from + at + 1;
        if text.len() - start >= rest.len() && text[start..start + rest.len()] == *rest {
            return true;
        }
        from = start;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_found() {
        let word = "cnryAbCdEfGhIj0123456789";
        let forms = forms(word);
        for before in ["", "x", "xy", "xyz"] {
            let text = format!("{before}{word}-0 and more");
            let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
            let escaped: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            for haystack in [
                text.clone(),
                STANDARD.encode(&text),
                URL_SAFE.encode(&text),
                hex,
                escaped,
                format!("{:?}", text.as_bytes()),
            ] {
                assert!(find(haystack.as_bytes(), &forms).is_some(), "{haystack}");
            }
        }
        assert_eq!(find(b"cnryAbCdEfGhIj012345678", &forms), None);
    }
}
