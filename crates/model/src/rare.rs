//! What most rows leave empty: one pointer in the row, and nothing behind it.
//!
//! A registry holds hundreds of thousands of rows of which most say little. A field that is seldom
//! given costs its size in every row; here it costs a row that gives it one allocation, and the
//! others nothing. Reading goes through [`Deref`], so that a field is read where it always was.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Fields that are seldom given; without any of them, an empty pointer. Copies share.
pub struct Rare<T>(Option<Arc<T>>);

/// Fields with a value that stands for "none was given".
pub trait Fields: Clone + PartialEq + 'static {
    /// That value.
    const NONE: &'static Self;
}

impl<T: Fields> Rare<T> {
    /// No field is given.
    pub const NONE: Rare<T> = Rare(None);

    /// Gives the memory back where no field is given any more.
    pub fn settle(&mut self) {
        if self.0.as_deref() == Some(T::NONE) {
            self.0 = None;
        }
    }
}

impl<T: Fields> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::NONE)
    }
}

impl<T: Fields> DerefMut for Rare<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(self.0.get_or_insert_with(|| Arc::new(T::NONE.clone())))
    }
}

impl<T: Fields> From<T> for Rare<T> {
    fn from(fields: T) -> Rare<T> {
        Rare((fields != *T::NONE).then(|| Arc::new(fields)))
    }
}

impl<T> Clone for Rare<T> {
    fn clone(&self) -> Rare<T> {
        Rare(self.0.clone())
    }
}

impl<T> Default for Rare<T> {
    fn default() -> Rare<T> {
        Rare(None)
    }
}

impl<T: Fields> PartialEq for Rare<T> {
    fn eq(&self, other: &Rare<T>) -> bool {
        let same = match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        same || **self == **other
    }
}

impl<T: Fields + Eq> Eq for Rare<T> {}

impl<T: Fields + fmt::Debug> fmt::Debug for Rare<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Check, CheckDetails, Instance, InstanceDetails, Row, Text};
    use std::mem::size_of;

    #[test]
    fn rows_are_small_where_little_is_given() {
        let counted = 2 * size_of::<usize>();
        assert!(size_of::<Row<Instance>>() + counted <= 144);
        assert!(size_of::<Row<Check>>() + counted <= 192);
    }

    #[test]
    fn what_is_given_is_read_in_place_and_what_is_not_is_empty() {
        let mut instance = Instance::default();
        assert_eq!((instance.kind.as_str(), instance.weights.passing), ("", 1));
        instance.kind = Text::new("connect-proxy");
        let same = Instance {
            details: InstanceDetails { kind: "connect-proxy".into(), ..Default::default() }.into(),
            ..Instance::default()
        };
        assert_eq!(instance, same);
        let mut copy = instance.clone();
        copy.kind = Text::default();
        assert_eq!((instance.kind.as_str(), &copy), ("connect-proxy", &Instance::default()));
        assert!(copy.details.0.is_some());
        copy.details.settle();
        assert!(copy.details.0.is_none());
        let plain = Check { details: CheckDetails::default().into(), ..Check::default() };
        assert!(plain.details.0.is_none(), "nothing was given");
    }
}
