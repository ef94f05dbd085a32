//! The formats of well-known tokens: how each begins, and what follows.

use super::Kind;

/// The characters of a token's body.
#[derive(Clone, Copy)]
pub(super) enum Body {
    Upper,
    Hex,
    Word,
    Dotted,
}

impl Body {
    pub(super) fn fits(self, byte: u8) -> bool {
        match self {
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Hex => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            Self::Word => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Self::Dotted => Self::Word.fits(byte) || matches!(byte, b'.' | b'=' | b'/' | b'+'),
        }
    }
}

/// How a token begins, how many characters follow at least, which, and what it is.
pub(super) const TOKENS: &[(&str, usize, Body, &str)] = &[
    ("AKIA", 16, Body::Upper, "an AWS access key"),
    ("ASIA", 16, Body::Upper, "an AWS access key"),
    ("ghp_", 36, Body::Word, "a GitHub token"),
    ("gho_", 36, Body::Word, "a GitHub token"),
    ("ghu_", 36, Body::Word, "a GitHub token"),
    ("ghs_", 36, Body::Word, "a GitHub token"),
    ("ghr_", 36, Body::Word, "a GitHub token"),
    ("github_pat_", 40, Body::Word, "a GitHub token"),
    ("glpat-", 20, Body::Dotted, "a GitLab token"),
    ("gldt-", 20, Body::Dotted, "a GitLab token"),
    ("glrt-", 20, Body::Dotted, "a GitLab token"),
    ("xoxb-", 20, Body::Word, "a Slack token"),
    ("xoxp-", 20, Body::Word, "a Slack token"),
    ("xoxa-", 20, Body::Word, "a Slack token"),
    ("xoxr-", 20, Body::Word, "a Slack token"),
    ("xoxs-", 20, Body::Word, "a Slack token"),
    ("xapp-", 20, Body::Word, "a Slack token"),
    ("https://hooks.slack.com/services/", 30, Body::Dotted, "a Slack webhook address"),
    ("sk_live_", 16, Body::Word, "a Stripe live key"),
    ("rk_live_", 16, Body::Word, "a Stripe live key"),
    ("whsec_", 24, Body::Dotted, "a webhook signing secret"),
    ("AIza", 35, Body::Word, "a Google API key"),
    ("GOCSPX-", 20, Body::Word, "a Google OAuth client secret"),
    ("ya29.", 30, Body::Dotted, "a Google access token"),
    ("sk-proj-", 32, Body::Word, "an OpenAI key"),
    ("sk-", 40, Body::Word, "an API key of the form sk-…"),
    ("npm_", 36, Body::Word, "an npm token"),
    ("pypi-AgE", 50, Body::Word, "a PyPI token"),
    ("SG.", 60, Body::Dotted, "a SendGrid key"),
    ("hf_", 34, Body::Word, "a Hugging Face token"),
    ("hvs.", 24, Body::Word, "a Vault token"),
    ("hvb.", 24, Body::Word, "a Vault token"),
    ("dop_v1_", 64, Body::Hex, "a DigitalOcean token"),
    ("dp.st.", 40, Body::Dotted, "a Doppler token"),
    ("glsa_", 32, Body::Word, "a Grafana token"),
    ("shpat_", 32, Body::Hex, "a Shopify token"),
    ("dapi", 32, Body::Hex, "a Databricks token"),
    ("ops_eyJ", 40, Body::Word, "a 1Password service account token"),
    ("AGE-SECRET-KEY-1", 50, Body::Upper, "an age private key"),
];

/// The kind of token that a whole value is.
pub(super) fn token(value: &str) -> Option<Kind> {
    // Each begins with a letter, so one look tells most values apart from all of them.
    if !value.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) {
        return None;
    }
    TOKENS.iter().find_map(|(start, least, body, kind)| {
        let rest = value.strip_prefix(start)?;
        (rest.len() >= *least && rest.bytes().all(|byte| body.fits(byte))).then_some(Kind(kind))
    })
}
