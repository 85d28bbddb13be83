//! Timers: setitimer(2), alarm(2), timer_create(2), timerfd_create(2) and their families.

use std::{sync::Arc, time::Duration};

use linux_abi::{
    Errno, Result, UserAddr,
    event::{TFD_CLOEXEC, TFD_NONBLOCK, TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET},
    fcntl::O_RDWR,
    time::{
        CLOCK_BOOTTIME, CLOCK_BOOTTIME_ALARM, CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_REALTIME_ALARM,
        ITIMER_REAL, Itimerspec, Itimerval, SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD, SIGEV_THREAD_ID,
        Sigevent, TIMER_ABSTIME, Timespec, Timeval,
    },
};

use super::time::time_source;
use crate::{
    fs::{file::File, types::timerfd::TimerFd},
    signal,
    task::{ThreadCx, usermem::UserMemory},
    time::{
        clock::Clock,
        posix_timers::{self, Notify},
        process_timers,
    },
};

fn itimerval((value, interval): (Duration, Duration)) -> Itimerval {
    // What is left is never shown as nothing.
    let value = if value.is_zero() { value } else { value.max(Duration::from_micros(1)) };
    Itimerval { value: Timeval::from(value), interval: Timeval::from(interval) }
}

fn itimerspec((value, interval): (Duration, Duration)) -> Itimerspec {
    Itimerspec { value: Timespec::from(value), interval: Timespec::from(interval) }
}

/// getitimer(2).
pub fn getitimer(cx: &mut ThreadCx, which: i32, at: UserAddr) -> Result<()> {
    let setting = process_timers::get_interval(&cx.task, which)?;
    cx.write_obj(at, &itimerval(setting))
}

/// setitimer(2). Linux takes a null pointer for a zero value.
pub fn setitimer(cx: &mut ThreadCx, which: i32, new: UserAddr, old: UserAddr) -> Result<()> {
    let new = if new.is_null() { Itimerval::default() } else { cx.read_obj(new)? };
    let value = new.value.to_duration().ok_or(Errno::EINVAL)?;
    let interval = new.interval.to_duration().ok_or(Errno::EINVAL)?;
    let before = process_timers::set_interval(&cx.task, which, value, interval)?;
    if old.is_null() { Ok(()) } else { cx.write_obj(old, &itimerval(before)) }
}

/// alarm(2).
pub fn alarm(cx: &mut ThreadCx, seconds: u32) -> Result<u64> {
    let value = Duration::from_secs(u64::from(seconds));
    let (left, _) = process_timers::set_interval(&cx.task, ITIMER_REAL, value, Duration::ZERO)?;
    // Rounded, but never to nothing (`alarm_setitimer`).
    let up = left.subsec_nanos() >= 500_000_000 || (left.as_secs() == 0 && left.subsec_nanos() > 0);
    Ok(left.as_secs() + u64::from(up))
}

/// timer_create(2).
pub fn timer_create(cx: &mut ThreadCx, clock: i32, event: UserAddr, id_at: UserAddr) -> Result<()> {
    let source = time_source(cx, clock)?;
    let (notify, value) = if event.is_null() {
        (Notify::Process { signo: signal::SIGALRM }, None)
    } else {
        let event: Sigevent = cx.read_obj(event)?;
        (notify(cx, &event)?, Some(event.value))
    };
    let id = posix_timers::create(&cx.task, source, notify, value)?;
    cx.write_obj(id_at, &id).inspect_err(|_| {
        let _ = posix_timers::delete(&cx.task, id);
    })
}

/// `good_sigevent`.
fn notify(cx: &ThreadCx, event: &Sigevent) -> Result<Notify> {
    let signo = event.signo;
    match event.notify {
        SIGEV_NONE => Ok(Notify::None),
        SIGEV_SIGNAL | SIGEV_THREAD if signal::is_valid(signo) => Ok(Notify::Process { signo }),
        // SIGEV_THREAD_ID is a flag on SIGEV_SIGNAL.
        SIGEV_THREAD_ID if signal::is_valid(signo) => {
            let tree = cx.task.kernel.tasks.lock();
            let thread =
                tree.thread(event.tid).filter(|task| task.pid() == cx.task.pid()).ok_or(Errno::EINVAL)?;
            Ok(Notify::Thread { signo, tid: thread.tid() })
        }
        _ => Err(Errno::EINVAL),
    }
}

fn durations(setting: &Itimerspec) -> Result<(Duration, Duration)> {
    let value = setting.value.to_duration().ok_or(Errno::EINVAL)?;
    Ok((value, setting.interval.to_duration().ok_or(Errno::EINVAL)?))
}

/// timer_settime(2).
pub fn timer_settime(cx: &mut ThreadCx, id: i32, flags: u32, new: UserAddr, old: UserAddr) -> Result<()> {
    if new.is_null() {
        return Err(Errno::EINVAL);
    }
    let new: Itimerspec = cx.read_obj(new)?;
    let (value, interval) = durations(&new)?;
    let timer = posix_timers::find(&cx.task, id)?;
    let absolute = flags & TIMER_ABSTIME != 0;
    let before = timer.set(value, interval, absolute);
    if old.is_null() { Ok(()) } else { cx.write_obj(old, &itimerspec(before)) }
}

/// timer_gettime(2).
pub fn timer_gettime(cx: &mut ThreadCx, id: i32, at: UserAddr) -> Result<()> {
    let setting = posix_timers::find(&cx.task, id)?.get();
    cx.write_obj(at, &itimerspec(setting))
}

/// timer_getoverrun(2).
pub fn timer_getoverrun(cx: &mut ThreadCx, id: i32) -> Result<i32> {
    Ok(posix_timers::find(&cx.task, id)?.overrun())
}

/// timer_delete(2).
pub fn timer_delete(cx: &mut ThreadCx, id: i32) -> Result<()> {
    posix_timers::delete(&cx.task, id)
}

/// timerfd_create(2).
pub fn timerfd_create(cx: &mut ThreadCx, clock_id: i32, flags: u32) -> Result<i32> {
    if flags & !(TFD_CLOEXEC | TFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let clock = match clock_id {
        CLOCK_MONOTONIC | CLOCK_REALTIME | CLOCK_BOOTTIME => Clock::from_id(clock_id).ok_or(Errno::EINVAL)?,
        CLOCK_REALTIME_ALARM | CLOCK_BOOTTIME_ALARM => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    };
    let timer = TimerFd::new(&cx.task.kernel.timers, clock_id, clock);
    let file = File::anonymous(Box::new(timer), O_RDWR | flags & TFD_NONBLOCK);
    cx.task.install(file, flags & TFD_CLOEXEC != 0)
}

fn timerfd(cx: &ThreadCx, fd: i32) -> Result<Arc<File>> {
    let file = cx.task.file(fd)?;
    if file.downcast::<TimerFd>().is_none() { Err(Errno::EINVAL) } else { Ok(file) }
}

/// timerfd_settime(2).
pub fn timerfd_settime(cx: &mut ThreadCx, fd: i32, flags: u32, new: UserAddr, old: UserAddr) -> Result<()> {
    let new: Itimerspec = cx.read_obj(new)?;
    if flags & !(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL);
    }
    let (value, interval) = durations(&new)?;
    let file = timerfd(cx, fd)?;
    let timer = file.downcast::<TimerFd>().ok_or(Errno::EINVAL)?;
    let before = timer.set(value, interval, flags & TFD_TIMER_ABSTIME != 0, flags);
    if old.is_null() { Ok(()) } else { cx.write_obj(old, &itimerspec(before)) }
}

/// timerfd_gettime(2).
pub fn timerfd_gettime(cx: &mut ThreadCx, fd: i32, at: UserAddr) -> Result<()> {
    let file = timerfd(cx, fd)?;
    let setting = file.downcast::<TimerFd>().ok_or(Errno::EINVAL)?.get();
    cx.write_obj(at, &itimerspec(setting))
}
