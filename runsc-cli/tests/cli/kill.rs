//! Whoever of a sandbox's processes is killed, the others end and nothing is left.

use std::process::{Child, Command, Stdio};

use crate::common::{Scratch, alive, children, descendants, entries, eventually, impossible, kill};

/// Kills one of the processes of a container that nobody attends.
fn kill_one_of_detached(which: impl Fn(i32, i32) -> i32) {
    if let Some(reason) = impossible() {
        println!("{reason}");
        return;
    }
    let scratch = Scratch::new();
    scratch.configure(&["true"]);
    let sentry = scratch.create("box");
    let gofer = scratch.gofer("box");
    let stubs = children(sentry);
    kill(which(sentry, gofer));
    for pid in [&[sentry, gofer], &*stubs].concat() {
        assert!(eventually(|| !alive(pid)), "{pid} of sentry {sentry}, gofer {gofer}, stubs {stubs:?} lives");
    }
    let state: serde_json::Value = serde_json::from_str(&scratch.ok(&["state", "box"])).unwrap();
    assert_eq!(state["status"], "stopped");
    scratch.ok(&["delete", "box"]);
    assert_eq!(entries(&scratch.state()), [""; 0]);
}

#[test]
fn sentry_of_a_detached_container() {
    kill_one_of_detached(|sentry, _| sentry);
}

#[test]
fn gofer_of_a_detached_container() {
    kill_one_of_detached(|_, gofer| gofer);
}

/// A foreground run whose guest sleeps, with its children.
struct Foreground {
    runsc: Child,
    pid: i32,
    sentry: i32,
    gofer: i32,
}

impl Foreground {
    fn start(mut command: Command) -> Foreground {
        let runsc =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(runsc.id()).unwrap();
        let find = |verb: &str| {
            children(pid).into_iter().find(|child| {
                std::fs::read(format!("/proc/{child}/cmdline"))
                    .is_ok_and(|line| line.split(|byte| *byte == 0).nth(1) == Some(verb.as_bytes()))
            })
        };
        assert!(eventually(
            || find("gofer").is_some() && find("boot").is_some_and(|pid| children(pid).len() > 1)
        ));
        let (sentry, gofer) = (find("boot").unwrap(), find("gofer").unwrap());
        Foreground { runsc, pid, sentry, gofer }
    }

    /// Kills one of the processes; all of them must end.
    fn check(mut self, which: impl Fn(&Foreground) -> i32) -> (i32, String) {
        let all = [vec![self.pid], descendants(self.pid)].concat();
        kill(which(&self));
        let status = {
            assert!(eventually(|| !alive(self.pid)), "the supervisor lives");
            self.runsc.wait().unwrap()
        };
        for pid in all {
            assert!(eventually(|| !alive(pid)), "{pid} lives");
        }
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.runsc.stderr.take().unwrap(), &mut said).unwrap();
        (status.code().unwrap_or(-1), said)
    }
}

fn sleeping() -> Foreground {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox"));
    command.args(["run", "--", "sleep", "100"]);
    Foreground::start(command)
}

#[test]
fn supervisor_of_a_foreground_run() {
    if let Some(reason) = impossible() {
        println!("{reason}");
        return;
    }
    assert_eq!(sleeping().check(|run| run.pid), (-1, String::new()));
}

#[test]
fn sentry_of_a_foreground_run() {
    if let Some(reason) = impossible() {
        println!("{reason}");
        return;
    }
    let (code, said) = sleeping().check(|run| run.sentry);
    assert_eq!((code, said.as_str()), (125, "sandbox: the sentry was killed by SIGKILL\n"));
}

#[test]
fn gofer_of_a_foreground_run() {
    if let Some(reason) = impossible() {
        println!("{reason}");
        return;
    }
    let (code, said) = sleeping().check(|run| run.gofer);
    assert_eq!((code, said.as_str()), (125, "sandbox: the gofer was killed by SIGKILL\n"));
}

#[test]
fn supervisor_of_a_foreground_container() {
    if let Some(reason) = impossible() {
        println!("{reason}");
        return;
    }
    let scratch = Scratch::new();
    scratch.configure(&["/sleep", "100"]);
    std::fs::copy("/bin/busybox", scratch.bundle().join("rootfs/sleep")).unwrap();
    let run = Foreground::start(scratch.runsc(&["run", "box"]));
    assert_eq!(entries(&scratch.state()), ["box"]);
    assert_eq!(run.check(|run| run.pid).0, -1);
    assert!(eventually(|| entries(&scratch.state()).is_empty()), "the state directory is left");
}
