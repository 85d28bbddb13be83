//! The initial stack of a program: strings, auxiliary vector, environment and argument pointers (`create_elf_tables`).

use linux_abi::{Errno, Result};

pub use linux_abi::auxv::{
    AT_BASE, AT_CLKTCK, AT_EGID, AT_ENTRY, AT_EUID, AT_EXECFN, AT_FLAGS, AT_GID, AT_HWCAP, AT_HWCAP2,
    AT_MINSIGSTKSZ, AT_NULL, AT_PAGESZ, AT_PHDR, AT_PHENT, AT_PHNUM, AT_PLATFORM, AT_RANDOM, AT_RSEQ_ALIGN,
    AT_RSEQ_FEATURE_SIZE, AT_SECURE, AT_SYSINFO_EHDR, AT_UID,
};

/// The bytes to be written, and where everything is.
#[derive(Debug)]
pub struct InitialStack {
    /// Where `bytes` go; also the initial stack pointer.
    pub sp: u64,
    pub bytes: Vec<u8>,
    pub args: (u64, u64),
    pub environment: (u64, u64),
    pub auxv: Vec<(u64, u64)>,
}

/// Lays out the stack that ends at `top`. `auxv` gets `AT_RANDOM`, `AT_EXECFN`, `AT_PLATFORM` and `AT_NULL` here.
///
/// # Errors
/// `E2BIG` if it does not fit the address space.
pub fn build(
    top: u64,
    argv: &[Vec<u8>],
    envp: &[Vec<u8>],
    exec_path: &[u8],
    random: [u8; 16],
    auxv: &[(u64, u64)],
) -> Result<InitialStack> {
    // From high to low: a zero word, the path, then environment and argument strings, in order upwards.
    let size = |strings: &[Vec<u8>]| strings.iter().map(|s| s.len() as u64 + 1).sum::<u64>();
    let exec_at = top.checked_sub(8 + exec_path.len() as u64 + 1).ok_or(Errno::E2BIG)?;
    let env_at = exec_at.checked_sub(size(envp)).ok_or(Errno::E2BIG)?;
    let arg_at = env_at.checked_sub(size(argv)).ok_or(Errno::E2BIG)?;
    let platform_at = arg_at.checked_sub(16).ok_or(Errno::E2BIG)? & !15;
    let random_at = platform_at.checked_sub(16).ok_or(Errno::E2BIG)?;
    let mut auxv = auxv.to_vec();
    auxv.extend([(AT_RANDOM, random_at), (AT_EXECFN, exec_at), (AT_PLATFORM, platform_at), (AT_NULL, 0)]);
    let words = 1 + argv.len() + 1 + envp.len() + 1 + 2 * auxv.len();
    let sp = random_at.checked_sub(8 * words as u64).ok_or(Errno::E2BIG)? & !15;
    let total = usize::try_from(top - sp).map_err(|_| Errno::E2BIG)?;
    let mut image = Image { base: sp, bytes: vec![0; total] };

    let mut pointers = vec![argv.len() as u64];
    pointers.extend(image.strings(arg_at, argv));
    pointers.push(0);
    pointers.extend(image.strings(env_at, envp));
    pointers.push(0);
    pointers.extend(auxv.iter().flat_map(|&(key, value)| [key, value]));
    for (index, word) in pointers.iter().enumerate() {
        image.put(sp + 8 * index as u64, &word.to_le_bytes());
    }
    image.put(exec_at, exec_path);
    image.put(platform_at, b"x86_64\0");
    image.put(random_at, &random);
    Ok(InitialStack { sp, bytes: image.bytes, args: (arg_at, env_at), environment: (env_at, exec_at), auxv })
}

struct Image {
    base: u64,
    bytes: Vec<u8>,
}

impl Image {
    fn put(&mut self, at: u64, data: &[u8]) {
        let skip = usize::try_from(at - self.base).unwrap_or(usize::MAX);
        for (to, from) in self.bytes.iter_mut().skip(skip).zip(data) {
            *to = *from;
        }
    }

    /// Stores NUL-terminated strings one after the other; returns their addresses.
    fn strings(&mut self, at: u64, strings: &[Vec<u8>]) -> Vec<u64> {
        let mut at = at;
        let mut addresses = Vec::with_capacity(strings.len());
        for string in strings {
            addresses.push(at);
            self.put(at, string);
            at += string.len() as u64 + 1;
        }
        addresses
    }
}
