//! The two programs: `sandbox`, for people, and `runsc`, with the verbs of an OCI runtime.
//!
//! Reading order: [`commands`] (a file per verb), [`sandbox`] (the processes that a sandbox is made of), [`control`]
//! (what they say to each other), [`boot`] (the sentry process from its first instruction to the guest's), [`jail`]
//! (what it locks itself in with). [`spec`] reads OCI bundles, [`state`] remembers containers between commands.
//!
//! Trust: the command line is the user's; bundles and guest files are not trusted; nor is anything that a sentry sends once
//! a guest may have run in it.
#![forbid(unsafe_code)]

pub mod boot;
pub mod capabilities;
pub mod commands;
pub mod control;
pub mod error;
pub mod gofer_process;
pub mod jail;
pub mod logging;
pub mod mounts;
pub mod sandbox;
pub mod spec;
pub mod state;
pub mod time;
pub mod users;

use std::process::ExitCode;

use sandbox::{janitor, launch};

/// Runs as one of the processes that the programs start by executing themselves again, if this is one.
pub fn internal_process() -> Option<ExitCode> {
    let verb = std::env::args_os().nth(1)?;
    let verb = verb.as_encoded_bytes();
    // None of them has an environment. A person who types one of the words does.
    if std::env::vars_os().next().is_some() {
        return None;
    }
    if verb == launch::BOOT.to_bytes() {
        Some(boot::main())
    } else if verb == launch::GOFER.to_bytes() {
        Some(gofer_process::main())
    } else if verb == janitor::JANITOR.to_bytes() {
        Some(janitor::main())
    } else {
        None
    }
}
