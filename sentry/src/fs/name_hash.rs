//! Hash maps whose keys are file names: asked at every step of every path.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher, RandomState},
    sync::OnceLock,
};

/// A map by names.
pub type NameMap<K, V> = HashMap<K, V, NameHash>;

/// Two random numbers make it hard to find names that collide, as in `std`'s `RandomState`; with one multiplication for eight
/// bytes it takes a few nanoseconds for a name, against some twenty.
#[derive(Clone, Copy)]
pub struct NameHash {
    seed: u64,
    factor: u64,
}

impl Default for NameHash {
    fn default() -> NameHash {
        // No state: only a number that nobody outside knows.
        static SECRET: OnceLock<NameHash> = OnceLock::new();
        *SECRET.get_or_init(|| {
            let random = RandomState::new();
            NameHash { seed: random.hash_one(0), factor: random.hash_one(1) | 1 }
        })
    }
}

impl BuildHasher for NameHash {
    type Hasher = NameHasher;

    fn build_hasher(&self) -> NameHasher {
        NameHasher { state: self.seed, key: *self }
    }
}

/// See [`NameHash`].
pub struct NameHasher {
    state: u64,
    key: NameHash,
}

/// Both halves of a product, in one.
fn folded(a: u64, b: u64) -> u64 {
    let product = u128::from(a).wrapping_mul(u128::from(b));
    (product as u64) ^ ((product >> 64) as u64)
}

impl NameHasher {
    fn mix(&mut self, word: u64) {
        self.state = folded(self.state ^ word, self.key.factor);
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let last = rest.iter().rev().fold(0, |last, &byte| last << 8 | u64::from(byte));
        self.mix(last);
    }

    fn write_usize(&mut self, value: usize) {
        // The length of a name, which tells apart those that differ in trailing zeros.
        self.state = self.state.wrapping_add(value as u64);
    }

    fn finish(&self) -> u64 {
        folded(self.state ^ self.key.factor, self.key.seed.rotate_left(32) | 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn hash(name: &[u8]) -> u64 {
        NameHash::default().hash_one(name)
    }

    #[test]
    fn names_spread() {
        let mut names: Vec<Vec<u8>> = (0..20_000).map(|n| format!("f{n}").into_bytes()).collect();
        names.extend((0..100).map(|len| vec![0; len]));
        names.extend((0..100).map(|len| vec![b'a'; 200 - len]));
        let hashes: HashSet<u64> = names.iter().map(|name| hash(name)).collect();
        assert_eq!(hashes.len(), names.len());
        // Both ends of the hash are used by tables: neither may repeat much more than by chance.
        for shift in [0, 57] {
            let mut counts = [0_u32; 128];
            hashes.iter().for_each(|hash| counts[(hash >> shift) as usize & 127] += 1);
            assert!(counts.iter().all(|&count| (60..300).contains(&count)), "{shift}: {counts:?}");
        }
    }

    #[test]
    fn what_is_equal_is_found() {
        let mut map: NameMap<Box<[u8]>, u32> = NameMap::default();
        map.insert(b"name"[..].into(), 1);
        assert_eq!(map.get(&b"name"[..]), Some(&1));
        assert_eq!(map.get(&b"other"[..]), None);
    }
}
