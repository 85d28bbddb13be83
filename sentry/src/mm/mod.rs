//! Guest memory: its metadata. The pages themselves, their faults and their copy-on-write are the platform's.
//!
//! * [`Mm`] is `struct mm_struct`: the list of mappings, `brk`, limits, what /proc shows.
//! * `vma.rs`: one mapping, and the ordered set of them.
//! * `map.rs`: mmap(2), munmap(2); `change.rs`: mprotect, mremap, madvise; `heap.rs`: brk(2).
//! * `pending.rs`: what the platform has yet to do.
//!
//! Changes are made by the thread that asks for them, through its own [`Context`], while it holds the lock of
//! the mapping list: the host operation needs only that thread's own stub, never another task, so the lock is held for
//! microseconds. Lock order: `Mm::state` is a leaf but for the platform's own.

pub mod change;
pub mod heap;
pub mod map;
mod pending;
pub mod policy;
pub mod vma;

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use linux_abi::{Errno, PAGE_SIZE, PageRange, Result};
use parking_lot::Mutex;
use platform::{AddressSpace, Context, Layout, MapError, Prot};

use self::{
    pending::Pending,
    vma::{Backing, Vma, VmaFlags, VmaSet},
};

/// The lowest address a mapping may have (`vm.mmap_min_addr`).
pub const MMAP_MIN_ADDR: u64 = 0x1_0000;
/// The most mappings an address space may have (`vm.max_map_count`).
pub const MAX_MAP_COUNT: usize = 65_530;
/// The most that the initial stack is mapped to at once, whatever `RLIMIT_STACK` says.
pub const STACK_MAX: u64 = 64 << 20;

/// A guest address space (`struct mm_struct`).
pub struct Mm {
    /// The platform's side.
    pub space: Arc<dyn AddressSpace>,
    /// Where mappings may be.
    layout: Layout,
    state: Mutex<State>,
    /// Tasks that use it (`mm_users`).
    users: AtomicUsize,
    /// Identity, for futex keys.
    id: u64,
    /// Asynchronous input and output.
    pub aio: crate::aio::Contexts,
}

/// What changes under the lock.
#[derive(Clone, Default)]
pub(crate) struct State {
    vmas: VmaSet,
    /// Where the program break starts, and where it is.
    brk_start: u64,
    brk: u64,
    /// Top of the area that mmap fills downwards.
    mmap_top: u64,
    /// `mlockall(MCL_FUTURE)`.
    lock_future: bool,
    info: ProgramInfo,
    pending: Pending,
}

/// What execve learned about the program, for /proc.
#[derive(Clone, Debug, Default)]
pub struct ProgramInfo {
    pub args: (u64, u64),
    pub environment: (u64, u64),
    pub stack_top: u64,
    pub code: (u64, u64),
    pub data: (u64, u64),
    /// The auxiliary vector as it stands on the stack.
    pub auxv: Vec<(u64, u64)>,
}

/// What a futex is identified by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FutexKey {
    /// An address in one address space.
    Private { mm: u64, addr: u64 },
    /// A place in a shared object (file or shared anonymous memory).
    Shared { object: u64, offset: u64 },
}

/// How the sizes of an address space add up, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sizes {
    pub total: u64,
    pub data: u64,
    pub stack: u64,
    pub code: u64,
    pub shared_files: u64,
    pub locked: u64,
}

impl Mm {
    /// An empty address space.
    pub fn new(space: Arc<dyn AddressSpace>, layout: &Layout) -> Arc<Mm> {
        Mm::build(space, layout.clone(), State::default())
    }

    fn build(space: Arc<dyn AddressSpace>, layout: Layout, state: State) -> Arc<Mm> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mm = Mm {
            space,
            layout,
            state: Mutex::new(state),
            users: AtomicUsize::new(1),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            aio: crate::aio::Contexts::default(),
        };
        {
            let mut state = mm.state.lock();
            if state.mmap_top == 0 {
                state.mmap_top = mm.layout.usable.end();
            }
            if let Some(vdso) = mm.layout.vdso {
                state.vmas.insert(Vma::special(vdso.vvar, Prot::READ, "[vvar]"));
                state.vmas.insert(Vma::special(vdso.image, Prot::READ.with(Prot::EXEC), "[vdso]"));
            }
        }
        Arc::new(mm)
    }

    /// The metadata of a forked copy whose memory is `space`.
    pub fn forked(&self, space: Arc<dyn AddressSpace>) -> Arc<Mm> {
        let mut state = self.state.lock().clone();
        state.pending = Pending::default();
        state.vmas.retain(|vma| !vma.flags.contains(VmaFlags::DONT_FORK));
        state.vmas.for_each_mut(|vma| vma.flags.remove(VmaFlags::LOCKED));
        state.lock_future = false;
        Mm::build(space, self.layout.clone(), state)
    }

    /// One more task uses it.
    pub fn add_user(&self) {
        self.users.fetch_add(1, Ordering::SeqCst);
    }

    /// One task fewer uses it; returns how many are left.
    pub fn remove_user(&self) -> usize {
        self.users.fetch_sub(1, Ordering::SeqCst).saturating_sub(1)
    }

    /// How many tasks use it.
    pub fn users(&self) -> usize {
        self.users.load(Ordering::SeqCst)
    }

    /// Whether anybody else may see what is written to it: another task, or who has mapped the same shared memory.
    pub fn is_seen_by_others(&self) -> bool {
        self.users() > 1 || self.state.lock().vmas.iter().any(|vma| vma.flags.contains(VmaFlags::SHARED))
    }

    /// Identity of this address space among all there ever were.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Where mappings may be placed.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Every mapping, in order of address.
    pub fn mappings(&self) -> Vec<Vma> {
        self.state.lock().vmas.iter().cloned().collect()
    }

    /// The mapping that holds `addr`.
    pub fn find(&self, addr: u64) -> Option<Vma> {
        self.state.lock().vmas.find(addr).cloned()
    }

    /// What execve recorded.
    pub fn info(&self) -> ProgramInfo {
        self.state.lock().info.clone()
    }

    /// Records what execve learned.
    pub fn set_info(&self, info: ProgramInfo) {
        self.state.lock().info = info;
    }

    /// Changes one thing of what execve recorded (`PR_SET_MM`).
    pub fn update_info(&self, change: impl FnOnce(&mut ProgramInfo)) {
        change(&mut self.state.lock().info);
    }

    /// Start and current end of the heap.
    pub fn heap(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.brk_start, state.brk)
    }

    /// Sizes for /proc and limits.
    pub fn sizes(&self) -> Sizes {
        let state = self.state.lock();
        let mut sizes = Sizes::default();
        for vma in state.vmas.iter() {
            let len = vma.range.len();
            sizes.total += len;
            if vma.flags.contains(VmaFlags::STACK) {
                sizes.stack += len;
            } else if vma.is_data() {
                sizes.data += len;
            } else if vma.prot.has(Prot::EXEC) {
                sizes.code += len;
            }
            if vma.flags.contains(VmaFlags::SHARED) {
                sizes.shared_files += len;
            }
            if vma.flags.contains(VmaFlags::LOCKED) {
                sizes.locked += len;
            }
        }
        sizes
    }

    /// Resident memory in bytes, for /proc and getrusage. Where the platform cannot tell, what could be resident at most of
    /// what programs usually touch: code and data without reservations.
    pub fn resident(&self) -> u64 {
        let told = self.space.resident();
        if told > 0 {
            return told;
        }
        let state = self.state.lock();
        let counted = |vma: &&Vma| {
            vma.prot != Prot::NONE && !vma.flags.intersects(VmaFlags::NO_RESERVE | VmaFlags::STACK)
        };
        state.vmas.iter().filter(counted).map(|vma| vma.range.len()).sum()
    }

    /// Prepares for a new program: the platform's side was emptied or is fresh; mappings go from `mmap_top` down.
    pub fn set_mmap_top(&self, top: u64) {
        self.state.lock().mmap_top = top;
    }

    /// The key of the futex at `addr`, which is four-byte aligned. `private` is the caller's promise that no other
    /// process shares it.
    ///
    /// # Errors
    /// `EFAULT` if nothing is mapped there.
    pub fn futex_key(&self, addr: u64, private: bool) -> Result<FutexKey> {
        let own = FutexKey::Private { mm: self.id, addr };
        if private {
            return Ok(own);
        }
        let state = self.state.lock();
        let vma = state.vmas.find(addr).ok_or(Errno::EFAULT)?;
        Ok(match (&vma.backing, vma.flags.contains(VmaFlags::SHARED)) {
            (Backing::File { file, offset }, true) => {
                let object =
                    file.inode().map_or(file.id(), |inode| std::sync::Arc::as_ptr(inode).addr() as u64);
                FutexKey::Shared { object, offset: offset + (addr - vma.range.start()) }
            }
            (Backing::SharedMemory { memory, offset }, true) => {
                let object = Arc::as_ptr(memory).addr() as u64;
                FutexKey::Shared { object, offset: offset + (addr - vma.range.start()) }
            }
            _ => own,
        })
    }

    /// Deals with a fault the host could not resolve: grows a stack towards it. Returns whether to retry.
    pub fn grow_stack(&self, context: &mut dyn Context, addr: u64, limit: u64) -> bool {
        const GUARD: u64 = 256 * PAGE_SIZE;
        let mut state = self.state.lock();
        state.begin();
        let Some(vma) = state.vmas.next_after(addr).cloned() else { return false };
        if !vma.flags.contains(VmaFlags::GROWS_DOWN) || vma.range.contains(addr) {
            return false;
        }
        let floor = state.vmas.previous_before(addr).map_or(MMAP_MIN_ADDR, |below| below.range.end() + GUARD);
        let start = addr & !(PAGE_SIZE - 1);
        if start < floor || vma.range.end() - start > limit.max(PAGE_SIZE) {
            return false;
        }
        let Some(gap) = PageRange::new(start, vma.range.start()) else { return false };
        if self.layout.reserved.iter().any(|reserved| reserved.overlaps(gap)) {
            return false;
        }
        if context.map(gap, platform::Backing::Anonymous { no_reserve: false }, vma.prot).is_err() {
            return false;
        }
        state.vmas.insert(Vma { range: gap, ..vma });
        true
    }
}

/// The errno of a failed host operation.
pub(crate) fn map_errno(error: MapError) -> Errno {
    match error {
        MapError::Refused(errno) => errno,
        MapError::Gone => Errno::ENOMEM,
    }
}
