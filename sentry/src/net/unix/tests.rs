//! Unix sockets without tasks: streams, messages, files in flight.

use linux_abi::socket::{MSG_PEEK, MSG_TRUNC, SO_PASSCRED, SO_SNDBUF};

use super::*;
use crate::{
    credentials::Credentials,
    fs::{
        file::File,
        io::{BufferSink, BufferSource},
    },
    net::{NetNs, base, control::ControlMessage, file::SocketFile},
};

pub(super) struct Fixture {
    pub(super) net: NetNs,
    creds: Arc<Credentials>,
}

impl Fixture {
    pub(super) fn new() -> Fixture {
        Fixture { net: NetNs::default(), creds: Arc::new(Credentials::user(1000, 100, &[7, 3])) }
    }

    pub(super) fn caller(&self) -> Caller<'_> {
        Caller::Bare(&self.creds, 42)
    }

    pub(super) fn socket(&self, kind: i32) -> Arc<UnixSocket> {
        self.net.unix.socket(self.caller(), kind, 0).unwrap()
    }

    pub(super) fn pair(&self, kind: i32) -> [Arc<UnixSocket>; 2] {
        self.net.unix.pair(self.caller(), kind, 0).unwrap()
    }

    fn send(&self, socket: &UnixSocket, data: &[u8]) -> Result<usize> {
        self.send_with(socket, data, Vec::new())
    }

    fn send_with(&self, socket: &UnixSocket, data: &[u8], control: Vec<ControlMessage>) -> Result<usize> {
        let mut args = SendArgs { control, ..SendArgs::default() };
        socket.send(self.caller(), &mut args, &mut BufferSource::new(data))
    }

    fn send_to(&self, socket: &UnixSocket, to: &[u8], data: &[u8]) -> Result<usize> {
        let mut args = SendArgs { to: Some(to), ..SendArgs::default() };
        socket.send(self.caller(), &mut args, &mut BufferSource::new(data))
    }

    fn recv_full(&self, socket: &UnixSocket, max: usize, flags: u32) -> Result<(Vec<u8>, Received)> {
        let mut buffer = vec![0; max];
        let args = RecvArgs { flags, ..RecvArgs::default() };
        let got = socket.recv(self.caller(), &args, &mut BufferSink::new(&mut buffer))?;
        buffer.truncate(got.bytes);
        Ok((buffer, got))
    }

    fn recv(&self, socket: &UnixSocket, max: usize) -> Result<Vec<u8>> {
        Ok(self.recv_full(socket, max, 0)?.0)
    }

    fn listener(&self, kind: i32, name: &[u8], backlog: i32) -> Arc<UnixSocket> {
        let listener = self.socket(kind);
        listener.bind(self.caller(), name).unwrap();
        listener.listen(self.caller(), backlog).unwrap();
        listener
    }
}

const NAME: &[u8] = b"\x01\0\0name";

#[test]
fn a_stream_pair_carries_bytes_and_its_end() {
    let f = Fixture::new();
    let [a, b] = f.pair(SOCK_STREAM);
    assert_eq!(f.recv(&b, 10), Err(Errno::EAGAIN));
    f.send(&a, b"hello").unwrap();
    f.send(&a, b" world").unwrap();
    assert_eq!(b.readable_bytes(), Ok(11));
    assert_eq!(a.unsent_bytes(), Ok(11));
    assert_eq!(f.recv_full(&b, 4, MSG_PEEK).unwrap().0, b"hell");
    assert_eq!(f.recv(&b, 7).unwrap(), b"hello w");
    a.shutdown(Shutdown { read: false, write: true }).unwrap();
    assert_eq!(f.send(&a, b"x"), Err(Errno::EPIPE));
    assert_eq!(f.recv(&b, 10).unwrap(), b"orld");
    assert_eq!(f.recv(&b, 10).unwrap(), b"");
    assert!(b.poll(None).contains(Events::RDHUP | Events::IN));
    assert!(!b.poll(None).contains(Events::HUP));
    f.send(&b, b"still").unwrap();
    assert_eq!(f.recv(&a, 10).unwrap(), b"still");
}

#[test]
fn closing_with_unread_data_resets_the_peer() {
    let f = Fixture::new();
    let [a, b] = f.pair(SOCK_STREAM);
    f.send(&a, b"unread").unwrap();
    f.send(&b, b"kept").unwrap();
    b.close();
    assert!(a.poll(None).contains(Events::HUP | Events::ERR | Events::IN));
    assert_eq!(f.recv(&a, 10).unwrap(), b"kept");
    assert_eq!(f.recv(&a, 10), Err(Errno::ECONNRESET));
    assert_eq!(f.recv(&a, 10).unwrap(), b"");
    assert_eq!(f.send(&a, b"x"), Err(Errno::EPIPE));
}

#[test]
fn connect_and_accept_in_the_abstract_namespace() {
    let f = Fixture::new();
    let client = f.socket(SOCK_STREAM);
    assert_eq!(client.connect(f.caller(), NAME, false), Err(Errno::ECONNREFUSED));
    assert_eq!(client.poll(None), Events::HUP | Events::OUT | Events::WRNORM | Events::WRBAND);
    let listener = f.listener(SOCK_STREAM, NAME, 0);
    assert_eq!(f.socket(SOCK_DGRAM).connect(f.caller(), NAME, false), Err(Errno::EPROTOTYPE));
    assert_eq!(f.socket(SOCK_STREAM).bind(f.caller(), NAME), Err(Errno::EADDRINUSE));
    assert_eq!(listener.accept(f.caller()).err(), Some(Errno::EAGAIN));
    client.connect(f.caller(), NAME, false).unwrap();
    assert_eq!(client.connect(f.caller(), NAME, false), Err(Errno::EISCONN));
    assert!(listener.poll(None).contains(Events::IN));
    // A backlog of zero admits one.
    let second = f.socket(SOCK_STREAM);
    assert_eq!(second.connect(f.caller(), NAME, false), Err(Errno::EAGAIN));
    f.send(&client, b"early").unwrap();
    let server = listener.accept(f.caller()).unwrap();
    second.connect(f.caller(), NAME, false).unwrap();
    assert_eq!(server.local_name().unwrap().as_bytes(), NAME);
    assert_eq!(client.peer_name().unwrap().as_bytes(), NAME);
    assert_eq!(server.peer_name().unwrap().as_bytes(), [1, 0]);
    assert_eq!(server.peer_creds().unwrap().0, Ucred { pid: 42, uid: 1000, gid: 100 });
    let mut buffer = [0; 8];
    let got = server.recv(f.caller(), &RecvArgs::default(), &mut BufferSink::new(&mut buffer)).unwrap();
    assert_eq!(got.bytes, 5);
    // Closing the listener resets who was not accepted.
    listener.close();
    assert_eq!(f.recv(&second, 1), Err(Errno::ECONNRESET));
    assert_eq!(f.socket(SOCK_STREAM).connect(f.caller(), NAME, false), Err(Errno::ECONNREFUSED));
}

#[test]
fn a_name_is_free_again_after_close() {
    let f = Fixture::new();
    let first = f.socket(SOCK_DGRAM);
    first.bind(f.caller(), NAME).unwrap();
    assert_eq!(first.bind(f.caller(), b"\x01\0\0other"), Err(Errno::EINVAL));
    first.close();
    f.socket(SOCK_DGRAM).bind(f.caller(), NAME).unwrap();
    let auto = f.socket(SOCK_DGRAM);
    auto.bind(f.caller(), &[1, 0]).unwrap();
    assert_eq!(auto.local_name().unwrap().as_bytes(), b"\x01\0\x0000000");
}

#[test]
fn datagrams_keep_their_boundaries_and_their_sender() {
    let f = Fixture::new();
    let (to, from) = (f.socket(SOCK_DGRAM), f.socket(SOCK_DGRAM));
    to.bind(f.caller(), NAME).unwrap();
    from.bind(f.caller(), b"\x01\0\0me").unwrap();
    assert_eq!(f.send(&from, b"x"), Err(Errno::ENOTCONN));
    f.send_to(&from, NAME, b"first").unwrap();
    f.send_to(&from, NAME, b"").unwrap();
    let (data, got) = f.recv_full(&to, 3, 0).unwrap();
    assert_eq!((data.as_slice(), got.message, got.flags), (&b"fir"[..], Some(5), MSG_TRUNC));
    assert_eq!(got.from.unwrap().as_bytes(), b"\x01\0\0me");
    assert_eq!(f.recv(&to, 10).unwrap(), b"");
    assert_eq!(f.recv(&to, 10), Err(Errno::EAGAIN));
}

#[test]
fn a_full_datagram_queue_holds_senders_back() {
    let f = Fixture::new();
    let (to, from) = (f.socket(SOCK_DGRAM), f.socket(SOCK_DGRAM));
    to.bind(f.caller(), NAME).unwrap();
    from.connect(f.caller(), NAME, false).unwrap();
    for _ in 0..=MAX_DGRAM_QLEN {
        f.send(&from, b"x").unwrap();
    }
    assert_eq!(f.send(&from, b"x"), Err(Errno::EAGAIN));
    assert!(!from.poll(None).contains(Events::OUT));
    f.recv(&to, 1).unwrap();
    assert!(from.poll(None).contains(Events::OUT));
    f.send(&from, b"x").unwrap();
    to.close();
    assert_eq!(f.send(&from, b"x"), Err(Errno::ECONNREFUSED));
    assert_eq!(f.send(&from, b"x"), Err(Errno::ENOTCONN));
}

#[test]
fn the_send_buffer_limits_a_datagram_pair() {
    let f = Fixture::new();
    let [a, b] = f.pair(SOCK_DGRAM);
    assert_eq!(f.send(&a, &vec![0; 300_000]), Err(Errno::EMSGSIZE));
    let mut sent = 0;
    while f.send(&a, &[0; 10_000]).is_ok() {
        sent += 1;
    }
    assert!((15..=25).contains(&sent), "{sent}");
    while f.recv(&b, 10_000).is_ok() {}
    assert_eq!(a.base.in_flight.load(Ordering::Relaxed), 0);
    f.send(&a, &[0; 10_000]).unwrap();
}

#[test]
fn a_full_stream_takes_part_and_then_nothing() {
    let f = Fixture::new();
    let [a, b] = f.pair(SOCK_STREAM);
    base::set_option(&*a, f.caller(), SO_SNDBUF, &5000i32.to_ne_bytes()).unwrap();
    assert_eq!(f.send(&a, &[1; 30_000]), Ok(10_000));
    assert_eq!(f.send(&a, &[1; 30_000]), Err(Errno::EAGAIN));
    assert!(!a.poll(None).contains(Events::OUT));
    assert_eq!(f.recv(&b, 6000).unwrap().len(), 6000);
    assert!(a.poll(None).contains(Events::OUT));
}

#[test]
fn sequenced_packets_end_with_the_connection() {
    let f = Fixture::new();
    let listener = f.listener(SOCK_SEQPACKET, NAME, 5);
    let client = f.socket(SOCK_SEQPACKET);
    assert_eq!(f.recv(&client, 1), Err(Errno::ENOTCONN));
    client.connect(f.caller(), NAME, false).unwrap();
    let server = listener.accept(f.caller()).unwrap();
    f.send(&client, b"one").unwrap();
    f.send(&client, b"two").unwrap();
    let mut buffer = [0; 10];
    let got = server.recv(f.caller(), &RecvArgs::default(), &mut BufferSink::new(&mut buffer)).unwrap();
    assert_eq!(got.bytes, 3);
    server.close();
    assert_eq!(f.recv(&client, 1), Err(Errno::ECONNRESET));
    assert_eq!(f.recv(&client, 1).unwrap(), b"");
    assert_eq!(f.send(&client, b"x"), Err(Errno::EPIPE));
}

#[test]
fn credentials_are_checked_and_delivered() {
    let f = Fixture::new();
    let [a, b] = f.pair(SOCK_STREAM);
    let claim = |pid, uid| vec![ControlMessage::Credentials(Ucred { pid, uid, gid: 100 })];
    assert_eq!(f.send_with(&a, b"x", claim(42, 0)), Err(Errno::EPERM));
    assert_eq!(f.send_with(&a, b"x", claim(1, 1000)), Err(Errno::EPERM));
    f.send(&a, b"before").unwrap();
    base::set_option(&*b, f.caller(), SO_PASSCRED, &1i32.to_ne_bytes()).unwrap();
    f.send(&a, b"after").unwrap();
    let creds = |got: Received| match got.control.into_iter().next() {
        Some(ControlMessage::Credentials(creds)) => Some(creds),
        _ => None,
    };
    // Bytes of different senders are not mixed.
    let (data, got) = f.recv_full(&b, 100, 0).unwrap();
    assert_eq!(
        (data.as_slice(), creds(got)),
        (&b"before"[..], Some(Ucred { pid: 0, uid: 65534, gid: 65534 }))
    );
    let (data, got) = f.recv_full(&b, 100, 0).unwrap();
    assert_eq!((data.as_slice(), creds(got)), (&b"after"[..], Some(Ucred { pid: 42, uid: 1000, gid: 100 })));
}

fn rights(files: Vec<Arc<File>>) -> Vec<ControlMessage> {
    vec![ControlMessage::Rights(files)]
}

fn files_of(got: Received) -> Vec<Arc<File>> {
    got.control
        .into_iter()
        .find_map(|message| match message {
            ControlMessage::Rights(files) => Some(files),
            _ => None,
        })
        .unwrap_or_default()
}

#[test]
fn files_arrive_with_the_bytes_they_were_sent_with() {
    let f = Fixture::new();
    let [a, b] = f.pair(SOCK_STREAM);
    let file = SocketFile::open(f.socket(SOCK_DGRAM), false);
    f.send(&a, b"plain").unwrap();
    f.send_with(&a, b"with", rights(vec![Arc::clone(&file)])).unwrap();
    f.send(&a, b"after").unwrap();
    assert_eq!(f.net.unix.in_flight().count(), 1);
    let (data, got) = f.recv_full(&b, 100, MSG_PEEK).unwrap();
    assert_eq!((data.as_slice(), files_of(got).len()), (&b"plainwith"[..], 1));
    let (data, got) = f.recv_full(&b, 7, 0).unwrap();
    assert_eq!((data.as_slice(), files_of(got).len()), (&b"plainwi"[..], 1));
    assert_eq!(f.net.unix.in_flight().count(), 0);
    let (data, got) = f.recv_full(&b, 100, 0).unwrap();
    assert_eq!((data.as_slice(), files_of(got).len()), (&b"thafter"[..], 0));
    assert_eq!(Arc::strong_count(&file), 1);
}

#[test]
fn files_in_flight_are_closed_with_the_receiver_however_deep() {
    let mut f = Fixture::new();
    Arc::make_mut(&mut f.creds).effective = crate::credentials::Caps::SYS_RESOURCE;
    let [first, _] = f.pair(SOCK_DGRAM);
    let mut holder = SocketFile::open(first, false);
    // Each socket's inbox holds the one before: closing the last must not recurse so deep.
    for _ in 0..20_000 {
        let [inner, outer] = f.pair(SOCK_DGRAM);
        f.send_with(&outer, b"x", rights(vec![holder])).unwrap();
        holder = SocketFile::open(inner, false);
        outer.close();
    }
    assert_eq!(f.net.unix.in_flight().count(), 20_000);
    drop(holder);
    assert_eq!(f.net.unix.in_flight().count(), 0);
}

#[test]
fn files_in_flight_are_limited() {
    let f = Fixture::new();
    let [a, _b] = f.pair(SOCK_DGRAM);
    let file = SocketFile::open(f.socket(SOCK_STREAM), false);
    let mut sent = 0;
    let refused = loop {
        let [one, other] = f.pair(SOCK_STREAM);
        match f.send_with(&one, b"x", rights(vec![Arc::clone(&file); 100])) {
            Ok(_) => sent += 100,
            Err(errno) => break errno,
        }
        // Kept open, so that they stay in flight.
        std::mem::forget((one, other));
    };
    assert_eq!((refused, sent), (Errno::ETOOMANYREFS, 1100));
    assert_eq!(f.send(&a, b"x"), Ok(1));
}

#[test]
fn sockets_in_flight_only_to_each_other_are_collected() {
    let f = Fixture::new();
    let [a, b] = f.pair(SOCK_STREAM);
    let [c, d] = f.pair(SOCK_STREAM);
    let (file_b, file_d) = (SocketFile::open(b, false), SocketFile::open(d, false));
    // b's inbox holds d and d's inbox holds b.
    f.send_with(&a, b"x", rights(vec![Arc::clone(&file_d)])).unwrap();
    f.send_with(&c, b"x", rights(vec![Arc::clone(&file_b)])).unwrap();
    // A live socket's inbox holds a third: it must survive.
    let [e, g] = f.pair(SOCK_STREAM);
    let file_e = SocketFile::open(e, false);
    f.send_with(&g, b"x", rights(vec![Arc::clone(&file_e)])).ok();
    drop((file_b, file_d));
    assert_eq!(f.net.unix.in_flight().count(), 3);
    a.close();
    c.close();
    assert_eq!(f.net.unix.in_flight().count(), 1);
    drop(file_e);
    // Now e is in its own inbox only.
    g.close();
    assert_eq!(f.net.unix.in_flight().count(), 0);
}
