//! Memory and nodes: set_mempolicy(2), get_mempolicy(2), mbind(2), set_mempolicy_home_node(2), migrate_pages(2), move_pages(2).
//!
//! There is one node. Policies are checked, kept and shown.

use std::sync::Arc;

use linux_abi::{Errno, PAGE_SIZE, PageRange, Result, UserAddr};

use super::memory::check_access;
use crate::{
    credentials::Caps,
    mm::policy::{
        MPOL_BIND, MPOL_DEFAULT, MPOL_INTERLEAVE, MPOL_PREFERRED_MANY, MPOL_WEIGHTED_INTERLEAVE,
        MemoryPolicy, NODES,
    },
    task::{Task, ThreadCx, usermem::UserMemory},
};

/// Bits a mask of nodes may have at all (`MAX_NUMNODES`, and the most set_mempolicy(2) looks at).
const MAX_NUMNODES: u64 = 64;
const MASK_LIMIT: u64 = PAGE_SIZE * 8;
/// get_mempolicy(2).
const MPOL_F_NODE: u64 = 1;
const MPOL_F_ADDR: u64 = 2;
const MPOL_F_MEMS_ALLOWED: u64 = 4;
/// mbind(2) and move_pages(2).
const MPOL_MF_STRICT: u32 = 1;
const MPOL_MF_MOVE: u32 = 2;
const MPOL_MF_MOVE_ALL: u32 = 4;

/// A mask of nodes from the guest, whose last bit does not count (`get_nodes`).
fn read_nodes(cx: &mut ThreadCx, at: UserAddr, maxnode: u64) -> Result<u64> {
    let bits = maxnode.wrapping_sub(1);
    if bits == 0 || at.is_null() {
        return Ok(0);
    }
    if bits > MASK_LIMIT {
        return Err(Errno::EINVAL);
    }
    let words: Vec<u64> = cx.read_array(at, usize::try_from(bits.div_ceil(64)).unwrap_or(0))?;
    let mut nodes = 0;
    for (index, word) in (0u64..).zip(words) {
        let valid = bits - index * 64;
        let word = if valid < 64 { word & ((1 << valid) - 1) } else { word };
        if index == 0 {
            nodes = word;
        } else if word != 0 {
            return Err(Errno::EINVAL);
        }
    }
    Ok(nodes)
}

/// Shows a mask of nodes (`copy_nodes_to_user`).
fn write_nodes(cx: &mut ThreadCx, at: UserAddr, maxnode: u64, nodes: u64) -> Result<()> {
    let bytes = (maxnode.saturating_sub(1)).div_ceil(64) * 8;
    if bytes > PAGE_SIZE {
        return Err(Errno::EINVAL);
    }
    let mut mask = vec![0; usize::try_from(bytes).unwrap_or(0)];
    if let Some(first) = mask.first_chunk_mut::<8>() {
        *first = nodes.to_le_bytes();
    }
    if mask.is_empty() { Ok(()) } else { cx.write_bytes(at, &mask) }
}

/// set_mempolicy(2).
pub fn set_mempolicy(cx: &mut ThreadCx, mode: i32, nodes: UserAddr, maxnode: u64) -> Result<()> {
    let mode = mode.cast_unsigned();
    MemoryPolicy::check_mode(mode)?;
    let nodes = read_nodes(cx, nodes, maxnode)?;
    let policy = MemoryPolicy::new(mode, nodes)?;
    cx.task.scheduling.lock().memory_policy = policy;
    Ok(())
}

/// get_mempolicy(2).
pub fn get_mempolicy(
    cx: &mut ThreadCx,
    mode_at: UserAddr,
    nodes_at: UserAddr,
    maxnode: u64,
    addr: UserAddr,
    flags: u64,
) -> Result<()> {
    if !nodes_at.is_null() && maxnode < 1 {
        return Err(Errno::EINVAL);
    }
    let (mode, nodes) = look_up_policy(cx, addr, flags)?;
    if !mode_at.is_null() {
        cx.write_obj(mode_at, &mode)?;
    }
    if nodes_at.is_null() { Ok(()) } else { write_nodes(cx, nodes_at, maxnode, nodes) }
}

fn look_up_policy(cx: &mut ThreadCx, addr: UserAddr, flags: u64) -> Result<(u32, u64)> {
    if flags & !(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED) != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & MPOL_F_MEMS_ALLOWED != 0 {
        return if flags == MPOL_F_MEMS_ALLOWED { Ok((0, NODES)) } else { Err(Errno::EINVAL) };
    }
    let policy = if flags & MPOL_F_ADDR != 0 {
        cx.task.mm()?.memory_policy(addr.0)?
    } else if addr.is_null() {
        cx.task.scheduling.lock().memory_policy
    } else {
        return Err(Errno::EINVAL);
    };
    if flags & MPOL_F_NODE == 0 {
        return Ok((policy.mode(), policy.nodes()));
    }
    if flags & MPOL_F_ADDR != 0 {
        // The node that the page is on, which is brought in for it.
        cx.read_obj::<u8>(addr)?;
        return Ok((0, policy.nodes()));
    }
    // The node of the next page.
    match policy.kind() {
        MPOL_INTERLEAVE | MPOL_WEIGHTED_INTERLEAVE => Ok((0, policy.nodes())),
        _ => Err(Errno::EINVAL),
    }
}

/// The pages of a range as these calls round it; `None` if there are none.
fn pages(start: UserAddr, len: u64) -> Result<Option<PageRange>> {
    if !start.is_page_aligned() {
        return Err(Errno::EINVAL);
    }
    // A length that rounds up beyond the end wraps to nothing.
    let Some(len) = len.checked_next_multiple_of(PAGE_SIZE).filter(|&len| len > 0) else { return Ok(None) };
    PageRange::covering(start.0, len).map(Some).ok_or(Errno::EINVAL)
}

/// mbind(2).
pub fn mbind(
    cx: &mut ThreadCx,
    start: UserAddr,
    len: usize,
    mode: u64,
    nodes: UserAddr,
    maxnode: u64,
    flags: u32,
) -> Result<()> {
    let mode = u32::try_from(mode & 0xffff_ffff).unwrap_or(0);
    MemoryPolicy::check_mode(mode)?;
    let nodes = read_nodes(cx, nodes, maxnode)?;
    if flags & !(MPOL_MF_STRICT | MPOL_MF_MOVE | MPOL_MF_MOVE_ALL) != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & MPOL_MF_MOVE_ALL != 0 && !cx.task.capable(Caps::SYS_NICE) {
        return Err(Errno::EPERM);
    }
    let Some(range) = pages(start, len as u64)? else { return Ok(()) };
    let policy = MemoryPolicy::new(mode, nodes)?;
    cx.task.mm()?.set_memory_policy(range, policy)
}

/// set_mempolicy_home_node(2).
pub fn set_mempolicy_home_node(
    cx: &mut ThreadCx,
    start: UserAddr,
    len: u64,
    home_node: u64,
    flags: u64,
) -> Result<()> {
    if !start.is_page_aligned() || flags != 0 || home_node != 0 {
        return Err(Errno::EINVAL);
    }
    let Some(range) = pages(start, len)? else { return Ok(()) };
    let kinds: Vec<u32> = cx.task.mm()?.memory_policies(range).into_iter().map(MemoryPolicy::kind).collect();
    let mut bound = kinds.iter().filter(|&&kind| kind != MPOL_DEFAULT).peekable();
    if bound.peek().is_none() {
        return Err(Errno::ENOENT);
    }
    if bound.all(|&kind| matches!(kind, MPOL_BIND | MPOL_PREFERRED_MANY)) {
        Ok(())
    } else {
        Err(Errno::EOPNOTSUPP)
    }
}

/// The task `pid` (zero: the caller), whose memory the caller may look at.
fn target(cx: &ThreadCx, pid: i32) -> Result<Arc<Task>> {
    if pid == 0 {
        return Ok(Arc::clone(&cx.task));
    }
    let task = cx.task.kernel.tasks.lock().thread(pid).cloned().ok_or(Errno::ESRCH)?;
    check_access(&cx.task, &task)?;
    Ok(task)
}

/// migrate_pages(2): there is nowhere to go.
pub fn migrate_pages(cx: &mut ThreadCx, pid: i32, maxnode: u64, old: UserAddr, new: UserAddr) -> Result<()> {
    read_nodes(cx, old, maxnode)?;
    let new = read_nodes(cx, new, maxnode)?;
    target(cx, pid)?;
    if new & !NODES != 0 && !cx.task.capable(Caps::SYS_NICE) {
        return Err(Errno::EPERM);
    }
    Ok(())
}

/// move_pages(2): tells where pages are, and moves them to where they are.
pub fn move_pages(
    cx: &mut ThreadCx,
    pid: i32,
    count: u64,
    pages: UserAddr,
    nodes: UserAddr,
    status: UserAddr,
    flags: i32,
) -> Result<()> {
    let flags = flags.cast_unsigned();
    if flags & !(MPOL_MF_MOVE | MPOL_MF_MOVE_ALL) != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & MPOL_MF_MOVE_ALL != 0 && !cx.task.capable(Caps::SYS_NICE) {
        return Err(Errno::EPERM);
    }
    let mm = target(cx, pid)?.mm().map_err(|_| Errno::ESRCH)?;
    for index in 0..count {
        let at = |list: UserAddr, size: u64| {
            index.checked_mul(size).and_then(|offset| list.checked_add(offset)).ok_or(Errno::EFAULT)
        };
        let page: u64 = cx.read_obj(at(pages, 8)?)?;
        if !nodes.is_null() {
            let node: i32 = cx.read_obj(at(nodes, 4)?)?;
            if u64::try_from(node).map_or(true, |node| node >= MAX_NUMNODES || node != 0) {
                return Err(Errno::ENODEV);
            }
        }
        let here =
            PageRange::covering(page & !(PAGE_SIZE - 1), PAGE_SIZE).is_some_and(|page| mm.is_mapped(page));
        let found = if here { 0 } else { -Errno::EFAULT.raw() };
        cx.write_obj(at(status, 4)?, &found)?;
    }
    Ok(())
}
