//! Runs a command to its end or to a time limit, in a process group of its own that is gone afterwards.

use std::{
    io::Read,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its exit code; none if a signal or the time limit ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// It did not end in time.
    pub timed_out: bool,
    /// Everything on its standard output.
    pub stdout: Vec<u8>,
    /// Everything on its standard error.
    pub stderr: Vec<u8>,
}

impl Outcome {
    /// How it ended in a few words, with the last line of its standard error.
    #[must_use]
    pub fn summary(&self) -> String {
        let ending = match (self.timed_out, self.code, self.signal) {
            (true, ..) => "no end in time".to_owned(),
            (_, Some(code), _) => format!("exit code {code}"),
            (_, _, Some(signal)) => format!("signal {signal}"),
            _ => "not started".to_owned(),
        };
        let stderr = String::from_utf8_lossy(&self.stderr);
        stderr.trim().lines().last().map_or(ending.clone(), |line| format!("{ending}: {line}"))
    }
}

/// Runs the command with an empty standard input.
pub fn run(command: &mut Command, limit: Duration) -> Outcome {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let stderr = format!("{:?}: {error}", command.get_program()).into_bytes();
            return Outcome { code: None, signal: None, timed_out: false, stdout: Vec::new(), stderr };
        }
    };
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let (status, timed_out) = wait(&mut child, limit);
    end_group(&child);
    Outcome {
        code: status.filter(|_| !timed_out).and_then(|status| status.code()),
        signal: status.filter(|_| !timed_out).and_then(|status| status.signal()),
        timed_out,
        stdout: stdout.recv_timeout(Duration::from_secs(5)).unwrap_or_default(),
        stderr: stderr.recv_timeout(Duration::from_secs(5)).unwrap_or_default(),
    }
}

/// Reads to the end on a thread of its own: a pipe that someone keeps open must not hold the test up.
fn collect(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut all = Vec::new();
        if let Some(mut stream) = stream {
            // What came before an error is what there is.
            let _ = stream.read_to_end(&mut all);
        }
        let _ = sender.send(all);
    });
    receiver
}

fn wait(child: &mut Child, limit: Duration) -> (Option<ExitStatus>, bool) {
    let end = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < end => thread::sleep(Duration::from_millis(5)),
            Ok(None) => {
                end_group(child);
                return (child.wait().ok(), true);
            }
            Ok(status) => return (status, false),
            Err(_) => return (None, false),
        }
    }
}

/// Ends whatever the command left behind in its group.
fn end_group(child: &Child) {
    if let Ok(pid) = i32::try_from(child.id()) {
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
}
