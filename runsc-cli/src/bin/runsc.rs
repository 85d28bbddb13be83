//! `runsc`: an OCI runtime whose containers have a kernel of their own.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use runsc_cli::{
    commands::{Cli, dispatch},
    error::SANDBOX_FAILED,
    internal_process,
};

fn main() -> ExitCode {
    if let Some(code) = internal_process() {
        return code;
    }
    match Cli::try_parse() {
        Ok(cli) => dispatch(cli),
        Err(error) => {
            let _ = error.print();
            if error.use_stderr() { ExitCode::from(SANDBOX_FAILED) } else { ExitCode::SUCCESS }
        }
    }
}
