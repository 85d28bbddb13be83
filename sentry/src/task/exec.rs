//! execve(2), execveat(2) (`fs/exec.c`): a new program in an old process.
//!
//! In order: find and open the file, resolve scripts, read the ELF headers of the program and its interpreter, copy
//! the strings in. Only then, with nothing left that can fail for reasons the caller should hear of: end the other threads, empty
//! the address space, map, reset what execve resets.

use std::sync::{Arc, atomic::Ordering};

use linux_abi::{Errno, PAGE_SIZE, Result, UserAddr};
use platform::{Prot, Registers};

use super::{Task, ThreadCx, usermem::UserMemory, wait::ExitStatus};
use crate::{
    credentials::{Caps, Credentials, SECBIT_KEEP_CAPS, SECBIT_NO_SETUID_FIXUP, SECBIT_NOROOT},
    error::{Outcome, RestartKind},
    fs::{close::close, file::File, open::open_exec, walk::Lookup},
    limits::RLIMIT_STACK,
    loader::{
        elf::{self, Headers},
        image,
        script::{self, HEAD_SIZE},
        stack::{self, InitialStack},
    },
    mm::{Mm, ProgramInfo, STACK_MAX},
    signal::SIGSEGV,
};

/// `MAX_ARG_STRLEN`.
const MAX_ARG_STRLEN: usize = 32 * PAGE_SIZE as usize;
/// The most room that is left below the stack for it to grow (`mmap_base` leaves up to five sixths of everything).
const STACK_ROOM_MAX: u64 = 64 << 30;
/// Scripts may name scripts this often.
const MAX_INTERPRETERS: usize = 5;

/// What execve was asked to run, copied in.
#[derive(Clone, Debug)]
pub struct ExecRequest {
    pub dirfd: i32,
    pub path: Vec<u8>,
    pub argv: Vec<Vec<u8>>,
    pub envp: Vec<Vec<u8>>,
    /// `AT_EMPTY_PATH`, `AT_SYMLINK_NOFOLLOW`.
    pub flags: u32,
}

/// The dynamic linker a program asks for.
type Interpreter = (Arc<File>, Headers);

/// A program that was found to be runnable.
pub(crate) struct Program {
    file: Arc<File>,
    headers: Headers,
    interpreter: Option<Interpreter>,
    argv: Vec<Vec<u8>>,
    envp: Vec<Vec<u8>>,
    /// `AT_EXECFN`.
    path: Vec<u8>,
    /// Basename, for `comm`.
    name: [u8; 16],
}

/// Reads strings of guest memory that mostly lie one behind the other.
struct StringReader {
    /// What was read last, and where.
    window: Vec<u8>,
    start: u64,
}

impl StringReader {
    /// How much is read at once.
    const WINDOW: u64 = 1024;

    /// The NUL-terminated string at `at`.
    fn read(&mut self, cx: &mut ThreadCx, at: UserAddr) -> Result<Vec<u8>> {
        if let Some(string) = self.known(at) {
            return Ok(string);
        }
        // Not past the page: the next one may not be there, and need not be.
        let len = (PAGE_SIZE - at.0 % PAGE_SIZE).min(Self::WINDOW);
        self.window.resize(usize::try_from(len).unwrap_or(0), 0);
        self.start = at.0;
        let got = cx.read_partial(at, &mut self.window);
        self.window.truncate(got);
        if let Some(string) = self.known(at) {
            return Ok(string);
        }
        cx.read_cstring(at, MAX_ARG_STRLEN).map_err(|errno| match errno {
            Errno::ENAMETOOLONG => Errno::E2BIG,
            other => other,
        })
    }

    /// The string, if all of it was read already.
    fn known(&self, at: UserAddr) -> Option<Vec<u8>> {
        let skip = usize::try_from(at.0.checked_sub(self.start)?).ok()?;
        let rest = self.window.get(skip..)?;
        let end = rest.iter().position(|&byte| byte == 0)?;
        rest.get(..end).map(<[u8]>::to_vec)
    }
}

/// Reads a NULL-terminated array of strings.
///
/// # Errors
/// `EFAULT`; `E2BIG` beyond `budget` bytes (which it uses up).
pub fn read_strings(cx: &mut ThreadCx, at: UserAddr, budget: &mut usize) -> Result<Vec<Vec<u8>>> {
    let mut strings = Vec::new();
    if at.is_null() {
        return Ok(strings);
    }
    let mut at = at;
    let mut reader = StringReader { window: Vec::new(), start: 0 };
    loop {
        // As many pointers as the page holds, at once.
        let in_page = usize::try_from((PAGE_SIZE - at.0 % PAGE_SIZE) / 8).unwrap_or(1).clamp(1, 64);
        let mut bytes = vec![0; in_page * 8];
        let got = cx.read_partial(at, &mut bytes) / 8;
        if got == 0 {
            return Err(Errno::EFAULT);
        }
        for pointer in bytes.chunks_exact(8).take(got) {
            let pointer = u64::from_le_bytes(pointer.try_into().unwrap_or_default());
            if pointer == 0 {
                return Ok(strings);
            }
            let string = reader.read(cx, UserAddr(pointer))?;
            *budget = budget.checked_sub(string.len() + 1 + 8).ok_or(Errno::E2BIG)?;
            strings.push(string);
        }
        at = at.checked_add(8 * got as u64).ok_or(Errno::EFAULT)?;
    }
}

/// How many bytes of arguments and environment this task may pass (`bprm_stack_limits`).
pub fn string_budget(task: &Task) -> usize {
    let quarter = task.group.limits.lock().soft(RLIMIT_STACK) / 4;
    usize::try_from(quarter.min(6 << 20).max(MAX_ARG_STRLEN as u64)).unwrap_or(MAX_ARG_STRLEN)
}

/// Finds and examines the program; changes nothing.
///
/// # Errors
/// Those of execve(2).
pub(crate) fn find(task: &Arc<Task>, request: ExecRequest) -> Result<Program> {
    let ExecRequest { dirfd, path, mut argv, envp, flags } = request;
    if argv.is_empty() {
        argv.push(Vec::new());
    }
    let mut lookup = Lookup::FOLLOW;
    lookup.set(Lookup::FOLLOW, flags & linux_abi::fcntl::AT_SYMLINK_NOFOLLOW == 0);
    lookup.set(Lookup::EMPTY, flags & linux_abi::fcntl::AT_EMPTY_PATH != 0);
    if flags & !(linux_abi::fcntl::AT_SYMLINK_NOFOLLOW | linux_abi::fcntl::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let mut file = open_exec(task, dirfd, &path, lookup)?;
    // What scripts get as their own name, and AT_EXECFN.
    let shown = if path.starts_with(b"/") || dirfd == linux_abi::fcntl::AT_FDCWD {
        path
    } else if path.is_empty() {
        format!("/dev/fd/{dirfd}").into_bytes()
    } else {
        [format!("/dev/fd/{dirfd}/").as_bytes(), &path].concat()
    };
    let name = basename(&shown);
    let mut current = shown.clone();
    for _ in 0..=MAX_INTERPRETERS {
        let head = elf::head(task, &file)?;
        let Some(line) = script::parse(head.get(..HEAD_SIZE).unwrap_or(&head))? else {
            let (headers, interpreter) = examine(task, &file, &head)?;
            return Ok(Program { file, headers, interpreter, argv, envp, path: shown, name });
        };
        let mut prefix = vec![line.path.clone()];
        prefix.extend(line.argument);
        prefix.push(current);
        argv.splice(..1, prefix);
        file = open_exec(task, linux_abi::fcntl::AT_FDCWD, &line.path, Lookup::FOLLOW)?;
        current = line.path;
    }
    Err(Errno::ELOOP)
}

fn examine(task: &Arc<Task>, file: &Arc<File>, head: &[u8]) -> Result<(Headers, Option<Interpreter>)> {
    let headers = elf::read(task, file, head)?;
    let Some(path) = &headers.interpreter else { return Ok((headers, None)) };
    let interpreter = open_exec(task, linux_abi::fcntl::AT_FDCWD, path, Lookup::FOLLOW)?;
    let head = elf::head(task, &interpreter)?;
    if head.len() < elf::EHDR_SIZE {
        return Err(Errno::EIO);
    }
    let interpreter_headers = elf::read(task, &interpreter, &head).map_err(|errno| match errno {
        Errno::ENOEXEC => Errno::ELIBBAD,
        other => other,
    })?;
    Ok((headers, Some((interpreter, interpreter_headers))))
}

fn basename(path: &[u8]) -> [u8; 16] {
    let start = path.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
    let mut name = [0; 16];
    for (to, from) in name.iter_mut().take(15).zip(path.get(start..).unwrap_or_default()) {
        *to = *from;
    }
    name
}

impl ThreadCx {
    /// execve(2) and execveat(2) with their arguments copied in.
    pub fn exec(&mut self, request: ExecRequest) -> Outcome {
        let task = Arc::clone(&self.task);
        let program = match find(&task, request) {
            Ok(program) => program,
            Err(errno) => return Outcome::Fail(errno),
        };
        let old_tid = task.tid();
        if self.end_other_threads().is_err() {
            return Outcome::Restart(RestartKind::NoIntr);
        }
        // From here on there is no way back.
        match self.replace_image(&program) {
            Ok(()) => {
                if self.is_traced() {
                    self.trace_exec(old_tid);
                }
                Outcome::KeepRegisters
            }
            Err(_) => {
                let status = ExitStatus::Signaled { signo: SIGSEGV, core: false };
                self.task.begin_group_exit(status);
                Outcome::Exit(status)
            }
        }
    }

    /// The first program of a process that was made from outside.
    pub(crate) fn enter(&mut self, program: &Program) -> Result<()> {
        let mm = self.task.mm()?;
        let secure = self.change_credentials(program);
        self.load(&mm, program, secure)?;
        self.reset_process(program, secure);
        self.task.group.has_execed.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Ends every other thread of the process and takes the leader's place (`de_thread`).
    fn end_other_threads(&self) -> Result<(), crate::task::block::WaitError> {
        let task = &self.task;
        let threads = task.kernel.tasks.lock().threads_of(task.pid());
        {
            let mut signals = task.group.signals.lock();
            if signals.exiting.is_some() || signals.exec_in_progress {
                return Err(crate::task::block::WaitError::Interrupted);
            }
            signals.exec_in_progress = true;
        }
        // A thread that is being made right now sees `exec_in_progress` when it enters the tree.
        let threads =
            if threads.len() > 1 { task.kernel.tasks.lock().threads_of(task.pid()) } else { threads };
        for other in threads.iter().filter(|other| other.tid() != task.tid()) {
            other.signals.lock().exit_requested = true;
            other.notify_signal();
        }
        let alone = || (task.kernel.tasks.lock().threads_of(task.pid()).len() <= 1).then_some(());
        let done = task.wait_killable(alone);
        task.group.signals.lock().exec_in_progress = false;
        done?;
        if task.tid() != task.pid() {
            task.kernel.tasks.lock().become_leader(task);
        }
        Ok(())
    }

    fn replace_image(&mut self, program: &Program) -> Result<()> {
        self.release_memory();
        self.know_actions();
        let task = Arc::clone(&self.task);
        let old = task.mm()?;
        let layout = task.kernel.platform.layout();
        let mm = if old.users() == 1 {
            self.context.reset().map_err(crate::mm::map_errno)?;
            Mm::new(Arc::clone(self.context.space()), layout)
        } else {
            // Somebody else (a vfork parent) lives in the old one.
            let process = task.kernel.platform.new_process()?;
            // The mask is in the old context's keeping.
            task.signals.lock().blocked();
            *task.kicker.write() = Some(process.context.kicker());
            self.context = process.context;
            Mm::new(process.space, layout)
        };
        if let Some(old) = task.set_mm(Some(Arc::clone(&mm))) {
            old.leave();
            old.remove_user();
        }
        if let Some(vfork) = task.vfork_done.lock().take() {
            vfork.finish();
        }
        let secure = self.change_credentials(program);
        self.load(&mm, program, secure)?;
        self.reset_process(program, secure);
        self.lend();
        Ok(())
    }

    /// Maps program, interpreter and stack, and sets the registers.
    fn load(&mut self, mm: &Arc<Mm>, program: &Program, secure: bool) -> Result<()> {
        let kernel = Arc::clone(&self.task.kernel);
        let usable = mm.layout().usable;
        let random_pages = |pages: u64| kernel.random_u64() % pages * PAGE_SIZE;
        let stack_limit = self.task.group.limits.lock().soft(RLIMIT_STACK);
        let stack_size = (stack_limit.clamp(32 * PAGE_SIZE, STACK_MAX) + PAGE_SIZE - 1) & !(PAGE_SIZE - 1);
        let stack_top = mm.top_for_stack(usable.end() - random_pages(1 << 16), stack_size)?;
        let room = (stack_limit & !(PAGE_SIZE - 1)).clamp(128 << 20, STACK_ROOM_MAX);
        mm.set_mmap_top(stack_top - room - random_pages(1 << 16) - (1 << 20));

        let (low, high) = program.headers.extent()?;
        let bias = if program.headers.relocatable {
            let align = program.headers.alignment;
            let base = if program.interpreter.is_some() {
                0x5555_5555_4000 + random_pages(1 << 22)
            } else {
                // A static PIE, or the dynamic linker run by hand: where mappings go, so that its heap has room.
                mm.free_range(high - low + align)?
            };
            (base & !(align - 1)).wrapping_sub(low)
        } else {
            0
        };
        let end = image::map_segments(mm, &mut *self.context, &program.file, &program.headers, bias)?;
        let entry = program.headers.entry.wrapping_add(bias);
        let heap = UserAddr(end).page_up().ok_or(Errno::ENOMEM)?.0;
        let heap = if program.headers.relocatable && program.interpreter.is_none() {
            0x5555_5555_4000 + random_pages(1 << 22)
        } else {
            heap + random_pages(1 << 12)
        };
        mm.set_heap_start(heap);
        let (start, base) = match &program.interpreter {
            None => (entry, 0),
            Some((file, headers)) => {
                let (low, high) = headers.extent()?;
                let bias = if headers.relocatable {
                    let align = headers.alignment;
                    ((mm.free_range(high - low + align)? + align - 1) & !(align - 1)).wrapping_sub(low)
                } else {
                    0
                };
                image::map_segments(mm, &mut *self.context, file, headers, bias)?;
                (headers.entry.wrapping_add(bias), bias)
            }
        };
        let prot = Prot::READ.with(Prot::WRITE).with(if program.headers.exec_stack {
            Prot::EXEC
        } else {
            Prot::NONE
        });
        mm.map_stack(&mut *self.context, stack_top, stack_size, prot)?;
        let creds = self.task.creds();
        let host = &kernel.host;
        let mut auxv = vec![
            (stack::AT_MINSIGSTKSZ, host.min_signal_stack),
            (stack::AT_HWCAP, host.hwcap),
            (stack::AT_PAGESZ, PAGE_SIZE),
            (stack::AT_CLKTCK, 100),
            (stack::AT_PHDR, program.headers.phdr.wrapping_add(bias)),
            (stack::AT_PHENT, 56),
            (stack::AT_PHNUM, program.headers.phnum),
            (stack::AT_BASE, base),
            (stack::AT_FLAGS, 0),
            (stack::AT_ENTRY, entry),
            (stack::AT_UID, u64::from(creds.ruid)),
            (stack::AT_EUID, u64::from(creds.euid)),
            (stack::AT_GID, u64::from(creds.rgid)),
            (stack::AT_EGID, u64::from(creds.egid)),
            (stack::AT_SECURE, u64::from(secure)),
            (stack::AT_HWCAP2, host.hwcap2 & !mm.layout().hidden_hwcap2),
            (stack::AT_RSEQ_FEATURE_SIZE, 28),
            (stack::AT_RSEQ_ALIGN, 32),
        ];
        if let Some(vdso) = mm.layout().vdso {
            auxv.insert(0, (stack::AT_SYSINFO_EHDR, vdso.image.start()));
        }
        let mut random = [0; 16];
        kernel.fill_random(&mut random);
        let InitialStack { sp, bytes, args, environment, auxv } =
            stack::build(stack_top, &program.argv, &program.envp, &program.path, random, &auxv)?;
        self.context.initialise(UserAddr(sp), &bytes).map_err(|_| Errno::EFAULT)?;
        mm.set_info(ProgramInfo {
            args,
            environment,
            stack_top: sp,
            code: (low.wrapping_add(bias), high.wrapping_add(bias)),
            data: (low.wrapping_add(bias), end),
            auxv,
        });
        self.context.set_extended_state(&[]).map_err(|_| Errno::EFAULT)?;
        self.regs = Registers::entry(start, sp);
        Ok(())
    }

    /// Set-user-ID bits and capabilities (`bprm_creds_from_file`, capabilities(7)). Returns `AT_SECURE`.
    fn change_credentials(&self, program: &Program) -> bool {
        let task = &self.task;
        let old = task.creds();
        let mut new = Credentials::clone(&old);
        let nosuid = program.file.path().is_none_or(|path| path.mount.has(linux_abi::fcntl::MS_NOSUID))
            || task.no_new_privs.load(Ordering::Relaxed)
            // A tracer would get what the program gets.
            || task.trace.is_on();
        if !nosuid && let Some(attr) = program.file.inode().and_then(|inode| inode.attr().ok()) {
            if attr.perm & 0o4000 != 0 {
                new.euid = attr.uid;
            }
            if attr.perm & 0o2010 == 0o2010 {
                new.egid = attr.gid;
            }
        }
        (new.keyrings.thread, new.keyrings.process) = (None, None);
        let changed_id = new.euid != old.euid || new.egid != old.egid;
        new.suid = new.euid;
        new.fsuid = new.euid;
        new.sgid = new.egid;
        new.fsgid = new.egid;
        if changed_id {
            new.ambient = Caps::empty();
        }
        new.permitted = Caps::empty();
        let mut effective = false;
        if new.securebits & SECBIT_NOROOT == 0 && (new.euid == 0 || new.ruid == 0) {
            new.permitted = new.bounding | new.inheritable;
            effective = new.euid == 0;
        }
        new.permitted |= new.ambient;
        new.effective = if effective { new.permitted } else { new.ambient };
        new.securebits &= !SECBIT_KEEP_CAPS;
        let _ = SECBIT_NO_SETUID_FIXUP;
        let gained = !effective && !new.effective.difference(new.ambient).is_empty();
        let secure = new.ruid != new.euid || new.rgid != new.egid || gained;
        task.set_creds(new);
        if changed_id {
            task.parent_death_signal.store(0, Ordering::Relaxed);
        }
        secure
    }

    /// What execve resets besides memory.
    fn reset_process(&self, program: &Program, secure: bool) {
        let task = &self.task;
        let group = &task.group;
        // Actions shared with another process stay its own.
        let handlers = group.handlers.read().duplicate();
        handlers.reset_caught();
        *group.handlers.write() = handlers;
        {
            let mut signals = task.signals.lock();
            signals.alt_stack = crate::signal::state::AltStack { flags: 2, ..Default::default() };
            signals.saved_mask = None;
        }
        *task.name.lock() = program.name;
        *task.rseq.lock() = None;
        *task.restart_block.lock() = None;
        task.set_robust_list(0);
        group.timers.clear_posix();
        group.has_execed.store(true, Ordering::Relaxed);
        group.dumpable.store(!secure, Ordering::Relaxed);
        *group.executable.lock() = Some(Arc::clone(&program.file));
        if let Some(process) = task.kernel.tasks.lock().process_mut(task.pid()) {
            process.exit_signal = crate::signal::SIGCHLD;
        }
        // A table shared with another process is copied first (`unshare_files`).
        if let Ok(mut files) = task.files() {
            if Arc::strong_count(&files) > 2 {
                files = files.duplicate();
                task.set_files(Some(Arc::clone(&files)));
            }
            for file in files.remove_range(0, u32::MAX, |close_on_exec| close_on_exec) {
                close(task, &files, &file);
            }
        }
    }
}
