//! `runsc ps`: prints the processes of a container.

use std::io::Write;

use clap::{Args, ValueEnum};

use super::Global;
use crate::{
    control::{
        client::Client,
        protocol::{ProcessInfo, Reply, Request},
        wire::Attachments,
    },
    error::{Context, Error, Result},
};

/// List the processes of a container.
#[derive(Args, Debug)]
pub struct PsArgs {
    /// How.
    #[arg(short, long, value_enum, default_value_t)]
    format: Format,
    /// Name of the container.
    #[arg(value_name = "ID")]
    id: String,
}

/// Output formats.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Table,
    /// A list of process ids.
    Json,
}

/// Prints them.
///
/// # Errors
/// The container does not run.
pub fn ps(global: &Global, args: &PsArgs) -> Result<()> {
    let store = global.store();
    store.load(&args.id)?;
    let mut client = Client::connect(&store.control_socket(&args.id))?;
    let processes = match client.call(Request::Processes, &Attachments::default())? {
        Reply::Processes(processes) => processes,
        other => return Err(Error::new(format!("unexpected reply {other:?}"))),
    };
    let text = match args.format {
        Format::Json => {
            serde_json::to_string(&processes.iter().map(|process| process.pid).collect::<Vec<_>>())
                .context("encoding the list")?
        }
        Format::Table => table(&processes),
    };
    writeln!(std::io::stdout(), "{text}").context("standard output")
}

fn table(processes: &[ProcessInfo]) -> String {
    let title = format!("{:<10}{:<10}{:<10}{:<10}{:<10}CMD", "UID", "PID", "PPID", "THREADS", "TIME");
    let rows = processes.iter().map(|process| {
        let ProcessInfo { uid, pid, ppid, threads, cpu_ms, command, .. } = process;
        let time = format!("{}.{:02}s", cpu_ms / 1000, cpu_ms / 10 % 100);
        // A guest names its processes as it likes.
        format!("{uid:<10}{pid:<10}{ppid:<10}{threads:<10}{time:<10}{}", command.escape_default())
    });
    std::iter::once(title).chain(rows).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_reach_the_terminal() {
        let process = ProcessInfo {
            uid: 0,
            pid: 1,
            ppid: 0,
            threads: 2,
            cpu_ms: 1230,
            started: 0,
            command: "a\u{1b}[2J".into(),
        };
        let text = table(&[process]);
        assert_eq!(text.lines().count(), 2);
        assert!(text.ends_with("1.23s     a\\u{1b}[2J"), "{text}");
    }
}
