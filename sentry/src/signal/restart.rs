//! What becomes of an interrupted system call: the whole of `SA_RESTART` (`handle_signal`, `arch_do_signal_or_restart`).

use linux_abi::Errno;
use platform::Registers;

use super::action::SA_RESTART;
use crate::error::RestartKind;

/// Bytes of the `syscall` instruction.
const SYSCALL_LEN: u64 = 2;
/// `__NR_restart_syscall`.
const NR_RESTART_SYSCALL: u64 = 219;

/// A handler with `flags` is about to run: the call fails with `EINTR` or is made again after it.
pub(super) fn with_handler(regs: &mut Registers, kind: RestartKind, flags: u64) {
    let again = match kind {
        RestartKind::Sys => flags & SA_RESTART != 0,
        RestartKind::NoIntr => true,
        RestartKind::NoHand | RestartKind::Block => false,
    };
    if again {
        repeat(regs, regs.orig_rax);
    } else {
        regs.rax = Errno::EINTR.as_return();
    }
}

/// No handler ran: the call is made again.
pub(super) fn without_handler(regs: &mut Registers, kind: RestartKind) {
    let number = if kind == RestartKind::Block { NR_RESTART_SYSCALL } else { regs.orig_rax };
    repeat(regs, number);
}

fn repeat(regs: &mut Registers, number: u64) {
    regs.rax = number;
    regs.rip = regs.rip.wrapping_sub(SYSCALL_LEN);
}
