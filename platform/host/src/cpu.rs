//! What the processor has, as far as signal frames and the shim depend on it. x86-64.

use std::arch::{
    asm,
    x86_64::{__cpuid, __cpuid_count},
};

/// `XTILEDATA` is only enabled for processes that ask (`arch_prctl(ARCH_REQ_XCOMP_PERM)`), so it is in no frame of others.
const DYNAMIC_FEATURES: u64 = 1 << 18;
/// x87 and SSE, which every area has.
const LEGACY_FEATURES: u64 = 3;
/// Legacy area and header (Intel SDM 13.4).
const XSAVE_MIN: usize = 512 + 64;

/// The extended state the host kernel saves in a signal frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XState {
    /// Which components (`XCR0` without those that must be asked for).
    pub features: u64,
    /// Size of the area in standard format.
    pub size: usize,
    /// Bits of MXCSR that may be set.
    pub mxcsr_mask: u32,
}

/// Reads `XCR0`; zero if the host does not use XSAVE.
fn xcr0() -> u64 {
    let osxsave = __cpuid(1).ecx >> 27 & 1 == 1;
    if !osxsave {
        return 0;
    }
    let (low, high): (u32, u32);
    // SAFETY: OSXSAVE says that XGETBV is available to user code.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack)) };
    u64::from(high) << 32 | u64::from(low)
}

/// The extended state of this host.
#[must_use]
pub fn xstate() -> XState {
    let features = xcr0() & !DYNAMIC_FEATURES | LEGACY_FEATURES;
    let mut size = XSAVE_MIN;
    for bit in 2..63 {
        if features >> bit & 1 == 1 {
            let leaf = __cpuid_count(0xd, bit);
            size = size.max(leaf.ebx as usize + leaf.eax as usize);
        }
    }
    XState { features, size, mxcsr_mask: mxcsr_mask() }
}

/// Reads the mask that FXSAVE reports (Intel SDM 11.6.6).
fn mxcsr_mask() -> u32 {
    #[repr(align(16))]
    struct Area([u8; 512]);
    let mut area = Area([0; 512]);
    // SAFETY: the area is 512 writable bytes, aligned to 16.
    unsafe { asm!("fxsave [{}]", in(reg) area.0.as_mut_ptr(), options(nostack)) };
    let [.., a, b, c, d] = area.0.first_chunk::<32>().copied().unwrap_or([0; 32]);
    match u32::from_le_bytes([a, b, c, d]) {
        0 => 0xffbf,
        mask => mask,
    }
}

/// Whether user code may use `rdfsbase` and friends: `AT_HWCAP2` bit 1 (`HWCAP2_FSGSBASE`).
#[must_use]
pub fn has_fsgsbase() -> bool {
    // SAFETY: reads the auxiliary vector.
    unsafe { libc::getauxval(libc::AT_HWCAP2) & 2 != 0 }
}

/// Whether `rdpid` exists.
#[must_use]
pub fn has_rdpid() -> bool {
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ecx >> 22 & 1 == 1
}
