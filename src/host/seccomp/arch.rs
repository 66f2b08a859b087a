//! Architectures and their system call numbers.

use std::collections::BTreeMap;
use std::sync::OnceLock;

/// A way to call the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 64-bit x86 with short pointers; told apart by [`X32_BIT`] alone.
    X32,
    /// 32-bit x86.
    X86,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM.
    Arm,
}

/// Set in every number of an x32 call.
pub const X32_BIT: u32 = 0x4000_0000;

/// The highest number that all architectures share in the table; calls above it are newer than the table.
pub const NEWEST: u32 = 469;

const NUMBERS: &str = include_str!("numbers.txt");

impl Arch {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::X86_64, Self::X32, Self::X86, Self::Aarch64, Self::Arm];

    /// What this program runs on.
    pub const NATIVE: Option<Self> = if cfg!(target_arch = "x86_64") {
        Some(Self::X86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(Self::Aarch64)
    } else {
        None
    };

    /// The value of `seccomp_data.arch` (`AUDIT_ARCH_*` of `linux/audit.h`).
    pub fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// Its name in `includes.arches` of a profile.
    pub fn short_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::X32 => "x32",
            Self::X86 => "x86",
            Self::Aarch64 => "arm64",
            Self::Arm => "arm",
        }
    }

    /// From its name in `architectures` of a profile; `None`: a machine that this is not.
    pub fn from_scmp(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|arch| arch.scmp() == name)
    }

    /// Its name in `architectures` of a profile.
    pub fn scmp(self) -> &'static str {
        match self {
            Self::X86_64 => "SCMP_ARCH_X86_64",
            Self::X32 => "SCMP_ARCH_X32",
            Self::X86 => "SCMP_ARCH_X86",
            Self::Aarch64 => "SCMP_ARCH_AARCH64",
            Self::Arm => "SCMP_ARCH_ARM",
        }
    }

    /// The others that programs of the same machine use.
    pub fn companions(self) -> &'static [Self] {
        match self {
            Self::X86_64 => &[Self::X86, Self::X32],
            Self::Aarch64 => &[Self::Arm],
            _ => &[],
        }
    }

    /// Name → number, as it stands in `seccomp_data.nr`.
    pub fn numbers(self) -> &'static BTreeMap<&'static str, u32> {
        // Every container asks again for the same two or three.
        static TABLES: [OnceLock<BTreeMap<&'static str, u32>>; Arch::ALL.len()] =
            [const { OnceLock::new() }; Arch::ALL.len()];
        TABLES[self as usize].get_or_init(|| self.read_numbers())
    }

    fn read_numbers(self) -> BTreeMap<&'static str, u32> {
        let bit = if self == Self::X32 { X32_BIT } else { 0 };
        let column = 1 + self as usize;
        let rows = NUMBERS.lines().filter(|line| !line.starts_with('#'));
        rows.filter_map(|row| {
            let mut words = row.split(' ');
            let name = words.next()?;
            Some((name, words.nth(column - 1)?.parse::<u32>().ok()? | bit))
        })
        .collect()
    }
}
