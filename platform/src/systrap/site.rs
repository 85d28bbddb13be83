//! The shapes of call sites that can be patched, and the bytes that replace them.
//!
//! ```text
//! Numbered  b8 NR NR NR NR 0f 05       mov $nr, %eax; syscall            what C compilers write for most calls
//! Compared  0f 05 48 3d XX XX XX XX    syscall; cmp $x, %rax             the others of glibc, and all of Go
//!
//! become    ff 24 25 PP PP 06 00       jmp *PATCH_TABLE[n]               and for the second, a nop
//!
//! thunk n   [mov $nr, %eax]; movabs $RETURN, %rcx; jmp shim; [cmp $x, %rax; jmp back]
//! ```
//!
//! The kernel gives a caller back its return address in rcx, so a thunk may use it, and nothing of the guest's is lost. The
//! shim's calls of a compared site return into the thunk, which does the comparison and goes on behind the site.
//!
//! Who jumps to the old `syscall` of a numbered site finds `06`, an invalid opcode, and is helped. Who jumps to the old `cmp` of
//! a compared site finds other code; so such a site is patched only if no branch of its mapping leads there
//! ([`is_branch_target`]) and no thread stands there.

use super::{
    layout::{THUNK_LEN, THUNKS},
    shim,
};

/// How many bytes around a return address [`Site::recognise`] wants: from [`BEFORE`] bytes before it.
pub(super) const AROUND: usize = 13;
/// Bytes before the return address.
pub(super) const BEFORE: u64 = 7;

/// A call site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Site {
    /// Its first byte.
    pub(super) start: u64,
    pub(super) shape: Shape,
}

/// What it looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// With the number of the call.
    Numbered(u32),
    /// With the comparison that follows.
    Compared([u8; 6]),
}

impl Site {
    /// The site of a call that returns to `back`, from the bytes around.
    pub(super) fn recognise(back: u64, bytes: [u8; AROUND]) -> Option<Site> {
        match bytes {
            [0xb8, a, b, c, d, 0x0f, 0x05, ..] => {
                let shape = Shape::Numbered(u32::from_le_bytes([a, b, c, d]));
                Some(Site { start: back.checked_sub(7)?, shape })
            }
            [.., 0x0f, 0x05, c0 @ 0x48, c1 @ 0x3d, c2, c3, c4, c5] => {
                Some(Site { start: back.checked_sub(2)?, shape: Shape::Compared([c0, c1, c2, c3, c4, c5]) })
            }
            _ => None,
        }
    }

    /// First address past it.
    pub(super) fn end(&self) -> u64 {
        self.start + self.original().len() as u64
    }

    /// Where its call returns to.
    pub(super) fn back(&self) -> u64 {
        match self.shape {
            Shape::Numbered(_) => self.start + 7,
            Shape::Compared(_) => self.start + 2,
        }
    }

    /// Where the `syscall` instruction was.
    pub(super) fn syscall(&self) -> u64 {
        self.back() - 2
    }

    /// What was there.
    pub(super) fn original(&self) -> Vec<u8> {
        match self.shape {
            Shape::Numbered(number) => {
                let [a, b, c, d] = number.to_le_bytes();
                vec![0xb8, a, b, c, d, 0x0f, 0x05]
            }
            Shape::Compared(compare) => [&[0x0f, 0x05], &compare[..]].concat(),
        }
    }

    /// What is there once it is patched to jump to where `pointer` points.
    pub(super) fn replacement(&self, pointer: u64) -> Vec<u8> {
        let [a, b, c, d, ..] = pointer.to_le_bytes();
        let mut jump = vec![0xff, 0x24, 0x25, a, b, c, d];
        if let Shape::Compared(_) = self.shape {
            jump.push(0x90);
        }
        jump
    }

    /// The thunk numbered `index`, and where in it the shim's call returns to.
    pub(super) fn thunk(&self, index: u64) -> (Vec<u8>, u64) {
        let at = THUNKS + index * THUNK_LEN;
        let mut code = Vec::new();
        if let Shape::Numbered(number) = self.shape {
            code.push(0xb8);
            code.extend_from_slice(&number.to_le_bytes());
        }
        // movabs $back, %rcx; jmp shim
        let next = at + code.len() as u64 + 10 + 5;
        let back = match self.shape {
            Shape::Numbered(_) => self.back(),
            Shape::Compared(_) => next,
        };
        code.extend_from_slice(&[0x48, 0xb9]);
        code.extend_from_slice(&back.to_le_bytes());
        let [a, b, c, d, ..] = shim::fast().wrapping_sub(next).to_le_bytes();
        code.extend_from_slice(&[0xe9, a, b, c, d]);
        if let Shape::Compared(compare) = self.shape {
            code.extend_from_slice(&compare);
            // jmp *0(%rip), and the address.
            code.extend_from_slice(&[0xff, 0x25, 0, 0, 0, 0]);
            code.extend_from_slice(&self.end().to_le_bytes());
        }
        debug_assert!(code.len() as u64 <= THUNK_LEN);
        (code, back)
    }
}

/// Whether a direct branch in `code`, which is mapped at `start`, may lead to `target`. Looks at every byte as if an instruction
/// could begin there, and at every four as if they were a displacement, so it says yes too often rather than too rarely.
pub(super) fn is_branch_target(code: &[u8], start: u64, target: u64) -> bool {
    is_far_target(code, target.wrapping_sub(start)) || is_near_target(code, start, target)
}

/// The same for displacements of four bytes; the target as seen from the first byte. The loops are without a way out so that the
/// compiler makes vectors of them: a library has millions of bytes, and a process is kept waiting.
fn is_far_target(code: &[u8], target: u64) -> bool {
    /// How many bytes between two looks at what was found.
    const STEP: usize = 256;
    let low = |value: u64| (value & 0xffff_ffff) as u32;
    let mut wanted = low(target.wrapping_sub(4));
    let mut rest = code;
    loop {
        let piece = rest.get(..STEP + 3).unwrap_or(rest);
        let mut found = false;
        for shift in 0..4_u32 {
            let (words, _) = piece.get(shift as usize..).unwrap_or_default().as_chunks();
            let mut displacement = wanted.wrapping_sub(shift);
            let mut any = 0;
            for word in words {
                any |= u32::from(u32::from_le_bytes(*word) == displacement);
                displacement = displacement.wrapping_sub(4);
            }
            found |= any != 0;
        }
        if found {
            return true;
        }
        let Some(behind) = rest.get(STEP..) else { return false };
        (rest, wanted) = (behind, wanted.wrapping_sub(low(STEP as u64)));
    }
}

/// The same for displacements of one byte.
fn is_near_target(code: &[u8], start: u64, target: u64) -> bool {
    /// How far before and behind its target a short branch may begin.
    const REACH: u64 = 130;
    let offset = |at: u64| usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX).min(code.len());
    let from = offset(target.saturating_sub(REACH));
    let around = code.get(from..offset(target.saturating_add(REACH))).unwrap_or_default();
    around.windows(2).zip(start + from as u64 + 2..).any(|(bytes, next)| {
        let is_short = matches!(bytes[0], 0x70..=0x7f | 0xe0..=0xe3 | 0xeb);
        is_short && next.wrapping_add_signed(bytes[1].cast_signed().into()) == target
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systrap::layout::{PATCH_TABLE, PATCHES_MAX};

    const GLIBC_GETPID: [u8; 13] = [0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3, 0x0f, 0x1f, 0x84, 0, 0];
    const GLIBC_READ: [u8; 13] =
        [0x74, 0x13, 0x17, 0x31, 0xc0, 0x0f, 0x05, 0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff];

    #[test]
    fn shapes_are_recognised_and_restored() {
        let site = Site::recognise(0x1007, GLIBC_GETPID).unwrap();
        assert_eq!(site, Site { start: 0x1000, shape: Shape::Numbered(39) });
        assert_eq!((site.syscall(), site.end()), (0x1005, 0x1007));
        assert_eq!(site.original(), GLIBC_GETPID[..7]);
        let site = Site::recognise(0x1007, GLIBC_READ).unwrap();
        assert_eq!(
            site,
            Site { start: 0x1005, shape: Shape::Compared([0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff]) }
        );
        assert_eq!((site.syscall(), site.end()), (0x1005, 0x100d));
        assert_eq!(site.original(), GLIBC_READ[5..]);
        assert_eq!(site.replacement(PATCH_TABLE).len(), 8);
        assert_eq!(Site::recognise(0x1007, [0x90; 13]), None);
    }

    #[test]
    fn the_old_syscall_becomes_an_invalid_opcode() {
        let site = Site { start: 0, shape: Shape::Numbered(1) };
        for index in 0..PATCHES_MAX {
            assert_eq!(site.replacement(PATCH_TABLE + index * 8)[5], 0x06);
        }
    }

    #[test]
    fn branches_are_found() {
        // At 0x1000: jmp +2 (to 0x1004), je -2 (to itself), call 0x1100.
        let code = [0xeb, 2, 0x74, 0xfe, 0xe8, 0xf7, 0, 0, 0, 0x90];
        for (target, found) in
            [(0x1004, true), (0x1002, true), (0x1100, true), (0x1006, false), (0x1009, false)]
        {
            assert_eq!(is_branch_target(&code, 0x1000, target), found, "{target:#x}");
        }
    }

    #[test]
    fn branches_are_found_wherever_they_are() {
        let start = 0x7fff_ffff_0000;
        for len in [10, 258, 259, 260, 700] {
            for at in 0..len - 4 {
                for distance in [-1000_i32, -5, 0, 3, 1000] {
                    let mut code = vec![0x90; len];
                    code[at..at + 4].copy_from_slice(&distance.to_le_bytes());
                    let next = start + at as u64 + 4;
                    let target = next.wrapping_add_signed(distance.into());
                    assert!(is_branch_target(&code, start, target), "{len} {at} {distance}");
                }
            }
            for at in 0..len - 1 {
                for distance in [-128_i8, -1, 0, 127] {
                    let mut code = vec![0x90; len];
                    (code[at], code[at + 1]) = (0x7f, distance.cast_unsigned());
                    let target = (start + at as u64 + 2).wrapping_add_signed(distance.into());
                    assert!(is_branch_target(&code, start, target), "{len} {at} {distance}");
                }
            }
            assert!(!is_branch_target(&vec![0x90; len], start, start + 0x1_0000));
        }
    }
}
