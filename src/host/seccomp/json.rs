//! Docker's JSON form of a profile (`security_opt: seccomp=FILE`).

use serde::Deserialize;

use super::Error;
use super::arch::Arch;
use super::default::SPECULATION_ALLOWED;
use super::profile::{Action, Compare, Condition, Profile, Rule, Scope};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    default_action: String,
    default_errno_ret: Option<u64>,
    #[serde(default)]
    architectures: Vec<String>,
    #[serde(default)]
    arch_map: Vec<ArchMap>,
    #[serde(default)]
    flags: Option<Vec<String>>,
    #[serde(default)]
    syscalls: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ArchMap {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    name: String,
    #[serde(default)]
    names: Vec<String>,
    action: String,
    errno_ret: Option<u64>,
    #[serde(default)]
    args: Option<Vec<Argument>>,
    #[serde(default)]
    includes: Option<Filter>,
    #[serde(default)]
    excludes: Option<Filter>,
    #[serde(default, rename = "comment")]
    _comment: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Argument {
    index: u64,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Filter {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// Reads a profile.
pub(super) fn parse(text: &str) -> Result<Profile, Error> {
    let file: File = serde_json::from_str(text).map_err(Error::Syntax)?;
    if !file.architectures.is_empty() && !file.arch_map.is_empty() {
        return Err(Error::Both("architectures", "archMap"));
    }
    let otherwise = action(&file.default_action, file.default_errno_ret)?;
    let mut rules = Vec::new();
    for entry in &file.syscalls {
        rules.extend(entry.rules(file.default_errno_ret)?);
    }
    Ok(Profile { otherwise, arches: arches(&file), rules, flags: flags(file.flags.as_deref())? })
}

/// Those of other machines are passed over: a profile names all that it can be used on.
fn arches(file: &File) -> Vec<Arch> {
    let native = Arch::NATIVE;
    let mapped = file.arch_map.iter().filter(|map| Arch::from_scmp(&map.architecture) == native);
    let mapped = mapped.flat_map(|map| map.sub_architectures.iter().flatten());
    file.architectures.iter().chain(mapped).filter_map(|name| Arch::from_scmp(name)).collect()
}

/// `SECCOMP_FILTER_FLAG_*`. A profile that names none gets what runc gives it.
fn flags(names: Option<&[String]>) -> Result<u32, Error> {
    let Some(names) = names else { return Ok(SPECULATION_ALLOWED) };
    let one = |name: &String| match name.as_str() {
        // Only one thread is there when the filter is installed.
        "SECCOMP_FILTER_FLAG_TSYNC" => Ok(0),
        "SECCOMP_FILTER_FLAG_LOG" => Ok(2),
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => Ok(SPECULATION_ALLOWED),
        _ => Err(unknown("flag", name, "")),
    };
    names.iter().try_fold(0, |all, name| Ok(all | one(name)?))
}

fn action(name: &str, value: Option<u64>) -> Result<Action, Error> {
    // Without a value docker answers EPERM.
    let value = value.unwrap_or(1);
    let value = u16::try_from(value).map_err(|_| Error::Range { what: "errnoRet", value, limit: u16::MAX.into() })?;
    Ok(match name {
        "SCMP_ACT_ALLOW" => Action::Allow,
        "SCMP_ACT_ERRNO" => Action::Errno(value),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
        "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
        "SCMP_ACT_TRAP" => Action::Trap,
        "SCMP_ACT_TRACE" => Action::Trace(value),
        "SCMP_ACT_LOG" => Action::Log,
        "SCMP_ACT_NOTIFY" => return Err(unknown("action", name, ": windlass has no agent that could be asked")),
        _ => return Err(unknown("action", name, "")),
    })
}

fn unknown(kind: &'static str, word: &str, hint: &'static str) -> Error {
    Error::Unknown { kind, word: word.to_owned(), hint }
}

impl Entry {
    /// One rule; or, where one argument is compared several times, one for each comparison: they are alternatives then, as
    /// runc has it.
    fn rules(&self, default_errno: Option<u64>) -> Result<Vec<Rule>, Error> {
        let names = match (self.name.is_empty(), self.names.is_empty()) {
            (false, false) => return Err(Error::Both("name", "names")),
            (false, true) => vec![self.name.clone()],
            _ => self.names.clone(),
        };
        let conditions = self.args.iter().flatten().map(Argument::condition).collect::<Result<Vec<_>, _>>()?;
        let rule = Rule {
            names,
            action: action(&self.action, self.errno_ret.or(default_errno))?,
            conditions: Vec::new(),
            only: scope(self.includes.as_ref())?,
            except: scope(self.excludes.as_ref())?,
        };
        let repeated = (0..6).any(|index| conditions.iter().filter(|one| one.argument == index).count() > 1);
        let sets: Vec<Vec<Condition>> =
            if repeated { conditions.into_iter().map(|one| vec![one]).collect() } else { vec![conditions] };
        Ok(sets.into_iter().map(|conditions| Rule { conditions, ..rule.clone() }).collect())
    }
}

impl Argument {
    fn condition(&self) -> Result<Condition, Error> {
        let argument = u8::try_from(self.index).ok().filter(|index| *index < 6);
        let argument = argument.ok_or(Error::Range { what: "an argument's index", value: self.index, limit: 5 })?;
        let (compare, value) = match self.op.as_str() {
            "SCMP_CMP_EQ" => (Compare::Equal, self.value),
            "SCMP_CMP_NE" => (Compare::NotEqual, self.value),
            "SCMP_CMP_LT" => (Compare::Less, self.value),
            "SCMP_CMP_LE" => (Compare::LessOrEqual, self.value),
            "SCMP_CMP_GT" => (Compare::Greater, self.value),
            "SCMP_CMP_GE" => (Compare::GreaterOrEqual, self.value),
            // `value` is the mask here.
            "SCMP_CMP_MASKED_EQ" => (Compare::Masked(self.value), self.value_two),
            other => return Err(unknown("operator", other, "")),
        };
        Ok(Condition { argument, compare, value })
    }
}

fn scope(filter: Option<&Filter>) -> Result<Scope, Error> {
    let Some(filter) = filter else { return Ok(Scope::default()) };
    let kernel = filter.min_kernel.as_ref().map(|text| {
        let parts = text.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        parts.ok_or_else(|| unknown("kernel version", text, ": write it like `4.8`"))
    });
    Ok(Scope {
        capabilities: filter.caps.clone().unwrap_or_default(),
        arches: filter.arches.clone().unwrap_or_default(),
        kernel: kernel.transpose()?,
    })
}
