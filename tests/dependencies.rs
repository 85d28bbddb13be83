//! What the workspace depends on: licences, sources and versions, as `deny.toml` allows them.
//!
//! A part of what cargo-deny checks, for machines without it; where it is installed, it is run as well.
use std::{collections::BTreeMap, fs, path::PathBuf, process::Command, time::Duration};

use conformance::{Failures, here, run};
use serde_json::Value;

#[test]
fn dependencies_are_allowed() -> Result<(), Failures> {
    let one = |text: String| Failures(vec![text]);
    let policy = fs::read_to_string(root().join("deny.toml")).map_err(|e| one(format!("deny.toml: {e}")))?;
    let licences = strings(&policy, "allow");
    let registries = strings(&policy, "allow-registry");
    let skipped = strings(&policy, "skip");
    if licences.is_empty() || registries.is_empty() {
        return Err(one("deny.toml has no `allow` or no `allow-registry`".to_owned()));
    }
    let mut failures = Vec::new();
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages().map_err(one)? {
        let text = |key: &str| package.get(key).and_then(Value::as_str).unwrap_or_default();
        let name = format!("{} {}", text("name"), text("version"));
        versions.entry(text("name").to_owned()).or_default().push(text("version").to_owned());
        if !Licence::new(text("license")).satisfied_by(&licences) {
            failures.push(format!("{name}: licence {:?} is not allowed by deny.toml", text("license")));
        }
        // Packages of the workspace have no source.
        let source = text("source");
        let known = registries.iter().any(|registry| source.strip_prefix("registry+") == Some(registry));
        if !source.is_empty() && !known {
            failures.push(format!("{name}: comes from {source}"));
        }
    }
    for (name, versions) in
        versions.iter().filter(|(name, versions)| versions.len() > 1 && !skipped.contains(name))
    {
        failures.push(format!("{name}: several versions: {}", versions.join(", ")));
    }
    if run(Command::new("cargo").args(["deny", "--version"]), Duration::from_secs(10)).code == Some(0) {
        let check = ["deny", "--offline", "check", "licenses", "bans", "sources"];
        let outcome = run(Command::new("cargo").args(check).current_dir(root()), Duration::from_secs(60));
        if outcome.code != Some(0) {
            failures.push(String::from_utf8_lossy(&outcome.stderr).into_owned());
        }
    }
    Failures(failures).into_result()
}

#[test]
fn licence_expressions() {
    let allowed = ["MIT", "Apache-2.0 WITH LLVM-exception", "Zlib"].map(str::to_owned);
    for (text, want) in [
        ("MIT", true),
        ("GPL-2.0", false),
        ("", false),
        ("GPL-2.0 OR MIT", true),
        ("GPL-2.0/MIT", true),
        ("MIT AND GPL-2.0", false),
        ("(GPL-2.0 OR Zlib) AND MIT", true),
        ("GPL-2.0 OR Zlib AND MIT", true),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0", false),
    ] {
        assert_eq!(Licence::new(text).satisfied_by(&allowed), want, "{text}");
    }
}

fn root() -> PathBuf {
    here().parent().map(PathBuf::from).unwrap_or_default()
}

/// Every package that is built for this target, those for tests included.
fn packages() -> Result<Vec<Value>, String> {
    let words =
        ["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"];
    let outcome = run(Command::new("cargo").args(words).current_dir(root()), Duration::from_secs(60));
    let mut metadata: Value = serde_json::from_slice(&outcome.stdout)
        .map_err(|error| format!("cargo metadata: {error}: {}", outcome.summary()))?;
    // `packages` has all that the lock file knows; those of the graph are in use.
    let nodes = metadata.pointer("/resolve/nodes").and_then(Value::as_array).cloned().unwrap_or_default();
    let used: Vec<&str> = nodes.iter().filter_map(|node| node.get("id")?.as_str()).collect();
    let packages = metadata.get_mut("packages").and_then(Value::as_array_mut).map(std::mem::take);
    let mut packages = packages.ok_or("cargo metadata lists no packages")?;
    packages.retain(|package| package.get("id").and_then(Value::as_str).is_some_and(|id| used.contains(&id)));
    if packages.is_empty() { Err("cargo metadata lists no packages in use".to_owned()) } else { Ok(packages) }
}

/// The strings of the array `key = [...]` in a TOML file as simple as ours.
fn strings(text: &str, key: &str) -> Vec<String> {
    let start = format!("{key} = [");
    let lines = text.lines().skip_while(|line| !line.starts_with(&start));
    let mut found = Vec::new();
    for line in lines {
        found.extend(line.split('"').skip(1).step_by(2).map(str::to_owned));
        if line.ends_with(']') {
            break;
        }
    }
    found
}

/// An SPDX licence expression, being read.
struct Licence(Vec<String>);

impl Licence {
    fn new(text: &str) -> Licence {
        // Older crates write "MIT/Apache-2.0" for a choice.
        let text = text.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
        let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        words.reverse();
        Licence(words)
    }

    /// Whether the allowed licences are enough. `AND` binds stronger than `OR`.
    fn satisfied_by(mut self, allowed: &[String]) -> bool {
        let satisfied = self.any(allowed);
        satisfied && self.0.is_empty()
    }

    fn next_is(&mut self, word: &str) -> bool {
        let is = self.0.last().is_some_and(|next| next == word);
        if is {
            self.0.pop();
        }
        is
    }

    fn any(&mut self, allowed: &[String]) -> bool {
        let mut satisfied = self.all(allowed);
        while self.next_is("OR") {
            satisfied |= self.all(allowed);
        }
        satisfied
    }

    fn all(&mut self, allowed: &[String]) -> bool {
        let mut satisfied = self.term(allowed);
        while self.next_is("AND") {
            satisfied &= self.term(allowed);
        }
        satisfied
    }

    fn term(&mut self, allowed: &[String]) -> bool {
        if self.next_is("(") {
            return self.any(allowed) & self.next_is(")");
        }
        let Some(mut name) = self.0.pop() else { return false };
        if self.next_is("WITH") {
            name = format!("{name} WITH {}", self.0.pop().unwrap_or_default());
        }
        allowed.contains(&name)
    }
}
