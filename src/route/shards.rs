//! A set of things found by a text, made to be copied: a copy shares everything with the original,
//! and a change of it copies one part in 256.
//!
//! So one change of 100,000 databases costs some hundred pointers, and whoever drops the older
//! copy frees as little. A hash look-up finds its shard and its place there by the same hash.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashTable;

/// Parts of a set. About the square root of the largest set in mind: a change copies the list of
/// parts and one part, and both are then of the same length.
const SHARDS: usize = 256;

/// Something that is found by a text, which no other in the set has.
pub trait Keyed {
    /// The text; it never changes.
    fn key(&self) -> &str;
}

/// A set of things by their [`Keyed::key`].
#[derive(Clone, Debug)]
pub struct Shards<T> {
    parts: Box<[Arc<HashTable<T>>]>,
    hasher: RandomState,
    len: usize,
}

impl<T: Keyed + Clone> Default for Shards<T> {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl<T: Keyed + Clone> Shards<T> {
    /// An empty set that will hold about this many.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let shard = || Arc::new(HashTable::with_capacity(capacity / SHARDS));
        Self {
            parts: std::iter::repeat_with(shard).take(SHARDS).collect(),
            hasher: RandomState::new(),
            len: 0,
        }
    }

    /// The one with this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&T> {
        if self.len == 0 {
            return None;
        }
        let hash = self.hasher.hash_one(key);
        let shard = self.parts.get(place(hash))?;
        shard.find(hash, |item| item.key() == key)
    }

    /// True if there is one with this key.
    #[must_use]
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Adds one; the one that had its key before is given back.
    pub fn insert(&mut self, item: T) -> Option<T> {
        let hash = self.hasher.hash_one(item.key());
        let shard = Arc::make_mut(self.parts.get_mut(place(hash))?);
        if let Some(there) = shard.find_mut(hash, |there| there.key() == item.key()) {
            return Some(std::mem::replace(there, item));
        }
        let hasher = &self.hasher;
        shard.insert_unique(hash, item, |item| hasher.hash_one(item.key()));
        self.len += 1;
        None
    }

    /// Takes the one with this key out.
    pub fn remove(&mut self, key: &str) -> Option<T> {
        if !self.contains_key(key) {
            return None;
        }
        let hash = self.hasher.hash_one(key);
        let shard = Arc::make_mut(self.parts.get_mut(place(hash))?);
        let entry = shard.find_entry(hash, |item| item.key() == key).ok()?;
        self.len -= 1;
        Some(entry.remove().0)
    }

    /// All, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.parts.iter().flat_map(|shard| shard.iter())
    }

    /// The number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without any item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The shard of a hash, by bits that the table in it does not look at first.
fn place(hash: u64) -> usize {
    // SHARDS is a power of two, so it makes no difference what a smaller usize cuts off.
    usize::try_from(hash >> 32).unwrap_or(0) % SHARDS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::any;
    use proptest::{prop_assert_eq, proptest};

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Item(String, u16);

    impl Keyed for Item {
        fn key(&self) -> &str {
            &self.0
        }
    }

    proptest! {
        #[test]
        fn a_set_is_a_map_and_its_copy_stays_as_it_was(changes in vec(any::<(u8, bool)>(), 0..400)) {
            let (mut shards, mut map) = (Shards::default(), BTreeMap::new());
            let mut copies = Vec::new();
            for (at, (key, insert)) in (0..).zip(changes) {
                let key = key.to_string();
                if insert {
                    let before = shards.insert(Item(key.clone(), at)).map(|item| item.1);
                    prop_assert_eq!(before, map.insert(key, at));
                } else {
                    let before = shards.remove(&key).map(|item| item.1);
                    prop_assert_eq!(before, map.remove(&key));
                }
                if at % 40 == 0 {
                    copies.push((shards.clone(), map.clone()));
                }
            }
            copies.push((shards, map));
            for (shards, map) in copies {
                let all: BTreeMap<_, _> = shards.iter().map(|i| (i.0.clone(), i.1)).collect();
                prop_assert_eq!((&all, shards.len()), (&map, map.len()));
                for (key, at) in map {
                    prop_assert_eq!(shards.get(&key).map(|item| item.1), Some(at));
                }
            }
        }
    }
}
