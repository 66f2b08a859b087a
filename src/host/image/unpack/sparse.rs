//! Sparse files: the old GNU form, and the pax forms 0.0, 0.1 and 1.0 (GNU tar manual, "Storing Sparse Files").

use super::pax::{Pax, decimal};
use super::{Fault, limits};

/// Where the data of a sparse file goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Map {
    /// Offset in the file, bytes; in rising order.
    pub pieces: Vec<(u64, u64)>,
    /// Size of the file.
    pub size: u64,
}

impl Map {
    /// Checks that pieces rise, do not overlap, and lie in the file, and that `data` bytes are what they take.
    pub(super) fn check(&self, data: u64) -> Result<(), Fault> {
        let bad = |reason: &str| Err(Fault::Bad(format!("it has a sparse file whose map {reason}")));
        let (mut end, mut sum) = (0u64, 0u64);
        for (offset, length) in &self.pieces {
            let Some(next) = offset.checked_add(*length) else { return bad("overflows") };
            if *offset < end || next > self.size {
                return bad("has pieces that overlap or leave the file");
            }
            (end, sum) = (next, sum + length);
        }
        if i64::try_from(self.size).is_err() {
            return bad("is of an impossible size");
        }
        if sum == data { Ok(()) } else { bad("does not fit its data") }
    }
}

/// Adds a piece, within the bound.
pub(super) fn push(pieces: &mut Vec<(u64, u64)>, piece: (u64, u64)) -> Result<(), Fault> {
    if pieces.len() >= limits::PIECES {
        return Err(Fault::Bad(format!("it has a sparse file of more than {} pieces", limits::PIECES)));
    }
    pieces.push(piece);
    Ok(())
}

/// The map of the pax forms 0.0 and 0.1; `None`: not of these forms.
pub(super) fn from_pax(pax: &Pax) -> Result<Option<Map>, Fault> {
    let Some(size) = pax.number("GNU.sparse.size")? else { return Ok(None) };
    let bad = || Fault::Bad("it has a sparse file with a broken map".into());
    let mut numbers = Vec::new();
    if let Some(text) = pax.get("GNU.sparse.map") {
        for part in text.split(|byte| *byte == b',') {
            numbers.push(decimal(part).ok_or_else(bad)?);
        }
    } else {
        for (at, (is_offset, number)) in pax.sparse_pairs()?.into_iter().enumerate() {
            if is_offset != (at % 2 == 0) {
                return Err(bad());
            }
            numbers.push(number);
        }
    }
    let (pairs, rest) = numbers.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(bad());
    }
    let mut pieces = Vec::new();
    for [offset, length] in pairs {
        push(&mut pieces, (*offset, *length))?;
    }
    Ok(Some(Map { pieces, size }))
}

/// Whether the map stands before the data (pax form 1.0), and the file's size.
pub(super) fn in_data(pax: &Pax) -> Result<Option<u64>, Fault> {
    match (pax.get("GNU.sparse.major"), pax.get("GNU.sparse.minor")) {
        (Some(b"1"), Some(b"0")) => match pax.number("GNU.sparse.realsize")? {
            Some(size) => Ok(Some(size)),
            None => Err(Fault::Bad("it has a sparse file without its size".into())),
        },
        _ => Ok(None),
    }
}
