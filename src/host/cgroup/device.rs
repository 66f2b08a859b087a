//! Which device nodes a container may use.

use std::fmt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use cgroups_rs::fs::devices::{DevicePermissions, DeviceType, DevicesController};

use super::mounts::{Controller, Version};
use super::{Cgroup, Error, Result, limits, program};
use crate::desired::{ContainerSpec, DeviceSpec};

/// What a container gets of the host's devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Devices {
    /// All (`privileged`).
    All,
    /// The standard ones and these.
    Rules(Vec<DeviceRule>),
}

impl Devices {
    /// What a container may use.
    ///
    /// # Errors
    /// When a rule is none, or a device.
    pub fn of(spec: &ContainerSpec) -> Result<Self> {
        if spec.security.privileged {
            return Ok(Self::All);
        }
        let rules = spec.device_rules.iter().map(|rule| DeviceRule::parse(rule));
        let nodes = spec.devices.iter().map(DeviceRule::of);
        Ok(Self::Rules(rules.chain(nodes).collect::<Result<_>>()?))
    }

    /// The rules, after those of every container; none where all is allowed.
    pub fn with_standard(self) -> Vec<DeviceRule> {
        match self {
            Self::All => Vec::new(),
            Self::Rules(rules) => standard().into_iter().chain(rules).collect(),
        }
    }
}

/// Permission for a kind of device nodes; everything that no rule names is forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    /// `c`, `b`, or `a` for both.
    pub kind: char,
    /// Major number; `None`: any.
    pub major: Option<u32>,
    /// Minor number; `None`: any.
    pub minor: Option<u32>,
    /// Reading.
    pub read: bool,
    /// Writing.
    pub write: bool,
    /// Making a node.
    pub mknod: bool,
}

impl DeviceRule {
    /// Reads `c 1:3 rwm`, as docker's `device_cgroup_rules` have it.
    ///
    /// # Errors
    /// When it is not of that form.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || Error::Device {
            text: text.to_owned(),
            expected: "a device rule like `c 1:3 rwm` (type a, b or c; numbers or *; of r, w, m)",
            source: None,
        };
        let number = |word: &str| if word == "*" { Some(None) } else { word.parse().ok().map(Some) };
        let words: Vec<&str> = text.split_whitespace().collect();
        let [kind @ ("a" | "b" | "c"), numbers, permissions] = words[..] else { return Err(wrong()) };
        let (major, minor) = numbers.split_once(':').ok_or_else(wrong)?;
        let (major, minor) = (number(major).ok_or_else(wrong)?, number(minor).ok_or_else(wrong)?);
        if permissions.is_empty() || permissions.contains(|letter| !"rwm".contains(letter)) {
            return Err(wrong());
        }
        Ok(Self::new(kind.chars().next().unwrap_or('a'), major, minor, permissions))
    }

    /// The rule for a device node of the host.
    ///
    /// # Errors
    /// When there is no device node.
    pub fn of(spec: &DeviceSpec) -> Result<Self> {
        let wrong =
            |source| Error::Device { text: spec.source.display().to_string(), expected: "a device node", source };
        let permissions = if spec.permissions.is_empty() { "rwm" } else { &spec.permissions };
        if let Some(node) = spec.node {
            let kind = if node.block { 'b' } else { 'c' };
            return Ok(Self::new(kind, Some(node.major), Some(node.minor), permissions));
        }
        let meta = std::fs::metadata(&spec.source).map_err(|source| wrong(Some(source)))?;
        let kind = match meta.file_type() {
            kind if kind.is_char_device() => 'c',
            kind if kind.is_block_device() => 'b',
            _ => return Err(wrong(None)),
        };
        let (major, minor) = (libc::major(meta.rdev()), libc::minor(meta.rdev()));
        Ok(Self::new(kind, Some(major), Some(minor), permissions))
    }

    fn new(kind: char, major: Option<u32>, minor: Option<u32>, permissions: &str) -> Self {
        let has = |letter| permissions.contains(letter);
        Self { kind, major, minor, read: has('r'), write: has('w'), mknod: has('m') }
    }
}

impl fmt::Display for DeviceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
        write!(f, "{} {}:{} ", self.kind, number(self.major), number(self.minor))?;
        for (letter, has) in [('r', self.read), ('w', self.write), ('m', self.mknod)] {
            if has {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

/// What every container may use, as docker has it: any node may be made (it can't be opened), and null, zero, full, random,
/// urandom, tty, console, ptmx and the pseudo terminals.
pub(super) fn standard() -> Vec<DeviceRule> {
    let mut rules = vec![DeviceRule::new('c', None, None, "m"), DeviceRule::new('b', None, None, "m")];
    let nodes = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];
    rules.extend(nodes.map(|(major, minor)| DeviceRule::new('c', Some(major), Some(minor), "rwm")));
    rules.push(DeviceRule::new('c', Some(136), None, "rwm"));
    rules
}

/// Forbids all devices but `rules`: by the v1 controller where it is mounted, else by a program on the v2 group. With
/// neither there is a warning.
pub(super) fn restrict(cgroup: &Cgroup, rules: &[DeviceRule]) -> Result<Option<String>> {
    if let Some(place) = cgroup.place(Controller::Devices) {
        let controller = DevicesController::new(place.dir.clone(), place.dir.clone());
        let any = [DevicePermissions::Read, DevicePermissions::Write, DevicePermissions::MkNod];
        limits::refuse("devices", "none", controller.deny_device(DeviceType::All, -1, -1, &any))?;
        for rule in rules {
            allow_v1(&controller, rule)?;
        }
        return Ok(None);
    }
    match cgroup.tracker().filter(|place| place.version == Version::V2) {
        Some(place) => program::attach(&place.dir, &program::build(rules)).map(|()| None),
        None => Ok(Some("devices are not restricted: the v1 devices controller is not mounted, nor is cgroup2".into())),
    }
}

fn allow_v1(controller: &DevicesController, rule: &DeviceRule) -> Result<()> {
    let kind = match rule.kind {
        'c' => DeviceType::Char,
        'b' => DeviceType::Block,
        _ => DeviceType::All,
    };
    let number = |number: Option<u32>| number.map_or(-1, i64::from);
    let all = [
        (rule.read, DevicePermissions::Read),
        (rule.write, DevicePermissions::Write),
        (rule.mknod, DevicePermissions::MkNod),
    ];
    let permissions: Vec<DevicePermissions> = all.into_iter().filter_map(|(has, which)| has.then_some(which)).collect();
    let done = controller.allow_device(kind, number(rule.major), number(rule.minor), &permissions);
    limits::refuse("devices", rule, done)
}
