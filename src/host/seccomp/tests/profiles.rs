//! Profiles in docker's JSON form.

use super::super::arch::Arch;
use super::super::{Program, compile};
use super::{ALLOW, arches, verdict};
use crate::desired::Seccomp;

fn compiled(json: &str, capabilities: &[&str]) -> Result<Program, String> {
    let capabilities: Vec<String> = capabilities.iter().map(|name| (*name).to_owned()).collect();
    let program = compile(&Seccomp::Profile { json: json.to_owned() }, &capabilities);
    program.map(|program| program.expect("a filter")).map_err(|error| error.to_string())
}

#[test]
fn a_profile_is_followed_with_its_scopes() {
    let json = r#"{
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 13,
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
                    {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": null}],
        "syscalls": [
            {"names": ["read", "no_such_call"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["write"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5},
            {"names": ["close"], "action": "SCMP_ACT_ERRNO"},
            {"name": "getpid", "action": "SCMP_ACT_LOG", "comment": "told"},
            {"names": ["chroot"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_CHROOT"]}},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_CHROOT"]}},
            {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}},
            {"names": ["sync"], "action": "SCMP_ACT_KILL_PROCESS", "includes": {"minKernel": "4.8"}},
            {"names": ["tee"], "action": "SCMP_ACT_TRAP", "includes": {"arches": ["amd64", "arm64"]}},
            {"names": ["times"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["amd64", "arm64"]}}
        ]}"#;
    let program = compiled(json, &["sys_chroot"]).expect("a profile");
    let rows = [
        ("read", ALLOW),
        ("write", "errno 5"),
        ("close", "errno 13"),
        ("getpid", "log"),
        ("chroot", ALLOW),
        ("mount", "errno 13"),
        ("bpf", "errno 13"),
        ("sync", "kill process"),
        ("tee", "trap"),
        ("times", "errno 13"),
        ("execve", "errno 13"),
    ];
    for (name, expected) in rows {
        assert_eq!(verdict(&program, arches()[0], name, [0; 6]), expected, "{name}");
    }
    assert_eq!(verdict(&compiled(json, &[]).expect("a profile"), arches()[0], "mount", [0; 6]), ALLOW);
    if Arch::NATIVE == Some(Arch::X86_64) {
        assert_eq!(verdict(&program, Arch::X86, "read", [0; 6]), ALLOW);
        assert_eq!(verdict(&program, Arch::X32, "read", [0; 6]), "kill process");
    }
}

/// One rule on `fcntl` with these comparisons.
fn with_arguments(arguments: &str) -> Program {
    let json = format!(
        r#"{{"defaultAction": "SCMP_ACT_ERRNO",
             "syscalls": [{{"names": ["fcntl"], "action": "SCMP_ACT_ALLOW", "args": [{arguments}]}}]}}"#
    );
    compiled(&json, &[]).expect("a profile")
}

#[test]
fn arguments_are_compared_in_all_64_bits() {
    const BIG: u64 = 0x1_0000_0005;
    let rows: [(&str, fn(u64) -> bool); 6] = [
        ("EQ", |value| value == BIG),
        ("NE", |value| value != BIG),
        ("LT", |value| value < BIG),
        ("LE", |value| value <= BIG),
        ("GT", |value| value > BIG),
        ("GE", |value| value >= BIG),
    ];
    let values = [0, 5, 6, BIG - 1, BIG, BIG + 1, 0x1_0000_0000, 0x2_0000_0005, 0x2_0000_0000, u64::MAX];
    for (operator, holds) in rows {
        let program = with_arguments(&format!(r#"{{"index": 2, "value": {BIG}, "op": "SCMP_CMP_{operator}"}}"#));
        for value in values {
            let allowed = verdict(&program, arches()[0], "fcntl", [0, 0, value, 0, 0, 0]) == ALLOW;
            assert_eq!(allowed, holds(value), "{value:#x} {operator} {BIG:#x}");
        }
    }
    let masked = r#"{"index": 5, "value": 1095216660495, "valueTwo": 1095216660481, "op": "SCMP_CMP_MASKED_EQ"}"#;
    let (mask, wanted) = (0xff_0000_000fu64, 0xff_0000_0001u64);
    for value in [wanted, wanted | 0xf0, wanted | 2, 1, u64::MAX, 0xff_0000_0000] {
        let allowed = verdict(&with_arguments(masked), arches()[0], "fcntl", [0, 0, 0, 0, 0, value]) == ALLOW;
        assert_eq!(allowed, value & mask == wanted, "{value:#x}");
    }
}

#[test]
fn conditions_on_several_arguments_must_all_hold_and_on_one_any() {
    let all = r#"{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 2, "op": "SCMP_CMP_NE"}"#;
    let any = r#"{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}"#;
    let rows = [(all, [1, 1], true), (all, [1, 2], false), (all, [2, 1], false)];
    let rows = rows.into_iter().chain([(any, [1, 0], true), (any, [2, 0], true), (any, [3, 0], false)]);
    for (arguments, [first, second], expected) in rows {
        let found = verdict(&with_arguments(arguments), arches()[0], "fcntl", [first, second, 0, 0, 0, 0]);
        assert_eq!(found == ALLOW, expected, "{arguments} {first} {second}");
    }
}

#[test]
fn a_profile_that_allows_by_default_allows_what_is_new() {
    let json = r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"],
                   "syscalls": [{"names": ["ptrace"], "action": "SCMP_ACT_ERRNO"}]}"#;
    let program = compiled(json, &[]).expect("a profile");
    let number = 5000;
    let call = super::Call { number, audit: arches()[0].audit(), arguments: [0; 6] };
    assert_eq!(super::evaluate(&program, &call), ALLOW);
    assert_eq!(verdict(&program, arches()[0], "ptrace", [0; 6]), "errno 1");
    assert_eq!(program.flags, 2);
}

#[test]
fn wrong_profiles_are_told_by_the_word() {
    let rule =
        |inner: &str| format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{{"names": ["read"], {inner}}}]}}"#);
    let rows = [
        ("not json".to_owned(), "cannot be read"),
        ("{}".to_owned(), "cannot be read"),
        (r#"{"defaultAction": "ALLOW"}"#.to_owned(), "action `ALLOW`"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "sycalls": []}"#.to_owned(), "cannot be read"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["X"]}"#.to_owned(), "flag `X`"),
        (rule(r#""action": "SCMP_ACT_NOTIFY""#), "no agent"),
        (rule(r#""action": "SCMP_ACT_ERRNO", "errnoRet": 70000"#), "errnoRet 70000"),
        (rule(r#""action": "SCMP_ACT_ALLOW", "name": "write""#), "both `name` and `names`"),
        (rule(r#""action": "SCMP_ACT_ALLOW", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]"#), "index 6"),
        (rule(r#""action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 0, "op": "EQ"}]"#), "operator `EQ`"),
        (rule(r#""action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "new"}"#), "write it like"),
    ];
    for (json, expected) in rows {
        let error = compiled(&json, &[]).expect_err(&json);
        assert!(error.contains(expected), "{json}: {error}");
    }
}

#[test]
fn a_filter_that_the_kernel_would_refuse_for_its_length_is_told() {
    let one =
        r#"{"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}"#;
    let json = format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{}]}}"#, vec![one; 1000].join(","));
    assert!(compiled(&json, &[]).expect_err("too long").contains("4096"));
}
