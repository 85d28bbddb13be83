//! `runsc kill`: sends a signal to a container's processes.

use clap::Args;
use nix::sys::signal::Signal;

use super::Global;
use crate::{
    control::{
        client::Client,
        protocol::{Request, Target},
        wire::Attachments,
    },
    error::{Error, Result},
    state::Status,
};

/// The first process of a guest.
const INIT: i32 = 1;

/// Send a signal to a container.
#[derive(Args, Debug)]
pub struct KillArgs {
    /// To all of its processes.
    #[arg(short, long)]
    all: bool,
    /// To this process, by its id in the guest.
    #[arg(long, value_name = "PID")]
    pid: Option<i32>,
    /// Name of the container.
    #[arg(value_name = "ID")]
    id: String,
    /// Name or number of the signal.
    #[arg(value_name = "SIGNAL", default_value = "TERM", value_parser = parse_signal)]
    signal: i32,
}

/// Sends it.
///
/// # Errors
/// The container does not run.
pub fn kill(global: &Global, args: &KillArgs) -> Result<()> {
    let store = global.store();
    let state = store.load(&args.id)?;
    let status = state.status();
    match status {
        Status::Running => {}
        // Its first process exists as far as OCI is concerned, and a signal would end it.
        Status::Created if args.signal == libc::SIGKILL || args.signal == libc::SIGTERM => {
            state.end();
            return Ok(());
        }
        Status::Stopped if args.all => return Ok(()),
        _ => return Err(Error::new(format!("container {} is {status}: cannot signal it", args.id))),
    }
    let to = match args.pid {
        Some(pid) => Target::Process(pid),
        None if args.all => Target::All,
        None => Target::Process(INIT),
    };
    let request = Request::Kill { to, signal: args.signal };
    Client::connect(&store.control_socket(&args.id))?.call(request, &Attachments::default()).map(drop)
}

/// `9`, `KILL`, `SIGKILL`, `rtmin+1`.
fn parse_signal(text: &str) -> Result<i32, String> {
    let unknown = || format!("unknown signal {text}");
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=64).contains(&number) { Ok(number) } else { Err(unknown()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset =
        |from: i32, text: &str| text.parse().ok().filter(|n| (-30..=30).contains(n)).map(|n: i32| from + n);
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return if rest.is_empty() { Some(34) } else { offset(34, rest) }.ok_or_else(unknown);
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        return if rest.is_empty() { Some(64) } else { offset(64, rest) }.ok_or_else(unknown);
    }
    format!("SIG{name}").parse::<Signal>().map(|signal| signal as i32).map_err(|_| unknown())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals() {
        for (text, number) in
            [("9", 9), ("KILL", 9), ("SIGterm", 15), ("usr1", 10), ("RTMIN+2", 36), ("SIGRTMAX", 64)]
        {
            assert_eq!(parse_signal(text), Ok(number), "{text}");
        }
        for bad in ["0", "65", "-9", "", "SIG", "X"] {
            assert!(parse_signal(bad).is_err(), "{bad}");
        }
    }
}
