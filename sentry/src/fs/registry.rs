//! Kinds of filesystems that can be mounted, by name (/proc/filesystems).

use std::{collections::BTreeMap, sync::Arc};

use linux_abi::{Errno, Result};
use parking_lot::RwLock;

use super::{
    inode::FileSystem,
    types::{
        mqueue::MqueueFs,
        proc::ProcFs,
        sysfs::SysFs,
        tmpfs::{TmpFs, TmpOptions},
        tty::devpts::DevPts,
    },
};
use crate::task::Task;

/// Makes filesystems of one kind.
pub trait FileSystemType: Send + Sync {
    /// A new (or, for filesystems that exist once, the) filesystem. `data` are mount(2)'s options.
    ///
    /// # Errors
    /// `EINVAL` for options it does not know.
    fn mount(&self, task: &Task, source: &[u8], data: &[u8]) -> Result<Arc<dyn FileSystem>>;
}

/// The kinds a kernel knows.
pub struct FileSystemTypes {
    types: RwLock<BTreeMap<&'static str, Arc<dyn FileSystemType>>>,
}

impl Default for FileSystemTypes {
    fn default() -> FileSystemTypes {
        let types = FileSystemTypes { types: RwLock::default() };
        types.register("tmpfs", Arc::new(TmpFsType));
        types.register("ramfs", Arc::new(TmpFsType));
        types.register("proc", Arc::new(ProcFsType));
        types.register("sysfs", Arc::new(SysFsType));
        types.register("devpts", Arc::new(DevPtsType));
        types.register("mqueue", Arc::new(MqueueType));
        types
    }
}

impl FileSystemTypes {
    /// Adds a kind.
    pub fn register(&self, name: &'static str, kind: Arc<dyn FileSystemType>) {
        self.types.write().insert(name, kind);
    }

    /// The kind called `name`.
    ///
    /// # Errors
    /// `ENODEV`.
    pub fn get(&self, name: &[u8]) -> Result<Arc<dyn FileSystemType>> {
        let name = std::str::from_utf8(name).map_err(|_| Errno::ENODEV)?;
        self.types.read().get(name).cloned().ok_or(Errno::ENODEV)
    }

    /// All names.
    pub fn names(&self) -> Vec<&'static str> {
        self.types.read().keys().copied().collect()
    }
}

struct TmpFsType;

impl FileSystemType for TmpFsType {
    fn mount(&self, task: &Task, _source: &[u8], data: &[u8]) -> Result<Arc<dyn FileSystem>> {
        let options = tmpfs_options(task, data)?;
        Ok(TmpFs::new(task.kernel.new_dev(), &options).sharing(&task.kernel.file_memory))
    }
}

struct ProcFsType;

impl FileSystemType for ProcFsType {
    fn mount(&self, task: &Task, _source: &[u8], _data: &[u8]) -> Result<Arc<dyn FileSystem>> {
        Ok(ProcFs::new(&task.kernel, task.kernel.new_dev()))
    }
}

struct SysFsType;

impl FileSystemType for SysFsType {
    fn mount(&self, task: &Task, _source: &[u8], _data: &[u8]) -> Result<Arc<dyn FileSystem>> {
        Ok(SysFs::new(&task.kernel, task.kernel.new_dev()))
    }
}

struct DevPtsType;

impl FileSystemType for DevPtsType {
    fn mount(&self, task: &Task, _source: &[u8], _data: &[u8]) -> Result<Arc<dyn FileSystem>> {
        Ok(DevPts::new(&task.kernel, task.kernel.new_dev()))
    }
}

struct MqueueType;

impl FileSystemType for MqueueType {
    fn mount(&self, task: &Task, _source: &[u8], _data: &[u8]) -> Result<Arc<dyn FileSystem>> {
        Ok(Arc::<MqueueFs>::clone(&task.kernel.mqueue))
    }
}

/// The options of tmpfs(5). Unlimited means half of the memory: the sandbox's memory is not the guest's to promise.
///
/// # Errors
/// `EINVAL`.
pub fn tmpfs_options(task: &Task, data: &[u8]) -> Result<TmpOptions> {
    let memory = task.kernel.host.memory;
    let mut options = TmpOptions::with_size(memory / 2);
    let text = std::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
    for option in text.split(',').filter(|option| !option.is_empty()) {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        let number = || value.parse::<u32>().map_err(|_| Errno::EINVAL);
        match key {
            "size" => options.size = limit(value, memory)?.unwrap_or(options.size),
            "nr_blocks" => {
                let blocks = limit(value, memory)?;
                options.size =
                    blocks.map_or(options.size, |blocks| blocks.saturating_mul(linux_abi::PAGE_SIZE));
            }
            "nr_inodes" => options.inodes = limit(value, memory)?.unwrap_or(options.inodes),
            "mode" => options.mode = u32::from_str_radix(value, 8).map_err(|_| Errno::EINVAL)? & 0o7777,
            "uid" => options.uid = number()?,
            "gid" => options.gid = number()?,
            "huge" | "mpol" | "noswap" | "inode32" | "inode64" | "rw" | "ro" => {}
            _ => return Err(Errno::EINVAL),
        }
    }
    options.size = options.size.min(memory);
    options.inodes = options.inodes.min(memory / 1024);
    Ok(options)
}

/// A number with a suffix (`k`, `m`, `g`) or a percentage of `whole`; zero is no limit.
fn limit(text: &str, whole: u64) -> Result<Option<u64>> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| Errno::EINVAL)?;
    let scale = match text.get(digits.len()..).unwrap_or_default() {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        "%" => {
            return Ok(Some((u128::from(whole) * u128::from(number) / 100).try_into().unwrap_or(u64::MAX)));
        }
        _ => return Err(Errno::EINVAL),
    };
    Ok(Some(number.saturating_mul(scale)).filter(|&limit| limit > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_suffixes() {
        assert_eq!(limit("64m", 0), Ok(Some(64 << 20)));
        assert_eq!(limit("50%", 1000), Ok(Some(500)));
        assert_eq!(limit("0", 0), Ok(None));
        assert_eq!(limit("12q", 0), Err(Errno::EINVAL));
        assert_eq!(limit("k", 0), Err(Errno::EINVAL));
    }
}
