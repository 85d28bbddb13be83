//! Random operations on unix sockets: nothing panics or hangs, and nothing is left when all are closed.

use linux_abi::socket::{
    MSG_OOB, MSG_PEEK, SO_OOBINLINE, SO_PASSCRED, SO_PEEK_OFF, SOCK_DGRAM, SOCK_SEQPACKET,
};

use super::{tests::Fixture, *};
use crate::{
    fs::file::File,
    net::{base, control::ControlMessage, file::SocketFile},
};

/// A generator of numbers that are the same in every run (Knuth's MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// The sockets behind the open files; files that are no unix sockets do not occur.
fn socket(file: &Arc<File>) -> &dyn Socket {
    file.ops().as_socket().unwrap()
}

fn step(f: &Fixture, files: &mut Vec<Arc<File>>, random: &mut Random) {
    const NAMES: [&[u8]; 3] = [b"\x01\0\0a", b"\x01\0\0b", b"\x01\0"];
    let kind = random.pick(&[SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET]);
    if files.len() < 4 || random.below(12) == 0 {
        if random.below(2) == 0 {
            files.extend(f.pair(kind).map(|socket| SocketFile::open(socket, true)));
        } else {
            files.push(SocketFile::open(f.socket(kind), true));
        }
    }
    while files.len() > 24 {
        files.swap_remove(random.below(files.len()));
    }
    let at = random.below(files.len());
    let file = Arc::clone(&files[at]);
    let chosen = socket(&file);
    let caller = f.caller();
    match random.below(14) {
        0 => drop(files.swap_remove(at)),
        1 => drop(chosen.bind(caller, random.pick(&NAMES))),
        2 => drop(chosen.listen(caller, random.below(4) as i32)),
        3 | 4 => drop(chosen.connect(caller, random.pick(&NAMES), true)),
        5 => {
            if let Ok(accepted) = chosen.accept(caller) {
                files.push(SocketFile::open(accepted, true));
            }
        }
        6 | 7 => {
            let data = vec![7; random.below(9000)];
            let rights =
                (0..random.below(3)).map(|_| Arc::clone(&files[random.below(files.len())])).collect();
            let control =
                if random.below(2) == 0 { vec![ControlMessage::Rights(rights)] } else { Vec::new() };
            let flags = if random.below(4) == 0 { MSG_OOB } else { 0 };
            let mut args = SendArgs { flags, control, nonblocking: true, ..SendArgs::default() };
            let _ = chosen.send(caller, &mut args, &mut crate::fs::io::BufferSource::new(&data));
        }
        8..=10 => {
            let mut buffer = vec![0; random.below(5000)];
            let args = RecvArgs {
                flags: random.pick(&[0, 0, MSG_PEEK, MSG_OOB, MSG_OOB | MSG_PEEK]),
                nonblocking: true,
                want_control: true,
                at_least: random.below(2) * 100,
            };
            let mut sink = crate::fs::io::BufferSink::new(&mut buffer);
            if let Ok(got) = chosen.recv(caller, &args, &mut sink) {
                for message in got.control {
                    if let ControlMessage::Rights(received) = message {
                        files.extend(received);
                    }
                }
            }
        }
        11 => drop(chosen.shutdown(Shutdown { read: random.below(2) == 0, write: random.below(2) == 0 })),
        12 => {
            let name = random.pick(&[SO_PASSCRED, SO_OOBINLINE, SO_PEEK_OFF]);
            let value = (random.below(3) as i32 - 1).to_ne_bytes();
            let _ = base::set_option(chosen, caller, name, &value);
        }
        _ => {
            let _ = (chosen.poll(None), chosen.at_mark(), chosen.readable_bytes(), chosen.unsent_bytes());
            let _ = (chosen.local_name(), chosen.peer_name(), chosen.take_error());
        }
    }
}

#[test]
fn random_operations_leave_nothing_behind() {
    for seed in 1..=6 {
        let f = Fixture::new();
        let mut random = Random(seed);
        let mut files: Vec<Arc<File>> = Vec::new();
        for _ in 0..4000 {
            step(&f, &mut files, &mut random);
            assert!(f.net.unix.in_flight().count() <= 32 << 10);
        }
        drop(files);
        // Whatever is left holds only itself; the closing of others finds it.
        for _ in 0..50 {
            drop(f.pair(SOCK_STREAM).map(|socket| SocketFile::open(socket, true)));
        }
        let left = f.net.unix.in_flight().sockets();
        assert_eq!(left, 0, "seed {seed}: {left} sockets in flight");
    }
}
