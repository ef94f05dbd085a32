//! A short word for a configuration, by which two of them are told apart. It proves nothing.

use std::fmt::Debug;

/// FNV-1a over what the value prints: the same in every process of one version.
pub(crate) fn fingerprint(value: &impl Debug) -> String {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let text = format!("{value:?}");
    let hash = text.bytes().fold(BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_apart() {
        // The test vector of FNV-1a for the empty text is its basis.
        assert_eq!(fingerprint(&format_args!("")), "cbf29ce484222325");
        assert_eq!(fingerprint(&format_args!("a")), "af63dc4c8601ec8c");
        assert_ne!(fingerprint(&Some(1)), fingerprint(&Some(2)));
    }
}
