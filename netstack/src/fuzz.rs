//! Random operations on TCP and UDP endpoints: nothing panics or hangs, and nothing is left when all are closed.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    Stack,
    tcp::{BindWish, Tcp, transfer::TcpRecv},
    udp::{Udp, UdpSend},
};

/// A generator of numbers that are the same in every run (Knuth's MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn address(&mut self) -> SocketAddr {
        let ips = ["127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::", "10.0.0.1", "224.0.0.1"];
        let port = [0, 80, 81, 82][self.below(4)];
        SocketAddr::new(ips[self.below(ips.len())].parse().unwrap(), port)
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 0
    }

    fn wish(&mut self) -> BindWish {
        BindWish {
            addr: self.address(),
            v6only: self.flag(),
            reuse: self.flag(),
            reuseport: self.flag(),
            uid: 0,
            free: false,
            now: Instant::now(),
        }
    }
}

fn tcp_step(stack: &Arc<Stack>, all: &mut Vec<Arc<Tcp>>, random: &mut Random) {
    if all.len() < 4 || random.below(10) == 0 {
        all.push(stack.tcp());
    }
    if all.len() > 20 {
        all.swap_remove(random.below(20)).close(random.flag(), Instant::now());
    }
    let at = random.below(all.len());
    let tcp = Arc::clone(&all[at]);
    match random.below(15) {
        0 => all.swap_remove(at).close(random.flag(), Instant::now()),
        1 => drop(tcp.bind(&random.wish())),
        2 => drop(tcp.listen(random.below(4), &random.wish())),
        3..=5 => drop(tcp.connect(random.address(), &random.wish(), random.flag())),
        6 => drop(tcp.connect_result()),
        7 => {
            if let Ok(accepted) = tcp.accept() {
                all.push(accepted);
            }
        }
        8 | 9 => {
            let max = random.below(200_000);
            let _ = tcp.send(max, &mut |into| Ok(into.len()));
        }
        10 | 11 => {
            let want = TcpRecv {
                peek: random.flag(),
                skip: random.below(3) * 100,
                max: random.below(100_000),
                at_least: random.below(3),
            };
            let _ = tcp.recv(want, &mut |bytes| Ok(bytes.len()));
        }
        12 => drop(tcp.shutdown(random.flag(), random.flag())),
        13 => {
            tcp.set_inline(random.flag());
            let _ = (tcp.send_urgent(1), tcp.recv_urgent(random.flag()), tcp.at_mark());
        }
        _ => {
            tcp.set_capacities(Some(random.below(5000)), None);
            let _ = (tcp.ready(random.below(10)), tcp.readable(), tcp.unsent(), tcp.take_error());
            if random.below(20) == 0 {
                tcp.disconnect();
            }
        }
    }
}

fn udp_step(stack: &Arc<Stack>, all: &mut Vec<Arc<Udp>>, random: &mut Random) {
    if all.len() < 4 || random.below(10) == 0 {
        all.push(stack.udp());
    }
    if all.len() > 20 {
        all.swap_remove(random.below(20)).close();
    }
    let at = random.below(all.len());
    let udp = Arc::clone(&all[at]);
    match random.below(8) {
        0 => all.swap_remove(at).close(),
        1 => drop(udp.bind(&random.wish())),
        2 => drop(udp.connect(random.address(), &random.wish(), random.flag(), random.flag())),
        3 | 4 => {
            let how = UdpSend {
                to: random.flag().then(|| random.address()),
                source: None,
                ttl: 64,
                tos: 0,
                broadcast: random.flag(),
                multicast_out: random.flag(),
            };
            let data = vec![0; random.below(70_000)];
            let _ = udp.send(&how, data.into(), &random.wish());
        }
        5 => drop(udp.recv(random.flag(), random.below(3), &mut |datagram, _| Ok(datagram.data.len()))),
        6 => {
            let group = random.address().ip();
            let _ = (udp.set_membership(group, random.flag()), udp.shutdown(random.flag(), random.flag()));
        }
        _ => {
            udp.mailbox.set_wants_reports(random.flag());
            let _ = (udp.ready(), udp.mailbox.take_error(), udp.mailbox.take_report());
            udp.disconnect(random.address().ip());
        }
    }
    assert!(udp.mailbox.used() <= 212_992 + 70_000);
}

#[test]
fn random_operations_leave_nothing_behind() {
    for seed in 1..=6 {
        let stack = Stack::new(seed);
        let mut random = Random(seed);
        let (mut tcps, mut udps) = (Vec::new(), Vec::new());
        for _ in 0..6000 {
            tcp_step(&stack, &mut tcps, &mut random);
            udp_step(&stack, &mut udps, &mut random);
        }
        for tcp in tcps {
            tcp.close(random.flag(), Instant::now());
        }
        udps.into_iter().for_each(|udp| udp.close());
        assert_eq!(stack.pool().in_use(), 0, "seed {seed}");
        assert!(stack.tcp_rows().is_empty() && stack.udp_rows().is_empty());
        // Every port can be had again, once TIME_WAIT is over.
        let later = Instant::now() + Duration::from_secs(3600);
        for port in [80, 81, 82] {
            let addr = SocketAddr::new("0.0.0.0".parse().unwrap(), port);
            let wish = BindWish {
                addr,
                v6only: false,
                reuse: false,
                reuseport: false,
                uid: 0,
                free: false,
                now: later,
            };
            assert_eq!(stack.tcp().bind(&wish), Ok(()), "seed {seed} port {port}");
            assert_eq!(stack.udp().bind(&wish), Ok(()), "seed {seed} port {port}");
        }
    }
}
