//! Semaphore sets (`ipc/sem.c`).
//!
//! An array of operations is tried as a whole under the lock of all sets; one that cannot be done waits for the set to change and
//! is tried again. What `SEM_UNDO` is to take back is kept with the set, by the [`UndoList`] that did it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use linux_abi::{
    Errno, Result,
    ipc::{IPC_NOWAIT, SEM_UNDO, SEMMNI, SEMMSL, SEMOPM, SEMVMX, Sembuf, SemidDs, Seminfo},
};
use parking_lot::Mutex;

use super::{
    Name, Perm, now,
    table::{Get, Object, Table},
};
use crate::{
    error::{SysError, SysResult},
    kernel::Kernel,
    task::{Pid, Task, block::WaitError},
    wait::{Events, WaitQueue},
};

/// The most semaphores of all sets (`SEMMNS`), fewer than on Linux: each is memory of the sentry.
pub const MAX_SEMAPHORES: usize = 1_024_000;
/// Above this, an [`UndoList`] forgets sets that are gone.
const MANY_SETS: usize = 1024;

/// All sets, and who undoes.
#[derive(Default)]
pub struct Sets {
    table: Table<Set>,
    /// How many lists there ever were.
    undo_lists: u64,
}

/// A set.
pub struct Set {
    perm: Perm,
    semaphores: Vec<Semaphore>,
    operated: i64,
    changed: i64,
    /// Who waits for which semaphore, by an arbitrary number.
    waiting: BTreeMap<u64, Blocked>,
    /// What to add to a semaphore when a list ends.
    undo: BTreeMap<(u64, u16), i32>,
    /// Announces changes and the removal.
    events: WaitQueue,
}

#[derive(Clone, Copy, Default)]
struct Semaphore {
    value: i32,
    /// Who operated last.
    pid: Pid,
}

/// Why an array of operations cannot be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Blocked {
    semaphore: u16,
    /// It waits for zero, not for more.
    for_zero: bool,
    /// The operation says not to wait.
    nowait: bool,
}

impl Object for Set {
    fn perm(&self) -> &Perm {
        &self.perm
    }

    fn perm_mut(&mut self) -> &mut Perm {
        &mut self.perm
    }
}

/// What a task (or tasks that share it by `CLONE_SYSVSEM`) undoes when it ends.
#[derive(Debug)]
pub struct UndoList {
    id: u64,
    sets: Mutex<BTreeSet<i32>>,
}

/// A task's hold on an [`UndoList`].
pub type Undo = Mutex<Option<Arc<UndoList>>>;

/// The list of `task`, made when it is first needed.
fn undo_list(task: &Task) -> Arc<UndoList> {
    let fresh = || {
        let mut sets = task.kernel.ipc.sem.lock();
        sets.undo_lists += 1;
        Arc::new(UndoList { id: sets.undo_lists, sets: Mutex::default() })
    };
    Arc::clone(task.sem_undo.lock().get_or_insert_with(fresh))
}

/// `CLONE_SYSVSEM`: the child shares the list.
pub fn share_undo(parent: &Task, child: &Task) {
    *child.sem_undo.lock() = Some(undo_list(parent));
}

/// The task lets its list go (exit, `unshare(CLONE_SYSVSEM)`); the last one to do so undoes (`exit_sem`).
pub fn end_undo(task: &Task) {
    let list = task.sem_undo.lock().take();
    let Some(list) = list.and_then(Arc::into_inner) else { return };
    let mut sets = task.kernel.ipc.sem.lock();
    for &id in list.sets.lock().iter() {
        let Ok(set) = sets.table.find(id) else { continue };
        let mine: Vec<_> =
            set.undo.range((list.id, 0)..=(list.id, u16::MAX)).map(|(k, v)| (*k, *v)).collect();
        for ((owner, number), adjust) in mine {
            set.undo.remove(&(owner, number));
            if let Some(semaphore) = set.semaphores.get_mut(usize::from(number)) {
                semaphore.value = (semaphore.value + adjust).clamp(0, SEMVMX);
                semaphore.pid = task.pid();
            }
        }
        set.operated = now();
        set.events.wake(Events::IN);
    }
}

impl Set {
    /// Does all of `operations` or none. `Ok(Some)` says what is in the way.
    fn try_all(&mut self, operations: &[Sembuf], list: Option<u64>, pid: Pid) -> Result<Option<Blocked>> {
        let before: Vec<(u16, i32)> = operations
            .iter()
            .filter_map(|op| Some((op.sem_num, self.semaphores.get(usize::from(op.sem_num))?.value)))
            .collect();
        let done = self.apply(operations, list);
        if done != Ok(None) {
            for (number, value) in before.into_iter().rev() {
                if let Some(semaphore) = self.semaphores.get_mut(usize::from(number)) {
                    semaphore.value = value;
                }
            }
            return done;
        }
        for op in operations {
            if let Some(semaphore) = self.semaphores.get_mut(usize::from(op.sem_num)) {
                semaphore.pid = pid;
            }
            if op.sem_flg & SEM_UNDO != 0
                && let Some(list) = list
            {
                *self.undo.entry((list, op.sem_num)).or_default() -= i32::from(op.sem_op);
            }
        }
        self.operated = now();
        if operations.iter().any(|op| op.sem_op != 0) {
            self.events.wake(Events::IN);
        }
        Ok(None)
    }

    fn apply(&mut self, operations: &[Sembuf], list: Option<u64>) -> Result<Option<Blocked>> {
        let mut adjusts: BTreeMap<u16, i32> = BTreeMap::new();
        for op in operations {
            let semaphore = self.semaphores.get_mut(usize::from(op.sem_num)).ok_or(Errno::EFBIG)?;
            let nowait = i32::from(op.sem_flg) & IPC_NOWAIT != 0;
            let change = i32::from(op.sem_op);
            let blocked = Blocked { semaphore: op.sem_num, for_zero: change == 0, nowait };
            let value = semaphore.value + change;
            if value < 0 || (change == 0 && semaphore.value != 0) {
                return Ok(Some(blocked));
            }
            if value > SEMVMX {
                return Err(Errno::ERANGE);
            }
            if op.sem_flg & SEM_UNDO != 0
                && let Some(list) = list
            {
                let known = self.undo.get(&(list, op.sem_num)).copied().unwrap_or(0);
                let adjust = adjusts.entry(op.sem_num).or_insert(known);
                *adjust -= change;
                if *adjust < -SEMVMX - 1 || *adjust > SEMVMX {
                    return Err(Errno::ERANGE);
                }
            }
            semaphore.value = value;
        }
        Ok(None)
    }

    fn semaphore(&mut self, number: i32) -> Result<&mut Semaphore> {
        let number = usize::try_from(number).map_err(|_| Errno::EINVAL)?;
        self.semaphores.get_mut(number).ok_or(Errno::EINVAL)
    }

    /// The line of /proc/sysvipc/sem.
    pub(super) fn show(&self, id: i32) -> String {
        let Perm { key, uid, gid, cuid, cgid, mode, .. } = self.perm;
        format!(
            "{key:10} {id:10}  {mode:4o} {:10} {uid:5} {gid:5} {cuid:5} {cgid:5} {:10} {:10}\n",
            self.semaphores.len(),
            self.operated,
            self.changed,
        )
    }
}

impl Sets {
    /// All sets.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i32, &Set)> {
        self.table.iter()
    }

    fn semaphores(&self) -> usize {
        self.table.iter().map(|(_, set)| set.semaphores.len()).sum()
    }
}

/// semget(2).
///
/// # Errors
/// Those of semget(2).
pub fn get(task: &Task, key: i32, count: i32, flags: i32) -> Result<i32> {
    let wanted = usize::try_from(count).ok().filter(|_| count <= SEMMSL).ok_or(Errno::EINVAL)?;
    let creds = task.creds();
    let mut sets = task.kernel.ipc.sem.lock();
    let fits = |set: &Set| if wanted > set.semaphores.len() { Err(Errno::EINVAL) } else { Ok(()) };
    if let Get::Found(id) = sets.table.get(key, flags, &creds, fits)? {
        return Ok(id);
    }
    if wanted == 0 {
        return Err(Errno::EINVAL);
    }
    if sets.semaphores() + wanted > MAX_SEMAPHORES {
        return Err(Errno::ENOSPC);
    }
    let set = Set {
        perm: Perm::new(task, key, flags),
        semaphores: vec![Semaphore::default(); wanted],
        operated: 0,
        changed: now(),
        waiting: BTreeMap::new(),
        undo: BTreeMap::new(),
        events: WaitQueue::new(),
    };
    sets.table.add(set, usize::try_from(SEMMNI).unwrap_or(0))
}

/// semtimedop(2), its arguments copied in.
///
/// # Errors
/// Those of semtimedop(2).
pub fn operate(task: &Task, id: i32, operations: &[Sembuf], deadline: Option<Instant>) -> SysResult<()> {
    let undoes = operations.iter().any(|op| op.sem_flg & SEM_UNDO != 0);
    let list = undoes.then(|| undo_list(task));
    let list_id = list.as_ref().map(|list| list.id);
    let events = {
        let mut sets = task.kernel.ipc.sem.lock();
        let set = sets.table.find(id)?;
        if operations.iter().any(|op| usize::from(op.sem_num) >= set.semaphores.len()) {
            return Err(Errno::EFBIG.into());
        }
        let alters = operations.iter().any(|op| op.sem_op != 0);
        set.perm.check(&task.creds(), if alters { 0o222 } else { 0o444 })?;
        let events = set.events.clone();
        if let Some(list) = &list {
            let mut mine = list.sets.lock();
            mine.insert(id);
            if mine.len() > MANY_SETS {
                mine.retain(|&id| sets.table.find(id).is_ok());
            }
        }
        events
    };
    let me = task.tid().unsigned_abs().into();
    let attempt = || {
        let mut sets = task.kernel.ipc.sem.lock();
        let set = sets.table.find(id).map_err(|_| Errno::EIDRM)?;
        set.waiting.remove(&me);
        match set.try_all(operations, list_id, task.pid())? {
            None => Ok(Ok(())),
            Some(blocked) if blocked.nowait => Ok(Err(Errno::EAGAIN)),
            Some(blocked) => {
                set.waiting.insert(me, blocked);
                Err(Errno::EAGAIN)
            }
        }
    };
    let done = task.block_on(&events, Events::IN, deadline, attempt);
    if let Ok(set) = task.kernel.ipc.sem.lock().table.find(id) {
        set.waiting.remove(&me);
    }
    match done {
        Ok(done) => done.map_err(SysError::Errno),
        // Never restarted, with a handler or without (signal(7)).
        Err(WaitError::Interrupted) => Err(Errno::EINTR.into()),
        Err(WaitError::TimedOut) => Err(Errno::EAGAIN.into()),
        Err(WaitError::Failed(errno)) => Err(errno.into()),
    }
}

/// The most operations of a call.
pub const MAX_OPERATIONS: u32 = SEMOPM.cast_unsigned();

/// What `GETVAL`, `GETPID`, `GETNCNT` and `GETZCNT` ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    Value,
    LastPid,
    WaitingForMore,
    WaitingForZero,
}

/// Answers a [`Question`] about semaphore `number`.
///
/// # Errors
/// `EINVAL`, `EACCES`.
pub fn ask(task: &Task, id: i32, number: i32, question: Question) -> Result<i32> {
    let mut sets = task.kernel.ipc.sem.lock();
    let set = sets.table.find(id)?;
    set.perm.check(&task.creds(), 0o444)?;
    let semaphore = *set.semaphore(number)?;
    let waiting = |zero: bool| {
        let hit = |b: &&Blocked| i32::from(b.semaphore) == number && b.for_zero == zero;
        i32::try_from(set.waiting.values().filter(hit).count()).unwrap_or(i32::MAX)
    };
    Ok(match question {
        Question::Value => semaphore.value,
        Question::LastPid => semaphore.pid,
        Question::WaitingForMore => waiting(false),
        Question::WaitingForZero => waiting(true),
    })
}

/// `SETVAL`.
///
/// # Errors
/// `ERANGE`, `EINVAL`, `EACCES`.
pub fn set_value(task: &Task, id: i32, number: i32, value: i32) -> Result<()> {
    if !(0..=SEMVMX).contains(&value) {
        return Err(Errno::ERANGE);
    }
    let mut sets = task.kernel.ipc.sem.lock();
    let set = sets.table.find(id)?;
    if usize::try_from(number).map_or(true, |number| number >= set.semaphores.len()) {
        return Err(Errno::EINVAL);
    }
    set.perm.check(&task.creds(), 0o222)?;
    *set.semaphore(number)? = Semaphore { value, pid: task.pid() };
    set.undo.retain(|(_, other), _| i32::from(*other) != number);
    set.changed = now();
    set.events.wake(Events::IN);
    Ok(())
}

/// How many semaphores a set has, for whoever may access it as `flags` say.
///
/// # Errors
/// `EINVAL`, `EACCES`.
pub fn size(task: &Task, id: i32, flags: i32) -> Result<usize> {
    let mut sets = task.kernel.ipc.sem.lock();
    let set = sets.table.find(id)?;
    set.perm.check(&task.creds(), flags)?;
    Ok(set.semaphores.len())
}

/// `GETALL`.
///
/// # Errors
/// `EINVAL`, `EACCES`.
pub fn values(task: &Task, id: i32) -> Result<Vec<u16>> {
    let mut sets = task.kernel.ipc.sem.lock();
    let set = sets.table.find(id)?;
    set.perm.check(&task.creds(), 0o444)?;
    Ok(set.semaphores.iter().map(|semaphore| u16::try_from(semaphore.value).unwrap_or(0)).collect())
}

/// `SETALL`.
///
/// # Errors
/// `ERANGE`, `EIDRM`.
pub fn set_values(task: &Task, id: i32, values: &[u16]) -> Result<()> {
    if values.iter().any(|&value| i32::from(value) > SEMVMX) {
        return Err(Errno::ERANGE);
    }
    let mut sets = task.kernel.ipc.sem.lock();
    let set = sets.table.find(id).map_err(|_| Errno::EIDRM)?;
    for (semaphore, &value) in set.semaphores.iter_mut().zip(values) {
        *semaphore = Semaphore { value: value.into(), pid: task.pid() };
    }
    set.undo.clear();
    set.changed = now();
    set.events.wake(Events::IN);
    Ok(())
}

/// `IPC_STAT`, `SEM_STAT`, `SEM_STAT_ANY`: also the identifier.
///
/// # Errors
/// `EINVAL`, `EACCES`.
pub fn stat(task: &Task, name: Name) -> Result<(i32, SemidDs)> {
    let mut sets = task.kernel.ipc.sem.lock();
    let (id, set) = sets.table.look_at(name, &task.creds())?;
    let stat = SemidDs {
        sem_perm: set.perm.to_abi(),
        sem_otime: set.operated,
        sem_ctime: set.changed,
        sem_nsems: set.semaphores.len() as u64,
        ..SemidDs::default()
    };
    Ok((id, stat))
}

/// `IPC_SET`.
///
/// # Errors
/// `EINVAL`, `EPERM`.
pub fn set(task: &Task, id: i32, from: &SemidDs) -> Result<()> {
    let mut sets = task.kernel.ipc.sem.lock();
    let set = sets.table.find_owned(id, &task.creds())?;
    set.perm.update(&from.sem_perm)?;
    set.changed = now();
    Ok(())
}

/// `IPC_RMID`.
///
/// # Errors
/// `EINVAL`, `EPERM`.
pub fn remove(task: &Task, id: i32) -> Result<()> {
    let mut sets = task.kernel.ipc.sem.lock();
    sets.table.find_owned(id, &task.creds())?;
    let set = sets.table.remove(id)?;
    drop(sets);
    set.events.wake(Events::IN);
    Ok(())
}

/// `IPC_INFO` (limits) and `SEM_INFO` (limits and usage), and the highest place in use.
pub fn info(kernel: &Kernel, usage: bool) -> (i32, Seminfo) {
    let mut sets = kernel.ipc.sem.lock();
    let total = i32::try_from(MAX_SEMAPHORES).unwrap_or(i32::MAX);
    let mut info = Seminfo {
        semmap: total,
        semmni: SEMMNI,
        semmns: total,
        semmnu: total,
        semmsl: SEMMSL,
        semopm: SEMOPM,
        semume: SEMOPM,
        semusz: 20,
        semvmx: SEMVMX,
        semaem: SEMVMX,
    };
    if usage {
        info.semusz = i32::try_from(sets.table.count()).unwrap_or(i32::MAX);
        info.semaem = i32::try_from(sets.semaphores()).unwrap_or(i32::MAX);
    }
    (sets.table.highest(), info)
}
