//! `runsc run`: `create` and `start`, and without `--detach` everything up to `delete`.

use std::os::fd::AsFd;

use clap::Args;

use super::{
    Global,
    create::{CreateArgs, Style, set_up},
};
use crate::{
    error::Result,
    sandbox::{
        janitor::{Janitor, Leftovers},
        supervise::{Signals, is_terminal, supervise},
        terminal::RawTerminal,
    },
};

/// Create a container and start it.
#[derive(Args, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    create: CreateArgs,
    /// Do not wait for its end.
    #[arg(short, long)]
    detach: bool,
}

/// Runs a container. The exit code is its program's.
///
/// # Errors
/// As [`super::create::create`], or its program cannot be started.
pub fn run(global: &Global, args: &RunArgs) -> Result<u8> {
    if args.detach {
        let (sandbox, _, _) = set_up(global, &args.create, Style::Detached { start: true })?;
        sandbox.detach();
        return Ok(0);
    }
    let signals = Signals::hold()?;
    let (mut sandbox, state, locked) = set_up(global, &args.create, Style::Attached)?;
    let _janitor = Janitor::start(&Leftovers {
        cgroup: state.cgroup,
        container: Some((global.store().into_root(), state.id)),
    })?;
    let container = locked.unlock();
    let stdin = std::io::stdin();
    let wants_terminal = args.create.console_socket.is_none() && state.process.terminal.is_some();
    let terminal = (wants_terminal && is_terminal(stdin.as_fd()))
        .then(|| RawTerminal::new(stdin.as_fd()))
        .transpose()?;
    let result = supervise(&mut sandbox, &signals, terminal.as_ref(), None);
    container.remove();
    result
}
