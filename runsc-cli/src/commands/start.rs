//! `runsc start`: starts the program of a created container.

use clap::Args;

use super::Global;
use crate::{
    control::{
        client::Client,
        protocol::{Reply, Request},
        wire::Attachments,
    },
    error::{Error, Result},
    state::Status,
};

/// Start a created container.
#[derive(Args, Debug)]
pub struct StartArgs {
    /// Name of the container.
    #[arg(value_name = "ID")]
    id: String,
}

/// Starts it.
///
/// # Errors
/// It is not in the state for it, or its program cannot be started.
pub fn start(global: &Global, args: &StartArgs) -> Result<()> {
    let store = global.store();
    let locked = store.lock(&args.id)?;
    let mut state = store.load(&args.id)?;
    if state.status() != Status::Created {
        return Err(Error::new(format!("cannot start a container that is {}", state.status())));
    }
    // Written before it is true: a program that ends at once must not leave a container that was never started.
    state.started = true;
    locked.save(&state)?;
    let mut client = Client::connect(&store.control_socket(&args.id))?;
    match client.call(Request::Start, &Attachments::default())? {
        Reply::Started { .. } => Ok(()),
        Reply::NotStarted { exit, message } => Err(Error::new(message).with_exit(exit)),
        other => Err(Error::new(format!("unexpected reply {other:?}"))),
    }
}
