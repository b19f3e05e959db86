//! Tables made of tables: `unionmap:`, `pipemap:`; `randmap:`; and folding before a lookup.
//!
//! **Diagnostics**: a member that cannot tell makes the whole unable to tell.
//! **Standards**: DATABASE_README of Postfix 3.7.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use crate::catalog::SharedTable;
use crate::fold::{Folding, fold};
use crate::{Lookup, Table};

/// A table that is asked for folded keys.
#[derive(Clone, Debug)]
pub struct Folded<T> {
    /// The table.
    pub table: T,
    /// How its keys are folded.
    pub folding: Folding,
}

impl<T: Table> Table for Folded<T> {
    /// Bytes that are no text are not in the table.
    fn lookup(&self, key: &[u8]) -> Lookup<'_> {
        match fold(key, self.folding) {
            Ok(key) => self.table.lookup(&key),
            Err(_) => Lookup::NotFound,
        }
    }
}

impl Table for SharedTable {
    fn lookup(&self, key: &[u8]) -> Lookup<'_> {
        self.as_ref().lookup(key)
    }

    fn line(&self, key: &[u8]) -> Option<usize> {
        self.as_ref().line(key)
    }
}

/// The values of all members, with commas.
pub struct Union(pub Vec<SharedTable>);

impl Table for Union {
    fn lookup(&self, key: &[u8]) -> Lookup<'_> {
        let mut values = Vec::new();
        for member in &self.0 {
            match member.lookup(key) {
                Lookup::Found(value) => values.push(value),
                Lookup::NotFound => {}
                retry @ Lookup::Retry(_) => return retry,
            }
        }
        if values.is_empty() {
            return Lookup::NotFound;
        }
        Lookup::Found(Cow::Owned(values.join(b",".as_slice())))
    }
}

impl fmt::Debug for Union {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Union of {}", self.0.len())
    }
}

/// What one member has is the key for the next.
pub struct Pipe(pub Vec<SharedTable>);

impl Table for Pipe {
    fn lookup(&self, key: &[u8]) -> Lookup<'_> {
        let mut value = Cow::Owned(key.to_vec());
        for member in &self.0 {
            match member.lookup(&value) {
                Lookup::Found(found) => value = found,
                other => return other,
            }
        }
        Lookup::Found(value)
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pipe of {}", self.0.len())
    }
}

/// One of its values for any key; the function gives a random number.
#[derive(Clone, Debug)]
pub struct Random<F> {
    /// The values.
    pub values: Vec<Vec<u8>>,
    /// A number, taken modulo the count of values.
    pub number: F,
}

impl<F: Fn() -> u64> Table for Random<F> {
    fn lookup(&self, _key: &[u8]) -> Lookup<'_> {
        let index = (self.number)().checked_rem(self.values.len() as u64);
        let value = index.and_then(|index| self.values.get(index as usize));
        value.map_or(Lookup::NotFound, |value| Lookup::Found(Cow::Borrowed(value)))
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::collections::BTreeMap;
    use alloc::vec;

    use super::*;
    use crate::simple::{Fail, Static};

    fn map(key: &str, value: &str) -> SharedTable {
        let entry = (key.as_bytes().to_vec(), value.as_bytes().to_vec());
        Box::new(Folded { table: BTreeMap::from([entry]), folding: Folding::Utf8 })
    }

    fn found(value: &str) -> Lookup<'_> {
        Lookup::Found(Cow::Borrowed(value.as_bytes()))
    }

    #[test]
    fn a_union_joins_what_is_found() {
        let union = Union(vec![map("k", "a"), map("j", "b"), map("k", "c")]);
        assert_eq!(union.lookup(b"K"), found("a,c"));
        assert_eq!(union.lookup(b"x"), Lookup::NotFound);
        let failing = Union(vec![map("k", "a"), Box::new(Fail)]);
        assert_eq!(failing.lookup(b"k"), Fail.lookup(b"k"));
    }

    #[test]
    fn a_pipe_asks_the_next_member_for_the_folded_value() {
        let pipe = Pipe(vec![map("k", "J"), map("j", "end")]);
        assert_eq!(pipe.lookup(b"k"), found("end"));
        assert_eq!(pipe.lookup(b"j"), Lookup::NotFound);
        let all = Pipe(vec![Box::new(Static::parse("k").unwrap()), map("k", "x")]);
        assert_eq!(all.lookup(b"anything"), found("x"));
    }

    #[test]
    fn a_random_table_stays_within_its_values() {
        let values = vec![b"a".to_vec(), b"b".to_vec()];
        let table = Random { values, number: || u64::MAX };
        assert_eq!(table.lookup(b"x"), found("b"));
        let none = Random { values: vec![], number: || 1 };
        assert_eq!(none.lookup(b"x"), Lookup::NotFound);
    }
}
