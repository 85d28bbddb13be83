//! `runsc list`: prints all containers.

use std::io::Write;

use clap::{Args, ValueEnum};

use super::{Global, state::Report};
use crate::error::{Context, Result};

/// List containers.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Only their names.
    #[arg(short, long)]
    quiet: bool,
    /// How.
    #[arg(short, long, value_enum, default_value_t)]
    format: Format,
}

/// Output formats.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    #[value(alias = "text")]
    Table,
    /// For programs.
    Json,
}

/// Prints them.
///
/// # Errors
/// The state directory cannot be read.
pub fn list(global: &Global, args: &ListArgs) -> Result<()> {
    let store = global.store();
    // One that is deleted meanwhile is not there.
    let states: Vec<_> = store.ids()?.iter().filter_map(|id| store.load(id).ok()).collect();
    let reports: Vec<Report<'_>> = states.iter().map(Report::of).collect();
    let out = &mut std::io::stdout().lock();
    let mut print = || -> std::io::Result<()> {
        if args.quiet {
            return reports.iter().try_for_each(|report| writeln!(out, "{}", report.id));
        }
        if let Format::Json = args.format {
            return writeln!(out, "{}", serde_json::to_string(&reports)?);
        }
        let wide = |longest: usize, title: &str| longest.max(title.len()) + 4;
        let ids = wide(reports.iter().map(|report| report.id.len()).max().unwrap_or(0), "ID");
        let bundles =
            wide(reports.iter().map(|report| report.bundle.as_os_str().len()).max().unwrap_or(0), "BUNDLE");
        let status = "STATUS";
        writeln!(out, "{:ids$}{:12}{status:12}{:bundles$}{:32}OWNER", "ID", "PID", "BUNDLE", "CREATED")?;
        for report in &reports {
            let Report { id, pid, status, bundle, created, owner, .. } = report;
            writeln!(
                out,
                "{id:ids$}{pid:<12}{status:12}{:bundles$}{created:32}{owner}",
                bundle.display().to_string()
            )?;
        }
        Ok(())
    };
    print().context("standard output")
}
