//! A profile in the form that an OCI runtime takes (config.json, `linux.seccomp`), for one container: what the profile says
//! of capabilities, machines and kernels is decided here, since OCI's form has no words for it.

use serde_json::{Map, Value, json};

use super::arch::Arch;
use super::default::SPECULATION_ALLOWED;
use super::profile::{Action, Compare, Condition, Profile, Rule};
use super::{Error, filter};
use crate::desired::SecuritySpec;

/// The filter of a container as OCI has it; `None`: it has none.
///
/// # Errors
/// As [`super::compile`].
pub fn oci(security: &SecuritySpec) -> Result<Option<Value>, Error> {
    if security.privileged {
        return Ok(None);
    }
    let Some(profile) = super::profile(&security.seccomp)? else { return Ok(None) };
    let native = Arch::NATIVE.ok_or(Error::Processor)?;
    let situation =
        filter::Situation { native, capabilities: &security.capabilities, kernel: filter::running_kernel() };
    let rules = profile.rules.iter().filter(|rule| filter::counts(rule, &situation));
    let mut all = action("defaultAction", "defaultErrnoRet", profile.otherwise);
    all.insert("architectures".into(), architectures(native, &profile).into());
    all.insert("syscalls".into(), rules.flat_map(syscalls).collect());
    if profile.flags & !SPECULATION_ALLOWED != 0 {
        // The other flag is what runtimes set by themselves, and an older one does not know its name.
        all.insert("flags".into(), json!(["SECCOMP_FILTER_FLAG_LOG"]));
    }
    Ok(Some(Value::Object(all)))
}

fn architectures(native: Arch, profile: &Profile) -> Vec<&'static str> {
    let companions = native.companions().iter().filter(|arch| profile.arches.contains(arch));
    std::iter::once(&native).chain(companions).map(|arch| arch.scmp()).collect()
}

/// The entries of one rule: OCI runtimes take several conditions on one argument for alternatives, so a range becomes its
/// values.
fn syscalls(rule: &Rule) -> Vec<Value> {
    let sets = match rule.conditions.as_slice() {
        [from, to] if from.argument == to.argument => range(from, to),
        conditions => vec![conditions.to_vec()],
    };
    let one = |conditions: Vec<Condition>| {
        let mut entry = action("action", "errnoRet", rule.action);
        entry.insert("names".into(), json!(rule.names));
        if !conditions.is_empty() {
            entry.insert("args".into(), conditions.iter().map(argument).collect());
        }
        Value::Object(entry)
    };
    sets.into_iter().map(one).collect()
}

fn range(from: &Condition, to: &Condition) -> Vec<Vec<Condition>> {
    let equal = |value| vec![Condition { compare: Compare::Equal, value, ..*from }];
    (from.value..=to.value).map(equal).collect()
}

fn argument(condition: &Condition) -> Value {
    let (op, value, second) = match condition.compare {
        Compare::Equal => ("SCMP_CMP_EQ", condition.value, 0),
        Compare::NotEqual => ("SCMP_CMP_NE", condition.value, 0),
        Compare::Less => ("SCMP_CMP_LT", condition.value, 0),
        Compare::LessOrEqual => ("SCMP_CMP_LE", condition.value, 0),
        Compare::Greater => ("SCMP_CMP_GT", condition.value, 0),
        Compare::GreaterOrEqual => ("SCMP_CMP_GE", condition.value, 0),
        // The mask is `value` here.
        Compare::Masked(mask) => ("SCMP_CMP_MASKED_EQ", mask, condition.value),
    };
    json!({ "index": condition.argument, "op": op, "value": value, "valueTwo": second })
}

fn action(key: &str, errno_key: &str, action: Action) -> Map<String, Value> {
    let (name, value) = match action {
        Action::Allow => ("SCMP_ACT_ALLOW", None),
        Action::Errno(errno) => ("SCMP_ACT_ERRNO", Some(errno)),
        Action::KillThread => ("SCMP_ACT_KILL", None),
        Action::KillProcess => ("SCMP_ACT_KILL_PROCESS", None),
        Action::Trap => ("SCMP_ACT_TRAP", None),
        Action::Trace(message) => ("SCMP_ACT_TRACE", Some(message)),
        Action::Log => ("SCMP_ACT_LOG", None),
    };
    let mut entry = Map::from_iter([(key.to_owned(), name.into())]);
    if let Some(value) = value {
        entry.insert(errno_key.to_owned(), value.into());
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::Seccomp;

    fn entries(security: &SecuritySpec, name: &str) -> Vec<Value> {
        let all = oci(security).unwrap().unwrap();
        let has = |entry: &&Value| entry["names"].as_array().unwrap().iter().any(|known| known == name);
        all["syscalls"].as_array().unwrap().iter().filter(has).cloned().collect()
    }

    #[test]
    fn socket_families_are_single_values_or_one_bound() {
        let entries = entries(&SecuritySpec::default(), "socket");
        let allowed = |family: u64| {
            entries.iter().any(|entry| {
                let args = entry["args"].as_array().unwrap();
                assert_eq!(args.len(), 1, "two conditions on one argument are alternatives in a runtime: {entry}");
                let value = args[0]["value"].as_u64().unwrap();
                match args[0]["op"].as_str().unwrap() {
                    "SCMP_CMP_EQ" => value == family,
                    "SCMP_CMP_LE" => family <= value,
                    other => panic!("{other}"),
                }
            })
        };
        assert!([1, 2, 10, 16, 17, 45].into_iter().all(allowed));
        assert!(![12, 38, 40, 46].into_iter().any(allowed), "AF_ALG, vsock and what is unknown");
    }

    #[test]
    fn capabilities_open_calls_and_no_profile_is_no_filter() {
        let mut security = SecuritySpec::default();
        assert!(entries(&security, "mount").is_empty());
        assert_eq!(entries(&security, "clone3")[0]["errnoRet"], 38);
        security.capabilities = vec!["SYS_ADMIN".into()];
        assert_eq!(entries(&security, "mount")[0]["action"], "SCMP_ACT_ALLOW");
        security.seccomp = Seccomp::Unconfined;
        assert_eq!(oci(&security).unwrap(), None);
        assert_eq!(oci(&SecuritySpec { privileged: true, ..SecuritySpec::default() }).unwrap(), None);
    }
}
