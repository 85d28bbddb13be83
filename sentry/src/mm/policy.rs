//! Where memory comes from on machines with several nodes (mempolicy in numa(7), `mm/mempolicy.c`). A sandbox has one node, 0: a
//! policy is checked and kept, and has no effect.

use linux_abi::{Errno, Result};

/// Modes.
pub const MPOL_DEFAULT: u32 = 0;
pub const MPOL_PREFERRED: u32 = 1;
pub const MPOL_BIND: u32 = 2;
pub const MPOL_INTERLEAVE: u32 = 3;
pub const MPOL_LOCAL: u32 = 4;
pub const MPOL_PREFERRED_MANY: u32 = 5;
pub const MPOL_WEIGHTED_INTERLEAVE: u32 = 6;
/// Flags in a mode.
const MPOL_F_STATIC_NODES: u32 = 1 << 15;
const MPOL_F_RELATIVE_NODES: u32 = 1 << 14;
const MPOL_F_NUMA_BALANCING: u32 = 1 << 13;
const MODE_FLAGS: u32 = MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES | MPOL_F_NUMA_BALANCING;
/// The nodes there are: only the first.
pub const NODES: u64 = 1;

/// A policy; the default one is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryPolicy {
    /// A mode, with its flags.
    mode: u32,
    /// As get_mempolicy(2) shows them.
    nodes: u64,
}

impl MemoryPolicy {
    /// Checks a mode's flags, before its nodes are looked at (`sanitize_mpol_flags`).
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn check_mode(mode: u32) -> Result<()> {
        const BOTH: u32 = MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES;
        let kind = mode & !MODE_FLAGS;
        let balances = mode & MPOL_F_NUMA_BALANCING != 0;
        if kind > MPOL_WEIGHTED_INTERLEAVE
            || mode & BOTH == BOTH
            || (balances && !matches!(kind, MPOL_BIND | MPOL_PREFERRED_MANY))
        {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    /// A policy for these nodes (`mpol_new`, `mpol_set_nodemask`).
    ///
    /// # Errors
    /// `EINVAL` if mode and nodes do not go together, or there are no such nodes.
    pub fn new(mode: u32, nodes: u64) -> Result<MemoryPolicy> {
        let kind = mode & !MODE_FLAGS;
        let fixed = mode & (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES) != 0;
        match kind {
            MPOL_DEFAULT if nodes == 0 => return Ok(MemoryPolicy::default()),
            MPOL_PREFERRED if nodes == 0 && !fixed => return Ok(MemoryPolicy { mode: MPOL_LOCAL, nodes: 0 }),
            MPOL_LOCAL if nodes == 0 && !fixed => return Ok(MemoryPolicy { mode, nodes: 0 }),
            MPOL_DEFAULT | MPOL_LOCAL => return Err(Errno::EINVAL),
            _ => {}
        }
        // Relative nodes wrap around among those there are.
        let usable = if mode & MPOL_F_RELATIVE_NODES != 0 { nodes != 0 } else { nodes & NODES != 0 };
        if !usable {
            return Err(Errno::EINVAL);
        }
        Ok(MemoryPolicy { mode, nodes: if fixed { nodes } else { NODES } })
    }

    /// The mode with its flags.
    pub fn mode(self) -> u32 {
        self.mode
    }

    /// The nodes.
    pub fn nodes(self) -> u64 {
        self.nodes
    }

    /// The mode without its flags.
    pub fn kind(self) -> u32 {
        self.mode & !MODE_FLAGS
    }
}
