//! Classic BPF (`linux/filter.h`, `net/core/filter.c`): programs that guests hand in to judge system calls (seccomp(2)) and packets
//! (`SO_ATTACH_FILTER`, socket(7)).
//!
//! [`Program::check`] is the only way to make a [`Program`], and [`Program::run`] relies on nothing it has not checked again: jumps
//! only go forward and every instruction is met once at most, so a run ends.

use linux_abi::{Errno, Result};

/// The most instructions of a program (`BPF_MAXINSNS`).
pub const MAX_INSTRUCTIONS: usize = 4096;
/// Words of scratch memory (`BPF_MEMWORDS`).
const MEMORY: usize = 16;

// Classes, sizes, modes, operations and sources, as the bits of an opcode.
const LD: u16 = 0x00;
const LDX: u16 = 0x01;
const ST: u16 = 0x02;
const STX: u16 = 0x03;
const ALU: u16 = 0x04;
const JMP: u16 = 0x05;
const RET: u16 = 0x06;
const MISC: u16 = 0x07;
const W: u16 = 0x00;
const H: u16 = 0x08;
const B: u16 = 0x10;
const IMM: u16 = 0x00;
const ABS: u16 = 0x20;
const IND: u16 = 0x40;
const MEM: u16 = 0x60;
const LEN: u16 = 0x80;
const MSH: u16 = 0xa0;
const ADD: u16 = 0x00;
const SUB: u16 = 0x10;
const MUL: u16 = 0x20;
const DIV: u16 = 0x30;
const OR: u16 = 0x40;
const AND: u16 = 0x50;
const LSH: u16 = 0x60;
const RSH: u16 = 0x70;
const NEG: u16 = 0x80;
const MOD: u16 = 0x90;
const XOR: u16 = 0xa0;
const JA: u16 = 0x00;
const JEQ: u16 = 0x10;
const JGT: u16 = 0x20;
const JGE: u16 = 0x30;
const JSET: u16 = 0x40;
const K: u16 = 0x00;
const X: u16 = 0x08;
const A: u16 = 0x10;
const TXA: u16 = 0x80;

/// `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub code: u16,
    pub jump_true: u8,
    pub jump_false: u8,
    pub k: u32,
}

impl Instruction {
    /// Bytes of an instruction in guest memory.
    pub const SIZE: usize = 8;

    /// Decodes instructions; what is left over of the last one is ignored.
    pub fn decode(bytes: &[u8]) -> Vec<Instruction> {
        bytes
            .as_chunks()
            .0
            .iter()
            .map(|&[c0, c1, jump_true, jump_false, k0, k1, k2, k3]: &[u8; Instruction::SIZE]| Instruction {
                code: u16::from_le_bytes([c0, c1]),
                jump_true,
                jump_false,
                k: u32::from_le_bytes([k0, k1, k2, k3]),
            })
            .collect()
    }
}

/// What a program is for: which loads it may make, and in which byte order they see the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// The words of `struct seccomp_data`, in the processor's order (`seccomp_check_filter`).
    SystemCall,
    /// The bytes of a packet, in network order.
    Packet,
}

/// What a packet program may ask besides the packet's bytes (`SKF_AD_*`). `None` ends the program with zero.
pub trait Ancillary {
    /// The word at `offset` from `SKF_AD_OFF`.
    fn ancillary(&self, offset: u32) -> Option<u32>;
}

/// No ancillary data.
impl Ancillary for () {
    fn ancillary(&self, _offset: u32) -> Option<u32> {
        None
    }
}

/// Ancillary data are at negative offsets from here (`SKF_AD_OFF`).
const ANCILLARY: u32 = 0xffff_f000;
/// The highest known ancillary offset (`SKF_AD_MAX`).
const ANCILLARY_MAX: u32 = 64;

/// A program that was checked.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    code: Box<[Instruction]>,
    purpose: Use,
}

impl Program {
    /// Checks a program (`bpf_check_classic`).
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn check(code: Vec<Instruction>, purpose: Use) -> Result<Program> {
        if code.is_empty() || code.len() > MAX_INSTRUCTIONS {
            return Err(Errno::EINVAL);
        }
        for (at, instruction) in code.iter().enumerate() {
            check_one(*instruction, code.len() - at - 1, purpose)?;
        }
        if !code.last().is_some_and(|last| matches!(last.code, c if c == RET | K || c == RET | A)) {
            return Err(Errno::EINVAL);
        }
        check_memory(&code)?;
        Ok(Program { code: code.into(), purpose })
    }

    /// How many instructions it has.
    pub fn len(&self) -> usize {
        self.code.len()
    }

    /// Never: an empty program is refused.
    pub fn is_empty(&self) -> bool {
        self.code.is_empty()
    }

    /// The instructions.
    pub fn instructions(&self) -> &[Instruction] {
        &self.code
    }

    /// What the program says of `data`. A load beyond the data ends it with zero.
    pub fn run(&self, data: &[u8], ancillary: &dyn Ancillary) -> u32 {
        let mut machine = Machine { a: 0, x: 0, memory: [0; MEMORY], data, ancillary, purpose: self.purpose };
        let mut rest = self.code.iter();
        while let Some(instruction) = rest.next() {
            match machine.step(instruction) {
                Some(Step::Skip(0)) => {}
                Some(Step::Skip(count)) => {
                    if rest.nth(count as usize - 1).is_none() {
                        return 0;
                    }
                }
                Some(Step::Return(value)) => return value,
                None => return 0,
            }
        }
        0
    }
}

fn check_one(instruction: Instruction, following: usize, purpose: Use) -> Result<()> {
    let Instruction { code, jump_true, jump_false, k } = instruction;
    let fine = match code & 7 {
        LD | LDX if purpose == Use::SystemCall => match code {
            c if c == LD | W | ABS => k < 64 && k % 4 == 0,
            c if c == LD | W | LEN || c == LDX | W | LEN || c == LD | IMM || c == LDX | IMM => true,
            c if c == LD | MEM || c == LDX | MEM => (k as usize) < MEMORY,
            _ => false,
        },
        LD => match code & 0xe0 {
            ABS => {
                matches!(code & 0x18, W | H | B)
                    && (k < ANCILLARY || (k - ANCILLARY < ANCILLARY_MAX && k % 4 == 0))
            }
            IND => matches!(code & 0x18, W | H | B),
            IMM | LEN => code & 0x18 == W,
            MEM => code & 0x18 == W && (k as usize) < MEMORY,
            _ => false,
        },
        LDX => match code {
            c if c == LDX | W | IMM || c == LDX | W | LEN || c == LDX | B | MSH => true,
            c if c == LDX | W | MEM => (k as usize) < MEMORY,
            _ => false,
        },
        ST | STX => matches!(code, ST | STX) && (k as usize) < MEMORY,
        ALU => {
            let register = code & X != 0;
            match code & 0xf0 {
                ADD | SUB | MUL | OR | AND | XOR => true,
                DIV => register || k != 0,
                MOD => purpose == Use::Packet && (register || k != 0),
                LSH | RSH => register || k < 32,
                NEG => !register,
                _ => false,
            }
        }
        JMP => match code {
            c if c == JMP | JA => (k as usize) < following,
            _ => {
                matches!(code & 0xf0, JEQ | JGT | JGE | JSET)
                    && usize::from(jump_true) < following
                    && usize::from(jump_false) < following
            }
        },
        RET => code == RET | K || code == RET | A,
        _ => code == MISC || code == MISC | TXA,
    };
    // The bits that are left must not be set.
    if fine && code < 0x100 { Ok(()) } else { Err(Errno::EINVAL) }
}

/// No scratch word is read that some way to it has not written (`check_load_and_stores`).
fn check_memory(code: &[Instruction]) -> Result<()> {
    // For each instruction, which words every way to it has written.
    let mut known = vec![u16::MAX; code.len()];
    let mut valid: u16 = 0;
    let meet = |known: &mut [u16], at: usize, valid: u16| {
        if let Some(word) = known.get_mut(at) {
            *word &= valid;
        }
    };
    for (at, instruction) in code.iter().enumerate() {
        valid &= known.get(at).copied().unwrap_or_default();
        let k = instruction.k as usize;
        match instruction.code {
            ST | STX => valid |= 1 << (k % MEMORY),
            c if (c == LD | MEM || c == LDX | MEM) && valid & (1 << (k % MEMORY)) == 0 => {
                return Err(Errno::EINVAL);
            }
            c if c == JMP | JA => {
                meet(&mut known, at + 1 + k, valid);
                valid = u16::MAX;
            }
            c if c & 7 == JMP => {
                meet(&mut known, at + 1 + usize::from(instruction.jump_true), valid);
                meet(&mut known, at + 1 + usize::from(instruction.jump_false), valid);
                valid = u16::MAX;
            }
            _ => {}
        }
    }
    Ok(())
}

/// What follows an instruction.
enum Step {
    /// Go on, leaving out this many.
    Skip(u32),
    /// The end.
    Return(u32),
}

struct Machine<'a> {
    a: u32,
    x: u32,
    memory: [u32; MEMORY],
    data: &'a [u8],
    ancillary: &'a dyn Ancillary,
    purpose: Use,
}

impl Machine<'_> {
    /// One instruction; `None` for a load beyond the data or a division by zero.
    fn step(&mut self, instruction: &Instruction) -> Option<Step> {
        let Instruction { code, jump_true, jump_false, k } = *instruction;
        let length = u32::try_from(self.data.len()).unwrap_or(u32::MAX);
        match code & 7 {
            LD => {
                self.a = match code & 0xe0 {
                    IMM => k,
                    MEM => *self.memory.get(k as usize)?,
                    LEN => length,
                    ABS => self.load(code, k)?,
                    _ => self.load(code, self.x.checked_add(k)?)?,
                };
            }
            LDX => {
                self.x = match code & 0xe0 {
                    IMM => k,
                    MEM => *self.memory.get(k as usize)?,
                    LEN => length,
                    _ => (self.bytes(k, 1)? & 15) << 2,
                };
            }
            ST => *self.memory.get_mut(k as usize)? = self.a,
            STX => *self.memory.get_mut(k as usize)? = self.x,
            ALU => self.a = self.calculate(code, if code & X != 0 { self.x } else { k })?,
            JMP => {
                let operand = if code & X != 0 { self.x } else { k };
                let taken = match code & 0xf0 {
                    JA => return Some(Step::Skip(k)),
                    JEQ => self.a == operand,
                    JGT => self.a > operand,
                    JGE => self.a >= operand,
                    _ => self.a & operand != 0,
                };
                return Some(Step::Skip(u32::from(if taken { jump_true } else { jump_false })));
            }
            RET => return Some(Step::Return(if code & 0x18 == A { self.a } else { k })),
            _ if code & TXA != 0 => self.a = self.x,
            _ => self.x = self.a,
        }
        Some(Step::Skip(0))
    }

    fn calculate(&self, code: u16, operand: u32) -> Option<u32> {
        let a = self.a;
        Some(match code & 0xf0 {
            ADD => a.wrapping_add(operand),
            SUB => a.wrapping_sub(operand),
            MUL => a.wrapping_mul(operand),
            DIV => a.checked_div(operand)?,
            MOD => a.checked_rem(operand)?,
            OR => a | operand,
            AND => a & operand,
            XOR => a ^ operand,
            // The count comes from X unchecked: as in the kernel's own code, only its low five bits count.
            LSH => a.wrapping_shl(operand),
            RSH => a.wrapping_shr(operand),
            _ => a.wrapping_neg(),
        })
    }

    fn load(&self, code: u16, at: u32) -> Option<u32> {
        if self.purpose == Use::Packet && (ANCILLARY..ANCILLARY + ANCILLARY_MAX).contains(&at) {
            return self.ancillary.ancillary(at - ANCILLARY);
        }
        self.bytes(
            at,
            match code & 0x18 {
                W => 4,
                H => 2,
                _ => 1,
            },
        )
    }

    fn bytes(&self, at: u32, count: usize) -> Option<u32> {
        let at = at as usize;
        let bytes = self.data.get(at..at.checked_add(count)?)?;
        let fold = |value: u32, byte: &u8| value << 8 | u32::from(*byte);
        Some(match self.purpose {
            Use::SystemCall => bytes.iter().rev().fold(0, fold),
            Use::Packet => bytes.iter().fold(0, fold),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(code: u16, jump_true: u8, jump_false: u8, k: u32) -> Instruction {
        Instruction { code, jump_true, jump_false, k }
    }

    fn packet(code: &[Instruction], data: &[u8]) -> u32 {
        Program::check(code.to_vec(), Use::Packet).unwrap().run(data, &())
    }

    #[test]
    fn loads_are_in_the_order_of_the_use() {
        let word = [op(LD | W | ABS, 0, 0, 0), op(RET | A, 0, 0, 0)];
        assert_eq!(packet(&word, &[1, 2, 3, 4]), 0x0102_0304);
        let program = Program::check(word.to_vec(), Use::SystemCall).unwrap();
        assert_eq!(program.run(&[1, 2, 3, 4], &()), 0x0403_0201);
        assert_eq!(packet(&[op(LD | H | ABS, 0, 0, 1), op(RET | A, 0, 0, 0)], &[1, 2, 3]), 0x0203);
    }

    #[test]
    fn a_load_beyond_the_data_returns_zero() {
        let code = [op(LD | W | ABS, 0, 0, 1), op(RET | K, 0, 0, 7)];
        assert_eq!(packet(&code, &[1, 2, 3, 4]), 0);
        assert_eq!(packet(&code, &[1, 2, 3, 4, 5]), 7);
        let far = |k| [op(LD | B | ABS, 0, 0, k), op(RET | K, 0, 0, 7)];
        assert_eq!(packet(&far(ANCILLARY - 1), &[0; 8]), 0);
        let unknown = Program::check(far(u32::MAX).to_vec(), Use::Packet);
        assert_eq!(unknown.err(), Some(Errno::EINVAL), "beyond the ancillary loads");
    }

    #[test]
    fn jumps_choose() {
        let code = [
            op(LD | B | ABS, 0, 0, 0),
            op(JMP | JGT | K, 1, 0, 9),
            op(RET | K, 0, 0, 1),
            op(JMP | JSET | K, 0, 1, 0x10),
            op(RET | K, 0, 0, 2),
            op(RET | K, 0, 0, 3),
        ];
        assert_eq!([packet(&code, &[9]), packet(&code, &[0x10]), packet(&code, &[0x20])], [1, 2, 3]);
    }

    #[test]
    fn arithmetic_and_memory() {
        let code = [
            op(LD | IMM, 0, 0, 7),
            op(ST, 0, 0, 3),
            op(LDX | IMM, 0, 0, 5),
            op(ALU | SUB | X, 0, 0, 0),
            op(LDX | MEM, 0, 0, 3),
            op(ALU | MUL | X, 0, 0, 0),
            op(ALU | NEG, 0, 0, 0),
            op(RET | A, 0, 0, 0),
        ];
        assert_eq!(packet(&code, &[]), 14_u32.wrapping_neg());
        let divide = [op(LDX | IMM, 0, 0, 0), op(ALU | DIV | X, 0, 0, 0), op(RET | K, 0, 0, 1)];
        assert_eq!(packet(&divide, &[]), 0);
    }

    #[test]
    fn bad_programs_are_refused() {
        let ret = op(RET | K, 0, 0, 0);
        let bad = [
            vec![],
            vec![op(LD | IMM, 0, 0, 0)],
            vec![op(JMP | JA, 0, 0, 1), ret],
            vec![op(JMP | JEQ, 1, 0, 0), ret],
            vec![op(ALU | DIV | K, 0, 0, 0), ret],
            vec![op(ALU | LSH | K, 0, 0, 32), ret],
            vec![op(LD | MEM, 0, 0, 0), ret],
            vec![op(ST, 0, 0, 16), ret],
            vec![op(0x100, 0, 0, 0), ret],
            vec![op(RET | X, 0, 0, 0), ret],
            vec![ret; MAX_INSTRUCTIONS + 1],
            // One of the two ways to the load has not written.
            vec![op(JMP | JEQ, 0, 1, 0), op(ST, 0, 0, 0), op(LD | MEM, 0, 0, 0), ret],
        ];
        for code in bad {
            assert_eq!(Program::check(code.clone(), Use::Packet), Err(Errno::EINVAL), "{code:?}");
        }
        for first in [op(LD | H | ABS, 0, 0, 0), op(LD | W | ABS, 0, 0, 64), op(ALU | MOD | K, 0, 0, 2)] {
            let code = vec![first, ret];
            assert_eq!(Program::check(code.clone(), Use::SystemCall), Err(Errno::EINVAL));
            assert!(Program::check(code, Use::Packet).is_ok());
        }
    }
}
