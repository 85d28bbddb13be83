//! Compiles `src/jail/sentry.policy` to BPF, so that nothing is compiled when a sandbox starts.
//!
//! Writes `filters.rs`: for each platform and each action on a violation, the allow-list and the list of calls that
//! fail with an error number. The kernel takes the strictest verdict of all filters, so a call that is to fail is
//! allowed by the first filter and denied by the second.
#![expect(clippy::panic, reason = "a malformed policy must fail the build")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs,
    path::Path,
};

use seccompiler::{BpfProgram, TargetArch};
use serde_json::{Value, json};

const POLICY: &str = "src/jail/sentry.policy";
const PLATFORMS: [&str; 2] = ["systrap", "ptrace"];

fn main() {
    println!("cargo::rerun-if-changed={POLICY}");
    println!("cargo::rerun-if-changed=build.rs");
    let text = fs::read_to_string(POLICY).expect("the policy is part of the source");
    let lines = parse(&text);
    let mut out = String::new();
    for platform in PLATFORMS {
        let mine: Vec<&Line> =
            lines.iter().filter(|line| line.platform.is_none_or(|p| p == platform)).collect();
        for (action, suffix) in [("kill_process", "KILL"), ("trap", "TRAP")] {
            let rules = mine.iter().flat_map(|line| line.rules()).collect::<Vec<_>>();
            let program =
                compile(&json!({ "mismatch_action": action, "match_action": "allow", "filter": rules }));
            emit(&mut out, &format!("{}_{suffix}", platform.to_uppercase()), &program);
        }
        let mut by_errno: BTreeMap<u32, Vec<Value>> = BTreeMap::new();
        for line in &mine {
            if let Some(errno) = line.errno {
                by_errno.entry(errno).or_default().push(json!({ "syscall": line.name }));
            }
        }
        let mut names = String::new();
        for (errno, rules) in &by_errno {
            let name = format!("{}_ERRNO_{errno}", platform.to_uppercase());
            let action = json!({ "errno": errno });
            let program =
                compile(&json!({ "mismatch_action": "allow", "match_action": action, "filter": rules }));
            emit(&mut out, &name, &program);
            write!(names, "&{name}, ").expect("writing to a string");
        }
        writeln!(out, "const {}_ERRNO: &[&[sock_filter]] = &[{names}];", platform.to_uppercase())
            .expect("writing to a string");
    }
    let path = Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("filters.rs");
    fs::write(path, out).expect("writing to OUT_DIR");
}

struct Line<'a> {
    name: &'a str,
    platform: Option<&'a str>,
    condition: Option<Condition>,
    errno: Option<u32>,
}

enum Condition {
    OneOf { index: u8, values: Vec<u64> },
    Null { index: u8 },
    Masked { index: u8, mask: u64, value: u64 },
}

impl Line<'_> {
    /// One rule per alternative.
    fn rules(&self) -> Vec<Value> {
        let rule = |args: Value| json!({ "syscall": self.name, "args": args });
        match &self.condition {
            None => vec![json!({ "syscall": self.name })],
            Some(Condition::OneOf { index, values }) => values
                .iter()
                .map(|value| rule(json!([{ "index": index, "type": "dword", "op": "eq", "val": value }])))
                .collect(),
            Some(Condition::Null { index }) => {
                vec![rule(json!([{ "index": index, "type": "qword", "op": "eq", "val": 0 }]))]
            }
            Some(Condition::Masked { index, mask, value }) => {
                let op = json!({ "masked_eq": mask });
                vec![rule(json!([{ "index": index, "type": "dword", "op": op, "val": value }]))]
            }
        }
    }
}

fn parse(text: &str) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    let mut seen = BTreeSet::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fail = |why: &str| -> ! { panic!("{POLICY}:{number}: {why}") };
        let Some((rule, reason)) = line.split_once('#') else { fail("no reason") };
        if reason.trim().is_empty() {
            fail("no reason");
        }
        let words: Vec<&str> = rule.split_whitespace().collect();
        let Some((&name, mut rest)) = words.split_first() else { fail("no call") };
        if seen.last().is_some_and(|last: &&str| *last >= name) {
            fail("not sorted");
        }
        seen.insert(name);
        let mut parsed = Line { name, platform: None, condition: None, errno: None };
        if let Some((word, after)) = rest.split_first()
            && let Some(platform) = word.strip_prefix('@')
        {
            if !PLATFORMS.contains(&platform) {
                fail("unknown platform");
            }
            (parsed.platform, rest) = (Some(platform), after);
        }
        let index = |word: &str| match word.strip_prefix("arg").map(str::parse) {
            Some(Ok(index @ 0..=5)) => index,
            _ => fail("not an argument"),
        };
        match *rest {
            [] => {}
            ["errno", errno] => parsed.errno = Some(u32::try_from(constant(errno)).expect("small")),
            [arg, "==", "NULL"] => parsed.condition = Some(Condition::Null { index: index(arg) }),
            [arg, "==" | "in", values] => {
                let values = values.split('|').map(constant).collect();
                parsed.condition = Some(Condition::OneOf { index: index(arg), values });
            }
            [arg, "&", mask, "==", value] => {
                let (mask, value) = (constant(mask), constant(value));
                parsed.condition = Some(Condition::Masked { index: index(arg), mask, value });
            }
            _ => fail("cannot be parsed"),
        }
        lines.push(parsed);
    }
    lines
}

/// The names that conditions may use.
fn constant(name: &str) -> u64 {
    let thread = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM
        | libc::CLONE_SETTLS
        | libc::CLONE_PARENT_SETTID
        | libc::CLONE_CHILD_CLEARTID;
    let number: i32 = match name {
        "CLONE_AS_THREAD" => thread,
        "0" => 0,
        "AF_UNIX" => libc::AF_UNIX,
        "AT_EMPTY_PATH" => libc::AT_EMPTY_PATH,
        "EACCES" => libc::EACCES,
        "ENOENT" => libc::ENOENT,
        "ENOSYS" => libc::ENOSYS,
        "EPERM" => libc::EPERM,
        "FIONREAD" => return libc::FIONREAD,
        "F_ADD_SEALS" => libc::F_ADD_SEALS,
        "F_DUPFD_CLOEXEC" => libc::F_DUPFD_CLOEXEC,
        "F_GETFD" => libc::F_GETFD,
        "F_GETFL" => libc::F_GETFL,
        "F_GET_SEALS" => libc::F_GET_SEALS,
        "F_SETFD" => libc::F_SETFD,
        "F_SETFL" => libc::F_SETFL,
        "PROT_EXEC" => libc::PROT_EXEC,
        "PR_SET_NAME" => libc::PR_SET_NAME,
        "PR_SET_TIMERSLACK" => libc::PR_SET_TIMERSLACK,
        "PR_SET_VMA" => libc::PR_SET_VMA,
        "PTRACE_DETACH" => return u64::from(libc::PTRACE_DETACH),
        "PTRACE_GETREGSET" => return u64::from(libc::PTRACE_GETREGSET),
        "PTRACE_GETSIGINFO" => return u64::from(libc::PTRACE_GETSIGINFO),
        "PTRACE_INTERRUPT" => return u64::from(libc::PTRACE_INTERRUPT),
        "PTRACE_SEIZE" => return u64::from(libc::PTRACE_SEIZE),
        "PTRACE_SETREGSET" => return u64::from(libc::PTRACE_SETREGSET),
        "PTRACE_SETSIGMASK" => return u64::from(libc::PTRACE_SETSIGMASK),
        "PTRACE_SYSEMU" => return u64::from(libc::PTRACE_SYSEMU),
        "TCGETS" => return libc::TCGETS,
        "TCSETS" => return libc::TCSETS,
        "TCSETSW" => return libc::TCSETSW,
        "TIOCGWINSZ" => return libc::TIOCGWINSZ,
        "TIOCSWINSZ" => return libc::TIOCSWINSZ,
        other => panic!("{POLICY}: unknown constant {other}"),
    };
    u64::try_from(number).expect("not negative")
}

fn compile(filter: &Value) -> BpfProgram {
    let arch = TargetArch::try_from(env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it").as_str())
        .expect("an architecture that seccompiler knows");
    let all = json!({ "filter": filter }).to_string();
    let mut programs = seccompiler::compile_from_json(all.as_bytes(), arch).expect("the policy compiles");
    programs.remove("filter").expect("the only filter")
}

fn emit(out: &mut String, name: &str, program: &BpfProgram) {
    writeln!(out, "const {name}: [sock_filter; {}] = [", program.len()).expect("writing to a string");
    for instruction in program {
        let seccompiler::sock_filter { code, jt, jf, k } = instruction;
        writeln!(out, "    sock_filter {{ code: {code}, jt: {jt}, jf: {jf}, k: {k} }},")
            .expect("writing to a string");
    }
    writeln!(out, "];").expect("writing to a string");
}
