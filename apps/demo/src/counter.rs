//! How often something happened, by name: the requests that arrived, by path.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// How many names are remembered; the oldest are forgotten first.
const REMEMBERED: usize = 2000;

/// Counts by name.
#[derive(Debug, Default)]
pub(crate) struct Counter(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    by_name: BTreeMap<String, u32>,
    oldest: VecDeque<String>,
}

impl Counter {
    /// Counts one more and tells how many there are now.
    pub(crate) fn add(&self, name: &str) -> u32 {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.by_name.get_mut(name) {
            *count += 1;
            return *count;
        }
        counts.by_name.insert(name.to_owned(), 1);
        counts.oldest.push_back(name.to_owned());
        if counts.oldest.len() > REMEMBERED
            && let Some(forgotten) = counts.oldest.pop_front()
        {
            counts.by_name.remove(&forgotten);
        }
        1
    }

    /// How many there are.
    pub(crate) fn get(&self, name: &str) -> u32 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).by_name.get(name).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_counted_and_the_oldest_are_forgotten() {
        let counter = Counter::default();
        assert_eq!((counter.get("/a"), counter.add("/a"), counter.add("/a")), (0, 1, 2));
        for number in 0..REMEMBERED {
            counter.add(&number.to_string());
        }
        assert_eq!((counter.get("/a"), counter.get("1")), (0, 1));
    }
}
