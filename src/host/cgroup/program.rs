//! The device rules of v2: a small BPF program that the kernel asks at every open and mknod of a device.
//!
//! It is attached by BPF_PROG_ATTACH: a link would die with its descriptor, and the group must outlive this process.
//! Kernel side: `kernel/bpf/cgroup.c`, `struct bpf_cgroup_dev_ctx` (access << 16 | type, major, minor).

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use super::{DeviceRule, Error, Result};

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Insn {
    code: u8,
    /// Destination register in the low half, source in the high one.
    registers: u8,
    offset: i16,
    value: i32,
}

/// Class, size and mode bits of `linux/bpf_common.h` and `linux/bpf.h`.
mod code {
    pub const LOAD_WORD: u8 = 0x61;
    pub const AND: u8 = 0x54;
    pub const SHIFT_RIGHT: u8 = 0x74;
    pub const MOVE_REGISTER: u8 = 0xbc;
    pub const MOVE: u8 = 0xb4;
    pub const JUMP_NOT_EQUAL: u8 = 0x56;
    pub const EXIT: u8 = 0x95;
}

/// What the registers hold: the verdict or a scratch value, the context, and the three words of the question.
const VERDICT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// `BPF_DEVCG_ACC_*` and `BPF_DEVCG_DEV_*`.
const MKNOD: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;
const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;

/// The program: each rule in turn allows, or passes on; at the end nothing is allowed.
pub(super) fn build(rules: &[DeviceRule]) -> Vec<Insn> {
    let mut program = vec![
        load(KIND, 0),
        op(code::AND, KIND, 0xffff),
        load(ACCESS, 0),
        op(code::SHIFT_RIGHT, ACCESS, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    for rule in merge(rules) {
        program.extend(block(&rule));
    }
    program.extend([op(code::MOVE, VERDICT, 0), op(code::EXIT, 0, 0)]);
    program
}

/// A question for `rw` is one question: two rules for the same nodes, one with `r` and one with `w`, must answer together.
fn merge(rules: &[DeviceRule]) -> Vec<DeviceRule> {
    let mut merged: Vec<DeviceRule> = Vec::new();
    for rule in rules {
        let key = |rule: &DeviceRule| (rule.kind, rule.major, rule.minor);
        match merged.iter_mut().find(|known| key(known) == key(rule)) {
            Some(known) => {
                known.read |= rule.read;
                known.write |= rule.write;
                known.mknod |= rule.mknod;
            }
            None => merged.push(*rule),
        }
    }
    merged
}

/// Tests of one rule, each leaving to the next rule where it fails.
fn block(rule: &DeviceRule) -> Vec<Insn> {
    let mut tests: Vec<(u8, i32)> = Vec::new();
    match rule.kind {
        'b' => tests.push((KIND, BLOCK)),
        'c' => tests.push((KIND, CHARACTER)),
        _ => {}
    }
    // Device numbers have 32 bits at most; the comparison is of 32 bits, so that the sign does not matter.
    tests.extend(rule.major.map(|number| (MAJOR, number.cast_signed())));
    tests.extend(rule.minor.map(|number| (MINOR, number.cast_signed())));
    let bits = [(rule.read, READ), (rule.write, WRITE), (rule.mknod, MKNOD)];
    let allowed = bits.iter().filter(|(has, _)| *has).map(|(_, bit)| bit).sum::<i32>();
    let forbidden = (READ | WRITE | MKNOD) & !allowed;
    let access = (forbidden != 0).then_some([
        Insn { code: code::MOVE_REGISTER, registers: CONTEXT | ACCESS << 4, offset: 0, value: 0 },
        op(code::AND, CONTEXT, forbidden),
    ]);
    let last = access.is_some().then_some((CONTEXT, 0));
    let verdict = [op(code::MOVE, VERDICT, 1), op(code::EXIT, 0, 0)];
    let total = tests.len() + access.map_or(0, |part| part.len() + 1) + verdict.len();
    let mut out: Vec<Insn> = Vec::with_capacity(total);
    let leave = |(register, value): (u8, i32), at: usize| Insn {
        offset: i16::try_from(total - at - 1).unwrap_or(i16::MAX),
        ..op(code::JUMP_NOT_EQUAL, register, value)
    };
    for test in tests {
        out.push(leave(test, out.len()));
    }
    out.extend(access.into_iter().flatten());
    if let Some(test) = last {
        out.push(leave(test, out.len()));
    }
    out.extend(verdict);
    out
}

fn op(code: u8, register: u8, value: i32) -> Insn {
    Insn { code, registers: register, offset: 0, value }
}

fn load(register: u8, offset: i16) -> Insn {
    Insn { code: code::LOAD_WORD, registers: register | CONTEXT << 4, offset, value: 0 }
}

/// `union bpf_attr`, the part that BPF_PROG_LOAD reads.
#[repr(C)]
struct LoadAttributes {
    kind: u32,
    count: u32,
    program: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// `union bpf_attr`, the part that BPF_PROG_ATTACH reads.
#[repr(C)]
struct AttachAttributes {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

const PROGRAM_LOAD: libc::c_int = 5;
const PROGRAM_ATTACH: libc::c_int = 8;
const KIND_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
/// Programs of the groups above, systemd's for example, go on being asked too.
const ALLOW_MULTI: u32 = 2;

/// Loads the program and attaches it to a v2 group.
pub(super) fn attach(dir: &Path, program: &[Insn]) -> Result<()> {
    let failed = |operation| move |source| Error::DeviceProgram { operation, path: dir.to_owned(), source };
    let group = File::open(dir).map_err(|source| Error::file("open", dir, source))?;
    let loaded = load_program(program).map_err(failed("load"))?;
    let attributes = AttachAttributes {
        target: group.as_raw_fd().cast_unsigned(),
        program: loaded.as_raw_fd().cast_unsigned(),
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    bpf(PROGRAM_ATTACH, &attributes).map(|_| ()).map_err(failed("attach"))
}

fn load_program(program: &[Insn]) -> io::Result<OwnedFd> {
    let attributes = LoadAttributes {
        kind: KIND_CGROUP_DEVICE,
        count: u32::try_from(program.len()).map_err(io::Error::other)?,
        program: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    let fd = bpf(PROGRAM_LOAD, &attributes)?;
    // SAFETY: the kernel has just returned this descriptor (close-on-exec by itself), nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<i32> {
    // SAFETY: `attributes` is a repr(C) prefix of `union bpf_attr` of the given size; the pointers in it are to memory
    // that the caller keeps until the call is over.
    let done = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { i32::try_from(done).map_err(io::Error::other) }
}

#[cfg(test)]
impl Insn {
    /// Code, destination, source, offset and value.
    pub(super) fn parts(self) -> (u8, usize, usize, i16, i32) {
        (self.code, usize::from(self.registers & 15), usize::from(self.registers >> 4), self.offset, self.value)
    }
}
