//! Which memory a system call reads and writes through its arguments, for whoever copies it on the sentry's behalf.
//!
//! Systrap's shim runs in the guest and can copy a path or a buffer between guest memory and its slot for almost
//! nothing, where the sentry would need a host call. It is told what by [`copy_plan`]. A plan is advice: what it leaves
//! out (nested pointers, commands with arguments of many kinds) or what does not fit in a slot, the sentry copies
//! itself. A null pointer is never copied, and a pointer that faults is left for the sentry to find out about.

use crate::{
    X86_64,
    types::{ArgIndex, ArgType},
};

/// What to copy for one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyPlan {
    items: [Copying; 6],
    used: u8,
}

/// What to copy for one argument, which is a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copying {
    /// Which argument.
    pub arg: ArgIndex,
    /// What is there.
    pub kind: Kind,
}

/// What a pointer argument points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A NUL-terminated string that the kernel reads; at most `PATH_MAX` bytes of it.
    CString,
    /// Bytes that the kernel reads.
    In(Len),
    /// Room for bytes that the kernel writes; it may write fewer.
    Out(Len),
    /// Bytes that the kernel reads and then overwrites, or some of them.
    InOut(Len),
    /// An array of `struct iovec` (length in argument `count`), the buffers of which the kernel reads.
    InVec {
        /// The argument that holds the array's length.
        count: ArgIndex,
    },
    /// An array of `struct iovec` (length in argument `count`), the buffers of which the kernel writes.
    OutVec {
        /// The argument that holds the array's length.
        count: ArgIndex,
    },
}

/// How many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Len {
    /// So many.
    Const(u32),
    /// As many as the argument says.
    Arg(ArgIndex),
    /// The argument, times a constant.
    ArgTimes(ArgIndex, u32),
    /// As many as it takes to hold one bit for each of the argument, in whole 8-byte words (`fd_set`).
    ArgBits(ArgIndex),
    /// As many as the `socklen_t` says that the argument points at.
    Pointed(ArgIndex),
}

impl CopyPlan {
    /// What to copy, in the order of the arguments.
    pub fn items(&self) -> &[Copying] {
        self.items.get(..usize::from(self.used)).unwrap_or_default()
    }

    const fn of(args: &[crate::Arg]) -> CopyPlan {
        let mut plan = CopyPlan { items: [Copying { arg: 0, kind: Kind::CString }; 6], used: 0 };
        let mut at = 0;
        while at < args.len() {
            if let Some(kind) = kind(args[at].ty) {
                #[expect(clippy::cast_possible_truncation, reason = "a call has at most six arguments")]
                let arg = at as ArgIndex;
                plan.items[plan.used as usize] = Copying { arg, kind };
                plan.used += 1;
            }
            at += 1;
        }
        plan
    }
}

const fn kind(ty: ArgType) -> Option<Kind> {
    use ArgType as T;
    Some(match ty {
        T::Path | T::CStr => Kind::CString,
        T::InBuf(n) | T::InSized(_, n) | T::InSockAddr(n) | T::InOpt(n) | T::InCpuSet(n) => {
            Kind::In(Len::Arg(n))
        }
        T::OutBuf(n) | T::OutCStr(n) | T::OutDirents(n) | T::OutCpuSet(n) => Kind::Out(Len::Arg(n)),
        T::OutSockAddr(n) | T::OutOpt(n) => Kind::Out(Len::Pointed(n)),
        T::InStruct(of) => Kind::In(Len::Const(of.size())),
        T::OutStruct(of) => Kind::Out(Len::Const(of.size())),
        T::InOutStruct(of) => Kind::InOut(Len::Const(of.size())),
        T::InArray(of, n) => Kind::In(Len::ArgTimes(n, of.size())),
        T::OutArray(of, n) => Kind::Out(Len::ArgTimes(n, of.size())),
        T::InOutArray(of, n) => Kind::InOut(Len::ArgTimes(n, of.size())),
        T::FdSet(n) => Kind::InOut(Len::ArgBits(n)),
        T::InIoVec(count) => Kind::InVec { count },
        T::OutIoVec(count) => Kind::OutVec { count },
        T::I32
        | T::U32
        | T::I64
        | T::U64
        | T::Usize
        | T::Hex
        | T::Hex32
        | T::Fd
        | T::DirFd
        | T::Pid
        | T::SigNo
        | T::Key
        | T::Uid
        | T::Gid
        | T::Mode
        | T::Dev
        | T::Enum(_)
        | T::Cmd(_)
        | T::Flags(_)
        | T::Flags64(_)
        | T::SockOpt(_)
        | T::CmdArg
        | T::Addr
        | T::Ptr
        | T::Argv
        | T::Envp => return None,
    })
}

const CALLS: usize = X86_64.len();

static PLANS: [CopyPlan; CALLS] = {
    let mut plans = [CopyPlan::of(&[]); CALLS];
    let mut at = 0;
    while at < CALLS {
        plans[at] = CopyPlan::of(X86_64[at].args);
        at += 1;
    }
    plans
};

/// What to copy for the call numbered `nr`; `None` where there is nothing to copy, or no such call.
pub fn copy_plan(nr: u64) -> Option<&'static CopyPlan> {
    PLANS.get(crate::position(nr)?).filter(|plan| plan.used > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nr;

    fn plan(nr: u64) -> &'static [Copying] {
        copy_plan(nr).map_or(&[], CopyPlan::items)
    }

    #[test]
    fn plans_follow_from_the_rows() {
        assert_eq!(plan(nr::read), [Copying { arg: 1, kind: Kind::Out(Len::Arg(2)) }]);
        assert_eq!(plan(nr::writev), [Copying { arg: 1, kind: Kind::InVec { count: 2 } }]);
        assert_eq!(
            plan(nr::newfstatat),
            [Copying { arg: 1, kind: Kind::CString }, Copying { arg: 2, kind: Kind::Out(Len::Const(144)) }]
        );
        assert_eq!(plan(nr::poll), [Copying { arg: 0, kind: Kind::InOut(Len::ArgTimes(1, 8)) }]);
        assert_eq!(
            plan(nr::accept),
            [
                Copying { arg: 1, kind: Kind::Out(Len::Pointed(2)) },
                Copying { arg: 2, kind: Kind::InOut(Len::Const(4)) }
            ]
        );
        assert!(copy_plan(nr::getpid).is_none() && copy_plan(9999).is_none());
    }
}
