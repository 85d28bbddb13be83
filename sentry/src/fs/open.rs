//! Opening files: what open(2), openat2(2), execve(2) and the loader have in common (`fs/namei.c`, `fs/open.c`).

use std::sync::{Arc, atomic::Ordering};

use linux_abi::{
    Errno, Result,
    fcntl::{
        MS_NODEV, MS_NOEXEC, O_ACCMODE, O_APPEND, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, O_LARGEFILE,
        O_NOATIME, O_NOCTTY, O_NOFOLLOW, O_PATH, O_TMPFILE, O_TRUNC, RESOLVE_BENEATH, RESOLVE_CACHED,
        RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV,
    },
};

use super::{
    dentry::Dentry,
    describe,
    entries::refuses_itself,
    file::{File, FileCx, FileOps, WriteAccess},
    inode::{FileType, Inode, SetAttr},
    inotify_hook,
    io::{Sink, Source},
    path::Path,
    permission::{self, Access},
    types::pipe,
    walk::{Last, Lookup, Walker, lookup_child_locked},
};
use crate::{
    error::SysResult,
    task::Task,
    wait::{Events, Watch},
};

/// `__O_TMPFILE`, without `O_DIRECTORY`.
const TMPFILE_BIT: u32 = O_TMPFILE & !O_DIRECTORY;
/// All flags open(2) knows (`VALID_OPEN_FLAGS`).
const VALID: u32 = 0o37_777_703;

/// `struct open_how`.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenHow {
    /// `O_*`.
    pub flags: u32,
    /// Permission bits of a file that is made.
    pub mode: u32,
    /// `RESOLVE_*`.
    pub resolve: u64,
}

impl OpenHow {
    /// What open(2) makes of its arguments: what it does not know it ignores.
    pub fn from_open(flags: u32, mode: u32) -> OpenHow {
        let mut flags = flags & VALID;
        if flags & O_PATH != 0 {
            flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
        }
        let makes = flags & (O_CREAT | TMPFILE_BIT) != 0;
        OpenHow { flags: flags | O_LARGEFILE, mode: if makes { mode & 0o7777 } else { 0 }, resolve: 0 }
    }

    /// Checks what openat2(2) was given; nothing unknown passes.
    ///
    /// # Errors
    /// `EINVAL`, `EAGAIN`.
    pub fn validate(&self) -> Result<()> {
        const RESOLVE: u64 = RESOLVE_NO_XDEV
            | RESOLVE_NO_MAGICLINKS
            | RESOLVE_NO_SYMLINKS
            | RESOLVE_BENEATH
            | RESOLVE_IN_ROOT
            | RESOLVE_CACHED;
        const SCOPED: u64 = RESOLVE_BENEATH | RESOLVE_IN_ROOT;
        let flags = self.flags;
        let makes = flags & (O_CREAT | TMPFILE_BIT) != 0;
        let bad_mode = if makes { self.mode & !0o7777 != 0 } else { self.mode != 0 };
        let bad_tmpfile = flags & TMPFILE_BIT != 0
            && (flags & (O_TMPFILE | O_CREAT) != O_TMPFILE
                || !Access::of_open(flags).contains(Access::WRITE));
        let path_only = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_LARGEFILE;
        if flags & !VALID != 0
            || self.resolve & !RESOLVE != 0
            || self.resolve & SCOPED == SCOPED
            || bad_mode
            || flags & (O_DIRECTORY | O_CREAT) == O_DIRECTORY | O_CREAT
            || bad_tmpfile
            || (flags & O_PATH != 0 && flags & !path_only != 0)
        {
            return Err(Errno::EINVAL);
        }
        if self.resolve & RESOLVE_CACHED != 0 && flags & (O_TRUNC | O_CREAT | TMPFILE_BIT) != 0 {
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }

    fn lookup(&self) -> Lookup {
        let mut lookup = Lookup::empty();
        lookup.set(Lookup::FOLLOW, self.flags & O_NOFOLLOW == 0);
        lookup.set(Lookup::DIRECTORY, self.flags & O_DIRECTORY != 0);
        for (resolve, flag) in [
            (RESOLVE_NO_XDEV, Lookup::NO_XDEV),
            (RESOLVE_NO_MAGICLINKS, Lookup::NO_MAGICLINKS),
            (RESOLVE_NO_SYMLINKS, Lookup::NO_SYMLINKS),
            (RESOLVE_BENEATH, Lookup::BENEATH),
            (RESOLVE_IN_ROOT, Lookup::IN_ROOT),
            (RESOLVE_CACHED, Lookup::CACHED),
        ] {
            lookup.set(flag, self.resolve & resolve != 0);
        }
        lookup
    }
}

/// Opens `path`. `how` has been validated.
///
/// # Errors
/// Those of openat2(2); may be interrupted while it waits for the other end of a FIFO.
pub fn open(task: &Task, dirfd: i32, path: &[u8], how: &OpenHow) -> SysResult<Arc<File>> {
    let mut lookup = how.lookup();
    let flags = how.flags;
    lookup.set(Lookup::OPEN, flags & (O_PATH | O_CREAT | TMPFILE_BIT | O_DIRECTORY | O_ACCMODE) == 0);
    let mut walker = Walker::new(task, task.creds(), dirfd, path, lookup)?;
    if flags & O_PATH != 0 {
        let file = File::opened(Box::new(PathFile), flags & !(O_LARGEFILE | O_CLOEXEC), walker.finish()?);
        file.opened_by(task.creds());
        return Ok(file);
    }
    if flags & O_TMPFILE == O_TMPFILE {
        return open_unnamed(task, &walker.finish()?, how);
    }
    if flags & O_CREAT == 0 {
        let place = walker.finish()?;
        return open_checked(task, place, flags, Access::of_open(flags));
    }
    loop {
        let Some(last) = walker.walk_to_last()? else {
            return Err(if flags & O_EXCL != 0 { Errno::EEXIST } else { Errno::EISDIR }.into());
        };
        let Last::Name(name) = &last else {
            return Err(if flags & O_EXCL != 0 { Errno::EEXIST } else { Errno::EISDIR }.into());
        };
        if walker.trailing_slash() {
            return Err(Errno::EISDIR.into());
        }
        let (found, created) = if flags & O_EXCL != 0 && refuses_itself(&task.creds(), walker.place(), name) {
            create(task, &walker, name, how)?
        } else {
            match walker.lookup(name) {
                Err(Errno::ENOENT) => create(task, &walker, name, how)?,
                found => (found?, false),
            }
        };
        if created {
            // Whatever its mode says, its maker may use it as asked.
            return open_place(task, found, flags & !O_TRUNC);
        }
        if flags & O_EXCL != 0 {
            return Err(Errno::EEXIST.into());
        }
        if found.inode().kind() == FileType::Symlink {
            if flags & O_NOFOLLOW != 0 {
                return Err(Errno::ELOOP.into());
            }
            walker.follow_last(&found)?;
            if walker.is_at_end() {
                // A magic link: it leads to a file, not to a name.
                return open_checked(task, walker.arrived()?, flags, Access::of_open(flags));
            }
            continue;
        }
        if found.inode().kind() == FileType::Directory {
            return Err(Errno::EISDIR.into());
        }
        return open_checked(task, found, flags, Access::of_open(flags));
    }
}

/// Makes the regular file `name` where the walk is; gives what is there and whether it was made.
fn create(task: &Task, walker: &Walker<'_>, name: &[u8], how: &OpenHow) -> Result<(Path, bool)> {
    let dir = walker.place();
    let mount = Arc::clone(&dir.mount);
    let _entries = dir.inode().common().write_lock.lock();
    let creds = task.creds();
    if how.flags & O_EXCL == 0 || !refuses_itself(&creds, dir, name) {
        match lookup_child_locked(task, dir, name) {
            Err(Errno::ENOENT) => {}
            found => return Ok((super::mount::cross(Path { mount, dentry: found? }), false)),
        }
    }
    dir.mount.want_write()?;
    permission::may_create(&creds, dir)?;
    let perm = how.mode & !task.fs().umask();
    let node = permission::new_node(&creds, &dir.inode().access_attr()?, FileType::Regular, perm, 0, b"");
    let inode = dir.inode().create(name, &node)?;
    let dentry = dir.dentry.adopt(name, inode);
    inotify_hook::created(&task.kernel.inotify, dir.inode(), name, dentry.inode());
    task.kernel.dentries.keep(Arc::clone(&dentry));
    Ok((Path { mount, dentry }, true))
}

fn open_unnamed(task: &Task, dir: &Path, how: &OpenHow) -> SysResult<Arc<File>> {
    let creds = task.creds();
    dir.mount.want_write()?;
    permission::check_path(&creds, dir, Access::WRITE | Access::EXEC)?;
    let perm = how.mode & !task.fs().umask();
    let node = permission::new_node(&creds, &dir.inode().access_attr()?, FileType::Regular, perm, 0, b"");
    let inode = dir.inode().create_unnamed(&node)?;
    inode.common().linkable.store(how.flags & O_EXCL == 0, Ordering::Relaxed);
    let mut name = describe::describe(dir, &task.fs().root()).path;
    if name.len() > 1 {
        name.push(b'/');
    }
    name.extend_from_slice(format!("#{}", inode.attr()?.ino).as_bytes());
    let dentry = Dentry::unattached(&name, inode);
    open_place(task, Path { mount: Arc::clone(&dir.mount), dentry }, how.flags & !(O_DIRECTORY | O_TRUNC))
}

/// Opens what is at `place`, if its permissions allow `access` (`may_open`).
fn open_checked(task: &Task, place: Path, flags: u32, access: Access) -> SysResult<Arc<File>> {
    let inode = place.inode();
    let attr = inode.access_attr()?;
    let mut access = access;
    if flags & O_TRUNC != 0 {
        access |= Access::WRITE;
    }
    let mut flags = flags;
    match inode.kind() {
        FileType::Symlink => return Err(Errno::ELOOP.into()),
        FileType::Directory if access.contains(Access::WRITE) => return Err(Errno::EISDIR.into()),
        FileType::CharDevice | FileType::BlockDevice if place.mount.has(MS_NODEV) => {
            return Err(Errno::EACCES.into());
        }
        FileType::Regular | FileType::Directory => {}
        _ => flags &= !O_TRUNC,
    }
    let creds = task.creds();
    permission::check(&creds, &attr, access)?;
    if flags & O_NOATIME != 0 && !permission::is_owner(&creds, &attr) {
        return Err(Errno::EPERM.into());
    }
    open_place(task, place, flags)
}

/// Opens what is at `place` without looking at permissions (`do_dentry_open`).
///
/// # Errors
/// `ETXTBSY`, `EROFS`, `ENXIO`, those of the file's type; interrupted waits for the other end of a FIFO.
pub fn open_place(task: &Task, place: Path, flags: u32) -> SysResult<Arc<File>> {
    let inode = Arc::clone(place.inode());
    let kind = inode.kind();
    let writes = flags & O_TRUNC != 0 || matches!(flags & O_ACCMODE, 1 | 2);
    let mut access = WriteAccess::none();
    if writes && matches!(kind, FileType::Regular) {
        place.mount.want_write()?;
        access = WriteAccess::writer(&inode)?;
    }
    if flags & O_TRUNC != 0 && kind == FileType::Regular {
        truncate(task, &inode, 0)?;
        inotify_hook::truncated(&task.kernel.inotify, &place.dentry);
    }
    let kept = flags & !(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC);
    let ops: Box<dyn FileOps> = match kind {
        _ if inode.opens_itself() => Arc::clone(&inode).open(task, flags)?,
        FileType::Symlink => return Err(Errno::ELOOP.into()),
        FileType::Socket => return Err(Errno::ENXIO.into()),
        FileType::Fifo => pipe::open_fifo(task, &inode, flags)?,
        FileType::CharDevice | FileType::BlockDevice => {
            let device = task.kernel.devices.open(task, &inode, flags);
            match device {
                Err(Errno::ENXIO) => Arc::clone(&inode).open(task, flags)?,
                device => device?,
            }
        }
        FileType::Regular | FileType::Directory => Arc::clone(&inode).open(task, flags)?,
    };
    let file = File::opened_with(ops, kept, place, access);
    file.opened_by(task.creds());
    file.announce_open(&task.kernel.inotify);
    Ok(file)
}

/// Sets the size of a regular file; a writer's side effects on setuid bits included. Permissions were checked.
///
/// # Errors
/// `EFBIG`, `ENOSPC`, `EPERM` (seals).
pub fn truncate(task: &Task, inode: &Arc<dyn Inode>, size: u64) -> Result<()> {
    let _sizes = inode.common().write_lock.lock();
    let perm = permission::after_write(&task.creds(), &inode.access_attr()?);
    inode.set_attr(&SetAttr { size: Some(size), perm, ..SetAttr::default() })
}

/// Opens a program for execve(2): a regular, executable file that nobody is writing; as long as the file stays open
/// nobody can start to (`ETXTBSY`). `lookup` is `FOLLOW`, `EMPTY` or both.
///
/// # Errors
/// `EACCES`, `ETXTBSY`, `ELOOP` for a symbolic link that was not to be followed, those of path resolution.
pub fn open_exec(task: &Task, dirfd: i32, path: &[u8], lookup: Lookup) -> Result<Arc<File>> {
    let place = super::walk::resolve(task, dirfd, path, lookup)?;
    let inode = Arc::clone(place.inode());
    if inode.kind() == FileType::Symlink {
        return Err(Errno::ELOOP);
    }
    if inode.kind() != FileType::Regular || place.mount.has(MS_NOEXEC) {
        return Err(Errno::EACCES);
    }
    permission::check(&task.creds(), &inode.access_attr()?, Access::EXEC)?;
    let access = WriteAccess::deny(&inode)?;
    let ops = Arc::clone(&inode).open(task, O_LARGEFILE)?;
    let file = File::opened_with(ops, O_LARGEFILE, place, access);
    file.announce_open(&task.kernel.inotify);
    Ok(file)
}

/// What an `O_PATH` descriptor refers to: a place, not an open file.
struct PathFile;

impl FileOps for PathFile {
    fn read(&self, _cx: FileCx<'_>, _dst: &mut dyn Sink, _pos: &mut u64) -> Result<usize> {
        Err(Errno::EBADF)
    }

    fn write(&self, _cx: FileCx<'_>, _src: &mut dyn Source, _pos: &mut u64) -> Result<usize> {
        Err(Errno::EBADF)
    }

    fn poll(&self, _file: &File, _watch: Option<&mut Watch>) -> Events {
        Events::NVAL
    }
}

impl WriteAccess {
    /// Counts an open for writing.
    ///
    /// # Errors
    /// `ETXTBSY` while the file is being executed.
    pub fn writer(inode: &Arc<dyn Inode>) -> Result<WriteAccess> {
        let step = |count: i32| (count >= 0).then(|| count.saturating_add(1));
        WriteAccess::change(inode, step, 1)
    }

    /// Counts an execution.
    ///
    /// # Errors
    /// `ETXTBSY` while the file is open for writing.
    pub fn deny(inode: &Arc<dyn Inode>) -> Result<WriteAccess> {
        let step = |count: i32| (count <= 0).then(|| count.saturating_sub(1));
        WriteAccess::change(inode, step, -1)
    }

    fn change(inode: &Arc<dyn Inode>, step: impl Fn(i32) -> Option<i32>, by: i32) -> Result<WriteAccess> {
        let writers = &inode.common().writers;
        writers.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).map_err(|_| Errno::ETXTBSY)?;
        Ok(WriteAccess::holding(Arc::clone(inode), by))
    }
}

/// `O_APPEND`, for files that look at it themselves.
pub fn appends(file: &File) -> bool {
    file.flags() & O_APPEND != 0
}
