//! Whole programs: each `programs/NAME.sh` prepares its data natively (`prepare DATA`) and is then timed in every place (`run DATA SCRATCH`).
//!
//! What is timed runs inside a started sandbox, once to warm up and then three times; `start.sh` alone is timed from outside, with the
//! start and the end of the sandbox itself.

use std::{fs, path::Path, process::Command, time::Instant};

use crate::{Result, place::Place, rows::Rows};

/// One program that this machine can run.
pub(crate) struct Program {
    pub(crate) name: String,
    script: String,
    data: String,
}

/// How often a program is run in one start of a sandbox.
const RUNS: u32 = 3;

/// The programs that are wanted, with their data. One whose tools are missing is left out, with the reason printed.
pub(crate) fn prepare(directory: &Path, wants: impl Fn(&str) -> bool) -> Result<Vec<Program>> {
    let scripts = directory.join("programs");
    fs::create_dir(&scripts).map_err(|error| format!("{}: {error}", scripts.display()))?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs");
    let mut names: Vec<String> = fs::read_dir(&source)
        .map_err(|error| format!("{}: {error}", source.display()))?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".sh").map(str::to_owned))
        .filter(|name| wants(name))
        .collect();
    names.sort();
    let mut programs = Vec::new();
    for name in names {
        let script = scripts.join(format!("{name}.sh"));
        fs::copy(source.join(format!("{name}.sh")), &script)
            .map_err(|error| format!("{name}.sh: {error}"))?;
        let data = scripts.join(&name);
        fs::create_dir(&data).map_err(|error| format!("{}: {error}", data.display()))?;
        let output = Command::new("bash")
            .arg(&script)
            .arg("prepare")
            .arg(&data)
            .output()
            .map_err(|error| format!("bash: {error}"))?;
        if output.status.success() {
            programs.push(Program {
                name,
                script: script.display().to_string(),
                data: data.display().to_string(),
            });
        } else {
            let errors = String::from_utf8_lossy(&output.stderr);
            println!("{name}: left out: {}", errors.lines().last().unwrap_or("preparing it failed"));
        }
    }
    Ok(programs)
}

impl Program {
    /// Milliseconds of one run in a place.
    pub(crate) fn time(&self, place: &Place, rows: &Rows) -> Result<f64> {
        if self.name == "start" {
            place.run(&["/bin/true".to_owned()])?;
            let begin = Instant::now();
            place.run(&["/bin/true".to_owned()])?;
            return Ok(begin.elapsed().as_secs_f64() * 1e3);
        }
        let scratch = place.scratch()?;
        rows.command(
            place,
            RUNS,
            &format!("bash '{}' run '{}' '{}' >/dev/null", self.script, self.data, scratch.display()),
        )
    }
}
