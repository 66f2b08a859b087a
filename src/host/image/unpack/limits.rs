//! Bounds on what one layer may ask of this machine.

/// Bounds; what goes beyond is refused.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Limits {
    /// Bytes of the unpacked tar stream.
    pub stream: u64,
    /// Members and implied folders together.
    pub entries: u64,
}

/// A whole gibibyte is always allowed: a sparse disk image in a few kB is no attack.
const BASE: u64 = 1 << 30;
/// Real layers pack 2 to 20 times; text and zeros up to 200 times.
const RATIO: u64 = 256;
const MOST: u64 = 1 << 40;

/// Bytes of one path.
pub(super) const PATH: usize = 4095;
/// Folders in one path.
pub(super) const DEPTH: usize = 256;
/// Bytes of a pax header: names, and all xattrs (the kernel takes 64 KiB each).
pub(super) const PAX: u64 = 1 << 20;
/// Bytes of a GNU long name.
pub(super) const LONG_NAME: u64 = 16 << 10;
/// Pieces of a sparse file.
pub(super) const PIECES: usize = 1 << 20;

impl Limits {
    /// For a layer of `packed` bytes.
    pub(in super::super) fn of(packed: u64) -> Self {
        Self { stream: packed.saturating_mul(RATIO).saturating_add(BASE).min(MOST), entries: 4_000_000 }
    }
}
