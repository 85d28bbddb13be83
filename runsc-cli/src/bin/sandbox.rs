//! `sandbox`: runs programs in sandboxes, for people.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use runsc_cli::{commands::sandbox_run, error::SANDBOX_FAILED, internal_process};

/// Run programs in a sandbox with a kernel of its own.
#[derive(Parser)]
#[command(name = "sandbox", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(Box<sandbox_run::RunArgs>),
}

fn main() -> ExitCode {
    if let Some(code) = internal_process() {
        return code;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(SANDBOX_FAILED) } else { ExitCode::SUCCESS };
        }
    };
    let Command::Run(args) = cli.command;
    match sandbox_run::run(*args) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("sandbox: {error}");
            ExitCode::from(error.exit)
        }
    }
}
