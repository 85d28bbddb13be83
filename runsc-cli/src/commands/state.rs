//! `runsc state`: prints OCI's state of a container.

use std::{io::Write, path::Path};

use clap::Args;
use serde::Serialize;

use super::Global;
use crate::{
    error::{Context, Result},
    state::{State, Status},
};

/// Print the state of a container.
#[derive(Args, Debug)]
pub struct StateArgs {
    /// Name of the container.
    #[arg(value_name = "ID")]
    id: String,
}

/// As runc prints it, for `state` and `list`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report<'a> {
    oci_version: &'a str,
    pub(super) id: &'a str,
    pub(super) pid: i32,
    pub(super) status: Status,
    pub(super) bundle: &'a Path,
    rootfs: &'a Path,
    pub(super) created: &'a str,
    #[serde(skip_serializing_if = "std::collections::HashMap::is_empty")]
    annotations: &'a std::collections::HashMap<String, String>,
    pub(super) owner: String,
}

impl Report<'_> {
    pub(super) fn of(state: &State) -> Report<'_> {
        let status = state.status();
        let owner = nix::unistd::User::from_uid(state.owner.into()).ok().flatten();
        Report {
            oci_version: &state.oci_version,
            id: &state.id,
            pid: if status == Status::Stopped { 0 } else { state.sentry.pid },
            status,
            bundle: &state.bundle,
            rootfs: &state.rootfs,
            created: &state.created,
            annotations: &state.annotations,
            owner: owner.map_or_else(|| state.owner.to_string(), |user| user.name),
        }
    }
}

/// Prints it.
///
/// # Errors
/// There is no such container.
pub fn state(global: &Global, args: &StateArgs) -> Result<()> {
    let state = global.store().load(&args.id)?;
    let text = serde_json::to_string_pretty(&Report::of(&state)).context("encoding the state")?;
    writeln!(std::io::stdout(), "{text}").context("standard output")
}
