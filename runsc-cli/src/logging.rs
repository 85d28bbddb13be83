//! Where log lines go.
//!
//! The sentry and the gofer log to standard error, which is `/dev/null` or the debug log ([`to_stderr`]). `runsc`
//! itself logs to the file of `--log`, in which container engines look for the error of a failed command, and to
//! standard error.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Write},
    sync::OnceLock,
};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::time;

/// `--log-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// `key=value` pairs.
    #[default]
    Text,
    /// One JSON object per line, with the keys that runc uses.
    Json,
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

struct Logger {
    name: &'static str,
    format: Format,
    file: Option<File>,
    stderr: bool,
}

/// Logs to standard error.
pub fn to_stderr(level: LevelFilter, name: &'static str) {
    install(Logger { name, format: Format::Text, file: None, stderr: true }, level);
}

/// Logs to `file` if there is one; to standard error at debug level.
pub fn to_file(level: LevelFilter, name: &'static str, file: Option<File>, format: Format) {
    let stderr = level >= LevelFilter::Debug;
    install(Logger { name, format, file, stderr }, level);
}

fn install(logger: Logger, level: LevelFilter) {
    if LOGGER.set(logger).is_ok()
        && let Some(logger) = LOGGER.get()
        && log::set_logger(logger).is_ok()
    {
        log::set_max_level(level);
    }
}

impl Logger {
    fn line(&self, level: Level, message: &str) -> String {
        let (level, time) = (level.as_str().to_lowercase(), time::rfc3339(time::now()));
        let mut line = match self.format {
            Format::Json => serde_json::json!({ "level": level, "msg": message, "time": time }).to_string(),
            Format::Text => format!("time={time:?} level={level} msg={message:?}"),
        };
        line.push('\n');
        line
    }
}

impl Log for Logger {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut message = String::new();
        if write!(message, "{}", record.args()).is_err() {
            return;
        }
        if let Some(mut file) = self.file.as_ref() {
            let _ = file.write_all(self.line(record.level(), &message).as_bytes());
        }
        if self.stderr {
            let level = record.level().as_str().to_lowercase();
            let _ = io::stderr().write_all(format!("{}: {level}: {message}\n", self.name).as_bytes());
        }
    }

    fn flush(&self) {}
}
