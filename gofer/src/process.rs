//! The life of a gofer process: [`run`] is all of it, [`serve`] what is left when someone else has done the rest.
//!
//! What the parent prepares: a `SOCK_SEQPACKET` socketpair; new namespaces (user, mount, pid, ipc, uts, net) in the
//! `clone` that starts the process; one end of the pair as its standard input. It then
//! [sends](crate::Config::send) the configuration over the other end and passes that end to the sentry, whose
//! client it carries from then on.

use std::{
    fs::File,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use rustix::{
    fs::Mode,
    process::{Resource, Rlimit},
};

use crate::{
    config::{Config, Limits},
    error::{Doing, Error},
    jail,
    resolve::OwnFds,
    server::Server,
};

/// Receives the configuration over `control`, goes to jail, and serves until the client hangs up.
///
/// `control` has to be the only descriptor of its socket in this process, or the client would not notice its end:
/// see [`control_from_stdin`]. The process must have one thread.
pub fn run(control: OwnedFd) -> Result<(), Error> {
    let config = Config::receive(&control)?;
    let own_fds = jail::enter(&config, &[control.as_fd()])?;
    serve(config, control, own_fds)
}

/// Takes the socket that the parent passed as standard input, and leaves `/dev/null` in its place.
pub fn control_from_stdin() -> Result<OwnedFd, Error> {
    let control = std::io::stdin().as_fd().try_clone_to_owned().doing("duplicate standard input")?;
    let null = File::open("/dev/null").doing("open /dev/null")?;
    rustix::stdio::dup2_stdin(null).doing("replace standard input")?;
    Ok(control)
}

/// Serves `config` to the client at the other end of `socket`, and on the connections that it adds, until it
/// has closed them all.
///
/// Takes the process over: clears its file mode creation mask, for new files get the modes that the client says.
pub fn serve(mut config: Config, socket: OwnedFd, own_fds: OwnFds) -> Result<(), Error> {
    rustix::process::umask(Mode::empty());
    config.limits = within_descriptors(config.limits);
    Arc::new(Server::new(config, own_fds)?).run(socket);
    Ok(())
}

/// Makes the limits fit the number of descriptors that the process may have.
fn within_descriptors(limits: Limits) -> Limits {
    let have = rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let have = u32::try_from(have).unwrap_or(u32::MAX);
    Limits {
        // What is left is for connections, for files on their way to the client and for walks in progress.
        open_nodes: limits.open_nodes.min(have / 2),
        directories: limits.directories.min(have / 8),
        connections: limits.connections.min(have / 16),
        ..limits
    }
}

/// As many descriptors as the process may have.
pub(crate) fn raise_descriptor_limit() -> Result<(), Error> {
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .doing("raise the limit of open files")
}
