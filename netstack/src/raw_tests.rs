use std::net::SocketAddr;

use super::*;

fn how(to: &str) -> RawSend {
    RawSend {
        to: SocketAddr::new(to.parse().unwrap(), 0),
        source: None,
        ttl: 64,
        tos: 0,
        with_header: false,
        broadcast: false,
        multicast_out: false,
        checksum_at: None,
    }
}

fn take(raw: &Raw) -> Result<Vec<u8>> {
    raw.recv(true, &mut |datagram| Ok(datagram.data.to_vec())).map(Option::unwrap)
}

#[test]
fn echo_is_answered_to_raw_and_ping_sockets() {
    let stack = Stack::new(1);
    for (v6, to, kind, reply) in
        [(false, "127.0.0.1", ECHO, ECHO_REPLY), (true, "::1", V6_ECHO, V6_ECHO_REPLY)]
    {
        let protocol = if v6 { ICMPV6 } else { ICMP };
        let raw = stack.raw(RawKind::Raw(protocol), v6, 1);
        let ping = stack.raw(RawKind::Ping, v6, 2);
        ping.send(&how(to), &[kind, 0, 0, 0, 9, 9, 0, 1, 42]).unwrap();
        let answer = take(&ping).unwrap();
        assert_eq!((answer[0], &answer[6..]), (reply, &[0, 1, 42][..]));
        assert_eq!(take(&ping), Err(Errno::EAGAIN));
        let header = if v6 { 0 } else { V4_HEADER };
        let request = take(&raw).unwrap();
        assert_eq!(request[header], kind);
        assert_eq!(take(&raw).unwrap()[header..], answer);
        assert_eq!(ping.send(&how(to), &[kind, 1, 0, 0, 0, 0, 0, 0]), Err(Errno::EINVAL));
        raw.close();
    }
    assert!(!stack.is_observed());
}

#[test]
fn filters_and_addresses_choose() {
    let stack = Stack::new(1);
    let (raw, bound) = (stack.raw(RawKind::Raw(ICMP), false, 1), stack.raw(RawKind::Raw(ICMP), false, 1));
    bound.bind("127.0.0.2:0".parse().unwrap(), false).unwrap();
    raw.set_icmp_filter(&[1 << ECHO]);
    raw.send(&how("127.0.0.1"), &[ECHO, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    assert_eq!(take(&raw).unwrap()[20], ECHO_REPLY);
    assert_eq!(take(&raw), Err(Errno::EAGAIN));
    assert_eq!(take(&bound), Err(Errno::EAGAIN));
    assert_eq!(raw.send(&how("10.0.0.1"), &[0; 8]), Err(Errno::ENETUNREACH));
    assert_eq!(raw.bind("10.0.0.1:0".parse().unwrap(), false), Err(Errno::EADDRNOTAVAIL));
}

#[test]
fn a_header_of_the_guests_own_is_completed() {
    let stack = Stack::new(1);
    let (sender, receiver) = (stack.raw(RawKind::Raw(255), false, 1), stack.raw(RawKind::Raw(200), false, 1));
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 9, 200, 0, 0, 0, 0, 0, 0, 127, 0, 0, 1];
    packet.extend(b"data");
    let with_header = RawSend { with_header: true, ..how("127.0.0.1") };
    sender.send(&with_header, &packet).unwrap();
    let got = take(&receiver).unwrap();
    assert_eq!((got[3], got[8], &got[12..16], &got[20..]), (24, 9, &[127, 0, 0, 1][..], &b"data"[..]));
    assert_eq!(checksum(&[&got[..20]]), 0);
    assert_eq!(sender.send(&with_header, &packet[..19]), Err(Errno::EINVAL));
    assert_eq!(sender.send(&with_header, &[0x4f; 20]), Err(Errno::EINVAL));
    assert_eq!(take(&sender), Err(Errno::EAGAIN));
}

#[test]
fn taps_see_datagrams_and_errors_come_back() {
    let stack = Stack::new(1);
    let tap = stack.tap(true);
    tap.set_protocol(crate::tap::ETH_P_ALL);
    let icmp = stack.raw(RawKind::Raw(ICMP), false, 1);
    let other = stack.raw(RawKind::Raw(201), false, 1);
    other.send(&how("127.0.0.1"), b"x").unwrap();
    assert_eq!(take(&other).unwrap()[20..], *b"x");
    other.close();
    let again = stack.raw(RawKind::Raw(255), false, 1);
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 9, 201, 0, 0, 0, 0, 0, 0, 127, 0, 0, 1];
    again.send(&RawSend { with_header: true, ..how("127.0.0.1") }, &packet).unwrap();
    assert_eq!(take(&icmp), Err(Errno::EAGAIN));
    packet.push(1);
    again.send(&RawSend { with_header: true, ..how("127.0.0.1") }, &packet).unwrap();
    let error = take(&icmp).unwrap();
    assert_eq!(error[20..22], [UNREACHABLE, PROTOCOL_UNREACHABLE]);
    let mut frames = 0;
    while let Ok(frame) = tap.mailbox.recv(true, &mut |frame| Ok(frame.clone())) {
        assert_eq!(frame.data[12..15], [8, 0, 0x45]);
        frames += 1;
    }
    assert_eq!(frames, 8);
}

#[test]
fn random_packets_do_no_harm() {
    let stack = Stack::new(1);
    let tap = stack.tap(false);
    tap.set_protocol(crate::tap::ETH_P_ALL);
    let raws: Vec<_> = (0..=255).map(|n| stack.raw(RawKind::Raw(n), n % 2 == 0, 1)).collect();
    let ping = stack.raw(RawKind::Ping, false, 1);
    ping.bind("127.0.0.1:1".parse().unwrap(), false).unwrap();
    let mut seed = 7u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 40) as u32
    };
    for _ in 0..20_000 {
        let mut bytes: Vec<u8> = (0..next() % 80).map(|_| (next() % 256) as u8).collect();
        if next() % 2 == 0 && bytes.len() >= 28 {
            bytes[0] = 0x45;
            let len = bytes.len() as u16;
            bytes[2..4].copy_from_slice(&len.to_be_bytes());
            bytes[9] = [ICMP, UDP, TCP, bytes[9]][next() as usize % 4];
            bytes[16..20].copy_from_slice(&[127, 0, 0, 1]);
            bytes[20] = [0, 3, 8, bytes[20]][next() as usize % 4];
        }
        tap.send(&bytes);
        let raw = &raws[next() as usize % raws.len()];
        let to = if next() % 2 == 0 { "127.0.0.1" } else { "::1" };
        let _ = raw.send(&RawSend { with_header: next() % 2 == 0, ..how(to) }, &bytes);
        let _ = take(&raws[next() as usize % raws.len()]);
    }
    assert!(raws.iter().all(|raw| raw.mailbox.used() <= 212_992 + 66_000));
    assert!(tap.mailbox.used() <= 212_992 + 66_000);
}
