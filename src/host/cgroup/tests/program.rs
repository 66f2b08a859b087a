//! The device program, run by an evaluator of the few instructions that it is made of.

use super::super::DeviceRule;
use super::super::device::standard;
use super::super::program::{Insn, build};

/// Runs a program on (access, kind, major, minor).
fn allowed(program: &[Insn], access: u32, kind: u32, major: u32, minor: u32) -> bool {
    let context = [access << 16 | kind, major, minor];
    let (mut registers, mut at) = ([0u32; 16], 0usize);
    loop {
        let (code, to, from, offset, value) = program[at].parts();
        at += 1;
        let value = value.cast_unsigned();
        match code {
            0x61 => registers[to] = context[usize::try_from(offset).expect("not negative") / 4],
            0x54 => registers[to] &= value,
            0x74 => registers[to] >>= value,
            0xbc => registers[to] = registers[from],
            0xb4 => registers[to] = value,
            0x56 if registers[to] != value => at += usize::try_from(offset).expect("forward"),
            0x56 => {}
            0x95 => return registers[0] != 0,
            other => panic!("unknown instruction {other:#x}"),
        }
    }
}

const MKNOD: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 4;
const BLOCK: u32 = 1;
const CHARACTER: u32 = 2;

#[test]
fn the_standard_rules_open_null_and_not_a_disk() {
    let program = build(&standard());
    assert!(allowed(&program, READ | WRITE, CHARACTER, 1, 3));
    assert!(allowed(&program, READ, CHARACTER, 136, 77));
    assert!(allowed(&program, MKNOD, BLOCK, 8, 0));
    assert!(!allowed(&program, READ, BLOCK, 8, 0));
    assert!(!allowed(&program, READ | MKNOD, BLOCK, 8, 0));
    assert!(!allowed(&program, READ, CHARACTER, 1, 1), "/dev/mem");
    assert!(!allowed(&program, READ, BLOCK, 1, 3), "the numbers of null, but a block device");
}

#[test]
fn rights_of_rules_for_the_same_nodes_add_up() {
    let rules = ["b 8:* r", "b 8:* w", "a 10:229 rwm"].map(|text| DeviceRule::parse(text).expect("a rule"));
    let program = build(&rules);
    assert!(allowed(&program, READ | WRITE, BLOCK, 8, 1));
    assert!(!allowed(&program, READ | MKNOD, BLOCK, 8, 1));
    assert!(allowed(&program, READ | WRITE | MKNOD, CHARACTER, 10, 229));
    assert!(!allowed(&program, READ, CHARACTER, 10, 228));
}

#[test]
fn without_rules_nothing_is_allowed() {
    assert!(!allowed(&build(&[]), READ, CHARACTER, 1, 3));
}
