//! What the processor has, as far as signal frames and the shim depend on it. x86-64.

use std::{
    arch::{
        asm,
        x86_64::{__cpuid, __cpuid_count, _rdtsc},
    },
    time::{Duration, Instant},
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

/// The time-stamp counter.
#[must_use]
pub fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has it, and Linux lets user code read it.
    unsafe { _rdtsc() }
}

/// Measures, for some 20 µs, how many ticks there are in a microsecond and in one `pause`. At least one each.
#[must_use]
pub fn calibrate() -> (u64, u64) {
    let (start, first) = (Instant::now(), ticks());
    let mut pauses = 0;
    loop {
        for _ in 0..16 {
            std::hint::spin_loop();
        }
        pauses += 16;
        let elapsed = start.elapsed();
        if elapsed > Duration::from_micros(20) {
            let ticks = ticks().wrapping_sub(first);
            let per_us = ticks.saturating_mul(1000) / u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
            return (per_us.max(1), (ticks / pauses).max(1));
        }
    }
}

/// The processor that the caller runs on, at this moment.
#[must_use]
pub fn current() -> u32 {
    // SAFETY: no preconditions.
    u32::try_from(unsafe { libc::sched_getcpu() }).unwrap_or(0)
}
