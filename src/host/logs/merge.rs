//! Several logs as one, in the order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Entry, Error, Reader};

/// Entries of several readers, each with the index of its reader. Equal times come in the order of the readers.
#[derive(Debug)]
pub struct Merge {
    readers: Vec<Reader>,
    heads: Vec<Option<Entry>>,
    order: BinaryHeap<Reverse<(u64, usize)>>,
    failures: Vec<Error>,
}

/// Merges readers.
pub fn merge(readers: Vec<Reader>) -> Merge {
    let count = readers.len();
    let mut merge =
        Merge { readers, heads: vec![None; count], order: BinaryHeap::with_capacity(count), failures: Vec::new() };
    for index in 0..count {
        merge.fill(index);
    }
    merge
}

impl Merge {
    fn fill(&mut self, index: usize) {
        match self.readers[index].read() {
            Ok(Some(entry)) => {
                self.order.push(Reverse((entry.time, index)));
                self.heads[index] = Some(entry);
            }
            Ok(None) => {}
            Err(error) => self.failures.push(error),
        }
    }
}

impl Iterator for Merge {
    type Item = Result<(usize, Entry), Error>;

    /// A log that can't be read ends with its error; the others go on.
    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failures.pop() {
            return Some(Err(error));
        }
        let Reverse((_, index)) = self.order.pop()?;
        let entry = self.heads[index].take()?;
        self.fill(index);
        Some(Ok((index, entry)))
    }
}
