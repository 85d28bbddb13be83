//! What terminals answer to ioctl(2) (ioctl_tty(2)).

use std::sync::Arc;

use linux_abi::{Errno, Result, UserAddr};

use super::{
    job,
    master::Master,
    pair::Pty,
    slave::Slave,
    termios::{Termios, WindowSize},
};
use crate::{
    fs::file::File,
    signal::SIGTTOU,
    task::{ThreadCx, usermem::UserMemory},
    wait::Events,
};

use linux_abi::ioctl::{
    FIONREAD, TCFLSH, TCGETA, TCGETS, TCGETS2, TCSBRK, TCSBRKP, TCSETS, TCSETS2, TCSETSF, TCSETSF2, TCSETSW,
    TCSETSW2, TCXONC, TIOCEXCL, TIOCGETD, TIOCGEXCL, TIOCGPGRP, TIOCGPKT, TIOCGPTLCK, TIOCGPTN, TIOCGPTPEER,
    TIOCGSID, TIOCGWINSZ, TIOCNOTTY, TIOCNXCL, TIOCOUTQ, TIOCPKT, TIOCPKT_FLUSHREAD, TIOCPKT_FLUSHWRITE,
    TIOCPKT_START, TIOCPKT_STOP, TIOCSCTTY, TIOCSETD, TIOCSPGRP, TIOCSPTLCK, TIOCSTI, TIOCSWINSZ,
};

/// On the master.
pub(super) fn master(cx: &mut ThreadCx, master: &Master, request: u32, arg: u64) -> Result<u64> {
    let pty = Arc::clone(master.pty());
    let at = UserAddr(arg);
    match request {
        TIOCGPTN => cx.write_obj(at, &pty.index).map(|()| 0),
        TIOCSPTLCK => {
            let locked: i32 = cx.read_obj(at)?;
            pty.set_locked(locked != 0);
            Ok(0)
        }
        TIOCGPTLCK => {
            let locked = i32::from(pty.state.lock().locked);
            cx.write_obj(at, &locked).map(|()| 0)
        }
        TIOCPKT => {
            let on: i32 = cx.read_obj(at)?;
            let mut state = pty.state.lock();
            state.packet_mode = on != 0;
            state.packet_status = 0;
            Ok(0)
        }
        TIOCGPKT => {
            let on = i32::from(pty.state.lock().packet_mode);
            cx.write_obj(at, &on).map(|()| 0)
        }
        TIOCGPTPEER => {
            let flags = u32::try_from(arg & 0xffff_ffff).unwrap_or(0);
            let home = master.home().ok_or(Errno::EIO)?;
            let place = home.place_of(&cx.task, pty.index).ok_or(Errno::EIO)?;
            let file = File::opened(Box::new(pty.open_slave()?), flags & !linux_abi::fcntl::O_CLOEXEC, place);
            let fd = cx.task.install(file, flags & linux_abi::fcntl::O_CLOEXEC != 0)?;
            Ok(u64::from(fd.unsigned_abs()))
        }
        FIONREAD => {
            let count = i32::try_from(pty.state.lock().discipline.output_len()).unwrap_or(i32::MAX);
            cx.write_obj(at, &count).map(|()| 0)
        }
        TIOCGPGRP => job::foreground(&pty, cx, arg, true),
        TIOCGSID => job::session(&pty, cx, arg, true),
        TIOCSCTTY | TIOCSPGRP | TIOCNOTTY => Err(Errno::ENOTTY),
        _ => common(cx, &pty, request, arg),
    }
}

/// On a slave.
pub(super) fn slave(
    cx: &mut ThreadCx,
    slave: &Slave,
    _file: &Arc<File>,
    request: u32,
    arg: u64,
) -> Result<u64> {
    let pty = Arc::clone(slave.pty());
    let at = UserAddr(arg);
    if pty.state.lock().hung_up && request != TIOCGPGRP {
        return Err(Errno::EIO);
    }
    match request {
        TIOCSCTTY => job::set_controlling(&pty, &cx.task, arg == 1).map(|()| 0),
        TIOCNOTTY => job::give_up(&pty, &cx.task).map(|()| 0),
        TIOCGPGRP => job::foreground(&pty, cx, arg, false),
        TIOCSPGRP => job::set_foreground(&pty, cx, arg),
        TIOCGSID => job::session(&pty, cx, arg, false),
        FIONREAD => {
            let count = i32::try_from(pty.state.lock().discipline.readable()).unwrap_or(i32::MAX);
            cx.write_obj(at, &count).map(|()| 0)
        }
        TIOCOUTQ => {
            let count = i32::try_from(pty.state.lock().discipline.output_len()).unwrap_or(i32::MAX);
            cx.write_obj(at, &count).map(|()| 0)
        }
        TIOCSTI => {
            if !cx.task.capable(crate::credentials::Caps::SYS_ADMIN) {
                return Err(Errno::EPERM);
            }
            let byte: u8 = cx.read_obj(at)?;
            pty.input(&[byte]);
            Ok(0)
        }
        _ => common(cx, &pty, request, arg),
    }
}

/// On either end: both show the slave's settings.
fn common(cx: &mut ThreadCx, pty: &Arc<Pty>, request: u32, arg: u64) -> Result<u64> {
    let at = UserAddr(arg);
    match request {
        TCGETS | TCGETS2 => {
            let bytes = pty.state.lock().termios.to_bytes();
            let size = if request == TCGETS { Termios::SIZE } else { Termios::SIZE2 };
            cx.write_bytes(at, bytes.get(..size).unwrap_or_default()).map(|()| 0)
        }
        TCGETA => {
            let termios = pty.state.lock().termios;
            let words = [termios.input, termios.output, termios.control, termios.local];
            let mut bytes: Vec<u8> =
                words.iter().flat_map(|word| word.to_le_bytes().into_iter().take(2)).collect();
            bytes.push(termios.line);
            bytes.extend(termios.chars.iter().take(8));
            bytes.push(0);
            cx.write_bytes(at, &bytes).map(|()| 0)
        }
        TCSETS | TCSETSW | TCSETSF => set_termios(cx, pty, at, Termios::SIZE, request == TCSETSF),
        TCSETS2 | TCSETSW2 | TCSETSF2 => set_termios(cx, pty, at, Termios::SIZE2, request == TCSETSF2),
        TIOCGWINSZ => {
            let bytes = pty.state.lock().size.to_bytes();
            cx.write_bytes(at, &bytes).map(|()| 0)
        }
        TIOCSWINSZ => {
            let bytes: [u8; 8] = cx.read_obj(at)?;
            pty.set_size(WindowSize::from_bytes(bytes));
            Ok(0)
        }
        TCFLSH => flush(cx, pty, arg),
        TCXONC => flow(cx, pty, arg),
        TCSBRK | TCSBRKP => Ok(0),
        TIOCEXCL | TIOCNXCL => {
            pty.state.lock().exclusive = request == TIOCEXCL;
            Ok(0)
        }
        TIOCGEXCL => {
            let on = i32::from(pty.state.lock().exclusive);
            cx.write_obj(at, &on).map(|()| 0)
        }
        TIOCGETD => cx.write_obj(at, &0i32).map(|()| 0),
        TIOCSETD => {
            let line: i32 = cx.read_obj(at)?;
            if line == 0 { Ok(0) } else { Err(Errno::EINVAL) }
        }
        _ => Err(Errno::ENOTTY),
    }
}

fn set_termios(cx: &mut ThreadCx, pty: &Arc<Pty>, at: UserAddr, size: usize, flush: bool) -> Result<u64> {
    job::check(pty, &cx.task, SIGTTOU).map_err(job::restarting)?;
    let mut bytes = [0; Termios::SIZE2];
    let bytes = bytes.get_mut(..size).unwrap_or_default();
    cx.read_bytes(at, bytes)?;
    {
        let mut state = pty.state.lock();
        let old = state.termios;
        let new = old.updated(bytes);
        if flush {
            state.discipline.flush_input();
        }
        state.discipline.mode_changed(&old, &new);
        state.termios = new;
    }
    pty.slave_events.wake(Events::IN | Events::RDNORM | Events::OUT);
    Ok(0)
}

fn flush(cx: &mut ThreadCx, pty: &Arc<Pty>, queue: u64) -> Result<u64> {
    job::check(pty, &cx.task, SIGTTOU).map_err(job::restarting)?;
    if queue > 2 {
        return Err(Errno::EINVAL);
    }
    {
        let mut state = pty.state.lock();
        if queue != 1 {
            state.discipline.flush_input();
            state.packet_status |= TIOCPKT_FLUSHREAD;
        }
        if queue != 0 {
            state.discipline.flush_output();
            state.packet_status |= TIOCPKT_FLUSHWRITE;
        }
    }
    pty.slave_events.wake(Events::OUT | Events::WRNORM);
    pty.master_events.wake(Events::OUT | Events::WRNORM | Events::PRI | Events::IN);
    Ok(0)
}

fn flow(cx: &mut ThreadCx, pty: &Arc<Pty>, action: u64) -> Result<u64> {
    job::check(pty, &cx.task, SIGTTOU).map_err(job::restarting)?;
    {
        let mut state = pty.state.lock();
        match action {
            0 => {
                state.discipline.stopped = true;
                state.packet_status = state.packet_status & !TIOCPKT_START | TIOCPKT_STOP;
            }
            1 => {
                state.discipline.stopped = false;
                state.packet_status = state.packet_status & !TIOCPKT_STOP | TIOCPKT_START;
            }
            2 | 3 => {}
            _ => return Err(Errno::EINVAL),
        }
    }
    pty.slave_events.wake(Events::OUT | Events::WRNORM);
    pty.master_events.wake(Events::IN | Events::RDNORM | Events::PRI);
    Ok(0)
}
