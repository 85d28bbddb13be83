//! Clocks and sleeping: clock_gettime(2), gettimeofday(2), time(2), times(2), nanosleep(2), clock_nanosleep(2), adjtimex(2).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use linux_abi::{
    Errno, Result, UserAddr,
    time::{
        CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_REALTIME, CLOCK_THREAD_CPUTIME_ID, TIMER_ABSTIME,
        Timespec, Timeval, Timex, Timezone, Tms,
    },
};

use crate::{
    error::{RestartKind, SysError, SysResult},
    task::{Pid, RestartBlock, ThreadCx, block::WaitError, usermem::UserMemory},
    time::{
        clock::{Clock, ticks},
        schedule::{TimeSource, process_cpu_time},
    },
};

/// A clock of processor time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CpuClock {
    Process(Pid),
    Thread(Pid),
}

/// The processor-time clock `id` stands for, if it is one: either of the two fixed ones, or those of another process or
/// thread as clock_getcpuclockid(3) makes them. Zero is the caller.
fn cpu_clock(id: i32) -> Option<CpuClock> {
    const PER_THREAD: i32 = 4;
    const KIND: i32 = 3;
    match id {
        CLOCK_PROCESS_CPUTIME_ID => Some(CpuClock::Process(0)),
        CLOCK_THREAD_CPUTIME_ID => Some(CpuClock::Thread(0)),
        // CPUCLOCK_PROF, _VIRT and _SCHED; 3 is a clock's file descriptor.
        _ if id < 0 && id & KIND != KIND => {
            let pid = !(id >> 3);
            Some(if id & PER_THREAD != 0 { CpuClock::Thread(pid) } else { CpuClock::Process(pid) })
        }
        _ => None,
    }
}

fn cpu_time(cx: &mut ThreadCx, clock: CpuClock) -> Result<Duration> {
    let own = (cx.task.tid(), cx.task.pid());
    match clock {
        CpuClock::Thread(tid) if tid == 0 || tid == own.0 => Ok(cx.context.cpu_time()),
        CpuClock::Thread(tid) => {
            let task = cx.task.kernel.tasks.lock().thread(tid).cloned();
            // Linux shows the threads of one's own process only.
            task.filter(|task| task.pid() == own.1).ok_or(Errno::EINVAL)?;
            // Only a thread itself can ask the host.
            Ok(Duration::ZERO)
        }
        CpuClock::Process(pid) => {
            let pid = if pid == 0 { own.1 } else { pid };
            if cx.task.kernel.tasks.lock().process(pid).is_none() {
                return Err(Errno::EINVAL);
            }
            Ok(process_cpu_time(&cx.task.kernel, pid))
        }
    }
}

/// The time line that a timer on clock `id` runs on.
///
/// # Errors
/// `EINVAL`, `EOPNOTSUPP`, `EPERM` as [`Clock::for_sleeping`].
pub(super) fn time_source(cx: &ThreadCx, id: i32) -> Result<TimeSource> {
    match cpu_clock(id) {
        None => Ok(TimeSource::Clock(Clock::for_sleeping(id)?)),
        Some(CpuClock::Process(pid)) if pid != 0 && pid != cx.task.pid() => {
            cx.task.kernel.tasks.lock().process(pid).ok_or(Errno::EINVAL)?;
            Ok(TimeSource::ProcessCpu { kernel: Arc::downgrade(&cx.task.kernel), pid })
        }
        // A thread's time is taken to be its process's: only the thread itself can be asked for its own.
        Some(_) => Ok(TimeSource::process_cpu(&cx.task)),
    }
}

/// clock_gettime(2).
pub fn clock_gettime(cx: &mut ThreadCx, id: i32, at: UserAddr) -> Result<()> {
    let time = match cpu_clock(id) {
        Some(clock) => cpu_time(cx, clock)?,
        None => Clock::from_id(id).ok_or(Errno::EINVAL)?.now(),
    };
    cx.write_obj(at, &Timespec::from(time))
}

/// clock_getres(2).
pub fn clock_getres(cx: &mut ThreadCx, id: i32, at: UserAddr) -> Result<()> {
    let resolution = match cpu_clock(id) {
        Some(_) => Duration::from_nanos(1),
        None => Clock::from_id(id).ok_or(Errno::EINVAL)?.resolution(),
    };
    if at.is_null() { Ok(()) } else { cx.write_obj(at, &Timespec::from(resolution)) }
}

/// clock_settime(2): the clock is the host's.
pub fn clock_settime(cx: &mut ThreadCx, id: i32, at: UserAddr) -> Result<()> {
    if id != CLOCK_REALTIME && cpu_clock(id).is_none() {
        return Err(Errno::EINVAL);
    }
    let time: Timespec = cx.read_obj(at)?;
    Err(if time.is_valid() { Errno::EPERM } else { Errno::EINVAL })
}

/// settimeofday(2): the clock is the host's.
pub fn settimeofday(cx: &mut ThreadCx, at: UserAddr, zone: UserAddr) -> Result<()> {
    if !at.is_null() {
        cx.read_obj::<Timeval>(at)?.to_duration().ok_or(Errno::EINVAL)?;
    }
    if !zone.is_null() {
        cx.read_obj::<Timezone>(zone)?;
    }
    Err(Errno::EPERM)
}

/// gettimeofday(2).
pub fn gettimeofday(cx: &mut ThreadCx, at: UserAddr, zone: UserAddr) -> Result<()> {
    if !at.is_null() {
        cx.write_obj(at, &Timeval::from(Clock::REALTIME.now()))?;
    }
    if !zone.is_null() {
        cx.write_obj(zone, &Timezone::default())?;
    }
    Ok(())
}

/// time(2).
pub fn time(cx: &mut ThreadCx, at: UserAddr) -> Result<u64> {
    let now = Clock::REALTIME.now().as_secs();
    if !at.is_null() {
        cx.write_obj(at, &now)?;
    }
    Ok(now)
}

/// times(2). All processor time is shown as user time.
pub fn times(cx: &mut ThreadCx, at: UserAddr) -> Result<i64> {
    if !at.is_null() {
        let own = cpu_time(cx, CpuClock::Process(0))?;
        let children = cx.task.group.usage.lock().children;
        cx.write_obj(at, &Tms { utime: ticks(own), stime: 0, cutime: ticks(children), cstime: 0 })?;
    }
    Ok(ticks(cx.task.kernel.started.elapsed()))
}

/// nanosleep(2).
pub fn nanosleep(cx: &mut ThreadCx, request: UserAddr, remaining: UserAddr) -> SysResult<()> {
    let time: Timespec = cx.read_obj(request)?;
    let time = time.to_duration().ok_or(Errno::EINVAL)?;
    sleep(cx, CLOCK_MONOTONIC, Instant::now().checked_add(time), remaining)
}

/// clock_nanosleep(2).
pub fn clock_nanosleep(
    cx: &mut ThreadCx,
    id: i32,
    flags: u32,
    request: UserAddr,
    remaining: UserAddr,
) -> SysResult<()> {
    if id == CLOCK_THREAD_CPUTIME_ID {
        // `clock_thread` has no `nsleep`; it is the C library that says EINVAL.
        return Err(Errno::EOPNOTSUPP.into());
    }
    let source = time_source(cx, id)?;
    let time: Timespec = cx.read_obj(request)?;
    let time = time.to_duration().ok_or(Errno::EINVAL)?;
    let absolute = flags & TIMER_ABSTIME != 0;
    let TimeSource::Clock(clock) = &source else {
        return sleep_for_cpu_time(cx, &source, time, absolute);
    };
    if !absolute {
        return sleep(cx, id, Instant::now().checked_add(time), remaining);
    }
    match cx.task.sleep_until(clock.instant_at(time)) {
        Ok(()) | Err(WaitError::TimedOut) => Ok(()),
        Err(error) => Err(error.or_restart(RestartKind::NoHand, Errno::EINTR)),
    }
}

/// Sleeps for a relative time; interrupted, tells what is left and goes on to the same deadline.
fn sleep(cx: &mut ThreadCx, clock: i32, deadline: Option<Instant>, remaining: UserAddr) -> SysResult<()> {
    match cx.task.sleep_until(deadline) {
        Ok(()) | Err(WaitError::TimedOut) => Ok(()),
        Err(WaitError::Failed(errno)) => Err(errno.into()),
        Err(WaitError::Interrupted) => {
            let far = || Instant::now() + Duration::from_secs(u64::from(u32::MAX));
            let deadline = deadline.unwrap_or_else(far);
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            if !remaining.is_null() {
                cx.write_obj(remaining, &Timespec::from(left))?;
            }
            *cx.task.restart_block.lock() =
                Some(RestartBlock::Sleep { clock, deadline, remaining: remaining.0 });
            Err(SysError::Restart(RestartKind::Block))
        }
    }
}

/// A sleep after a signal that ran no handler (restart_syscall(2)).
pub(super) fn sleep_restart(
    cx: &mut ThreadCx,
    clock: i32,
    deadline: Instant,
    remaining: u64,
) -> SysResult<()> {
    sleep(cx, clock, Some(deadline), UserAddr(remaining))
}

/// Sleeps until the process has used some processor time, looking now and then.
fn sleep_for_cpu_time(
    cx: &mut ThreadCx,
    source: &TimeSource,
    time: Duration,
    absolute: bool,
) -> SysResult<()> {
    let target = if absolute { time } else { source.now().saturating_add(time) };
    loop {
        let now = source.now();
        if now >= target {
            return Ok(());
        }
        match cx.task.sleep_until(source.instant_at(target, now)) {
            Ok(()) | Err(WaitError::TimedOut) => {}
            Err(error) => return Err(error.or_restart(RestartKind::NoHand, Errno::EINTR)),
        }
    }
}

/// adjtimex(2).
pub fn adjtimex(cx: &mut ThreadCx, at: UserAddr) -> Result<i32> {
    clock_adjtime(cx, CLOCK_REALTIME, at)
}

/// clock_adjtime(2): the clock is the host's, so it can be looked at but not adjusted.
pub fn clock_adjtime(cx: &mut ThreadCx, id: i32, at: UserAddr) -> Result<i32> {
    const TIME_ERROR: i32 = 5;
    const STA_UNSYNC: i32 = 0x40;
    const ADJ_ADJTIME: u32 = 0x8000;
    const ADJ_OFFSET_SINGLESHOT: u32 = 0x0001;
    const ADJ_OFFSET_READONLY: u32 = 0x2000;
    if id != CLOCK_REALTIME {
        return Err(if Clock::from_id(id).is_some() { Errno::EOPNOTSUPP } else { Errno::EINVAL });
    }
    let request: Timex = cx.read_obj(at)?;
    // `timekeeping_validate_timex`: adjtime(3)'s modes go alone, and reading with them needs no privilege.
    if request.modes & ADJ_ADJTIME != 0 {
        if request.modes & ADJ_OFFSET_SINGLESHOT == 0 {
            return Err(Errno::EINVAL);
        }
        if request.modes & ADJ_OFFSET_READONLY == 0 {
            return Err(Errno::EPERM);
        }
    } else if request.modes != 0 {
        return Err(Errno::EPERM);
    }
    let answer = Timex {
        status: STA_UNSYNC,
        maxerror: 16_000_000,
        esterror: 16_000_000,
        constant: 2,
        precision: 1,
        tolerance: 32_768_000,
        time: Timeval::from(Clock::REALTIME.now()),
        tick: 10_000,
        ..Timex::default()
    };
    cx.write_obj(at, &answer)?;
    Ok(TIME_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_ids_of_other_processes_are_recognised() {
        // As glibc's clock_getcpuclockid and pthread_getcpuclockid make them.
        let process = |pid: i32| !pid << 3 | 2;
        let thread = |tid: i32| !tid << 3 | 2 | 4;
        assert_eq!(cpu_clock(process(77)), Some(CpuClock::Process(77)));
        assert_eq!(cpu_clock(thread(78)), Some(CpuClock::Thread(78)));
        assert_eq!(cpu_clock(process(0)), Some(CpuClock::Process(0)));
        assert_eq!(cpu_clock(2), Some(CpuClock::Process(0)));
        assert_eq!(cpu_clock(3), Some(CpuClock::Thread(0)));
        assert_eq!(cpu_clock(!5 << 3 | 3), None);
        assert_eq!(cpu_clock(1), None);
    }
}
