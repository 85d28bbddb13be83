//! The seccomp filter of the stubs: which host calls the shim may make, and why.
//!
//! Everything else, and everything from outside the shim's page, is a system call of the guest and traps. The check of the
//! instruction pointer is interposition, not a security boundary: a guest can jump to the shim's `syscall` instructions with
//! registers of its choice. So every line below must be harmless to the host when a hostile guest makes the call.

use host::seccomp::{ALLOW, ARCH, ARCH_X86_64, IP, Instruction, NR, TRAP, arg, if_eq, if_ge, load, ret};

use super::layout;

/// `clone` flags of a fork by the shim: the child is the sentry's.
pub(super) const FORK_FLAGS: u32 = (libc::CLONE_PARENT | libc::SIGCHLD).cast_unsigned();
/// `clone` flags of a new guest thread.
pub(super) const THREAD_FLAGS: u32 = (libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM)
    .cast_unsigned();

/// A condition on one argument: its low half is one of these values (and its high half zero).
struct Values(u32, &'static [u32]);

/// One allowed call.
struct Rule {
    call: libc::c_long,
    only: Option<Values>,
    /// Why the shim needs it, and why a hostile guest may have it.
    #[expect(dead_code, reason = "for the reader")]
    why: &'static str,
}

const fn rule(call: libc::c_long, why: &'static str) -> Rule {
    Rule { call, only: None, why }
}

const fn only(call: libc::c_long, argument: u32, values: &'static [u32], why: &'static str) -> Rule {
    Rule { call, only: Some(Values(argument, values)), why }
}

/// The allowed calls, most frequent first: the filter tests them in this order.
const RULES: &[Rule] = &[
    only(
        libc::SYS_futex,
        1,
        &[0, 1],
        "FUTEX_WAIT and FUTEX_WAKE on the hand-over words; only memory of its own",
    ),
    rule(libc::SYS_rt_sigreturn, "every return to the guest; changes its own registers only"),
    rule(libc::SYS_sched_yield, "the guest's own calls; a guest may as well compute"),
    rule(libc::SYS_mmap, "guest mappings; a guest holds descriptors only of files it was given to map"),
    rule(libc::SYS_munmap, "guest mappings; its own memory"),
    rule(libc::SYS_mprotect, "guest mappings; its own memory"),
    rule(libc::SYS_mremap, "guest mappings; its own memory"),
    rule(libc::SYS_madvise, "guest mappings; its own memory (advice for the host needs CAP_SYS_ADMIN)"),
    only(
        libc::SYS_clone,
        0,
        &[FORK_FLAGS, THREAD_FLAGS],
        "fork and threads; processes it makes on its own are in the sentry's process group and pid namespace and die with it",
    ),
    only(libc::SYS_recvmsg, 0, &[0], "files to map, from its private socket"),
    rule(libc::SYS_close, "files once mapped; its own descriptors"),
    only(libc::SYS_dup2, 1, &[0], "a forked child replaces its parent's socket by its own"),
    only(libc::SYS_clock_gettime, 0, &[3], "CLOCK_THREAD_CPUTIME_ID: what the guest's time accounting reads"),
    only(libc::SYS_arch_prctl, 0, &[0x1001, 0x1002], "ARCH_SET_GS and ARCH_SET_FS where FSGSBASE is missing"),
    only(
        libc::SYS_prctl,
        0,
        &[1],
        "PR_SET_PDEATHSIG: a forked stub dies with the sentry, as its parent does",
    ),
    rule(libc::SYS_mincore, "the guest's own; tells nothing of files that the stub may not write"),
    rule(libc::SYS_rseq, "the guest's own registration; the host writes only the guest's memory"),
    rule(libc::SYS_exit, "end of a guest thread"),
];

/// The program for a shim of `shim_len` bytes.
pub(super) fn program() -> Vec<Instruction> {
    #[expect(clippy::cast_possible_truncation, reason = "halves of an address")]
    let (low, high) = (layout::SHIM as u32, (layout::SHIM >> 32) as u32);
    #[expect(clippy::cast_possible_truncation, reason = "4096")]
    let len = layout::SHIM_LEN as u32;
    let trap = ret(TRAP);
    let mut program = vec![
        load(ARCH),
        if_eq(ARCH_X86_64, 1, 0),
        trap,
        load(IP + 4),
        if_eq(high, 1, 0),
        trap,
        load(IP),
        if_ge(low, 1, 0),
        trap,
        if_ge(low + len, 0, 1),
        trap,
        load(NR),
    ];
    for rule in RULES {
        let number = u32::try_from(rule.call).unwrap_or(u32::MAX);
        match &rule.only {
            None => program.extend([if_eq(number, 0, 1), ret(ALLOW)]),
            Some(Values(argument, values)) => {
                let count = u8::try_from(values.len()).unwrap_or(0);
                // Past this rule: the high-half test (3), the load, the value tests, the allow and the trap.
                program.extend([if_eq(number, 0, 3 + 1 + count + 2)]);
                program.extend([load(arg(*argument) + 4), if_eq(0, 1, 0), trap, load(arg(*argument))]);
                for (index, value) in (0..count).zip(*values) {
                    // To the allow, which follows the other tests and the trap.
                    program.push(if_eq(*value, count - index, 0));
                }
                program.extend([trap, ret(ALLOW)]);
            }
        }
    }
    program.push(trap);
    program
}
