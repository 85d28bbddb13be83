//! Times the same programs natively, in the sandbox and in any other OCI runtime, alternately in one run.
//!
//!     cargo run --release -p bench                       everything, as text
//!     cargo run --release -p bench -- --write            and the tables and the chart of docs/performance.md
//!     cargo run --release -p bench -- --only getppid,git --rounds 3
//!     PEER="/usr/bin/runc;/usr/local/bin/runsc --network=none" cargo run --release -p bench
//!
//! Every number is a ratio to native of the same round, because the machine's own speed changes between rounds: a round runs each place
//! once, in an order that rotates. Reported is the median of the rounds, and the smallest and largest beside it. The `busy` pass repeats the
//! rows while one spinning process for each processor competes.
#![forbid(unsafe_code)]

mod chart;
mod measure;
mod place;
mod programs;
mod report;
mod rows;

use std::{env, fs, path::PathBuf, process::ExitCode};

use measure::{Busy, Load, Series};

/// Any failure of the bench itself, as one line.
type Result<T> = std::result::Result<T, String>;

struct Options {
    write: bool,
    only: Vec<String>,
    rounds: usize,
    seconds: f64,
    busy: bool,
}

const USAGE: &str = "bench [--write] [--only PART,PART] [--rounds N] [--seconds S] [--no-busy]";

fn options() -> Result<Options> {
    let mut options = Options { write: false, only: Vec::new(), rounds: 5, seconds: 0.1, busy: true };
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value; {USAGE}"));
        match argument.as_str() {
            "--write" => options.write = true,
            "--no-busy" => options.busy = false,
            "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
            "--rounds" => options.rounds = value()?.parse().map_err(|_| USAGE)?,
            "--seconds" => options.seconds = value()?.parse().map_err(|_| USAGE)?,
            _ => return Err(USAGE.to_owned()),
        }
    }
    if options.rounds == 0 {
        return Err("--rounds must be at least 1".to_owned());
    }
    Ok(options)
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("bench: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let options = options()?;
    let scratch = Scratch::new()?;
    let rows = rows::Rows::build(&scratch.0)?;
    let places = place::all(&scratch.0)?;
    let mut passes: Vec<(Load, Vec<Series>)> = Vec::new();

    let names: Vec<&String> = rows.names.iter().filter(|name| options.wants(name)).collect();
    let loads: &[Load] = if options.busy { &[Load::Idle, Load::Busy] } else { &[Load::Idle] };
    for &load in loads {
        let _busy = (load == Load::Busy).then(Busy::start).transpose()?;
        let mut series = Vec::new();
        for name in &names {
            let found = measure::alternate(&places, options.rounds, name, |place| {
                rows.value(place, name, options.seconds)
            });
            report::line(&found, &places, load);
            series.push(found);
        }
        passes.push((load, series));
    }

    let mut whole = Vec::new();
    for program in programs::prepare(&scratch.0, |name| options.wants(name))? {
        let found =
            measure::alternate(&places, options.rounds, &program.name, |place| program.time(place, &rows));
        report::line(&found, &places, Load::Idle);
        whole.push(found);
    }

    print!("{}", report::markdown(&passes, &whole, &places));
    if options.write {
        let docs = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs"));
        let idle = passes.first().map_or(&[][..], |(_, series)| series);
        write(&docs.join("performance.svg"), &chart::draw(idle, &whole, &places))?;
        let page = docs.join("performance.md");
        let text = fs::read_to_string(&page).map_err(|error| format!("{}: {error}", page.display()))?;
        write(&page, &report::replace_tables(&text, &report::markdown(&passes, &whole, &places))?)?;
    }
    Ok(())
}

fn write(path: &std::path::Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The directory of all that the bench makes, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch> {
        let path = env::temp_dir().join(format!("sandbox-bench.{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing more can be done about what cannot be removed.
        let _ = fs::remove_dir_all(&self.0);
    }
}
