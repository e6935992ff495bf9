//! Keys that open one thing each: pushes of one service, pings of one project.
//!
//! Kept are digests alone. One is found by its first bytes, which tell an observer nothing: who could choose them
//! could choose the key. What is found is compared in constant time.

use std::collections::HashMap;
use std::fmt;

use subtle::ConstantTimeEq;

use super::table::Digest;

/// Keys and what they open.
#[derive(Clone)]
pub struct Keys<T>(HashMap<[u8; 8], Vec<(Digest, T)>>);

impl<T> Default for Keys<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

/// Shows how many there are, and nothing of them.
impl<T> fmt::Debug for Keys<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.values().map(Vec::len).sum::<usize>())
    }
}

impl<T> Keys<T> {
    /// Lets `key` open `what`.
    pub fn insert(&mut self, key: &str, what: T) {
        let digest = Digest::of(key);
        self.0.entry(first_bytes(digest)).or_default().push((digest, what));
    }

    /// What `key` opens.
    pub fn find(&self, key: &str) -> Option<&T> {
        let digest = Digest::of(key);
        let bytes = digest.into_bytes();
        let alike = self.0.get(&first_bytes(digest))?;
        let (_, what) = alike.iter().find(|(known, _)| bool::from(known.into_bytes().ct_eq(&bytes)))?;
        Some(what)
    }
}

fn first_bytes(digest: Digest) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = digest.into_bytes();
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_key_opens_and_no_debug_output_shows_it() {
        let mut keys = Keys::default();
        keys.insert("first-key-of-many", 1);
        keys.insert("other-key-of-many", 2);
        assert_eq!(keys.find("first-key-of-many"), Some(&1));
        assert_eq!(keys.find("other-key-of-many"), Some(&2));
        for wrong in ["", "first-key-of-man", "First-key-of-many", "first-key-of-many "] {
            assert_eq!(keys.find(wrong), None, "{wrong:?}");
        }
        assert_eq!(format!("{keys:?}"), "Keys(2)");
    }
}
