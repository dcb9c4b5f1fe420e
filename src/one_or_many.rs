//! One thing or several: a list that is mostly one long, and that very many hold.
//!
//! One takes no allocation; the size is that of the item where it has bits to spare.

use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A list that does not change its length.
#[derive(Clone, Debug)]
pub enum OneOrMany<T> {
    /// Just one.
    One(T),
    /// None, or several.
    Many(Box<[T]>),
}

impl<T> OneOrMany<T> {
    /// As many others, each made of one of these.
    pub fn map<U>(self, mut make: impl FnMut(T) -> U) -> OneOrMany<U> {
        match self {
            Self::One(one) => OneOrMany::One(make(one)),
            Self::Many(many) => many.into_iter().map(make).collect(),
        }
    }
}

impl<T> From<Vec<T>> for OneOrMany<T> {
    fn from(mut list: Vec<T>) -> Self {
        match list.pop() {
            Some(one) if list.is_empty() => Self::One(one),
            end => {
                list.extend(end);
                Self::Many(list.into())
            }
        }
    }
}

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self::Many(Box::default())
    }
}

impl<T> Deref for OneOrMany<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl<T> FromIterator<T> for OneOrMany<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut items = items.into_iter();
        match (items.next(), items.next()) {
            (Some(one), None) => Self::One(one),
            (first, second) => {
                let start = first.into_iter().chain(second);
                Self::Many(start.chain(items).collect())
            }
        }
    }
}

impl<T: PartialEq> PartialEq for OneOrMany<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Serialize> Serialize for OneOrMany<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_held_without_an_allocation_and_all_read_the_same() {
        for list in [vec![], vec![1], vec![1, 2], vec![1, 2, 3]] {
            let (moved, collected) = (
                OneOrMany::from(list.clone()),
                list.iter().copied().collect(),
            );
            assert_eq!(moved, collected);
            assert_eq!(*moved, list);
            assert_eq!(matches!(moved, OneOrMany::One(_)), list.len() == 1);
            let text = serde_json::to_string(&moved).unwrap();
            assert_eq!(
                serde_json::from_str::<OneOrMany<i32>>(&text).unwrap(),
                moved
            );
        }
    }
}
