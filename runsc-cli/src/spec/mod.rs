//! OCI bundles: reads `config.json` and turns it into what the sentry and the gofer are told.
//!
//! A configuration is not trusted: whatever is wrong with it is one line and nothing else happens. Paths of the guest
//! are resolved by the sentry in the guest's own tree, never here.

mod mounts;
mod process;

use std::{
    collections::{BTreeSet, HashMap},
    fs::File,
    io::Read,
    path::{Component, Path, PathBuf},
};

use oci_spec::runtime::{LinuxNamespaceType, Spec};

use crate::{
    control::protocol::{Process, SandboxConfig},
    error::{Context, Error, Result},
    mounts::Tree,
};

pub use mounts::{Overlay, parse_overlay};
pub use process::process_of;

/// Larger than any real configuration.
const MAX_CONFIG: u64 = 16 << 20;

/// What a configuration asks for.
#[derive(Debug)]
pub struct Container {
    /// Absolute path of the bundle.
    pub bundle: PathBuf,
    /// Absolute path of the root.
    pub rootfs: PathBuf,
    /// The guest's files.
    pub tree: Tree,
    /// The guest's kernel, without its mounts.
    pub sandbox: SandboxConfig,
    /// The first process, without its streams.
    pub process: Process,
    /// It wants a terminal.
    pub terminal: bool,
    /// Initial size of the terminal, rows and columns.
    pub console_size: Option<(u16, u16)>,
    /// Where its control group is.
    pub cgroups_path: Option<PathBuf>,
    /// As in the configuration.
    pub oci_version: String,
    /// As in the configuration.
    pub annotations: HashMap<String, String>,
}

/// Reads a bundle.
///
/// # Errors
/// There is something wrong with it.
pub fn load(bundle: &Path, overlay: Overlay) -> Result<Container> {
    let bundle = std::fs::canonicalize(bundle).context(format!("bundle {}", bundle.display()))?;
    let path = bundle.join("config.json");
    let config = File::open(&path).context(path.display())?;
    if !config.metadata().context(path.display())?.is_file() {
        return Err(Error::new(format!("{}: not a regular file", path.display())));
    }
    let mut text = Vec::new();
    config.take(MAX_CONFIG).read_to_end(&mut text).context(path.display())?;
    let spec: Spec = serde_json::from_slice(&text).context(path.display())?;
    container(&spec, bundle, overlay).context(path.display())
}

fn container(spec: &Spec, bundle: PathBuf, overlay: Overlay) -> Result<Container> {
    let version = spec.version();
    if !version.starts_with("1.") {
        return Err(Error::new(format!("ociVersion {version:?} is not supported")));
    }
    let oci_process = spec.process().as_ref().ok_or_else(|| Error::new("there is no process"))?;
    let process = process_of(oci_process)?;
    let rootfs = rootfs(spec, &bundle)?;
    check_namespaces(spec)?;
    if spec.hooks().is_some() {
        log::warn!("hooks are not run");
    }
    let tree = mounts::tree(spec, &bundle, &rootfs, overlay)?;
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    // "-1", and 0 for pids in old configurations, is no limit.
    let positive = |limit: i64| u64::try_from(limit).ok().filter(|limit| *limit > 0);
    let sandbox = SandboxConfig {
        hostname: spec.hostname().clone().unwrap_or_else(|| "runsc".into()).into(),
        domainname: spec.domainname().clone().unwrap_or_else(|| "(none)".into()).into(),
        pids_limit: resources.and_then(|r| r.pids().as_ref()).and_then(|pids| positive(pids.limit())),
        memory_limit: resources
            .and_then(|r| r.memory().as_ref())
            .and_then(|memory| memory.limit())
            .and_then(positive),
        strace: None,
        mounts: Vec::new(),
    };
    let console_size = oci_process
        .console_size()
        .and_then(|size| Some((u16::try_from(size.height()).ok()?, u16::try_from(size.width()).ok()?)));
    Ok(Container {
        rootfs,
        tree,
        sandbox,
        process,
        terminal: oci_process.terminal().unwrap_or(false),
        console_size,
        cgroups_path: spec.linux().as_ref().and_then(|linux| linux.cgroups_path().clone()),
        oci_version: version.clone(),
        annotations: spec.annotations().clone().unwrap_or_default(),
        bundle,
    })
}

/// The root directory, which must exist and be one.
fn rootfs(spec: &Spec, bundle: &Path) -> Result<PathBuf> {
    let root = spec.root().as_ref().ok_or_else(|| Error::new("there is no root"))?.path();
    if root.components().any(|component| component == Component::ParentDir) {
        return Err(Error::new(format!("root.path {} has a \"..\" in it", root.display())));
    }
    let path = bundle.join(root);
    let path = std::fs::canonicalize(&path).context(format!("root.path {}", path.display()))?;
    if !path.is_dir() {
        return Err(Error::new(format!("root.path {} is not a directory", path.display())));
    }
    Ok(path)
}

/// Each type at most once; no joining of other containers' namespaces, except the host's network namespaces, which
/// engines make for each container and which are unused without a network.
fn check_namespaces(spec: &Spec) -> Result<()> {
    let Some(linux) = spec.linux() else { return Ok(()) };
    let mut seen = BTreeSet::new();
    for namespace in linux.namespaces().iter().flatten() {
        let name = namespace.typ().to_string();
        if !seen.insert(name.clone()) {
            return Err(Error::new(format!("linux.namespaces has {name} twice")));
        }
        if let Some(path) = namespace.path() {
            if namespace.typ() != LinuxNamespaceType::Network {
                return Err(Error::new(format!(
                    "joining the {name} namespace {} is not supported",
                    path.display()
                )));
            }
            if !path.exists() {
                return Err(Error::new(format!("{name} namespace {} does not exist", path.display())));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
