//! Network interfaces as ioctls show them (netdevice(7)). There is one: the loopback.

use linux_abi::{Errno, Result, UserAddr, socket as abi};

use crate::task::{ThreadCx, usermem::UserMemory};

pub use linux_abi::inet::ARPHRD_LOOPBACK;

use linux_abi::inet::IFNAMSIZ;

/// The loopback's name, index, MTU and flags (`IFF_UP | IFF_LOOPBACK | IFF_RUNNING`, and `IFF_LOWER_UP` for netlink).
pub const LO_NAME: &[u8] = b"lo";
pub const LO_INDEX: i32 = 1;
pub const LO_MTU: i32 = 65_536;
pub const LO_FLAGS: u32 = 0x49;

/// `sizeof(struct ifreq)`, and where its union begins.
const IFREQ_SIZE: usize = 40;

/// Answers an interface ioctl.
///
/// # Errors
/// `ENODEV` for another interface than `lo`, `EPERM` for changes, `ENOTTY`.
pub fn ioctl(cx: &mut ThreadCx, request: u32, arg: u64) -> Result<u64> {
    let arg = UserAddr(arg);
    match request {
        abi::SIOCGIFCONF => return config(cx, arg),
        abi::SIOCGIFNAME => {
            let mut ifreq: [u8; IFREQ_SIZE] = cx.read_obj(arg)?;
            let index =
                ifreq.get(16..20).and_then(|word| word.first_chunk()).map_or(0, |w| i32::from_ne_bytes(*w));
            if index != LO_INDEX {
                return Err(Errno::ENODEV);
            }
            store(&mut ifreq, 0, b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
            cx.write_obj(arg, &ifreq)?;
            return Ok(0);
        }
        abi::SIOCSIFFLAGS | abi::SIOCSIFADDR | abi::SIOCSIFMTU => return Err(Errno::EPERM),
        abi::SIOCETHTOOL => return Err(Errno::EOPNOTSUPP),
        abi::SIOCGIFFLAGS
        | abi::SIOCGIFADDR
        | abi::SIOCGIFDSTADDR
        | abi::SIOCGIFBRDADDR
        | abi::SIOCGIFNETMASK
        | abi::SIOCGIFMETRIC
        | abi::SIOCGIFMTU
        | abi::SIOCGIFHWADDR
        | abi::SIOCGIFINDEX
        | abi::SIOCGIFTXQLEN
        | abi::SIOCGIFMAP => {}
        _ => return Err(Errno::ENOTTY),
    }
    let mut ifreq: [u8; IFREQ_SIZE] = cx.read_obj(arg)?;
    let name = ifreq.get(..IFNAMSIZ).unwrap_or_default().split(|&byte| byte == 0).next().unwrap_or_default();
    if name != LO_NAME {
        return Err(Errno::ENODEV);
    }
    if let Some(rest) = ifreq.get_mut(IFNAMSIZ..) {
        rest.fill(0);
    }
    let value: Vec<u8> = match request {
        abi::SIOCGIFFLAGS => LO_FLAGS.to_ne_bytes().to_vec(),
        abi::SIOCGIFADDR | abi::SIOCGIFDSTADDR => inet([127, 0, 0, 1]),
        abi::SIOCGIFBRDADDR => inet([0, 0, 0, 0]),
        abi::SIOCGIFNETMASK => inet([255, 0, 0, 0]),
        abi::SIOCGIFMTU => LO_MTU.to_ne_bytes().to_vec(),
        abi::SIOCGIFHWADDR => ARPHRD_LOOPBACK.to_ne_bytes().to_vec(),
        abi::SIOCGIFINDEX => LO_INDEX.to_ne_bytes().to_vec(),
        abi::SIOCGIFTXQLEN => 1000i32.to_ne_bytes().to_vec(),
        _ => Vec::new(),
    };
    store(&mut ifreq, IFNAMSIZ, &value);
    cx.write_obj(arg, &ifreq)?;
    Ok(0)
}

fn store(to: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in to.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}

fn inet(address: [u8; 4]) -> Vec<u8> {
    let mut bytes = abi::AF_INET.to_ne_bytes().to_vec();
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(&address);
    bytes
}

/// `SIOCGIFCONF`: the interfaces with a v4 address. A null buffer asks for the size.
fn config(cx: &mut ThreadCx, arg: UserAddr) -> Result<u64> {
    let [len, buffer]: [u64; 2] = cx.read_obj(arg)?;
    let room = usize::try_from(len as u32).unwrap_or(0);
    let mut written = IFREQ_SIZE;
    if buffer != 0 {
        if room >= IFREQ_SIZE {
            let mut ifreq = [0; IFREQ_SIZE];
            store(&mut ifreq, 0, LO_NAME);
            store(&mut ifreq, IFNAMSIZ, &inet([127, 0, 0, 1]));
            cx.write_obj(UserAddr(buffer), &ifreq)?;
        } else {
            written = 0;
        }
    }
    cx.write_obj(arg, &i32::try_from(written).unwrap_or(0))?;
    Ok(0)
}
