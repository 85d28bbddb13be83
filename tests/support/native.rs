//! Runs a program on this machine's own kernel, away from what else runs on it: `alone.c` gives it namespaces of its own
//! for the network, System V objects and the host name, where the machine allows that.

use std::{
    ffi::OsStr, os::unix::process::CommandExt, path::PathBuf, process::Command, sync::OnceLock,
    time::Duration,
};

use crate::{PLAIN_USER, compile::compile, here, run};

/// A command for `program`, as [`PLAIN_USER`] if that is asked for and we are root.
#[must_use]
pub fn native_command(program: impl AsRef<OsStr>, as_user: bool) -> Command {
    let as_user = as_user && nix::unistd::geteuid().is_root();
    let uid = if as_user { PLAIN_USER } else { 0 };
    if let Some(alone) = alone() {
        let mut command = Command::new(alone);
        command.arg(uid.to_string()).arg(program);
        return command;
    }
    let mut command = Command::new(program);
    if as_user {
        command.uid(uid).gid(uid);
    }
    command
}

/// The helper, if it works here; otherwise a line says once why not.
fn alone() -> Option<&'static PathBuf> {
    static HELPER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let helper = compile(&here().join("support/alone.c"), &[], &[])?;
        let probe = run(Command::new(&helper).args(["0", "/bin/true"]), Duration::from_secs(10));
        if probe.code == Some(0) { Ok(helper) } else { Err(probe.summary()) }
    };
    HELPER
        .get_or_init(|| {
            find().inspect_err(|reason| println!("native runs share the machine's network: {reason}")).ok()
        })
        .as_ref()
}
