//! `root` and `mounts`: which of them the gofer serves, which the sentry makes itself.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2, readlinkat};
use oci_spec::runtime::{self, Spec};

use crate::{
    control::protocol::{MountFlags, MountKind},
    error::{Context, Error, Result},
    mounts::{Tree, Writes, guest_path},
};

/// `--overlay2`: where writes to the host's files go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlay {
    /// To the files.
    None,
    /// Those to the root: to memory.
    #[default]
    Root,
    /// All: to memory.
    All,
}

/// Parses `none` or `{root|all}:memory`.
///
/// # Errors
/// Anything else.
pub fn parse_overlay(text: &str) -> Result<Overlay, String> {
    match text.split_once(':').unwrap_or((text, "memory")) {
        ("none", "memory") => Ok(Overlay::None),
        ("root", "memory") => Ok(Overlay::Root),
        ("all", "memory") => Ok(Overlay::All),
        ("root" | "all", medium) => Err(format!("overlay medium {medium:?} does not exist yet: use memory")),
        _ => Err("none, root:memory or all:memory".to_owned()),
    }
}

impl Overlay {
    fn root_writes(self) -> Writes {
        if self == Overlay::None { Writes::ToHost } else { Writes::ToMemory }
    }
}

/// The guest's tree.
pub(super) fn tree(spec: &Spec, bundle: &Path, rootfs: &Path, overlay: Overlay) -> Result<Tree> {
    let mut tree = Tree::default();
    let read_only = spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false);
    // A read-only root without an overlay has no use for writes of its mount points either.
    let writes = if read_only && overlay == Overlay::None { Writes::Refused } else { overlay.root_writes() };
    tree.host(rootfs, "/", writes, MountFlags { read_only, ..MountFlags::default() }).context("root")?;
    for mount in spec.mounts().iter().flatten() {
        add(&mut tree, mount, bundle, rootfs, overlay)
            .context(format!("mount {}", mount.destination().display()))?;
    }
    if let Some(linux) = spec.linux() {
        let paths =
            [(linux.masked_paths(), MountKind::Masked), (linux.readonly_paths(), MountKind::ReadOnly)];
        for (paths, kind) in paths {
            for path in paths.iter().flatten() {
                tree.push(&guest_path(Path::new(path))?, kind.clone(), MountFlags::default());
            }
        }
    }
    Ok(tree)
}

fn add(
    tree: &mut Tree,
    mount: &runtime::Mount,
    bundle: &Path,
    rootfs: &Path,
    overlay: Overlay,
) -> Result<()> {
    let destination = guest_path(mount.destination())?;
    if destination == "/" {
        return Err(Error::new("the root is root.path"));
    }
    check_target(rootfs, &destination)?;
    let options = Options::parse(mount.options().iter().flatten());
    let flags = options.flags;
    let kind = match mount.typ().as_deref() {
        _ if options.bind => return bind(tree, mount, &destination, bundle, overlay, flags),
        None | Some("bind" | "none" | "rbind") => {
            return bind(tree, mount, &destination, bundle, overlay, flags);
        }
        // Engines put an empty tmpfs there and expect the runtime to fill it.
        Some("tmpfs") if destination == "/dev" => MountKind::Dev,
        Some("tmpfs") => MountKind::Tmpfs {
            size: options.size,
            mode: options.mode.unwrap_or(0o1777),
            uid: options.uid,
            gid: options.gid,
        },
        Some("devtmpfs") => MountKind::Dev,
        Some("proc") => MountKind::Proc,
        Some("sysfs") => MountKind::Sysfs,
        Some("devpts") => MountKind::Devpts,
        Some("mqueue") => MountKind::Mqueue,
        Some("cgroup" | "cgroup2") => MountKind::Cgroup,
        Some(other) => return Err(Error::new(format!("file system type {other:?} is not supported"))),
    };
    tree.push(&destination, kind, flags);
    Ok(())
}

fn bind(
    tree: &mut Tree,
    mount: &runtime::Mount,
    destination: &str,
    bundle: &Path,
    overlay: Overlay,
    flags: MountFlags,
) -> Result<()> {
    let source = mount.source().as_ref().ok_or_else(|| Error::new("a bind mount needs a source"))?;
    let source: PathBuf = bundle.join(source);
    let is_directory = fs::metadata(&source).context(source.display())?.is_dir();
    let writes = match (flags.read_only, overlay) {
        (true, _) => Writes::Refused,
        (false, Overlay::All) if is_directory => Writes::ToMemory,
        (false, Overlay::All) => Writes::Refused,
        (false, _) => Writes::ToHost,
    };
    tree.host(&source, destination, writes, flags)
}

#[derive(Debug, Default)]
struct Options {
    flags: MountFlags,
    bind: bool,
    size: Option<u64>,
    mode: Option<u32>,
    uid: u32,
    gid: u32,
}

impl Options {
    /// As mount(8) and runc name them. What makes no difference here, like propagation, is ignored.
    fn parse<'a>(options: impl Iterator<Item = &'a String>) -> Options {
        let mut parsed = Options::default();
        let flags = &mut parsed.flags;
        for option in options {
            match option.split_once('=').unwrap_or((option, "")) {
                ("ro" | "rro", _) => flags.read_only = true,
                ("rw" | "rrw", _) => flags.read_only = false,
                ("nosuid", _) => flags.no_suid = true,
                ("suid", _) => flags.no_suid = false,
                ("nodev", _) => flags.no_dev = true,
                ("dev", _) => flags.no_dev = false,
                ("noexec", _) => flags.no_exec = true,
                ("exec", _) => flags.no_exec = false,
                ("noatime", _) => flags.no_atime = true,
                ("atime", _) => flags.no_atime = false,
                ("bind" | "rbind", _) => parsed.bind = true,
                ("size", value) => parsed.size = parse_size(value),
                ("mode", value) => parsed.mode = u32::from_str_radix(value, 8).ok().map(|mode| mode & 0o7777),
                ("uid", value) => parsed.uid = value.parse().unwrap_or(0),
                ("gid", value) => parsed.gid = value.parse().unwrap_or(0),
                _ => log::debug!("mount option {option} ignored"),
            }
        }
        parsed
    }
}

/// tmpfs(5)'s `size`: bytes, or with a suffix. Percentages are left to the sentry's default.
fn parse_size(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()?.to_ascii_lowercase() {
        b'k' => (&text[..text.len() - 1], 10),
        b'm' => (&text[..text.len() - 1], 20),
        b'g' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Refuses a mount point that is a symbolic link to a place outside of the root, as seen from the host. The sentry
/// would resolve it inside, so nothing could happen; but whoever wrote it meant harm, or another place.
fn check_target(rootfs: &Path, destination: &str) -> Result<()> {
    let path = Path::new(destination.trim_start_matches('/'));
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = open(rootfs, flags, nix::sys::stat::Mode::empty()).context(rootfs.display())?;
    let parent_path = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let how = OpenHow::new()
        .flags(flags)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let Ok(directory) = openat2(&root, parent_path, how) else { return Ok(()) };
    let Ok(link) = readlinkat(&directory, name) else { return Ok(()) };
    if leaves_root(parent, Path::new(&link)) {
        return Err(Error::new(format!(
            "the mount point is a symbolic link out of the root, to {}",
            link.display()
        )));
    }
    Ok(())
}

/// Whether a link in `directory` (of the root) leads above the root or, absolute, to the host's tree.
fn leaves_root(directory: &Path, link: &Path) -> bool {
    let mut depth = directory.components().count();
    for component in link.components() {
        match component {
            Component::RootDir | Component::Prefix(_) => return true,
            Component::CurDir => {}
            Component::Normal(_) => depth += 1,
            Component::ParentDir => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return true,
            },
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_out_of_the_root() {
        let leaves = |directory: &str, link: &str| leaves_root(Path::new(directory), Path::new(link));
        assert!(leaves("", "/etc"));
        assert!(leaves("", "../etc"));
        assert!(leaves("etc", "../../x"));
        assert!(!leaves("etc", "../run/systemd/resolve/stub-resolv.conf"));
        assert!(!leaves("", "a/../b"));
    }

    #[test]
    fn overlays() {
        assert_eq!(parse_overlay("none"), Ok(Overlay::None));
        assert_eq!(parse_overlay("root:memory"), Ok(Overlay::Root));
        assert_eq!(parse_overlay("all:memory"), Ok(Overlay::All));
        assert!(parse_overlay("root:self").unwrap_err().contains("self"));
        assert!(parse_overlay("x").is_err());
    }

    #[test]
    fn options() {
        let words = ["rbind", "ro", "nosuid", "noexec", "exec", "size=64k", "mode=755", "uid=5", "rprivate"];
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let options = Options::parse(words.iter());
        let flags = MountFlags { read_only: true, no_suid: true, ..MountFlags::default() };
        assert!(options.bind);
        assert_eq!(options.flags, flags);
        assert_eq!((options.size, options.mode, options.uid), (Some(65_536), Some(0o755), 5));
        assert_eq!(parse_size("2g"), Some(2 << 30));
        assert_eq!(parse_size("50%"), None);
        assert_eq!(parse_size(""), None);
    }
}
