//! A profile: what is allowed to whom, before it is known who asks.

use super::arch::Arch;

/// A profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Profile {
    /// For what no rule covers.
    pub otherwise: Action,
    /// The architectures that may call at all; the native one always may.
    pub arches: Vec<Arch>,
    /// The rules.
    pub rules: Vec<Rule>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
}

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Allow,
    Errno(u16),
    KillThread,
    KillProcess,
    Trap,
    Trace(u16),
    Log,
}

/// One rule for some calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// Their names. Those that an architecture does not have are passed over.
    pub names: Vec<String>,
    pub action: Action,
    /// All of these must hold of the arguments.
    pub conditions: Vec<Condition>,
    /// It counts only where this holds.
    pub only: Scope,
    /// It does not count where any of this holds.
    pub except: Scope,
}

/// A comparison of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// From 0 to 5.
    pub argument: u8,
    pub compare: Compare,
    pub value: u64,
}

/// How it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// Equal in the bits of this mask.
    Masked(u64),
}

/// Where a rule counts, or does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// With `CAP_`.
    pub capabilities: Vec<String>,
    /// Short names of native architectures.
    pub arches: Vec<String>,
    /// Linux of at least this version.
    pub kernel: Option<(u32, u32)>,
}

impl Action {
    /// `SECCOMP_RET_*`.
    pub fn code(self) -> u32 {
        match self {
            Self::KillProcess => 0x8000_0000,
            Self::KillThread => 0,
            Self::Trap => 0x0003_0000,
            Self::Errno(errno) => 0x0005_0000 | u32::from(errno),
            Self::Trace(message) => 0x7ff0_0000 | u32::from(message),
            Self::Log => 0x7ffc_0000,
            Self::Allow => 0x7fff_0000,
        }
    }
}
