//! `runsc delete`: forgets a stopped container; with `--force`, ends it first.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use clap::Args;

use super::Global;
use crate::{
    error::{Error, Result},
    sandbox::cgroup::Cgroup,
    state::Status,
};

/// How long killed processes may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Delete a container.
#[derive(Args, Debug)]
pub struct DeleteArgs {
    /// End it if it runs. It is no error if there is none.
    #[arg(short, long)]
    force: bool,
    /// Name of the container.
    #[arg(value_name = "ID")]
    id: String,
}

/// Deletes it and all that is left of it.
///
/// # Errors
/// It runs, or there is none.
pub fn delete(global: &Global, args: &DeleteArgs) -> Result<()> {
    let store = global.store();
    let locked = match store.lock(&args.id) {
        Err(_) if args.force => return Ok(()),
        other => other?,
    };
    let state = match store.load(&args.id) {
        // Creating it was interrupted.
        Err(_) if args.force => return locked.remove(),
        other => other?,
    };
    let status = state.status();
    if status == Status::Running && !args.force {
        return Err(Error::new(format!("container {} is {status}: stop it first, or use --force", args.id)));
    }
    state.end();
    let until = Instant::now() + PATIENCE;
    while state.sentry.is_alive() || state.gofer.is_alive() {
        if Instant::now() >= until {
            return Err(Error::new(format!("container {} does not end", args.id)));
        }
        sleep(Duration::from_millis(1));
    }
    if let Some(dir) = state.cgroup {
        Cgroup::at(dir).remove();
    }
    locked.remove()
}
