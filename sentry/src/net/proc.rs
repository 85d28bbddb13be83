//! The files of /proc/net (proc_pid_net(5)), as text.

use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr},
};

use linux_abi::socket::{SOCK_SEQPACKET, SOCK_STREAM};
use netstack::raw::RawRow;

use super::{base::SocketBase, socket::Socket};
use crate::kernel::Kernel;

/// /proc/net/arp.
pub fn arp() -> String {
    "IP address       HW type     Flags       HW address            Mask     Device\n".to_owned()
}

/// /proc/net/if_inet6.
pub fn if_inet6() -> String {
    "00000000000000000000000000000001 01 80 10 80       lo\n".to_owned()
}

/// /proc/net/igmp.
pub fn igmp() -> String {
    "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n".to_owned()
}

/// /proc/net/netlink.
pub fn netlink() -> String {
    "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n".to_owned()
}

/// /proc/net/packet.
pub fn packet() -> String {
    "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n".to_owned()
}

/// /proc/net/raw, or with `v6` /proc/net/raw6.
pub fn raw(kernel: &Kernel, v6: bool) -> String {
    let mut text = udp_header(v6).replacen("   sl", "  sl", 1);
    let rows = kernel.net.stack.raw_rows();
    rows.iter().filter(|row| row.v6 == v6 && !row.ping).for_each(|row| raw_line(&mut text, row));
    text
}

/// /proc/net/icmp, or with `v6` /proc/net/icmp6: ping sockets.
pub fn icmp(kernel: &Kernel, v6: bool) -> String {
    let mut text = udp_header(v6).replacen("   sl", "  sl", 1);
    let rows = kernel.net.stack.raw_rows();
    rows.iter().filter(|row| row.v6 == v6 && row.ping).for_each(|row| raw_line(&mut text, row));
    text
}

fn raw_line(text: &mut String, row: &RawRow) {
    let number = if row.ping { row.ident } else { u16::from(row.protocol) };
    let local = SocketAddr::new(row.local.unwrap_or(nowhere(row.v6).ip()), number);
    let state = if row.peer.is_some() { 1 } else { 7 };
    let _ = writeln!(
        text,
        "{number:5}: {} {} {state:02X} {:08X}:{:08X} 00:00000000 00000000 {:5} {:8} {} 2 0000000000000000 {}",
        hex(local, row.v6),
        hex(row.peer.unwrap_or(nowhere(row.v6)), row.v6),
        0,
        row.receiving,
        0,
        0,
        row.owner,
        row.drops,
    );
}

/// /proc/net/udplite, or with `v6` /proc/net/udplite6: there are none.
pub fn udplite(v6: bool) -> String {
    udp_header(v6)
}

/// /proc/net/ptype.
pub fn ptype() -> String {
    "Type Device      Function\n0800          ip_rcv\n86dd          ipv6_rcv\n".to_owned()
}

/// /proc/net/fib_trie: the routes of the loopback.
pub fn fib_trie() -> String {
    let tree = "  +-- 127.0.0.0/8 2 0 2\n     +-- 127.0.0.0/31 1 0 0\n        |-- 127.0.0.0\n           /8 host LOCAL\n        \
                |-- 127.0.0.1\n           /32 host LOCAL\n     |-- 127.255.255.255\n        /32 link BROADCAST\n";
    format!("Main:\n{tree}Local:\n{tree}")
}

/// /proc/net/netstat: nothing of it is counted.
pub fn netstat() -> String {
    let mut text = String::new();
    for (name, columns) in [
        (
            "TcpExt",
            "SyncookiesSent SyncookiesRecv SyncookiesFailed EmbryonicRsts PruneCalled TW TWRecycled TWKilled DelayedACKs \
             ListenOverflows ListenDrops TCPHPHits TCPPureAcks TCPHPAcks TCPLostRetransmit TCPTimeouts TCPLossProbes \
             TCPAbortOnData TCPAbortOnClose TCPAbortOnMemory TCPAbortOnTimeout TCPBacklogDrop TCPRcvCoalesce \
             TCPSynRetrans TCPOrigDataSent",
        ),
        (
            "IpExt",
            "InNoRoutes InTruncatedPkts InMcastPkts OutMcastPkts InBcastPkts OutBcastPkts InOctets OutOctets InMcastOctets \
             OutMcastOctets InBcastOctets OutBcastOctets InCsumErrors InNoECTPkts InECT1Pkts InECT0Pkts InCEPkts \
             ReasmOverlaps",
        ),
    ] {
        let zeros = vec!["0"; columns.split_whitespace().count()].join(" ");
        let columns = columns.split_whitespace().collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "{name}: {columns}\n{name}: {zeros}");
    }
    text
}

/// /proc/net/snmp6: nothing of it is counted.
pub fn snmp6() -> String {
    [
        "Ip6InReceives",
        "Ip6InDelivers",
        "Ip6OutRequests",
        "Icmp6InMsgs",
        "Icmp6OutMsgs",
        "Udp6InDatagrams",
        "Udp6NoPorts",
    ]
    .iter()
    .map(|name| format!("{name:<32}\t0\n"))
    .collect()
}

/// /proc/net/sockstat6.
pub fn sockstat6(kernel: &Kernel) -> String {
    let tcp = kernel.net.stack.tcp_rows().iter().filter(|row| is_v6(row.local)).count();
    let udp = kernel.net.stack.udp_rows().iter().filter(|row| is_v6(row.local)).count();
    format!(
        "TCP6: inuse {tcp}\nUDP6: inuse {udp}\nUDPLITE6: inuse 0\nRAW6: inuse 0\nFRAG6: inuse 0 memory 0\n"
    )
}

/// An address as in /proc/net/tcp: each 32-bit word as a native number.
fn hex(address: SocketAddr, v6: bool) -> String {
    let words = |bytes: &[u8]| {
        bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|word| format!("{:08X}", u32::from_ne_bytes(*word)))
            .collect::<String>()
    };
    let ip = match (address.ip(), v6) {
        (IpAddr::V4(ip), false) => words(&ip.octets()),
        (IpAddr::V4(ip), true) => words(&ip.to_ipv6_mapped().octets()),
        (IpAddr::V6(ip), _) => words(&ip.octets()),
    };
    format!("{ip}:{:04X}", address.port())
}

/// Whether a socket with these ends is listed in the v6 file.
fn is_v6(local: SocketAddr) -> bool {
    local.is_ipv6()
}

fn nowhere(v6: bool) -> SocketAddr {
    if v6 { (std::net::Ipv6Addr::UNSPECIFIED, 0).into() } else { (std::net::Ipv4Addr::UNSPECIFIED, 0).into() }
}

/// /proc/net/tcp, or with `v6` /proc/net/tcp6.
pub fn tcp(kernel: &Kernel, v6: bool) -> String {
    let mut text = if v6 {
        "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n".to_owned()
    } else {
        format!(
            "{:<149}\n",
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
        )
    };
    let rows = kernel.net.stack.tcp_rows().into_iter().filter(|row| is_v6(row.local) == v6);
    for (index, row) in rows.enumerate() {
        let mut line = String::new();
        let _ = write!(
            line,
            "{index:4}: {} {} {:02X} {:08X}:{:08X} 00:00000000 00000000 {:5} {:8} {} 1 0000000000000000 100 0 0 10 0",
            hex(row.local, v6),
            hex(row.peer.unwrap_or(nowhere(v6)), v6),
            row.state as u8,
            row.sending,
            row.receiving,
            row.uid,
            0,
            row.inode,
        );
        let _ = if v6 { writeln!(text, "{line}") } else { writeln!(text, "{line:<149}") };
    }
    text
}

fn udp_header(v6: bool) -> String {
    if v6 {
        "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n".to_owned()
    } else {
        format!(
            "{:<127}\n",
            "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops"
        )
    }
}

/// /proc/net/udp, or with `v6` /proc/net/udp6.
pub fn udp(kernel: &Kernel, v6: bool) -> String {
    let mut text = udp_header(v6);
    for row in kernel.net.stack.udp_rows().into_iter().filter(|row| is_v6(row.local) == v6) {
        let state = if row.peer.is_some() { 1 } else { 7 };
        let mut line = String::new();
        let _ = write!(
            line,
            "{:5}: {} {} {state:02X} {:08X}:{:08X} 00:00000000 00000000 {:5} {:8} {} 2 0000000000000000 {}",
            row.local.port(),
            hex(row.local, v6),
            hex(row.peer.unwrap_or(nowhere(v6)), v6),
            0,
            row.receiving,
            row.uid,
            0,
            row.inode,
            row.drops,
        );
        let _ = if v6 { writeln!(text, "{line}") } else { writeln!(text, "{line:<127}") };
    }
    text
}

/// /proc/net/unix.
pub fn unix(kernel: &Kernel) -> String {
    let mut text = String::from("Num       RefCount Protocol Flags    Type St Inode Path\n");
    for socket in kernel.net.unix.list() {
        let base: &SocketBase = socket.base();
        let listening = socket.is_listening();
        // SS_UNCONNECTED or SS_CONNECTED; __SO_ACCEPTCON.
        let state = if socket.peer_name().is_ok() { 3 } else { 1 };
        let flags = if listening { 0x1_0000 } else { 0 };
        let _ = write!(
            text,
            "0000000000000000: {:08X} {:08X} {flags:08X} {:04X} {state:02X} {:5}",
            if base.kind == SOCK_STREAM || base.kind == SOCK_SEQPACKET { 3 } else { 2 },
            0,
            base.kind,
            base.inode.number(),
        );
        if let Some(name) = socket.display_name() {
            let _ = write!(text, " {name}");
        }
        text.push('\n');
    }
    text
}

/// /proc/net/dev.
pub fn dev() -> String {
    let zeros = "       0       0    0    0    0     0          0         0";
    format!(
        "Inter-|   Receive                                                |  Transmit\n \
         face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
         lo:{zeros} {}\n",
        "       0       0    0    0    0     0       0          0"
    )
}

/// /proc/net/route.
pub fn route() -> String {
    format!(
        "{:<127}\n",
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT"
    )
}

/// /proc/net/ipv6_route.
pub fn ipv6_route() -> String {
    let zero = "00000000000000000000000000000000";
    format!(
        "00000000000000000000000000000001 80 {zero} 00 {zero} 00000000 00000002 00000000 80200001       lo\n"
    )
}

/// /proc/net/sockstat.
pub fn sockstat(kernel: &Kernel) -> String {
    let tcp = kernel.net.stack.tcp_rows().len();
    let udp = kernel.net.stack.udp_rows().len();
    let raw = kernel.net.stack.raw_rows().iter().filter(|row| !row.ping && !row.v6).count();
    let used = tcp + udp + raw + kernel.net.unix.list().len();
    format!(
        "sockets: used {used}\nTCP: inuse {tcp} orphan 0 tw 0 alloc {tcp} mem 0\nUDP: inuse {udp} mem 0\n\
         UDPLITE: inuse 0\nRAW: inuse {raw}\nFRAG: inuse 0 memory 0\n"
    )
}

/// /proc/net/protocols.
pub fn protocols() -> String {
    let mut text = String::from(
        "protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re bi br ha uh gp em\n",
    );
    for (name, what) in [
        ("UDPv6", "y  y  y  n  y  y  y  n  y  y  y  y  n  n  n  y  y  n"),
        ("TCPv6", "y  y  y  y  y  y  y  y  y  y  y  y  y  n  y  y  y  y"),
        ("UNIX", "n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n"),
        ("UDP", "y  y  y  n  y  y  y  n  y  y  y  y  n  n  n  y  y  n"),
        ("TCP", "y  y  y  y  y  y  y  y  y  y  y  y  y  n  y  y  y  y"),
        ("NETLINK", "n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n"),
    ] {
        let _ = writeln!(
            text,
            "{name:<9} {:4} {:6}  {:6}   {:<3} {:6}   {:<4} {:<10}  {what}",
            1024, 0, -1, "NI", 0, "yes", "kernel"
        );
    }
    text
}

/// /proc/net/snmp.
pub fn snmp() -> String {
    let mut text = String::new();
    for (name, columns) in [
        (
            "Ip",
            "Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards InDelivers \
             OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates \
             OutTransmits",
        ),
        (
            "Tcp",
            "RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs \
             RetransSegs InErrs OutRsts InCsumErrors",
        ),
        (
            "Udp",
            "InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors",
        ),
    ] {
        let values: Vec<&str> = columns
            .split_whitespace()
            .map(|column| match column {
                "Forwarding" => "2",
                "DefaultTTL" => "64",
                "RtoAlgorithm" => "1",
                "RtoMin" => "200",
                "RtoMax" => "120000",
                "MaxConn" => "-1",
                _ => "0",
            })
            .collect();
        let columns = columns.split_whitespace().collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "{name}: {columns}\n{name}: {}", values.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_words_in_host_order() {
        assert_eq!(hex("127.0.0.1:80".parse().unwrap(), false), "0100007F:0050");
        assert_eq!(hex("[::1]:80".parse().unwrap(), true), "00000000000000000000000001000000:0050");
        assert_eq!(hex("127.0.0.1:80".parse().unwrap(), true), "0000000000000000FFFF00000100007F:0050");
    }
}
