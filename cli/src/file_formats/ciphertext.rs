//! Text that another tool replaces by the secret: ciphertext and references. Stored as it is, it
//! would be the wrong value.

use contract::{Redacted, SecretName};

use super::SecretValues;

/// The tool that wrote a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ForeignText {
    /// What the text is.
    what: &'static str,
    /// The command that gives the secret.
    way_out: &'static str,
}

const SOPS: ForeignText = ForeignText {
    what: "encrypted with SOPS",
    way_out: "`sops --decrypt FILE | enclii secrets import -`",
};
const ANSIBLE_VAULT: ForeignText = ForeignText {
    what: "encrypted with Ansible Vault",
    way_out: "`ansible-vault decrypt --output - FILE | enclii secrets import -`",
};
const AGE: ForeignText = ForeignText {
    what: "encrypted with age",
    way_out: "`age --decrypt -i KEY FILE | enclii secrets import -`",
};
const PGP: ForeignText = ForeignText {
    what: "encrypted with OpenPGP",
    way_out: "`gpg --decrypt FILE | enclii secrets import -`",
};
const GIT_CRYPT: ForeignText =
    ForeignText { what: "encrypted with git-crypt", way_out: "`git-crypt unlock`" };

/// What the text of a value starts with, and where the rest must be base64.
const STARTS: [(&str, bool, ForeignText); 12] = [
    ("ENC[AES256_GCM,", false, SOPS),
    (
        "ENC[",
        false,
        ForeignText { what: "encrypted with eyaml", way_out: "`eyaml decrypt -f FILE`" },
    ),
    (
        "encrypted:",
        true,
        ForeignText {
            what: "encrypted with dotenvx",
            way_out: "`dotenvx decrypt --stdout | enclii secrets import -`",
        },
    ),
    ("ENC(", false, ForeignText { what: "encrypted with Jasypt", way_out: "`mvn jasypt:decrypt`" }),
    (
        "{cipher}",
        false,
        ForeignText {
            what: "encrypted by Spring Cloud Config",
            way_out: "its endpoint /decrypt, or `spring decrypt`",
        },
    ),
    ("$ANSIBLE_VAULT;", false, ANSIBLE_VAULT),
    ("-----BEGIN AGE ENCRYPTED FILE-----", false, AGE),
    ("-----BEGIN PGP MESSAGE-----", false, PGP),
    (
        "U2FsdGVkX1",
        true,
        ForeignText { what: "encrypted with openssl enc", way_out: "`openssl enc -d`" },
    ),
    ("AQICAH", true, ForeignText { what: "encrypted with AWS KMS", way_out: "`aws kms decrypt`" }),
    (
        "op://",
        false,
        ForeignText {
            what: "a reference to 1Password",
            way_out: "`op inject -i FILE | enclii secrets import -`",
        },
    ),
    (
        "ref+",
        false,
        ForeignText {
            what: "a reference of vals",
            way_out: "`vals eval -f FILE | enclii secrets import -`",
        },
    ),
];

const TRANSIT: ForeignText = ForeignText {
    what: "encrypted with Vault's transit engine",
    way_out: "`vault write transit/decrypt/KEY ciphertext=…`",
};

/// Fewer characters of base64 are too short for a ciphertext.
const MIN_BASE64_LEN: usize = 24;

/// Refuses a file that is encrypted as a whole.
pub(super) fn check_file(bytes: &[u8]) -> Result<(), String> {
    let starts: [(&[u8], ForeignText); 5] = [
        (b"\0GITCRYPT\0", GIT_CRYPT),
        (b"age-encryption.org/v1", AGE),
        (b"-----BEGIN AGE ENCRYPTED FILE-----", AGE),
        (b"-----BEGIN PGP MESSAGE-----", PGP),
        (b"$ANSIBLE_VAULT;", ANSIBLE_VAULT),
    ];
    match starts.iter().find(|(start, _)| bytes.trim_ascii_start().starts_with(start)) {
        Some((_, ForeignText { what, way_out })) => {
            Err(format!("the file is {what}: decrypt it first with {way_out}"))
        }
        None => Ok(()),
    }
}

/// Refuses values that another tool would replace by the secret. Names every such secret.
pub(super) fn check_values(values: &SecretValues) -> Result<(), String> {
    let found: Vec<(&SecretName, ForeignText)> =
        values.iter().filter_map(|(name, value)| Some((name, foreign(value)?))).collect();
    let mut kinds: Vec<ForeignText> = found.iter().map(|(_, text)| *text).collect();
    kinds.sort();
    kinds.dedup();
    if kinds.is_empty() {
        return Ok(());
    }
    let of_kind = |kind: &ForeignText| {
        let ForeignText { what, way_out } = kind;
        let names: Vec<_> = found
            .iter()
            .filter(|(_, text)| text == kind)
            .map(|(name, _)| name.to_string())
            .collect();
        format!("the value of {} is {what}; get the secret with {way_out}", names.join(", "))
    };
    Err(format!(
        "{}; --literal stores the text as it is",
        kinds.iter().map(of_kind).collect::<Vec<_>>().join("; ")
    ))
}

fn foreign(value: &Redacted) -> Option<ForeignText> {
    let text = std::str::from_utf8(value.expose()).ok()?.trim();
    let is_base64 = |text: &str| {
        text.len() >= MIN_BASE64_LEN
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=-_\n".contains(&b))
    };
    let starts = |(start, base64, _): &&(&str, bool, ForeignText)| {
        text.strip_prefix(start).is_some_and(|rest| !base64 || is_base64(rest))
    };
    if let Some((_, _, found)) = STARTS.iter().find(starts) {
        return Some(*found);
    }
    // vault:v1:…
    let (version, rest) = text.strip_prefix("vault:v")?.split_once(':')?;
    (version.bytes().all(|b| b.is_ascii_digit()) && is_base64(rest)).then_some(TRANSIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[(&str, &str)]) -> Result<(), String> {
        let mut all = SecretValues::default();
        for (name, value) in values {
            all.add(name.parse().unwrap(), Redacted::from(value.as_bytes())).unwrap();
        }
        check_values(&all)
    }

    #[test]
    fn ciphertext_and_references_are_found() {
        let long = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";
        for (value, words) in [
            ("ENC[AES256_GCM,data:aGk=,iv:x,tag:y,type:str]".to_owned(), "SOPS"),
            ("ENC[PKCS7,MIIB]".to_owned(), "eyaml"),
            (format!("encrypted:{long}"), "dotenvx"),
            ("ENC(hunter2)".to_owned(), "Jasypt"),
            ("{cipher}hunter2".to_owned(), "Spring"),
            ("$ANSIBLE_VAULT;1.1;AES256\n6162".to_owned(), "Ansible"),
            ("-----BEGIN AGE ENCRYPTED FILE-----\nx".to_owned(), "age"),
            ("-----BEGIN PGP MESSAGE-----\nx".to_owned(), "OpenPGP"),
            (format!("vault:v12:{long}"), "transit"),
            (format!("U2FsdGVkX1{long}"), "openssl"),
            (format!("AQICAH{long}"), "KMS"),
            ("op://vault/item/field".to_owned(), "1Password"),
            ("ref+awsssm://x".to_owned(), "vals"),
        ] {
            let message = check(&[("A", "x"), ("B", &value)]).unwrap_err();
            assert!(
                message.starts_with("the value of B is ") && message.contains(words),
                "{value}: {message}"
            );
            assert!(
                !message.contains("hunter2")
                    && message.ends_with("--literal stores the text as it is")
            );
        }
    }

    #[test]
    fn ordinary_values_pass() {
        for value in [
            "",
            "ENC",
            "encrypted:yes",
            "vault:v1",
            "vault:vault:x",
            "vault:v1:short",
            "-----BEGIN PRIVATE KEY-----\nx",
            "postgres://op://x",
            "AQICAH",
        ] {
            assert_eq!(check(&[("A", value)]), Ok(()), "{value}");
        }
    }

    #[test]
    fn an_encrypted_file_is_refused() {
        for bytes in [
            b"\0GITCRYPT\0\xff".as_slice(),
            b"age-encryption.org/v1\n\xff",
            b"$ANSIBLE_VAULT;1.1;AES256\n61",
        ] {
            assert!(check_file(bytes).unwrap_err().contains("decrypt it first"));
        }
        assert_eq!(check_file(b"A=$ANSIBLE"), Ok(()));
    }
}
