//! A platform without guests, for unit tests of the sentry: threads follow scripts, memory is a map of pages in the test's own
//! process, and nothing but this process exists.
//!
//! A [`Script`] says what a thread does at each [`Context::run`]; it may look at registers and memory, so at the results of
//! earlier calls. A thread whose script is over is gone. What `run` was given as the result of each call is recorded.
//!
//! Differences from a real platform: [`Layout::vdso`] is `None`, processor time does not pass, and a kick is seen between steps
//! and by [`Script::wait`] only.

mod memory;

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use self::memory::Memory;
use crate::{
    AccessFault, AddressSpace, Backing, Context, Errno, Gone, Kick, Layout, MapError, PageRange, Platform,
    Process, Prot, Registers, Trap, UserAddr,
};

/// Size of an extended state of x87 and SSE: legacy area and header.
const XSAVE_SIZE: usize = 512 + 64;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a step of a script sees and may change.
#[derive(Debug)]
pub struct Guest<'a> {
    /// The thread's registers. After a system call `rax` is its result.
    pub regs: &'a mut Registers,
    /// The results of all calls so far.
    pub results: &'a [u64],
    memory: &'a Mutex<Memory>,
}

impl Guest<'_> {
    /// Makes the registers those of a system call.
    pub fn call(&mut self, number: u64, args: [u64; 6]) -> Trap {
        let [rdi, rsi, rdx, r10, r8, r9] = args;
        let rip = self.regs.rip.wrapping_add(2);
        let regs = Registers {
            rax: number,
            orig_rax: number,
            rdi,
            rsi,
            rdx,
            r10,
            r8,
            r9,
            rip,
            rcx: rip,
            ..*self.regs
        };
        *self.regs = regs;
        Trap::Syscall
    }

    /// The result of call number `index` of this thread, or 0.
    #[must_use]
    pub fn result(&self, index: usize) -> u64 {
        self.results.get(index).copied().unwrap_or(0)
    }

    /// Copies guest memory, as far as there is any.
    #[must_use]
    pub fn read(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let done = lock(self.memory).read(UserAddr(at), &mut bytes).map_or_else(|fault| fault.done, |()| len);
        bytes.truncate(done);
        bytes
    }

    /// Writes guest memory.
    ///
    /// # Errors
    /// As [`AddressSpace::write`].
    pub fn write(&self, at: u64, bytes: &[u8]) -> Result<(), AccessFault> {
        lock(self.memory).write(UserAddr(at), bytes)
    }
}

/// One [`Context::run`].
enum Step {
    Do(Box<dyn FnOnce(&mut Guest<'_>) -> Trap + Send>),
    Wait,
}

/// What a thread does.
#[derive(Default)]
pub struct Script {
    steps: VecDeque<Step>,
    children: VecDeque<Script>,
    results: Record,
}

/// The results of a thread's calls, in order: what `rax` was when it ran again.
#[derive(Clone, Debug, Default)]
pub struct Record(Arc<Mutex<Vec<u64>>>);

impl Record {
    /// What there is now.
    #[must_use]
    pub fn get(&self) -> Vec<u64> {
        lock(&self.0).clone()
    }
}

impl Script {
    /// A thread that does nothing and is gone.
    #[must_use]
    pub fn new() -> Script {
        Script::default()
    }

    /// Then: whatever `step` does, ending in the trap that it returns.
    #[must_use]
    pub fn then(mut self, step: impl FnOnce(&mut Guest<'_>) -> Trap + Send + 'static) -> Script {
        self.steps.push_back(Step::Do(Box::new(step)));
        self
    }

    /// Then: a system call.
    #[must_use]
    pub fn call(self, number: u64, args: [u64; 6]) -> Script {
        self.then(move |guest| guest.call(number, args))
    }

    /// Then: nothing, until somebody kicks.
    #[must_use]
    pub fn wait(mut self) -> Script {
        self.steps.push_back(Step::Wait);
        self
    }

    /// What the next thread or process does that this thread clones and that has no script yet.
    #[must_use]
    pub fn child(mut self, script: Script) -> Script {
        self.children.push_back(script);
        self
    }

    /// Where the results of the calls will be found.
    #[must_use]
    pub fn record(&self) -> Record {
        self.results.clone()
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("steps", &self.steps.len()).field("children", &self.children).finish()
    }
}

/// The platform. Its processes follow the scripts given to it, in order.
#[derive(Debug)]
pub struct Fake {
    layout: Layout,
    scripts: Mutex<VecDeque<Script>>,
}

impl Fake {
    /// A platform whose processes do what `scripts` say, in this order.
    #[must_use]
    pub fn new(scripts: impl IntoIterator<Item = Script>) -> Fake {
        let layout = Layout {
            usable: PageRange::new(0x1_0000, 0x7fff_ffff_f000).expect("both are page boundaries"),
            reserved: Vec::new(),
            vdso: None,
            xsave_size: XSAVE_SIZE,
            xfeatures: 3,
            hidden_hwcap2: 0,
        };
        Fake { layout, scripts: Mutex::new(scripts.into_iter().collect()) }
    }
}

impl Platform for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn new_process(&self) -> Result<Process, Errno> {
        let script = lock(&self.scripts).pop_front().unwrap_or_default();
        Ok(FakeContext::new(Arc::default(), script, initial_state()).into_process())
    }
}

/// The extended state that a program starts with.
fn initial_state() -> Vec<u8> {
    let mut area = vec![0; XSAVE_SIZE];
    for (at, byte) in [(0, 0x7f), (1, 0x03), (24, 0x80), (25, 0x1f)] {
        if let Some(to) = area.get_mut(at) {
            *to = byte;
        }
    }
    area
}

/// An address space.
#[derive(Debug, Default)]
struct Space {
    memory: Mutex<Memory>,
    dead: AtomicBool,
    /// Woken by [`AddressSpace::kill`].
    waiting: Mutex<Vec<Arc<Bell>>>,
}

impl Space {
    fn alive(&self) -> Result<(), Gone> {
        if self.dead.load(Ordering::SeqCst) { Err(Gone) } else { Ok(()) }
    }
}

impl AddressSpace for Space {
    fn read(&self, at: UserAddr, into: &mut [u8]) -> Result<(), AccessFault> {
        lock(&self.memory).read(at, into)
    }

    fn write(&self, at: UserAddr, from: &[u8]) -> Result<(), AccessFault> {
        lock(&self.memory).write(at, from)
    }

    fn cpu_time(&self) -> Duration {
        Duration::ZERO
    }

    fn resident(&self) -> u64 {
        lock(&self.memory).resident()
    }

    fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
        lock(&self.waiting).iter().for_each(|bell| bell.kick());
    }
}

/// Where kicks arrive.
#[derive(Debug, Default)]
struct Bell {
    kicked: Mutex<bool>,
    rung: Condvar,
}

impl Bell {
    fn take(&self) -> bool {
        std::mem::take(&mut *lock(&self.kicked))
    }

    fn wait(&self) {
        let mut kicked = lock(&self.kicked);
        while !std::mem::take(&mut *kicked) {
            kicked = self.rung.wait(kicked).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Kick for Bell {
    fn kick(&self) {
        *lock(&self.kicked) = true;
        self.rung.notify_all();
    }
}

/// A thread.
struct FakeContext {
    space: Arc<dyn AddressSpace>,
    own: Arc<Space>,
    script: Script,
    state: Vec<u8>,
    bell: Arc<Bell>,
    /// Its last trap was a system call.
    in_call: bool,
}

impl FakeContext {
    fn new(own: Arc<Space>, script: Script, state: Vec<u8>) -> FakeContext {
        let bell = Arc::new(Bell::default());
        lock(&own.waiting).push(Arc::clone(&bell));
        FakeContext {
            space: Arc::clone(&own) as Arc<dyn AddressSpace>,
            own,
            script,
            state,
            bell,
            in_call: false,
        }
    }

    fn into_process(self) -> Process {
        Process { space: Arc::clone(&self.space), context: Box::new(self) }
    }

    fn memory(&self) -> Result<MutexGuard<'_, Memory>, Gone> {
        self.own.alive()?;
        Ok(lock(&self.own.memory))
    }

    fn child_script(&mut self) -> Script {
        self.script.children.pop_front().unwrap_or_default()
    }
}

impl Context for FakeContext {
    fn run(&mut self, regs: &mut Registers) -> Trap {
        crate::wake_now();
        if std::mem::take(&mut self.in_call) {
            lock(&self.script.results.0).push(regs.rax);
        }
        if self.own.alive().is_err() {
            return Trap::Gone;
        }
        if self.bell.take() {
            return Trap::Interrupted;
        }
        let trap = match self.script.steps.pop_front() {
            Some(Step::Do(step)) => {
                let results = self.script.results.get();
                step(&mut Guest { regs, results: &results, memory: &self.own.memory })
            }
            Some(Step::Wait) => {
                self.bell.wait();
                if self.own.alive().is_ok() { Trap::Interrupted } else { Trap::Gone }
            }
            None => Trap::Gone,
        };
        self.in_call = trap == Trap::Syscall;
        trap
    }

    fn kicker(&self) -> Arc<dyn Kick> {
        Arc::clone(&self.bell) as Arc<dyn Kick>
    }

    fn space(&self) -> &Arc<dyn AddressSpace> {
        &self.space
    }

    fn extended_state(&mut self) -> Result<Vec<u8>, Gone> {
        self.own.alive()?;
        Ok(self.state.clone())
    }

    fn set_extended_state(&mut self, area: &[u8]) -> Result<(), Gone> {
        self.own.alive()?;
        self.state = initial_state();
        self.state.iter_mut().zip(area).for_each(|(to, from)| *to = *from);
        Ok(())
    }

    fn read(&mut self, at: UserAddr, into: &mut [u8]) -> Result<(), AccessFault> {
        self.own.read(at, into)
    }

    fn write(&mut self, at: UserAddr, from: &[u8]) -> Result<(), AccessFault> {
        self.own.write(at, from)
    }

    fn compare_exchange_u32(&mut self, at: UserAddr, old: u32, new: u32) -> Result<u32, AccessFault> {
        lock(&self.own.memory).compare_exchange_u32(at, old, new)
    }

    fn map(&mut self, range: PageRange, backing: Backing<'_>, prot: Prot) -> Result<(), MapError> {
        self.memory()?.map(range, backing, prot).map_err(MapError::Refused)
    }

    fn unmap(&mut self, range: PageRange) -> Result<(), MapError> {
        self.memory()?.unmap(range);
        Ok(())
    }

    fn protect(&mut self, range: PageRange, prot: Prot) -> Result<(), MapError> {
        self.memory()?.protect(range, prot).map_err(MapError::Refused)
    }

    fn remap(&mut self, from: PageRange, to: PageRange) -> Result<(), MapError> {
        self.memory()?.remap(from, to).map_err(MapError::Refused)
    }

    fn advise(&mut self, range: PageRange, advice: i32) -> Result<(), MapError> {
        self.memory()?.advise(range, advice).map_err(MapError::Refused)
    }

    fn clone_thread(&mut self) -> Result<Box<dyn Context>, Errno> {
        self.own.alive().map_err(|Gone| Errno::EAGAIN)?;
        let script = self.child_script();
        Ok(Box::new(FakeContext::new(Arc::clone(&self.own), script, self.state.clone())))
    }

    fn fork(&mut self) -> Result<Process, Errno> {
        let memory = self.memory().map_err(|Gone| Errno::EAGAIN)?.clone();
        let space = Arc::new(Space { memory: Mutex::new(memory), ..Space::default() });
        let script = self.child_script();
        Ok(FakeContext::new(space, script, self.state.clone()).into_process())
    }

    fn reset(&mut self) -> Result<(), MapError> {
        *self.memory()? = Memory::default();
        self.state = initial_state();
        Ok(())
    }

    fn cpu_time(&mut self) -> Duration {
        Duration::ZERO
    }
}

impl Drop for FakeContext {
    fn drop(&mut self) {
        lock(&self.own.waiting).retain(|bell| !Arc::ptr_eq(bell, &self.bell));
    }
}
