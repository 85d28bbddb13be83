//! The zygote: a stub without a guest, of which all fresh stubs are copies.
//!
//! It starts as an executable that consists of the shim alone, so nothing of the sentry's memory is ever in it; the sentry
//! then makes it, by lists of operations, what a stub must be: no descriptors but its socket, no capabilities, no memory but
//! shim, slots and vdso, handlers for every signal that guest code can raise, and at last the seccomp filter.

use std::{fs, os::fd::AsFd, sync::Arc};

use host::seccomp;

use super::{
    Config, Error,
    birth::{self, Begin, Birth},
    deferred::Mappings,
    filter,
    frame::Frame,
    handover::Stub,
    kick::KICK_SIGNAL,
    layout::{REGION, REGION_LEN, TASK_END, VDSO, VDSO_MAX, feature, slot},
    ops::Op,
    patch::Patches,
    reaper::{Running, Shared},
    shim,
    space::Space,
    unit::{Unit, lock},
};
use crate::{Errno, PageRange, Vdso};

/// Signals that must reach the shim's handler while it runs: faults of its copies.
pub(super) const UNBLOCKED: u64 = 1 << (libc::SIGSEGV - 1) | 1 << (libc::SIGBUS - 1);

/// `SA_SIGINFO | SA_ONSTACK | SA_RESTORER`.
const HANDLER_FLAGS: u64 = 0x4 | 0x0800_0000 | 0x0400_0000;
/// `SA_NODEFER`.
const NODEFER: u64 = 0x4000_0000;

/// Offsets in the slot's data area.
const ACTION: usize = slot::DATA;
const FAULT_ACTION: usize = slot::DATA + 32;
const CAPABILITIES: usize = slot::DATA + 64;
const NO_CORES: usize = slot::DATA + 128;
const FEW_FILES: usize = slot::DATA + 144;
const NAME: usize = slot::DATA + 160;
const MANY_THREADS: usize = slot::DATA + 176;
const FPROG: usize = slot::DATA + 192;
const PROGRAM: usize = slot::DATA + 256;

/// Descriptors a stub may have: its socket, and those of one list of operations.
const MAX_FILES: u64 = 8;

/// The zygote.
#[derive(Debug)]
pub(super) struct Zygote {
    space: Arc<Space>,
    stub: Stub,
    /// A child that the zygote is making or has made, for the next [`Zygote::process`].
    spare: Option<Birth>,
}

impl Zygote {
    /// Starts the zygote. Returns it with its vdso.
    pub(super) fn start(config: Config, running: Running) -> Result<(Zygote, Option<Vdso>), Error> {
        let xstate = host::cpu::xstate();
        // Two frames must fit on the signal stack: a trap's, and that of a fault of the shim's copy.
        if 2 * (xstate.size + 1024) > slot::STACK_LEN {
            return Err(Error::ExtendedState(xstate.size));
        }
        let features = if host::cpu::has_fsgsbase() { feature::FSGSBASE } else { 0 };

        let (mut unit, memory) = Unit::zygote().map_err(Error::Start)?;
        let slot = unit.take_slot().ok_or(Error::Start(Errno::EAGAIN))?;
        slot.prepare(features, 0);
        let (ours, theirs) = birth::pair().map_err(Error::Start)?;
        let image = shim::image().map_err(Errno::from).map_err(Error::Start)?;
        let pid = host::image::start(image.as_fd(), [theirs.as_fd(), memory.as_fd()], !UNBLOCKED)
            .map_err(Errno::from)
            .map_err(Error::Start)?;

        let shared = Arc::new(Shared::new(config, running, xstate, features, pid));
        let patching = shared.config.patch && features & feature::FSGSBASE != 0;
        let patches = if patching { Patches::default() } else { Patches::off() };
        let space = Space::new(&shared, pid, unit, ours, Mappings::default(), patches);
        shared.register(&space).map_err(Error::Start)?;
        let mut zygote = Zygote { space, stub: Stub::newborn(slot, pid, None), spare: None };
        let vdso = zygote.set_up()?;
        Ok((zygote, vdso))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.space.shared
    }

    /// Runs operations that must all succeed.
    fn run(&mut self, step: &'static str, ops: &[Op]) -> Result<(), Error> {
        let results = self.stub.run(&self.space, ops).map_err(|_| Error::ZygoteDied(step))?;
        results.all(ops.len()).map_err(|errno| Error::SetUp(step, errno))
    }

    fn set_up(&mut self) -> Result<Option<Vdso>, Error> {
        let mut first = vec![Op::close(1)];
        first.extend(self.shared().config.die_with_creator.then(Op::die_with_sentry));
        self.run("prctl", &first)?;
        let (moves, vdso) = find_vdso(self.space.pid());
        self.run("move the vdso", &moves)?;
        let high = REGION + REGION_LEN;
        self.run("unmap", &[Op::munmap(0, REGION), Op::munmap(high, TASK_END - high)])?;
        self.handle_signals()?;
        self.drop_privileges()?;
        Ok(vdso)
    }

    fn handle_signals(&mut self) -> Result<(), Error> {
        // struct kernel_sigaction: handler, flags, restorer, mask.
        let slot = &self.stub.slot;
        slot.set_words(ACTION, &[shim::handler(), HANDLER_FLAGS, shim::restorer(), !UNBLOCKED]);
        slot.set_words(
            FAULT_ACTION,
            &[shim::handler(), HANDLER_FLAGS | NODEFER, shim::restorer(), !UNBLOCKED],
        );
        let (action, fault) = (slot.guest(ACTION), slot.guest(FAULT_ACTION));
        let ops = [
            (libc::SIGSYS, action),
            (libc::SIGSEGV, fault),
            (libc::SIGBUS, fault),
            (libc::SIGFPE, action),
            (libc::SIGILL, action),
            (libc::SIGTRAP, action),
            (KICK_SIGNAL, action),
        ]
        .map(|(signal, action)| {
            Op::new(libc::SYS_rt_sigaction, [signal.cast_unsigned().into(), action, 0, 8, 0, 0])
        });
        self.run("rt_sigaction", &ops)
    }

    fn drop_privileges(&mut self) -> Result<(), Error> {
        let slot = &self.stub.slot;
        // struct __user_cap_header_struct {version 3, this thread} and an empty set.
        slot.set_words(CAPABILITIES, &[0x2008_0522, 0, 0, 0]);
        slot.set_words(NO_CORES, &[0, 0]);
        slot.set_words(FEW_FILES, &[MAX_FILES, MAX_FILES]);
        slot.write(NAME, b"guest\0");
        let program = filter::program();
        slot.write(PROGRAM, &seccomp::to_bytes(&program));
        slot.set_words(FPROG, &[program.len() as u64, slot.guest(PROGRAM)]);
        let [no_new_privs, set_name] =
            [libc::PR_SET_NO_NEW_PRIVS, libc::PR_SET_NAME].map(|n| n.cast_unsigned().into());
        let limit =
            |resource: u32, at| Op::new(libc::SYS_prlimit64, [0, resource.into(), slot.guest(at), 0, 0, 0]);
        let install = [
            libc::SECCOMP_SET_MODE_FILTER.into(),
            // The guest's own address space holds no secrets from it, so it needs no protection from its own speculation.
            libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
            slot.guest(FPROG),
            0,
            0,
            0,
        ];
        let max = self.shared().config.max_host_threads.unwrap_or(libc::RLIM_INFINITY);
        slot.set_words(MANY_THREADS, &[max, max]);
        let bound = self.shared().config.max_host_threads.map(|_| limit(libc::RLIMIT_NPROC, MANY_THREADS));
        let ops = [
            Op::new(libc::SYS_prctl, [set_name, slot.guest(NAME), 0, 0, 0, 0]),
            limit(libc::RLIMIT_CORE, NO_CORES),
            limit(libc::RLIMIT_NOFILE, FEW_FILES),
            Op::new(libc::SYS_capset, [slot.guest(CAPABILITIES), slot.guest(CAPABILITIES + 8), 0, 0, 0, 0]),
            Op::new(libc::SYS_prctl, [no_new_privs, 1, 0, 0, 0, 0]),
            Op::new(libc::SYS_seccomp, install),
        ];
        let ops: Vec<_> = bound.into_iter().chain(ops).collect();
        self.run("drop privileges", &ops)
    }

    /// Begins a child without waiting for it.
    pub(super) fn begin_spare(&mut self) -> Result<(), Errno> {
        if self.spare.is_none() {
            let birth = Birth::prepare(&self.space, &self.stub.slot, None, Begin::AtOnce)?;
            self.stub.begin(&self.space, &birth.ops).map_err(|_| Errno::EAGAIN)?;
            self.spare = Some(birth);
        }
        Ok(())
    }

    /// A fresh process: the spare one, or one made now.
    pub(super) fn process(&mut self) -> Result<(Arc<Space>, Stub, Frame), Errno> {
        self.begin_spare()?;
        let birth = self.spare.take().ok_or(Errno::EAGAIN)?;
        let results = self.stub.finish(&self.space, birth.ops.len()).map_err(|_| Errno::EAGAIN)?;
        birth.complete(&self.space, &results, None, lock(&self.space.patches).clone())
    }
}

impl Drop for Zygote {
    fn drop(&mut self) {
        // A spare that nobody knows could not be ended.
        if self.spare.is_some() {
            let _ = self.process();
        }
    }
}

/// The operations that move the vdso and its data into the platform's region, and where they are then.
///
/// Without /proc there is no way to find them, and guests go without.
fn find_vdso(pid: i32) -> (Vec<Op>, Option<Vdso>) {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let mut parts: Vec<(PageRange, bool)> = maps.lines().filter_map(vdso_line).collect();
    parts.sort_by_key(|(range, _)| range.start());
    let (Some((first, _)), Some((last, true))) = (parts.first().copied(), parts.last().copied()) else {
        return (Vec::new(), None);
    };
    let image = last.start() - first.start() + VDSO;
    let end = last.end() - first.start() + VDSO;
    let vdso =
        PageRange::new(VDSO, image).zip(PageRange::new(image, end)).map(|(vvar, image)| Vdso { image, vvar });
    if vdso.is_none() || end - VDSO > VDSO_MAX {
        return (Vec::new(), None);
    }
    let flags = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED).cast_unsigned().into();
    let moves = parts.iter().map(|(part, _)| {
        let to = part.start() - first.start() + VDSO;
        Op::new(libc::SYS_mremap, [part.start(), part.len(), part.len(), flags, to, 0])
    });
    (moves.collect(), vdso)
}

/// A line of /proc/PID/maps that belongs to the vdso, and whether it is the image.
fn vdso_line(line: &str) -> Option<(PageRange, bool)> {
    let name = line.split_whitespace().last()?;
    if !name.starts_with("[vvar") && name != "[vdso]" {
        return None;
    }
    let (start, end) = line.split_whitespace().next()?.split_once('-')?;
    let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).ok());
    Some((PageRange::new(start?, end?)?, name == "[vdso]"))
}
