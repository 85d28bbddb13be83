//! The gofer process: takes its place in the process tree, then hands over to the gofer library.

use std::{
    os::fd::{AsFd, BorrowedFd},
    process::ExitCode,
};

use nix::sys::prctl;

use crate::{
    control::{
        protocol::{Event, GoferConfig},
        wire::{self, Attachments},
    },
    error::{Context, Error, Result, SANDBOX_FAILED},
    jail, logging,
};

/// Entry point of the gofer process.
pub fn main() -> ExitCode {
    let stdin = std::io::stdin();
    let control = stdin.as_fd();
    match run(control) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let event = Event::Failed { message: error.to_string() };
            if wire::send(control, &event, &Attachments::default()).is_err() {
                eprintln!("this is the gofer's part of runsc: it is not started by hand");
            }
            ExitCode::from(SANDBOX_FAILED)
        }
    }
}

/// Until the sentry has closed its connection.
fn run(control: BorrowedFd<'_>) -> Result<()> {
    std::panic::set_hook(Box::new(|info| {
        eprintln!("gofer: {info}");
        let event = Event::Panicked { message: info.to_string() };
        let _ = wire::send(std::io::stdin().as_fd(), &event, &Attachments::default());
    }));
    jail::namespaces::enter()?;
    let received = wire::receive::<GoferConfig>(control)?;
    let Some((config, mut fds)) = received else {
        return Err(Error::new("the process that started the sandbox is gone"));
    };
    logging::to_stderr(config.log_level, "gofer");
    jail::namespaces::take_identity(config.identity, config.attached, control)?;
    let connection = fds.take(config.connection)?;
    // Changing ids made this process undumpable, and so its own /proc files somebody else's.
    prctl::set_dumpable(true).context("prctl(PR_SET_DUMPABLE)")?;
    gofer::run(connection).context("serving files")
}
