//! The formats of well-known tokens: a prefix and what follows it.

use super::CredentialKind;

/// The characters after a token's prefix.
#[derive(Clone, Copy)]
pub(super) enum TokenAlphabet {
    Upper,
    Hex,
    Word,
    Dotted,
}

impl TokenAlphabet {
    pub(super) fn fits(self, byte: u8) -> bool {
        match self {
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Hex => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            Self::Word => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Self::Dotted => Self::Word.fits(byte) || matches!(byte, b'.' | b'=' | b'/' | b'+'),
        }
    }
}

/// Prefix, minimum number of characters after it, their alphabet, and the kind of the token.
pub(super) const TOKENS: &[(&str, usize, TokenAlphabet, &str)] = &[
    ("AKIA", 16, TokenAlphabet::Upper, "an AWS access key"),
    ("ASIA", 16, TokenAlphabet::Upper, "an AWS access key"),
    ("ghp_", 36, TokenAlphabet::Word, "a GitHub token"),
    ("gho_", 36, TokenAlphabet::Word, "a GitHub token"),
    ("ghu_", 36, TokenAlphabet::Word, "a GitHub token"),
    ("ghs_", 36, TokenAlphabet::Word, "a GitHub token"),
    ("ghr_", 36, TokenAlphabet::Word, "a GitHub token"),
    ("github_pat_", 40, TokenAlphabet::Word, "a GitHub token"),
    ("glpat-", 20, TokenAlphabet::Dotted, "a GitLab token"),
    ("gldt-", 20, TokenAlphabet::Dotted, "a GitLab token"),
    ("glrt-", 20, TokenAlphabet::Dotted, "a GitLab token"),
    ("xoxb-", 20, TokenAlphabet::Word, "a Slack token"),
    ("xoxp-", 20, TokenAlphabet::Word, "a Slack token"),
    ("xoxa-", 20, TokenAlphabet::Word, "a Slack token"),
    ("xoxr-", 20, TokenAlphabet::Word, "a Slack token"),
    ("xoxs-", 20, TokenAlphabet::Word, "a Slack token"),
    ("xapp-", 20, TokenAlphabet::Word, "a Slack token"),
    ("https://hooks.slack.com/services/", 30, TokenAlphabet::Dotted, "a Slack webhook address"),
    ("sk_live_", 16, TokenAlphabet::Word, "a Stripe live key"),
    ("rk_live_", 16, TokenAlphabet::Word, "a Stripe live key"),
    ("whsec_", 24, TokenAlphabet::Dotted, "a webhook signing secret"),
    ("AIza", 35, TokenAlphabet::Word, "a Google API key"),
    ("GOCSPX-", 20, TokenAlphabet::Word, "a Google OAuth client secret"),
    ("ya29.", 30, TokenAlphabet::Dotted, "a Google access token"),
    ("sk-proj-", 32, TokenAlphabet::Word, "an OpenAI key"),
    ("sk-", 40, TokenAlphabet::Word, "an API key of the form sk-…"),
    ("npm_", 36, TokenAlphabet::Word, "an npm token"),
    ("pypi-AgE", 50, TokenAlphabet::Word, "a PyPI token"),
    ("SG.", 60, TokenAlphabet::Dotted, "a SendGrid key"),
    ("hf_", 34, TokenAlphabet::Word, "a Hugging Face token"),
    ("hvs.", 24, TokenAlphabet::Word, "a Vault token"),
    ("hvb.", 24, TokenAlphabet::Word, "a Vault token"),
    ("dop_v1_", 64, TokenAlphabet::Hex, "a DigitalOcean token"),
    ("dp.st.", 40, TokenAlphabet::Dotted, "a Doppler token"),
    ("glsa_", 32, TokenAlphabet::Word, "a Grafana token"),
    ("shpat_", 32, TokenAlphabet::Hex, "a Shopify token"),
    ("dapi", 32, TokenAlphabet::Hex, "a Databricks token"),
    ("ops_eyJ", 40, TokenAlphabet::Word, "a 1Password service account token"),
    ("AGE-SECRET-KEY-1", 50, TokenAlphabet::Upper, "an age private key"),
];

/// The kind of the token, if the whole value is one.
pub(super) fn token(value: &str) -> Option<CredentialKind> {
    // Every prefix begins with a letter, so this rules most values out at once.
    if !value.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) {
        return None;
    }
    TOKENS.iter().find_map(|(start, least, body, kind)| {
        let rest = value.strip_prefix(start)?;
        (rest.len() >= *least && rest.bytes().all(|byte| body.fits(byte)))
            .then_some(CredentialKind(kind))
    })
}
