//! Stays with a foreground sandbox: forwards signals and window sizes, enforces the timeout and, where no control group does,
//! the memory limit, and turns its end into an exit code.

use std::{
    os::fd::{AsFd, BorrowedFd},
    time::Instant,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, SigmaskHow, Signal, pthread_sigmask, raise},
        signalfd::{SfdFlags, SignalFd},
        wait::WaitStatus,
    },
};

use super::{
    hints,
    launch::Sandbox,
    memory_guard::{Look, MemoryGuard},
    terminal::RawTerminal,
};
use crate::{
    control::{
        protocol::{Event, Reply, Request, Target},
        wire::{self, Attachments},
    },
    error::{Context, Error, Result, SANDBOX_FAILED, TIMED_OUT},
};

/// Signals that are the guest's when `runsc` gets them.
const FORWARDED: [Signal; 9] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGCONT,
    Signal::SIGTSTP,
];

/// The signals that [`supervise`] handles, held back from the moment this is made.
pub struct Signals(SignalFd);

impl Signals {
    /// Holds the signals back. Before the sandbox is started, so that none is lost and none ends `runsc` alone.
    ///
    /// # Errors
    /// As signalfd(2).
    pub fn hold() -> Result<Signals> {
        let mut set: SigSet = FORWARDED.into_iter().collect();
        set.add(Signal::SIGWINCH);
        pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&set), None).context("sigprocmask")?;
        SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .context("signalfd")
            .map(Signals)
    }

    /// The next one that has come.
    pub fn next(&self) -> Option<Signal> {
        let info = self.0.read_signal().ok()??;
        Signal::try_from(i32::try_from(info.ssi_signo).ok()?).ok()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Runs until the sandbox has ended and all of its processes are gone. The exit code is the guest's.
///
/// # Errors
/// The sandbox failed, or its program could not be started.
pub fn supervise(
    sandbox: &mut Sandbox,
    signals: &Signals,
    terminal: Option<&RawTerminal>,
    deadline: Option<Instant>,
) -> Result<u8> {
    let mut said = None;
    let (mut listening, mut gofer_runs) = (true, true);
    let ended = loop {
        // A side that has ended is replaced by the sentry's pidfd: poll(2) has no empty entries in nix.
        let sentry_end = sandbox.sentry.pidfd();
        let mut fds = [
            sentry_end,
            if gofer_runs { sandbox.gofer.pidfd() } else { sentry_end },
            if listening { sandbox.control.as_fd() } else { sentry_end },
            signals.0.as_fd(),
        ]
        .map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let guard = sandbox.guard.as_ref().map(MemoryGuard::next);
        match poll(&mut fds, time_left(deadline.into_iter().chain(guard).min())) {
            Err(Errno::EINTR) => continue,
            other => other.context("poll")?,
        };
        let [sentry, gofer, control, signal] = fds.map(|fd| fd.any().unwrap_or(false));
        if control && listening {
            listening = match sandbox.control.try_event() {
                Ok(Some(event)) => {
                    said = said.or(error_in(event));
                    true
                }
                Ok(None) => false,
                Err(error) => {
                    said = said.or(Some(Error::new(format!("sentry: {error}"))));
                    sandbox.sentry.kill();
                    false
                }
            };
        }
        if sentry {
            break sandbox.sentry.wait().context("waiting for the sentry")?;
        }
        if gofer && gofer_runs {
            gofer_runs = false;
            said = said.or(gofer_failure(sandbox));
            sandbox.sentry.kill();
        }
        if signal {
            while let Some(signal) = signals.next() {
                forward(sandbox, signal, terminal);
            }
        }
        if let Some(guard) = &mut sandbox.guard
            && Instant::now() >= guard.next()
            && guard.look() == Look::Exhausted
        {
            said = said.or(Some(Error::new("the sandbox is out of memory")));
            sandbox.sentry.kill();
        }
        if deadline.is_some_and(|at| Instant::now() >= at) {
            sandbox.end();
            return Ok(TIMED_OUT);
        }
    };
    while let Ok(Some(event)) = sandbox.control.try_event() {
        said = said.or(error_in(event));
    }
    // The sentry may have followed a killed gofer before this process has noticed; it is about to be gone then.
    if said.is_none() && matches!(ended, WaitStatus::Exited(_, code) if code == i32::from(SANDBOX_FAILED)) {
        let mut gofer = [PollFd::new(sandbox.gofer.pidfd(), PollFlags::POLLIN)];
        let _ = poll(&mut gofer, PollTimeout::from(200u8));
        if let Ok(Some(WaitStatus::Signaled(_, signal, _))) = sandbox.gofer.try_wait() {
            said = Some(killed_gofer(signal));
        }
    }
    sandbox.end();
    match (said, ended) {
        (Some(error), _) => Err(error),
        (None, WaitStatus::Exited(_, code)) => Ok(u8::try_from(code).unwrap_or(SANDBOX_FAILED)),
        (None, WaitStatus::Signaled(_, Signal::SIGSYS, _)) => {
            Err(Error::new("the sentry made a system call that its filter forbids; --debug says which"))
        }
        (None, WaitStatus::Signaled(_, signal, _)) => {
            Err(Error::new(format!("the sentry was killed by {signal}")))
        }
        (None, other) => Err(Error::new(format!("the sentry ended: {other:?}"))),
    }
}

fn time_left(deadline: Option<Instant>) -> PollTimeout {
    let Some(deadline) = deadline else { return PollTimeout::NONE };
    let left = deadline.saturating_duration_since(Instant::now()).as_millis();
    PollTimeout::try_from(left.saturating_add(1)).unwrap_or(PollTimeout::MAX)
}

/// The error that the sentry reports, if it does.
fn error_in(event: Event) -> Option<Error> {
    match event {
        Event::Ready { phases } => {
            for (name, micros) in phases {
                log::debug!("start: sentry: {name}: {micros} µs");
            }
            None
        }
        Event::Failed { message } => {
            Some(Error::new(format!("starting the sentry: {message}{}", hints::blocked_by())))
        }
        Event::Panicked { message } => Some(Error::new(format!("sentry: {message}"))),
        Event::Reply { reply: Reply::NotStarted { exit, message }, .. } => {
            Some(Error::new(message).with_exit(exit))
        }
        Event::Reply { reply, .. } => {
            log::debug!("sentry: {reply:?}");
            None
        }
    }
}

/// What the gofer said before it ended, if it failed. `None` if the sentry has ended too: then that is the reason.
pub fn gofer_failure(sandbox: &Sandbox) -> Option<Error> {
    let status = sandbox.gofer.wait().ok()?;
    if wire::is_closed(sandbox.control.as_fd()) && !matches!(status, WaitStatus::Signaled(..)) {
        return None;
    }
    match wire::receive_with::<Event>(sandbox.gofer_control.as_fd(), nix::sys::socket::MsgFlags::MSG_DONTWAIT)
    {
        Ok(Some((Event::Failed { message }, _))) => {
            Some(Error::new(format!("starting the gofer: {message}{}", hints::blocked_by())))
        }
        Ok(Some((Event::Panicked { message }, _))) => Some(Error::new(format!("gofer: {message}"))),
        _ => Some(Error::new(match status {
            WaitStatus::Signaled(_, signal, _) => return Some(killed_gofer(signal)),
            _ => "the gofer ended".to_owned(),
        })),
    }
}

fn killed_gofer(signal: Signal) -> Error {
    Error::new(format!("the gofer was killed by {signal}"))
}

/// Hands a signal on. `SIGTSTP` stops `runsc` as well, `SIGWINCH` is a new window size.
fn forward(sandbox: &mut Sandbox, signal: Signal, terminal: Option<&RawTerminal>) {
    let none = Attachments::default();
    let mut send = |request| {
        if let Err(error) = sandbox.control.send(request, &none) {
            log::debug!("forwarding {signal}: {error}");
        }
    };
    match (signal, terminal) {
        (Signal::SIGWINCH, None) => {}
        (Signal::SIGWINCH, Some(terminal)) => {
            let (rows, cols) = terminal.size();
            send(Request::Resize { pid: 1, rows, cols });
        }
        _ => {
            send(Request::Kill { to: Target::Process(1), signal: signal as i32 });
            if signal == Signal::SIGTSTP {
                if let Some(terminal) = terminal {
                    terminal.leave();
                }
                let _ = raise(Signal::SIGSTOP);
                if let Some(terminal) = terminal {
                    let _ = terminal.enter();
                }
            }
        }
    }
}
