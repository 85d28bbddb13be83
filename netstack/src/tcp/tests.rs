//! TCP's rules, without tasks.

use super::{transfer::TcpRecv, *};

fn wish(addr: &str) -> BindWish {
    BindWish {
        addr: addr.parse().unwrap(),
        v6only: false,
        reuse: false,
        reuseport: false,
        uid: 0,
        free: false,
        now: Instant::now(),
    }
}

fn any() -> BindWish {
    wish("0.0.0.0:0")
}

fn listener(stack: &Arc<Stack>, addr: &str, backlog: usize) -> Arc<Tcp> {
    let tcp = stack.tcp();
    tcp.bind(&wish(addr)).unwrap();
    tcp.listen(backlog, &wish(addr)).unwrap();
    tcp
}

fn dial(stack: &Arc<Stack>, addr: &str) -> Result<Arc<Tcp>> {
    let tcp = stack.tcp();
    tcp.connect(addr.parse().unwrap(), &any(), false)?;
    Ok(tcp)
}

fn pair(stack: &Arc<Stack>) -> (Arc<Tcp>, Arc<Tcp>) {
    pair_at(stack, "127.0.0.1:4000")
}

fn pair_at(stack: &Arc<Stack>, at: &str) -> (Arc<Tcp>, Arc<Tcp>) {
    let server = listener(stack, at, 1);
    let client = dial(stack, at).unwrap();
    let accepted = server.accept().unwrap();
    server.close(false, Instant::now());
    (client, accepted)
}

fn send(tcp: &Tcp, data: &[u8]) -> Result<usize> {
    let mut at = 0;
    tcp.send(data.len(), &mut |into| {
        let part = &data[at..(at + into.len()).min(data.len())];
        into[..part.len()].copy_from_slice(part);
        at += part.len();
        Ok(part.len())
    })
}

fn recv(tcp: &Tcp, max: usize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    tcp.recv(TcpRecv { max, ..TcpRecv::default() }, &mut |bytes| {
        out.extend_from_slice(bytes);
        Ok(bytes.len())
    })?;
    Ok(out)
}

const HUP: u32 = 0x10;
const ERR: u32 = 0x08;
const RDHUP: u32 = 0x2000;
const IN: u32 = 1;
const OUT: u32 = 4;

#[test]
fn a_connection_carries_bytes_both_ways_and_closes_by_halves() {
    let stack = Stack::new(1);
    let (a, b) = pair(&stack);
    assert_eq!(a.local_addr(), b.peer_addr().ok());
    assert_eq!(b.local_addr(), Some("127.0.0.1:4000".parse().unwrap()));
    send(&a, b"ping").unwrap();
    assert_eq!(recv(&b, 10).unwrap(), b"ping");
    a.shutdown(false, true).unwrap();
    assert_eq!((a.tcp_state(), b.tcp_state()), (TcpState::FinWait2, TcpState::CloseWait));
    assert_eq!(send(&a, b"x"), Err(Errno::EPIPE));
    assert_eq!(b.ready(1).0 & (RDHUP | IN | HUP), RDHUP | IN);
    send(&b, b"pong").unwrap();
    assert_eq!(recv(&b, 10).unwrap(), b"");
    b.close(false, Instant::now());
    assert_eq!(recv(&a, 10).unwrap(), b"pong");
    assert_eq!(recv(&a, 10).unwrap(), b"");
    assert_eq!(a.ready(1).0 & (HUP | ERR), HUP);
}

#[test]
fn writing_to_a_closed_peer_works_once() {
    let stack = Stack::new(1);
    let (a, b) = pair(&stack);
    b.close(false, Instant::now());
    assert_eq!(recv(&a, 10).unwrap(), b"");
    assert_eq!(send(&a, b"lost"), Ok(4));
    assert_eq!(a.ready(1).0 & (HUP | ERR), HUP | ERR);
    assert_eq!(send(&a, b"x"), Err(Errno::EPIPE));
    assert_eq!(recv(&a, 10).unwrap(), b"");
    assert_eq!(a.peer_addr(), Err(Errno::ENOTCONN));
}

#[test]
fn aborting_and_unread_data_reset() {
    let stack = Stack::new(1);
    let (a, b) = pair(&stack);
    send(&b, b"kept").unwrap();
    b.close(true, Instant::now());
    assert_eq!(recv(&a, 10).unwrap(), b"kept");
    assert_eq!(recv(&a, 10), Err(Errno::ECONNRESET));
    assert_eq!(recv(&a, 10).unwrap(), b"");
    assert_eq!(send(&a, b"x"), Err(Errno::EPIPE));
    let (a, b) = pair_at(&stack, "127.0.0.1:4001");
    send(&a, b"unread").unwrap();
    b.close(false, Instant::now());
    assert_eq!(send(&a, b"x"), Err(Errno::ECONNRESET));
}

#[test]
fn connecting_to_nobody_is_refused() {
    let stack = Stack::new(1);
    assert_eq!(dial(&stack, "127.0.0.1:4000").err(), Some(Errno::ECONNREFUSED));
    assert_eq!(dial(&stack, "192.0.2.1:4000").err(), Some(Errno::ENETUNREACH));
    let tcp = stack.tcp();
    let to = "127.0.0.1:4000".parse().unwrap();
    assert_eq!(tcp.ready(1).0, Ready::WRITE.0 | HUP);
    assert_eq!(tcp.connect(to, &any(), true), Err(Errno::EINPROGRESS));
    assert_eq!(tcp.ready(1).0 & (IN | OUT | ERR | HUP | RDHUP), IN | OUT | ERR | HUP | RDHUP);
    assert_eq!(tcp.take_error(), Err(Errno::ECONNREFUSED));
    assert_eq!(tcp.connect(to, &any(), true), Err(Errno::ECONNABORTED));
    let server = listener(&stack, "127.0.0.1:4000", 1);
    assert_eq!(tcp.connect(to, &any(), true), Err(Errno::EINPROGRESS));
    assert_eq!(tcp.connect(to, &any(), true), Ok(()));
    assert_eq!(tcp.connect(to, &any(), true), Err(Errno::EISCONN));
    assert!(server.accept().is_ok());
}

#[test]
fn a_full_backlog_makes_others_wait() {
    let stack = Stack::new(1);
    let server = listener(&stack, "[::]:4000", 0);
    let first = dial(&stack, "127.0.0.1:4000").unwrap();
    let second = stack.tcp();
    let to = "127.0.0.1:4000".parse().unwrap();
    assert_eq!(second.connect(to, &any(), false), Err(Errno::EINPROGRESS));
    assert_eq!(second.connect(to, &any(), false), Err(Errno::EALREADY));
    assert_eq!(second.connect_result(), Err(Errno::EAGAIN));
    assert_eq!((second.tcp_state(), second.ready(1).0), (TcpState::SynSent, 0));
    let accepted = server.accept().unwrap();
    assert_eq!(accepted.peer_addr().ok(), first.local_addr());
    assert_eq!(second.connect_result(), Ok(()));
    let third = stack.tcp();
    assert_eq!(third.connect(to, &any(), true), Err(Errno::EINPROGRESS));
    server.close(false, Instant::now());
    assert_eq!(third.connect_result(), Err(Errno::ECONNREFUSED));
    assert_eq!(recv(&second, 1), Err(Errno::ECONNRESET));
    assert_eq!(recv(&first, 1), Err(Errno::EAGAIN));
}

#[test]
fn ports_come_back_and_connections_hold_them() {
    let stack = Stack::new(1);
    let (client, accepted) = pair(&stack);
    // The accepted connection still has the port.
    assert_eq!(stack.tcp().bind(&wish("127.0.0.1:4000")), Err(Errno::EADDRINUSE));
    accepted.close(false, Instant::now());
    client.close(false, Instant::now());
    // It was closed from this end first.
    assert_eq!(stack.tcp().bind(&wish("127.0.0.1:4000")), Err(Errno::EADDRINUSE));
    let late = BindWish { now: Instant::now() + TIME_WAIT, ..wish("127.0.0.1:4000") };
    stack.tcp().bind(&late).unwrap();
    assert!(stack.tcp.lock().connections.is_empty());
    let server = listener(&stack, "127.0.0.1:4001", 9);
    let ports: Vec<u16> =
        (0..5).map(|_| dial(&stack, "127.0.0.1:4001").unwrap().local_addr().unwrap().port()).collect();
    assert!(ports.iter().all(|port| port % 2 == 0 && *port >= 32768), "{ports:?}");
    let bound = stack.tcp();
    bound.bind(&wish("127.0.0.1:4500")).unwrap();
    bound.connect("127.0.0.1:4001".parse().unwrap(), &any(), false).unwrap();
    bound.disconnect();
    assert_eq!(bound.local_addr(), Some("127.0.0.1:4500".parse().unwrap()));
    bound.connect("127.0.0.1:4001".parse().unwrap(), &any(), false).unwrap();
    server.close(false, Instant::now());
    assert_eq!(recv(&bound, 1), Err(Errno::ECONNRESET));
}

#[test]
fn urgent_data_has_a_place_but_is_not_in_the_stream() {
    let stack = Stack::new(1);
    let (a, b) = pair(&stack);
    send(&a, b"before").unwrap();
    a.send_urgent(b'!').unwrap();
    send(&a, b"after").unwrap();
    assert_eq!(b.ready(1).0 & 2, 2);
    assert!(!b.at_mark());
    assert_eq!(recv(&b, 100).unwrap(), b"before");
    assert!(b.at_mark());
    assert_eq!(b.recv_urgent(false), Ok(b'!'));
    assert_eq!(b.recv_urgent(false), Err(Errno::EINVAL));
    assert_eq!(recv(&b, 100).unwrap(), b"after");
    assert!(!b.at_mark());
    b.set_inline(true);
    send(&a, b"ABOR\r").unwrap();
    a.send_urgent(b'\n').unwrap();
    assert_eq!(recv(&b, 100).unwrap(), b"ABOR\r");
    assert!(b.at_mark());
    assert_eq!(b.recv_urgent(false), Err(Errno::EINVAL));
    assert_eq!(b.ready(1).0 & IN, IN);
    assert_eq!(recv(&b, 100).unwrap(), b"\n");
    assert!(!b.at_mark());
}

#[test]
fn full_buffers_block_until_a_third_is_free() {
    let stack = Stack::new(1);
    let (a, b) = pair(&stack);
    b.set_capacities(None, Some(5000));
    a.set_capacities(Some(4000), None);
    assert_eq!(send(&a, &[7; 20_000]), Ok(9000));
    assert_eq!(send(&a, b"x"), Err(Errno::EAGAIN));
    assert_eq!(a.unsent(), Ok(4000));
    assert_eq!(a.ready(1).0 & OUT, 0);
    recv(&b, 4000).unwrap();
    assert_eq!(a.ready(1).0 & OUT, OUT);
    assert_eq!(b.ready(5001).0 & IN, 0);
    assert_eq!(b.ready(5000).0 & IN, IN);
}

#[test]
fn a_socket_can_connect_to_itself() {
    let stack = Stack::new(1);
    let tcp = stack.tcp();
    tcp.bind(&wish("127.0.0.1:4000")).unwrap();
    tcp.connect("127.0.0.1:4000".parse().unwrap(), &any(), false).unwrap();
    send(&tcp, b"echo").unwrap();
    assert_eq!(recv(&tcp, 10).unwrap(), b"echo");
    tcp.close(false, Instant::now());
    assert_eq!(Arc::strong_count(&tcp), 1);
}
