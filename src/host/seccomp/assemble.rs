//! From verdicts to classic BPF (`linux/filter.h`, `linux/seccomp.h`).
//!
//! ```text
//!  arch?  ─▶ section ─▶ number? a balanced tree of >= tests ─▶ conditions of the call ─▶ return
//! ```
//!
//! Jumps of a test reach 255 instructions, those of `ja` any: where a part is longer, a `ja` stands in between. All code of
//! a part ends in a return, so parts stand one after the other and nothing runs over.

use serde::{Deserialize, Serialize};

use super::filter::{Section, Verdict};
use super::profile::{Action, Compare, Condition};
use super::{Error, Program};

/// `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u16, u8, u8, u32)", into = "(u16, u8, u8, u32)")]
pub struct Insn {
    /// What it does.
    pub code: u16,
    /// Instructions to leave out if the test holds.
    pub yes: u8,
    /// Instructions to leave out if it does not.
    pub no: u8,
    /// The operand.
    pub value: u32,
}

impl From<(u16, u8, u8, u32)> for Insn {
    fn from((code, yes, no, value): (u16, u8, u8, u32)) -> Self {
        Self { code, yes, no, value }
    }
}

impl From<Insn> for (u16, u8, u8, u32) {
    fn from(insn: Insn) -> Self {
        (insn.code, insn.yes, insn.no, insn.value)
    }
}

pub(super) const LOAD: u16 = 0x20;
pub(super) const AND: u16 = 0x54;
pub(super) const JUMP: u16 = 0x05;
pub(super) const EQUAL: u16 = 0x15;
pub(super) const GREATER: u16 = 0x25;
pub(super) const GREATER_OR_EQUAL: u16 = 0x35;
pub(super) const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// `BPF_MAXINSNS`.
const LONGEST: usize = 4096;

/// The whole program. A call of another architecture ends the process: its numbers mean something else.
pub(super) fn assemble(sections: &[Section], flags: u32) -> Result<Program, Error> {
    let mut instructions = vec![op(LOAD, ARCH)];
    for section in sections {
        let mut code = vec![op(LOAD, NUMBER)];
        code.extend(tree(&section.segments));
        instructions.push(test(EQUAL, section.audit, 1, 0));
        instructions.push(jump(code.len()));
        instructions.extend(code);
    }
    instructions.push(op(RETURN, Action::KillProcess.code()));
    if instructions.len() > LONGEST {
        Err(Error::TooLong(instructions.len()))
    } else {
        Ok(Program { instructions, flags })
    }
}

/// Looks the number up. The kernel answers most calls from a bitmap that it fills by running this once per number.
fn tree(segments: &[(u32, Verdict)]) -> Vec<Insn> {
    match segments {
        [] => Vec::new(),
        [(_, verdict)] => decide(verdict),
        _ => {
            let (below, above) = segments.split_at(segments.len() / 2);
            let (low, high) = (tree(below), tree(above));
            let mut code = match u8::try_from(low.len()) {
                Ok(length) => vec![test(GREATER_OR_EQUAL, above[0].0, length, 0)],
                Err(_) => vec![test(GREATER_OR_EQUAL, above[0].0, 0, 1), jump(low.len())],
            };
            code.extend(low);
            code.extend(high);
            code
        }
    }
}

fn decide(verdict: &Verdict) -> Vec<Insn> {
    let mut code = Vec::new();
    for (conditions, action) in &verdict.alternatives {
        code.extend(alternative(conditions, *action));
        if conditions.is_empty() {
            return code;
        }
    }
    code.push(op(RETURN, verdict.otherwise.code()));
    code
}

/// Where a test of a condition leads.
#[derive(Clone, Copy, PartialEq)]
enum To {
    /// The next instruction.
    Next,
    /// This condition holds: on to the next one.
    Holds,
    /// The alternative does not hold.
    Fails,
}

/// The instructions of one condition; each test with both its ways.
type Draft = Vec<(Insn, To, To)>;

fn alternative(conditions: &[Condition], action: Action) -> Vec<Insn> {
    let drafts: Vec<Draft> = conditions.iter().map(draft).collect();
    let total = drafts.iter().map(Vec::len).sum::<usize>() + 1;
    let (mut code, mut end) = (Vec::new(), 0);
    for draft in drafts {
        end += draft.len();
        for (insn, yes, no) in draft {
            let here = code.len() + 1;
            // At most six conditions of six instructions: every distance fits.
            let distance = |to| match to {
                To::Next => 0,
                To::Holds => u8::try_from(end - here).unwrap_or(u8::MAX),
                To::Fails => u8::try_from(total - here).unwrap_or(u8::MAX),
            };
            code.push(Insn { yes: distance(yes), no: distance(no), ..insn });
        }
    }
    code.push(op(RETURN, action.code()));
    code
}

/// Arguments have 64 bits, the machine 32: the high half decides, unless it is equal.
fn draft(condition: &Condition) -> Draft {
    use To::{Fails, Holds, Next};
    let [low, high] = [0, 4].map(|half| op(LOAD, ARGUMENTS + 8 * u32::from(condition.argument) + half));
    let (value_low, value_high) = halves(condition.value);
    let still = |insn| (insn, Next, Next);
    let branch = |code, value, yes, no| (test(code, value, 0, 0), yes, no);
    let ordered = |above, below, code, yes, no| {
        vec![
            still(high),
            branch(GREATER, value_high, above, Next),
            branch(EQUAL, value_high, Next, below),
            still(low),
            branch(code, value_low, yes, no),
        ]
    };
    match condition.compare {
        Compare::Equal => {
            vec![
                still(high),
                branch(EQUAL, value_high, Next, Fails),
                still(low),
                branch(EQUAL, value_low, Holds, Fails),
            ]
        }
        Compare::NotEqual => {
            vec![
                still(high),
                branch(EQUAL, value_high, Next, Holds),
                still(low),
                branch(EQUAL, value_low, Fails, Holds),
            ]
        }
        Compare::Greater => ordered(Holds, Fails, GREATER, Holds, Fails),
        Compare::GreaterOrEqual => ordered(Holds, Fails, GREATER_OR_EQUAL, Holds, Fails),
        Compare::Less => ordered(Fails, Holds, GREATER_OR_EQUAL, Fails, Holds),
        Compare::LessOrEqual => ordered(Fails, Holds, GREATER, Fails, Holds),
        Compare::Masked(mask) => {
            let (mask_low, mask_high) = halves(mask);
            vec![
                still(high),
                still(op(AND, mask_high)),
                branch(EQUAL, value_high, Next, Fails),
                still(low),
                still(op(AND, mask_low)),
                branch(EQUAL, value_low, Holds, Fails),
            ]
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
fn halves(value: u64) -> (u32, u32) {
    (value as u32, (value >> 32) as u32)
}

fn op(code: u16, value: u32) -> Insn {
    Insn { code, yes: 0, no: 0, value }
}

fn test(code: u16, value: u32, yes: u8, no: u8) -> Insn {
    Insn { code, yes, no, value }
}

fn jump(length: usize) -> Insn {
    // Longer programs than fit are refused at the end.
    op(JUMP, u32::try_from(length).unwrap_or(u32::MAX))
}
