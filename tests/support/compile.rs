//! Compiles C programs of the tests, each once, into a directory that an ordinary user may read too.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    time::Duration,
};

use crate::{here, run};

/// Where the binaries go: one directory for each checkout and user, so that neither meets the other's.
#[must_use]
pub fn binary_directory() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    here().hash(&mut hasher);
    env::temp_dir().join(format!("conformance-{}-{:x}", nix::unistd::getuid(), hasher.finish()))
}

/// Compiles `source` (static, with threads, and with these options) to [`binary_directory`]`/NAME`, unless the binary is
/// newer than it and `headers`. Several test programs may do so at once.
///
/// # Errors
/// What the compiler says.
pub fn compile(source: &Path, headers: &[PathBuf], options: &[&str]) -> Result<PathBuf, String> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    let directory = binary_directory();
    fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let binary = directory.join(source.file_stem().unwrap_or_default());
    let time = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    let newest = headers.iter().map(|header| time(header)).max().flatten().max(time(source));
    if time(&binary) > newest {
        return Ok(binary);
    }
    let fresh = binary.with_extension(format!("{}.new", std::process::id()));
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-Wall", "-Werror", "-static", "-pthread"])
        .args(options)
        .arg("-o")
        .arg(&fresh)
        .arg(source);
    let outcome = run(&mut cc, Duration::from_secs(120));
    if outcome.code != Some(0) {
        return Err(format!("{}: {}", source.display(), String::from_utf8_lossy(&outcome.stderr)));
    }
    fs::rename(&fresh, &binary).map_err(|error| error.to_string())?;
    Ok(binary)
}

/// The C sources directly in a directory.
///
/// # Errors
/// It cannot be read.
pub fn sources(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut sources: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .collect();
    sources.sort();
    Ok(sources)
}
