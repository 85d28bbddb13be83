//! `runsc run`: `create` and `start`, and without `--detach` everything up to `delete`.

use clap::Args;

use super::{
    Global,
    create::{CreateArgs, Created, Style, set_up},
};
use crate::{
    error::Result,
    sandbox::{
        janitor::{Janitor, Leftovers},
        supervise::{Signals, supervise},
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
        set_up(global, &args.create, Style::Detached { start: true })?.sandbox.detach();
        return Ok(0);
    }
    let signals = Signals::hold()?;
    let Created { mut sandbox, terminal, state, locked } = set_up(global, &args.create, Style::Attached)?;
    let _janitor = Janitor::start(&Leftovers {
        cgroup: state.cgroup,
        container: Some((global.store().into_root(), state.id)),
    })?;
    let container = locked.unlock();
    let result = supervise(&mut sandbox, &signals, terminal.as_ref(), None);
    container.remove();
    result
}
