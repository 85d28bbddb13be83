//! `process`: who runs, with which arguments, rights and limits.

use std::path::Path;

use oci_spec::runtime::{self, PosixRlimitType};

use crate::{
    capabilities,
    control::protocol::{Capabilities, Process},
    error::{Context, Error, Result},
    mounts::guest_path,
};

/// Turns OCI's process into the sentry's, without streams.
///
/// # Errors
/// Something in it is missing or malformed.
pub fn process_of(process: &runtime::Process) -> Result<Process> {
    let args = process.args().clone().unwrap_or_default();
    if args.first().is_none_or(String::is_empty) {
        return Err(Error::new("process.args must name a program"));
    }
    let env = process.env().clone().unwrap_or_default();
    for (what, texts) in [("args", &args), ("env", &env)] {
        if texts.iter().any(|text| text.contains('\0')) {
            return Err(Error::new(format!("process.{what} has a zero byte in it")));
        }
    }
    if let Some(bad) = env.iter().find(|variable| !variable.contains('=')) {
        return Err(Error::new(format!("process.env {bad:?} is not NAME=VALUE")));
    }
    let user = process.user();
    Ok(Process {
        argv: args.into_iter().map(Into::into).collect(),
        env: env.into_iter().map(Into::into).collect(),
        cwd: working_directory(process.cwd())?.into_bytes().into(),
        uid: user.uid(),
        gid: user.gid(),
        additional_gids: user.additional_gids().clone().unwrap_or_default(),
        umask: user.umask().unwrap_or(0o022) & 0o777,
        capabilities: capability_sets(process)?,
        no_new_privileges: process.no_new_privileges().unwrap_or(false),
        rlimits: resource_limits(process)?,
        stdio: [None; 3],
        terminal: None,
    })
}

fn working_directory(cwd: &Path) -> Result<String> {
    if cwd.as_os_str().is_empty() {
        return Err(Error::new("process.cwd is empty"));
    }
    guest_path(cwd).context("process.cwd")
}

fn capability_sets(process: &runtime::Process) -> Result<Capabilities> {
    let Some(sets) = process.capabilities() else { return Ok(Capabilities::default()) };
    let set = |names: &Option<runtime::Capabilities>| {
        capabilities::set(names.iter().flatten().map(ToString::to_string))
    };
    Ok(Capabilities {
        bounding: set(sets.bounding())?,
        effective: set(sets.effective())?,
        permitted: set(sets.permitted())?,
        inheritable: set(sets.inheritable())?,
        ambient: set(sets.ambient())?,
    })
}

fn resource_limits(process: &runtime::Process) -> Result<Vec<(u32, u64, u64)>> {
    let mut limits: Vec<(u32, u64, u64)> = Vec::new();
    for limit in process.rlimits().iter().flatten() {
        let number = resource(limit.typ());
        if limit.soft() > limit.hard() {
            return Err(Error::new(format!(
                "process.rlimits: soft limit of {} above the hard one",
                limit.typ()
            )));
        }
        if limits.iter().any(|(other, ..)| *other == number) {
            return Err(Error::new(format!("process.rlimits has {} twice", limit.typ())));
        }
        limits.push((number, limit.soft(), limit.hard()));
    }
    Ok(limits)
}

fn resource(typ: PosixRlimitType) -> u32 {
    match typ {
        PosixRlimitType::RlimitCpu => libc::RLIMIT_CPU,
        PosixRlimitType::RlimitFsize => libc::RLIMIT_FSIZE,
        PosixRlimitType::RlimitData => libc::RLIMIT_DATA,
        PosixRlimitType::RlimitStack => libc::RLIMIT_STACK,
        PosixRlimitType::RlimitCore => libc::RLIMIT_CORE,
        PosixRlimitType::RlimitRss => libc::RLIMIT_RSS,
        PosixRlimitType::RlimitNproc => libc::RLIMIT_NPROC,
        PosixRlimitType::RlimitNofile => libc::RLIMIT_NOFILE,
        PosixRlimitType::RlimitMemlock => libc::RLIMIT_MEMLOCK,
        PosixRlimitType::RlimitAs => libc::RLIMIT_AS,
        PosixRlimitType::RlimitLocks => libc::RLIMIT_LOCKS,
        PosixRlimitType::RlimitSigpending => libc::RLIMIT_SIGPENDING,
        PosixRlimitType::RlimitMsgqueue => libc::RLIMIT_MSGQUEUE,
        PosixRlimitType::RlimitNice => libc::RLIMIT_NICE,
        PosixRlimitType::RlimitRtprio => libc::RLIMIT_RTPRIO,
        PosixRlimitType::RlimitRttime => libc::RLIMIT_RTTIME,
    }
}
