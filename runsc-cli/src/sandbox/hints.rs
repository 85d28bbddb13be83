//! Which setting of the host forbids what a sandbox needs.

use std::fs;

/// The settings of this host that are in the way, as the end of a message: empty, or ` (…; …)`.
pub fn blocked_by() -> String {
    let found = knobs(|path| fs::read_to_string(path).ok(), nix::unistd::geteuid().is_root());
    if found.is_empty() { String::new() } else { format!(" ({})", found.join("; ")) }
}

/// The settings that are in the way, given a way to read /proc.
fn knobs(read: impl Fn(&str) -> Option<String>, root: bool) -> Vec<String> {
    let mut found = Vec::new();
    let value = |path: &str| read(path).map(|text| text.trim().to_owned());
    if value("/proc/self/uid_map").is_none() {
        found.push("this kernel has no user namespaces, or /proc is not mounted".to_owned());
    }
    for name in ["user", "pid", "mnt", "net", "ipc", "uts"] {
        if value(&format!("/proc/sys/user/max_{name}_namespaces")).as_deref() == Some("0") {
            found.push(format!("sysctl user.max_{name}_namespaces is 0"));
        }
    }
    if !root && value("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        found.push("sysctl kernel.unprivileged_userns_clone is 0".to_owned());
    }
    if !root && value("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1") {
        found.push("sysctl kernel.apparmor_restrict_unprivileged_userns is 1".to_owned());
    }
    if let Some(status) = read("/proc/self/status")
        && status.lines().any(|line| line.strip_prefix("Seccomp:").is_some_and(|mode| mode.trim() == "2"))
    {
        found.push(
            "a seccomp filter is active here: in a container, allow clone, unshare, mount and pivot_root \
             (docker: --security-opt seccomp=unconfined)"
                .to_owned(),
        );
    }
    if let Some(profile) = value("/proc/self/attr/current")
        && profile.ends_with("(enforce)")
    {
        found.push(format!(
            "AppArmor profile {profile} is active here (docker: --security-opt apparmor=unconfined)"
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_each_setting() {
        let host = |path: &str| match path {
            "/proc/self/uid_map" => Some("0 0 4294967295\n".to_owned()),
            "/proc/sys/user/max_net_namespaces" => Some("0\n".to_owned()),
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns" => Some("1\n".to_owned()),
            "/proc/self/status" => Some("Name:\tx\nSeccomp:\t2\n".to_owned()),
            _ => None,
        };
        let found = knobs(host, false).join("\n");
        assert!(found.contains("user.max_net_namespaces is 0"), "{found}");
        assert!(found.contains("apparmor_restrict_unprivileged_userns is 1"), "{found}");
        assert!(found.contains("seccomp=unconfined"), "{found}");
        assert_eq!(knobs(host, true).len(), 2, "the restriction is not for root");
    }

    #[test]
    fn a_permissive_host_has_none() {
        let host = |path: &str| (path == "/proc/self/uid_map").then(|| "0 0 4294967295\n".to_owned());
        assert!(knobs(host, false).is_empty());
    }
}
