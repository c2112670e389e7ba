//! A bounded memory of what was seen lately.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;

/// Keeps the last `len_max` entries at least and twice as many at most: when the new half is full, it becomes the old half and the old one goes.
pub(super) struct Recent<K, V> {
    len_max: usize,
    new: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    pub(super) fn new(len_max: usize) -> Self {
        Self { len_max, new: HashMap::new(), old: HashMap::new() }
    }

    /// What is asked for stays.
    pub(super) fn get(&mut self, key: K) -> Option<V> {
        if let Some(value) = self.new.get(&key) {
            return Some(value.clone());
        }
        let value = self.old.remove(&key)?;
        self.insert(key, value.clone());
        Some(value)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        if self.new.len() >= self.len_max {
            self.old = mem::take(&mut self.new);
        }
        self.new.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_forgets_what_nobody_asks_for_and_stays_small() {
        let mut recent = Recent::new(10);
        for i in 0..1000 {
            recent.insert(i, i * 2);
            assert_eq!(recent.get(0), Some(0), "asked for all the time");
            assert!(recent.new.len() + recent.old.len() <= 20);
        }
        assert_eq!(recent.get(999), Some(1998));
        assert_eq!(recent.get(500), None);
    }
}
