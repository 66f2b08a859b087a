//! An evaluator of the classic BPF that the kernel takes for seccomp.

use super::super::Program;
use super::super::assemble::{AND, EQUAL, GREATER, GREATER_OR_EQUAL, JUMP, LOAD, RETURN};

/// `struct seccomp_data`.
pub(super) struct Call {
    pub number: u32,
    pub audit: u32,
    pub arguments: [u64; 6],
}

/// The verdict in words.
pub(super) fn evaluate(program: &Program, call: &Call) -> String {
    let (mut accumulator, mut at) = (0u32, 0usize);
    loop {
        let insn = program.instructions[at];
        at += 1;
        let skip = |holds: bool| usize::from(if holds { insn.yes } else { insn.no });
        match insn.code {
            LOAD => accumulator = word(call, insn.value),
            AND => accumulator &= insn.value,
            JUMP => at += insn.value as usize,
            EQUAL => at += skip(accumulator == insn.value),
            GREATER => at += skip(accumulator > insn.value),
            GREATER_OR_EQUAL => at += skip(accumulator >= insn.value),
            RETURN => return name(insn.value),
            other => panic!("unknown instruction {other:#x}"),
        }
    }
}

fn word(call: &Call, offset: u32) -> u32 {
    match offset {
        0 => call.number,
        4 => call.audit,
        _ => {
            let at = (offset - 16) as usize;
            u32::try_from(call.arguments[at / 8] >> (at % 8 * 8) & 0xffff_ffff).expect("masked")
        }
    }
}

fn name(value: u32) -> String {
    match value & 0xffff_0000 {
        0x7fff_0000 => "allow".into(),
        0x7ffc_0000 => "log".into(),
        0x7ff0_0000 => format!("trace {}", value & 0xffff),
        0x0005_0000 => format!("errno {}", value & 0xffff),
        0x0003_0000 => "trap".into(),
        0x8000_0000 => "kill process".into(),
        0 => "kill thread".into(),
        _ => format!("{value:#x}"),
    }
}
