//! Values that are the default in most places, and that very many hold.
//!
//! A default takes the room of one pointer; anything else is boxed.

use std::ops::Deref;

/// A default that lives as long as the program.
pub trait StaticDefault: Default + PartialEq + 'static {
    /// The default.
    fn static_default() -> &'static Self;
}

/// A value that is boxed unless it is the default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sparse<T>(Option<Box<T>>);

impl<T: StaticDefault> Sparse<T> {
    /// The value.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0.map_or_else(T::default, |boxed| *boxed)
    }
}

impl<T: StaticDefault> From<T> for Sparse<T> {
    fn from(value: T) -> Self {
        Self((value != T::default()).then(|| Box::new(value)))
    }
}

impl<T: StaticDefault> Deref for Sparse<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.0 {
            Some(value) => value,
            None => T::static_default(),
        }
    }
}

/// Implements [`StaticDefault`] for types whose default cannot be a constant.
macro_rules! static_default {
    ($($type:ty),*) => {$(
        impl $crate::sparse::StaticDefault for $type {
            fn static_default() -> &'static Self {
                static DEFAULT: std::sync::LazyLock<$type> = std::sync::LazyLock::new(Default::default);
                &DEFAULT
            }
        }
    )*};
}
pub(crate) use static_default;

#[cfg(test)]
mod tests {
    use super::*;

    static_default!(Vec<u8>);

    #[test]
    fn a_default_is_not_boxed_and_reads_as_one() {
        let none = Sparse::from(Vec::<u8>::new());
        assert!(none.0.is_none() && none.is_empty() && none == Sparse::default());
        let some = Sparse::from(vec![1]);
        assert_eq!((&*some, some.clone().into_inner()), (&vec![1], vec![1]));
        assert_eq!(size_of::<Sparse<[u64; 100]>>(), size_of::<usize>());
    }
}
