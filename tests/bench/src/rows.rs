//! The microbenchmarks: `guest/rows.c`, one process for each value.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Result, place::Place};

/// The compiled guest program.
pub(crate) struct Rows {
    pub(crate) binary: PathBuf,
    pub(crate) names: Vec<String>,
}

impl Rows {
    /// Compiles it, statically, so that it is the same in every place.
    pub(crate) fn build(directory: &Path) -> Result<Rows> {
        let binary = directory.join("rows");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/rows.c");
        let status =
            Command::new("cc").args(["-O2", "-static", "-pthread", "-o"]).arg(&binary).arg(source).status();
        if !status.as_ref().is_ok_and(std::process::ExitStatus::success) {
            return Err(format!("cc {source}: {status:?}"));
        }
        let list =
            Command::new(&binary).arg("--list").output().map_err(|error| format!("rows --list: {error}"))?;
        let names = String::from_utf8_lossy(&list.stdout).lines().map(str::to_owned).collect();
        Ok(Rows { binary, names })
    }

    /// Measures one row in a place.
    pub(crate) fn value(&self, place: &Place, name: &str, seconds: f64) -> Result<f64> {
        let scratch = place.scratch()?.display().to_string();
        number(&place.run(&[self.program(), name.to_owned(), seconds.to_string(), scratch])?)
    }

    /// The median time of a shell command in a place, in milliseconds, without the start of the sandbox.
    pub(crate) fn command(&self, place: &Place, count: u32, shell: &str) -> Result<f64> {
        number(&place.run(&[self.program(), "--command".to_owned(), count.to_string(), shell.to_owned()])?)
    }

    fn program(&self) -> String {
        self.binary.display().to_string()
    }
}

fn number(text: &str) -> Result<f64> {
    let last = text.lines().last().unwrap_or_default();
    match last.trim().parse() {
        Ok(value) if value > 0.0 => Ok(value),
        _ => Err(format!("not a measurement: {last:?}")),
    }
}
