//! From a profile to what it means for one container: a verdict per number and architecture.

use std::collections::BTreeMap;

use nix::sys::utsname::uname;

use super::arch::{Arch, NEWEST, X32_BIT};
use super::profile::{Action, Condition, Profile, Rule, Scope};

/// Who asks, and where.
pub(super) struct Situation<'a> {
    pub native: Arch,
    pub capabilities: &'a [String],
    pub kernel: (u32, u32),
}

/// What happens at a call: the action of the first alternative whose conditions hold, else `otherwise`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub alternatives: Vec<(Vec<Condition>, Action)>,
    pub otherwise: Action,
}

/// The verdicts of one value of `seccomp_data.arch`. Each holds from its number up to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub audit: u32,
    pub segments: Vec<(u32, Verdict)>,
}

/// The Linux that runs, major and minor.
pub(super) fn running_kernel() -> (u32, u32) {
    let release = uname().map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default();
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map(|word| word.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// The sections of a profile, the native architecture first.
pub(super) fn resolve(profile: &Profile, situation: &Situation<'_>) -> Vec<Section> {
    let rules: Vec<&Rule> = profile.rules.iter().filter(|rule| counts(rule, situation)).collect();
    let companions = situation.native.companions().iter().filter(|arch| profile.arches.contains(arch));
    let mut sections: Vec<Section> = Vec::new();
    for arch in std::iter::once(&situation.native).chain(companions) {
        let segments = segments(*arch, &rules, profile.otherwise);
        match sections.iter_mut().find(|section| section.audit == arch.audit()) {
            // x32 shares its number space with x86_64, above it.
            Some(section) => section.segments.extend(segments),
            None => sections.push(Section { audit: arch.audit(), segments }),
        }
    }
    for section in &mut sections {
        close_x32(section);
        section.segments.dedup_by(|later, earlier| later.1 == earlier.1);
    }
    sections
}

/// x86_64 numbers with x32's bit are foreign calls where x32 is not allowed.
fn close_x32(section: &mut Section) {
    let has = section.segments.last().is_some_and(|(start, _)| *start >= X32_BIT);
    if section.audit == Arch::X86_64.audit() && !has {
        section.segments.push((X32_BIT, plain(Action::KillProcess)));
    }
}

/// Whether a rule holds for who asks, and here.
pub(super) fn counts(rule: &Rule, situation: &Situation<'_>) -> bool {
    let has = |name: &String| {
        let bare = |name: &str| name.strip_prefix("CAP_").unwrap_or(name).to_ascii_uppercase();
        situation.capabilities.iter().any(|known| bare(known) == bare(name))
    };
    let here = |name: &String| name == situation.native.short_name();
    let recent = |scope: &Scope| scope.kernel.is_none_or(|kernel| situation.kernel >= kernel);
    let (only, except) = (&rule.only, &rule.except);
    only.capabilities.iter().all(has)
        && (only.arches.is_empty() || only.arches.iter().any(here))
        && recent(only)
        && !except.capabilities.iter().any(has)
        && !except.arches.iter().any(here)
        && (except.kernel.is_none() || !recent(except))
}

/// All numbers of an architecture in order, gaps filled with what the profile says of calls that it does not name.
fn segments(arch: Arch, rules: &[&Rule], otherwise: Action) -> Vec<(u32, Verdict)> {
    let numbers = arch.numbers();
    let base = if arch == Arch::X32 { X32_BIT } else { 0 };
    let mut verdicts: BTreeMap<u32, Verdict> = BTreeMap::new();
    for rule in rules {
        for number in rule.names.iter().filter_map(|name| numbers.get(name.as_str())) {
            add(verdicts.entry(*number).or_insert_with(|| plain(otherwise)), rule, otherwise);
        }
    }
    let mut out = vec![(base, plain(otherwise))];
    // A number above the table is named by no profile and known by no C library as old as the table.
    let newer = if matches!(otherwise, Action::Allow | Action::Log) { otherwise } else { Action::Errno(ENOSYS) };
    verdicts.entry(base + NEWEST + 1).or_insert_with(|| plain(newer));
    let last_special = numbers.values().copied().filter(|number| *number > base + NEWEST).collect::<Vec<u32>>();
    for number in last_special {
        verdicts.entry(number).or_insert_with(|| plain(otherwise));
    }
    for (number, verdict) in verdicts {
        out.push((number, verdict));
        out.push((number + 1, plain(if number > base + NEWEST { newer } else { otherwise })));
    }
    settle(out)
}

/// EPERM's neighbour: the call does not exist.
const ENOSYS: u16 = 38;

/// A call's own verdict comes after the gap that begins at its number: the later entry of a number counts.
fn settle(mut segments: Vec<(u32, Verdict)>) -> Vec<(u32, Verdict)> {
    segments.sort_by_key(|(start, _)| *start);
    let mut out: Vec<(u32, Verdict)> = Vec::new();
    for (start, verdict) in segments {
        match out.last_mut() {
            Some(last) if last.0 == start => last.1 = verdict,
            Some(last) if last.1 == verdict => {}
            _ => out.push((start, verdict)),
        }
    }
    out
}

/// A rule without conditions is about the whole call and wins over those with some, as in libseccomp; of two such the later
/// wins. A rule that does what happens anyway adds nothing.
fn add(verdict: &mut Verdict, rule: &Rule, otherwise: Action) {
    if rule.conditions.is_empty() {
        *verdict = Verdict { alternatives: vec![(Vec::new(), rule.action)], otherwise };
    } else if !verdict.alternatives.iter().any(|(conditions, _)| conditions.is_empty()) {
        verdict.alternatives.push((rule.conditions.clone(), rule.action));
    }
}

fn plain(action: Action) -> Verdict {
    Verdict { alternatives: Vec::new(), otherwise: action }
}
