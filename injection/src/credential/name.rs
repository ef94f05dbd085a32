//! The words of a name: `DB_PASSWORD`, `dbPassword`, `db.password` and `--db-password` alike.

/// A name in capitals, its words separated by `_`.
pub(crate) struct Name(String);

impl Name {
    /// Only the first 256 bytes count.
    pub(crate) fn new(name: &str) -> Self {
        let mut words = String::with_capacity(name.len().min(256) + 8);
        let mut was_small = false;
        for c in name.chars().take(256) {
            if !c.is_ascii_alphanumeric() {
                words.push('_');
            } else {
                if was_small && c.is_ascii_uppercase() {
                    words.push('_');
                }
                words.push(c.to_ascii_uppercase());
            }
            was_small = c.is_ascii_lowercase();
        }
        Self(words)
    }

    /// The words, the last one first.
    pub(super) fn backwards(&self) -> impl Iterator<Item = &str> {
        self.0.rsplit('_').filter(|word| !word.is_empty())
    }

    pub(super) fn has(&self, words: &[&str]) -> bool {
        self.backwards().any(|word| words.contains(&word))
    }

    /// Whether the text, words with `_` between, is in the name.
    pub(super) fn contains(&self, text: &str) -> bool {
        self.0.contains(text)
    }

    /// The word that says what the thing is, which is the last one in English, and those before it,
    /// the nearest first. `PROD`, `OLD`, `2` and the like say which one it is.
    pub(super) fn head(&self) -> (&str, impl Iterator<Item = &str> + Clone) {
        const WHICH: &[&str] = &[
            "PROD",
            "PRODUCTION",
            "DEV",
            "STAGING",
            "STAGE",
            "TEST",
            "LIVE",
            "LOCAL",
            "VALUE",
            "OLD",
            "NEW",
            "CURRENT",
            "PREVIOUS",
            "PREV",
            "PRIMARY",
            "SECONDARY",
            "BASE64",
            "B64",
            "BASE",
            "RAW",
            "PLAIN",
            "PLAINTEXT",
            "STRING",
            "TEXT",
            "DATA",
            "DEFAULT",
            "MAIN",
            "A",
            "B",
            "OVERRIDE",
            "V1",
            "V2",
        ];
        let mut words = self.0.rsplit('_').filter(|word| !word.is_empty());
        let mut head = words.next().unwrap_or_default();
        let is_which =
            |word: &str| WHICH.contains(&word) || word.bytes().all(|b| b.is_ascii_digit());
        while is_which(head) {
            let Some(next) = words.next() else { break };
            head = next;
        }
        (head, words)
    }

    /// Whether the name says that everybody may know the value.
    pub(super) fn is_public(&self) -> bool {
        self.has(&["PUBLIC", "PUBLISHABLE", "ANON", "PUBKEY"]) || self.contains("SITE_KEY")
    }
}
