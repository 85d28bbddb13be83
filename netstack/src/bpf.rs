//! Classic BPF programs as socket filters (`Documentation/networking/filter.rst`, `net/core/filter.c`).
//!
//! A [`Program`] has been checked as `bpf_check_classic` does: every jump goes forward and stays inside, every path ends in a
//! return, scratch memory is indexed by constants below 16. So it ends after at most as many steps as it has instructions.

use std::sync::Arc;

use linux_abi::{Errno, Result};

use crate::mailbox::Filter;

/// `BPF_MAXINSNS`.
pub const MAX_LEN: usize = 4096;
const SCRATCH: usize = 16;
/// Loads from here on are of what the kernel knows about the packet (`SKF_AD_OFF`), from the network header, or from the link's.
const AD_OFF: i32 = -0x1000;
const NET_OFF: i32 = -0x10_0000;
const LL_OFF: i32 = -0x20_0000;

/// `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

impl Instruction {
    /// From memory.
    pub fn from_bytes(bytes: [u8; 8]) -> Instruction {
        let [c0, c1, jt, jf, k0, k1, k2, k3] = bytes;
        Instruction { code: u16::from_ne_bytes([c0, c1]), jt, jf, k: u32::from_ne_bytes([k0, k1, k2, k3]) }
    }

    /// As in memory.
    pub fn to_bytes(self) -> [u8; 8] {
        let [c0, c1] = self.code.to_ne_bytes();
        let [k0, k1, k2, k3] = self.k.to_ne_bytes();
        [c0, c1, self.jt, self.jf, k0, k1, k2, k3]
    }
}

/// A checked program.
#[derive(Clone, Debug)]
pub struct Program {
    code: Arc<[Instruction]>,
    /// How much of a packet comes before its network header.
    link_header: usize,
    /// What the packets' type is, for `SKF_AD_PROTOCOL`.
    ether_type: u16,
}

// Instruction classes and modes (linux/bpf_common.h).
const LD: u16 = 0;
const LDX: u16 = 1;
const ST: u16 = 2;
const STX: u16 = 3;
const ALU: u16 = 4;
const JMP: u16 = 5;
const RET: u16 = 6;
const MISC: u16 = 7;

impl Program {
    /// Checks `code`.
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn new(code: &[Instruction], link_header: usize, ether_type: u16) -> Result<Program> {
        if code.is_empty() || code.len() > MAX_LEN {
            return Err(Errno::EINVAL);
        }
        for (at, op) in code.iter().enumerate() {
            if !is_valid(*op) {
                return Err(Errno::EINVAL);
            }
            let left = code.len() - at - 1;
            let too_far = match (op.code & 7, op.code & 0xf0) {
                (JMP, 0) => op.k as usize >= left,
                (JMP, _) => usize::from(op.jt) >= left || usize::from(op.jf) >= left,
                _ => false,
            };
            if too_far {
                return Err(Errno::EINVAL);
            }
        }
        if code.last().is_none_or(|last| last.code & 7 != RET) || !loads_what_was_stored(code) {
            return Err(Errno::EINVAL);
        }
        Ok(Program { code: code.into(), link_header, ether_type })
    }

    /// The instructions.
    pub fn code(&self) -> &[Instruction] {
        &self.code
    }

    /// Runs over `packet`; a load outside of it ends with zero.
    pub fn run(&self, packet: &[u8]) -> u32 {
        let (mut a, mut x) = (0u32, 0u32);
        let mut scratch = [0u32; SCRATCH];
        let mut at = 0usize;
        while let Some(op) = self.code.get(at) {
            at += 1;
            let source = if op.code & 8 != 0 { x } else { op.k };
            match op.code & 7 {
                RET => return if op.code & 0x18 == 0x10 { a } else { op.k },
                LD | LDX => {
                    let value = match op.code & 0xe0 {
                        0x00 => Some(op.k),
                        0x60 => scratch.get(op.k as usize).copied(),
                        0x80 => u32::try_from(packet.len()).ok(),
                        // IP header length: 4 * (byte & 15).
                        0xa0 => self.load(packet, op.k, 0, 1).map(|byte| (byte & 15) << 2),
                        mode => {
                            let size = match op.code & 0x18 {
                                0x00 => 4,
                                0x08 => 2,
                                _ => 1,
                            };
                            self.load(packet, op.k, if mode == 0x40 { x } else { 0 }, size)
                        }
                    };
                    let Some(value) = value else { return 0 };
                    if op.code & 7 == LD {
                        a = value;
                    } else {
                        x = value;
                    }
                }
                ST | STX => {
                    if let Some(cell) = scratch.get_mut(op.k as usize) {
                        *cell = if op.code & 7 == ST { a } else { x };
                    }
                }
                ALU => match arithmetic(op.code, a, source) {
                    Some(value) => a = value,
                    None => return 0,
                },
                JMP => {
                    let taken = match op.code & 0xf0 {
                        0x00 => {
                            at += op.k as usize;
                            continue;
                        }
                        0x10 => a == source,
                        0x20 => a > source,
                        0x30 => a >= source,
                        _ => a & source != 0,
                    };
                    at += usize::from(if taken { op.jt } else { op.jf });
                }
                MISC if op.code & 0x80 != 0 => a = x,
                _ => x = a,
            }
        }
        0
    }

    fn load(&self, packet: &[u8], k: u32, index: u32, size: usize) -> Option<u32> {
        let offset = k.cast_signed();
        let from = if offset >= 0 {
            usize::try_from(u64::from(k) + u64::from(index)).ok()?
        } else if offset >= AD_OFF {
            return self.ancillary(offset - AD_OFF);
        } else if offset >= NET_OFF {
            usize::try_from(offset - NET_OFF).ok()?.checked_add(self.link_header)?
        } else if offset >= LL_OFF {
            usize::try_from(offset - LL_OFF).ok()?
        } else {
            return None;
        };
        let bytes = packet.get(from..from.checked_add(size)?)?;
        Some(bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    /// What the kernel knows about a packet (`SKF_AD_*`).
    fn ancillary(&self, what: i32) -> Option<u32> {
        Some(match what {
            0 => u32::from(self.ether_type),
            // ifindex and hatype of the loopback.
            8 => 1,
            28 => 772,
            // pkttype, mark, queue, rxhash, cpu, VLAN tag, VLAN tag present, VLAN protocol.
            4 | 20 | 24 | 32 | 36 | 44 | 48 | 60 => 0,
            _ => return None,
        })
    }
}

impl Filter for Program {
    fn keep(&self, packet: &[u8]) -> usize {
        self.run(packet) as usize
    }
}

fn arithmetic(code: u16, a: u32, operand: u32) -> Option<u32> {
    Some(match code & 0xf0 {
        0x00 => a.wrapping_add(operand),
        0x10 => a.wrapping_sub(operand),
        0x20 => a.wrapping_mul(operand),
        0x30 => a.checked_div(operand)?,
        0x40 => a | operand,
        0x50 => a & operand,
        0x60 => a.wrapping_shl(operand),
        0x70 => a.wrapping_shr(operand),
        0x80 => a.wrapping_neg(),
        0x90 => a.checked_rem(operand)?,
        _ => a ^ operand,
    })
}

/// `chk_code_allowed`, and what `bpf_check_classic` asks of single instructions.
fn is_valid(op: Instruction) -> bool {
    match op.code {
        // Loads: absolute, indirect, immediate, length, header length.
        0x20 | 0x28 | 0x30 => {
            // Unknown ancillary words are refused.
            let offset = op.k.cast_signed();
            !(AD_OFF..0).contains(&offset)
                || matches!(
                    offset - AD_OFF,
                    0 | 4 | 8 | 12 | 16 | 20 | 24 | 28 | 32 | 36 | 40 | 44 | 48 | 52 | 56 | 60
                )
        }
        0x40 | 0x48 | 0x50 | 0x00 | 0x80 | 0x01 | 0x81 | 0xb1 => true,
        // Loads and stores of scratch memory.
        0x60 | 0x61 | 0x02 | 0x03 => (op.k as usize) < SCRATCH,
        // Arithmetic by a constant: no division by zero, no shift by more than there are bits.
        0x34 | 0x94 => op.k != 0,
        0x64 | 0x74 => op.k < 32,
        0x04 | 0x0c | 0x14 | 0x1c | 0x24 | 0x2c | 0x3c | 0x44 | 0x4c | 0x54 | 0x5c | 0x6c | 0x7c | 0x84
        | 0x9c | 0xa4 | 0xac => true,
        // Jumps, returns, transfers.
        0x05 | 0x15 | 0x1d | 0x25 | 0x2d | 0x35 | 0x3d | 0x45 | 0x4d | 0x06 | 0x16 | 0x07 | 0x87 => true,
        _ => false,
    }
}

/// `check_load_and_stores`: a cell of scratch memory is loaded only where every path there has stored it.
fn loads_what_was_stored(code: &[Instruction]) -> bool {
    let mut masks = vec![u16::MAX; code.len()];
    let mut stored = 0u16;
    for (at, op) in code.iter().enumerate() {
        stored &= masks.get(at).copied().unwrap_or(0);
        let bit = 1u16.checked_shl(op.k).unwrap_or(0);
        let mut meet = |distance: usize| {
            if let Some(mask) = masks.get_mut(at + 1 + distance) {
                *mask &= stored;
            }
        };
        match (op.code & 7, op.code) {
            (ST | STX, _) => stored |= bit,
            (_, 0x60 | 0x61) if stored & bit == 0 => return false,
            (JMP, 0x05) => {
                meet(op.k as usize);
                stored = u16::MAX;
            }
            (JMP, _) => {
                meet(usize::from(op.jt));
                meet(usize::from(op.jf));
                stored = u16::MAX;
            }
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
        Instruction { code, jt, jf, k }
    }

    #[test]
    fn a_comparison_decides() {
        // ldb [2]; jeq #7, keep 100, drop.
        let code = [op(0x30, 0, 0, 2), op(0x15, 0, 1, 7), op(0x06, 0, 0, 100), op(0x06, 0, 0, 0)];
        let program = Program::new(&code, 0, 0x800).unwrap();
        assert_eq!(program.run(&[0, 0, 7]), 100);
        assert_eq!(program.run(&[0, 0, 8]), 0);
        assert_eq!(program.run(&[0, 0]), 0);
    }

    #[test]
    fn arithmetic_and_scratch_memory() {
        // A = len * 3, M[5] = A, X = M[5], A = X / 2, return A.
        let code = [
            op(0x80, 0, 0, 0),
            op(0x24, 0, 0, 3),
            op(0x02, 0, 0, 5),
            op(0x61, 0, 0, 5),
            op(0x87, 0, 0, 0),
            op(0x34, 0, 0, 2),
            op(0x16, 0, 0, 0),
        ];
        assert_eq!(Program::new(&code, 0, 0).unwrap().run(&[0; 10]), 15);
        let protocol = [op(0x28, 0, 0, AD_OFF.cast_unsigned()), op(0x16, 0, 0, 0)];
        assert_eq!(Program::new(&protocol, 0, 0x86dd).unwrap().run(&[]), 0x86dd);
    }

    #[test]
    fn what_could_go_astray_is_refused() {
        let ret = op(0x06, 0, 0, 1);
        let refused = |code: &[Instruction]| Program::new(code, 0, 0).is_err();
        assert!(refused(&[]));
        assert!(refused(&[op(0x20, 0, 0, 0)]));
        assert!(refused(&[op(0x05, 0, 0, 1), ret]));
        assert!(refused(&[op(0x05, 0, 0, u32::MAX), ret]));
        assert!(refused(&[op(0x15, 0, 1, 0), ret]));
        assert!(refused(&[op(0x34, 0, 0, 0), ret]));
        assert!(refused(&[op(0x64, 0, 0, 32), ret]));
        assert!(refused(&[op(0x60, 0, 0, 3), ret]));
        assert!(refused(&[op(0x02, 0, 0, 16), ret]));
        assert!(refused(&[op(0xffff, 0, 0, 0), ret]));
        // One path stores what the join loads, the other does not.
        assert!(refused(&[op(0x15, 0, 1, 0), op(0x02, 0, 0, 3), op(0x60, 0, 0, 3), ret]));
        assert!(!refused(&[op(0x02, 0, 0, 3), op(0x15, 0, 1, 0), ret, op(0x60, 0, 0, 3), ret]));
        assert!(refused(&vec![ret; MAX_LEN + 1]));
    }

    #[test]
    fn random_programs_end() {
        let mut seed = 1u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as u32
        };
        let mut accepted = 0;
        for _ in 0..200_000 {
            let len = next() % 6 + 1;
            let mut code: Vec<_> = (0..len)
                .map(|_| op((next() % 0x100) as u16, (next() % 4) as u8, (next() % 4) as u8, next() % 20))
                .collect();
            code.push(op(0x16, 0, 0, 0));
            if let Ok(program) = Program::new(&code, 14, 0x800) {
                accepted += 1;
                program.run(&[1, 2, 3, 4, 5]);
            }
        }
        assert!(accepted > 100, "{accepted}");
    }
}
