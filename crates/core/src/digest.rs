//! Ids derived from content: the same cause always has the same id, on every machine and after every start.

use sha2::{Digest, Sha256};

/// The first 128 bits of the SHA-256 of `parts`, as 32 hex digits. Parts are separated, so that
/// `["ab", "c"]` and `["a", "bc"]` differ.
pub(crate) fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_border_between_parts_counts() {
        assert_ne!(digest(["ab", "c"]), digest(["a", "bc"]));
        assert_eq!(digest(["ab", "c"]).len(), 32);
    }
}
