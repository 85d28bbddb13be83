//! Internet protocols: numbers, options and addresses (ip(7), ipv6(7), tcp(7), udp(7)), network interfaces.

use zerocopy::network_endian::{U16, U32};

// Protocols.

/// Any.
pub const IPPROTO_IP: i32 = 0;
/// ICMP.
pub const IPPROTO_ICMP: i32 = 1;
/// IGMP.
pub const IPPROTO_IGMP: i32 = 2;
/// Tunnels.
pub const IPPROTO_IPIP: i32 = 4;
/// TCP.
pub const IPPROTO_TCP: i32 = 6;
/// UDP.
pub const IPPROTO_UDP: i32 = 17;
/// IPv6.
pub const IPPROTO_IPV6: i32 = 41;
/// GRE.
pub const IPPROTO_GRE: i32 = 47;
/// ESP.
pub const IPPROTO_ESP: i32 = 50;
/// AH.
pub const IPPROTO_AH: i32 = 51;
/// ICMP, version 6.
pub const IPPROTO_ICMPV6: i32 = 58;
/// SCTP.
pub const IPPROTO_SCTP: i32 = 132;
/// UDP-Lite.
pub const IPPROTO_UDPLITE: i32 = 136;
/// Raw packets.
pub const IPPROTO_RAW: i32 = 255;
/// Multipath TCP.
pub const IPPROTO_MPTCP: i32 = 262;

// Options of `SOL_IP`.

/// Type of service.
pub const IP_TOS: i32 = 1;
/// Time to live.
pub const IP_TTL: i32 = 2;
/// Packets have their header.
pub const IP_HDRINCL: i32 = 3;
/// Options of packets.
pub const IP_OPTIONS: i32 = 4;
/// Router alerts.
pub const IP_ROUTER_ALERT: i32 = 5;
/// Receive options.
pub const IP_RECVOPTS: i32 = 6;
/// Receive options.
pub const IP_RETOPTS: i32 = 7;
/// Receive addresses.
pub const IP_PKTINFO: i32 = 8;
/// Get control data.
pub const IP_PKTOPTIONS: i32 = 9;
/// Path-MTU discovery.
pub const IP_MTU_DISCOVER: i32 = 10;
/// Queue errors.
pub const IP_RECVERR: i32 = 11;
/// Receive the time to live.
pub const IP_RECVTTL: i32 = 12;
/// Receive the type of service.
pub const IP_RECVTOS: i32 = 13;
/// The path's MTU.
pub const IP_MTU: i32 = 14;
/// Bind addresses that are not there.
pub const IP_FREEBIND: i32 = 15;
/// IPsec policy.
pub const IP_IPSEC_POLICY: i32 = 16;
/// IPsec policy.
pub const IP_XFRM_POLICY: i32 = 17;
/// Receive security labels.
pub const IP_PASSSEC: i32 = 18;
/// Transparent proxy.
pub const IP_TRANSPARENT: i32 = 19;
/// Receive the original address.
pub const IP_RECVORIGDSTADDR: i32 = 20;
/// Least time to live.
pub const IP_MINTTL: i32 = 21;
/// Do not reassemble.
pub const IP_NODEFRAG: i32 = 22;
/// Receive the checksum.
pub const IP_CHECKSUM: i32 = 23;
/// Choose the port at connect.
pub const IP_BIND_ADDRESS_NO_PORT: i32 = 24;
/// Receive the fragment size.
pub const IP_RECVFRAGSIZE: i32 = 25;
/// Parse ICMP extensions.
pub const IP_RECVERR_RFC4884: i32 = 26;
/// Interface of multicast.
pub const IP_MULTICAST_IF: i32 = 32;
/// Time to live of multicast.
pub const IP_MULTICAST_TTL: i32 = 33;
/// Multicast comes back.
pub const IP_MULTICAST_LOOP: i32 = 34;
/// Join a group.
pub const IP_ADD_MEMBERSHIP: i32 = 35;
/// Leave a group.
pub const IP_DROP_MEMBERSHIP: i32 = 36;
/// Accept a source.
pub const IP_UNBLOCK_SOURCE: i32 = 37;
/// Refuse a source.
pub const IP_BLOCK_SOURCE: i32 = 38;
/// Join for a source.
pub const IP_ADD_SOURCE_MEMBERSHIP: i32 = 39;
/// Leave for a source.
pub const IP_DROP_SOURCE_MEMBERSHIP: i32 = 40;
/// Filter sources.
pub const IP_MSFILTER: i32 = 41;
/// Join a group.
pub const MCAST_JOIN_GROUP: i32 = 42;
/// Leave a group.
pub const MCAST_LEAVE_GROUP: i32 = 45;
/// Receive all joined groups.
pub const IP_MULTICAST_ALL: i32 = 49;
/// Interface of unicast.
pub const IP_UNICAST_IF: i32 = 50;
/// The ports to choose from.
pub const IP_LOCAL_PORT_RANGE: i32 = 51;

// Values of `IP_MTU_DISCOVER`.

/// Never.
pub const IP_PMTUDISC_DONT: i32 = 0;
/// As routes say.
pub const IP_PMTUDISC_WANT: i32 = 1;
/// Always.
pub const IP_PMTUDISC_DO: i32 = 2;
/// Always, ignoring the path's MTU.
pub const IP_PMTUDISC_PROBE: i32 = 3;
/// The interface's MTU.
pub const IP_PMTUDISC_INTERFACE: i32 = 4;
/// The interface's MTU, fragmenting.
pub const IP_PMTUDISC_OMIT: i32 = 5;

// Options of `SOL_IPV6`.

/// Become an IPv4 socket.
pub const IPV6_ADDRFORM: i32 = 1;
/// Receive addresses, the old way.
pub const IPV6_2292PKTINFO: i32 = 2;
/// Receive hop-by-hop options, the old way.
pub const IPV6_2292HOPOPTS: i32 = 3;
/// Receive destination options, the old way.
pub const IPV6_2292DSTOPTS: i32 = 4;
/// Receive routing headers, the old way.
pub const IPV6_2292RTHDR: i32 = 5;
/// Get control data, the old way.
pub const IPV6_2292PKTOPTIONS: i32 = 6;
/// Where the checksum is.
pub const IPV6_CHECKSUM: i32 = 7;
/// Receive the hop limit, the old way.
pub const IPV6_2292HOPLIMIT: i32 = 8;
/// Receive flow information.
pub const IPV6_FLOWINFO: i32 = 11;
/// Hop limit.
pub const IPV6_UNICAST_HOPS: i32 = 16;
/// Interface of multicast.
pub const IPV6_MULTICAST_IF: i32 = 17;
/// Hop limit of multicast.
pub const IPV6_MULTICAST_HOPS: i32 = 18;
/// Multicast comes back.
pub const IPV6_MULTICAST_LOOP: i32 = 19;
/// Join a group (`IPV6_ADD_MEMBERSHIP`).
pub const IPV6_JOIN_GROUP: i32 = 20;
/// Leave a group (`IPV6_DROP_MEMBERSHIP`).
pub const IPV6_LEAVE_GROUP: i32 = 21;
/// Router alerts.
pub const IPV6_ROUTER_ALERT: i32 = 22;
/// Path-MTU discovery.
pub const IPV6_MTU_DISCOVER: i32 = 23;
/// The path's MTU.
pub const IPV6_MTU: i32 = 24;
/// Queue errors.
pub const IPV6_RECVERR: i32 = 25;
/// No IPv4.
pub const IPV6_V6ONLY: i32 = 26;
/// Join an anycast address.
pub const IPV6_JOIN_ANYCAST: i32 = 27;
/// Leave it.
pub const IPV6_LEAVE_ANYCAST: i32 = 28;
/// Receive all joined groups.
pub const IPV6_MULTICAST_ALL: i32 = 29;
/// Manage flow labels.
pub const IPV6_FLOWLABEL_MGR: i32 = 32;
/// Send flow information.
pub const IPV6_FLOWINFO_SEND: i32 = 33;
/// Receive addresses.
pub const IPV6_RECVPKTINFO: i32 = 49;
/// Addresses.
pub const IPV6_PKTINFO: i32 = 50;
/// Receive the hop limit.
pub const IPV6_RECVHOPLIMIT: i32 = 51;
/// The hop limit.
pub const IPV6_HOPLIMIT: i32 = 52;
/// Traffic class.
pub const IPV6_TCLASS: i32 = 67;
/// Receive the traffic class.
pub const IPV6_RECVTCLASS: i32 = 66;
/// Do not fragment.
pub const IPV6_DONTFRAG: i32 = 62;
/// The path's MTU, with the destination.
pub const IPV6_PATHMTU: i32 = 61;
/// Choose flow labels.
pub const IPV6_AUTOFLOWLABEL: i32 = 70;
/// Which source addresses to prefer.
pub const IPV6_ADDR_PREFERENCES: i32 = 72;
/// Transparent proxy.
pub const IPV6_TRANSPARENT: i32 = 75;
/// Bind addresses that are not there.
pub const IPV6_FREEBIND: i32 = 78;

// Options of `SOL_TCP`.

/// Send small segments at once.
pub const TCP_NODELAY: i32 = 1;
/// Largest segment.
pub const TCP_MAXSEG: i32 = 2;
/// Send full segments only.
pub const TCP_CORK: i32 = 3;
/// Seconds before probes.
pub const TCP_KEEPIDLE: i32 = 4;
/// Seconds between probes.
pub const TCP_KEEPINTVL: i32 = 5;
/// Probes.
pub const TCP_KEEPCNT: i32 = 6;
/// Connection requests.
pub const TCP_SYNCNT: i32 = 7;
/// Seconds in `FIN_WAIT2`.
pub const TCP_LINGER2: i32 = 8;
/// Accept when there is data.
pub const TCP_DEFER_ACCEPT: i32 = 9;
/// Largest window.
pub const TCP_WINDOW_CLAMP: i32 = 10;
/// About the connection.
pub const TCP_INFO: i32 = 11;
/// Acknowledge at once.
pub const TCP_QUICKACK: i32 = 12;
/// Congestion control.
pub const TCP_CONGESTION: i32 = 13;
/// MD5 signatures.
pub const TCP_MD5SIG: i32 = 14;
/// Linear timeouts for thin streams.
pub const TCP_THIN_LINEAR_TIMEOUTS: i32 = 16;
/// Removed.
pub const TCP_THIN_DUPACK: i32 = 17;
/// Milliseconds before giving up.
pub const TCP_USER_TIMEOUT: i32 = 18;
/// Repair mode.
pub const TCP_REPAIR: i32 = 19;
/// Which queue to repair.
pub const TCP_REPAIR_QUEUE: i32 = 20;
/// Its sequence number.
pub const TCP_QUEUE_SEQ: i32 = 21;
/// Its options.
pub const TCP_REPAIR_OPTIONS: i32 = 22;
/// Length of the fast-open queue.
pub const TCP_FASTOPEN: i32 = 23;
/// The time-stamp clock.
pub const TCP_TIMESTAMP: i32 = 24;
/// Least unsent data to wake for.
pub const TCP_NOTSENT_LOWAT: i32 = 25;
/// About congestion control.
pub const TCP_CC_INFO: i32 = 26;
/// Keep the connection request.
pub const TCP_SAVE_SYN: i32 = 27;
/// Get it.
pub const TCP_SAVED_SYN: i32 = 28;
/// Its window.
pub const TCP_REPAIR_WINDOW: i32 = 29;
/// connect sends with the data.
pub const TCP_FASTOPEN_CONNECT: i32 = 30;
/// Upper-layer protocol.
pub const TCP_ULP: i32 = 31;
/// MD5 signatures, extended.
pub const TCP_MD5SIG_EXT: i32 = 32;
/// The fast-open key.
pub const TCP_FASTOPEN_KEY: i32 = 33;
/// Without a cookie.
pub const TCP_FASTOPEN_NO_COOKIE: i32 = 34;
/// Receive without copying.
pub const TCP_ZEROCOPY_RECEIVE: i32 = 35;
/// Receive how much is left.
pub const TCP_INQ: i32 = 36;
/// Delay sending.
pub const TCP_TX_DELAY: i32 = 37;

// Connection states in `TCP_INFO`.

/// Established.
pub const TCP_ESTABLISHED: u8 = 1;
/// Request sent.
pub const TCP_SYN_SENT: u8 = 2;
/// Request received.
pub const TCP_SYN_RECV: u8 = 3;
/// Closed here, not acknowledged.
pub const TCP_FIN_WAIT1: u8 = 4;
/// Closed here.
pub const TCP_FIN_WAIT2: u8 = 5;
/// Waiting for stray segments.
pub const TCP_TIME_WAIT: u8 = 6;
/// Closed.
pub const TCP_CLOSE: u8 = 7;
/// Closed there.
pub const TCP_CLOSE_WAIT: u8 = 8;
/// Closed there, then here.
pub const TCP_LAST_ACK: u8 = 9;
/// Listening.
pub const TCP_LISTEN: u8 = 10;
/// Closed on both sides at once.
pub const TCP_CLOSING: u8 = 11;

// Options of `SOL_UDP`.

/// Collect data into one packet.
pub const UDP_CORK: i32 = 1;
/// Encapsulation.
pub const UDP_ENCAP: i32 = 100;
/// Send no checksums over IPv6.
pub const UDP_NO_CHECK6_TX: i32 = 101;
/// Accept no checksums over IPv6.
pub const UDP_NO_CHECK6_RX: i32 = 102;
/// Segment size of sending.
pub const UDP_SEGMENT: i32 = 103;
/// Receive segments together.
pub const UDP_GRO: i32 = 104;

// Flags of interfaces.

/// Up.
pub const IFF_UP: u32 = 0x1;
/// Can broadcast.
pub const IFF_BROADCAST: u32 = 0x2;
/// Debugging.
pub const IFF_DEBUG: u32 = 0x4;
/// Loopback.
pub const IFF_LOOPBACK: u32 = 0x8;
/// Point to point.
pub const IFF_POINTOPOINT: u32 = 0x10;
/// Unused.
pub const IFF_NOTRAILERS: u32 = 0x20;
/// Running.
pub const IFF_RUNNING: u32 = 0x40;
/// No ARP.
pub const IFF_NOARP: u32 = 0x80;
/// Receives everything.
pub const IFF_PROMISC: u32 = 0x100;
/// Receives all multicast.
pub const IFF_ALLMULTI: u32 = 0x200;
/// Master of others.
pub const IFF_MASTER: u32 = 0x400;
/// Slave of another.
pub const IFF_SLAVE: u32 = 0x800;
/// Can multicast.
pub const IFF_MULTICAST: u32 = 0x1000;
/// Can choose its port.
pub const IFF_PORTSEL: u32 = 0x2000;
/// Chooses its port.
pub const IFF_AUTOMEDIA: u32 = 0x4000;
/// Addresses are lost when down.
pub const IFF_DYNAMIC: u32 = 0x8000;
/// The link is up.
pub const IFF_LOWER_UP: u32 = 0x10000;

// Hardware types.

/// Ethernet.
pub const ARPHRD_ETHER: u16 = 1;
/// Loopback.
pub const ARPHRD_LOOPBACK: u16 = 772;

// Limits.

/// The longest name of an interface, terminator included.
pub const IFNAMSIZ: usize = 16;

// Where a queued error comes from.

/// Nowhere.
pub const SO_EE_ORIGIN_NONE: u8 = 0;
/// This machine.
pub const SO_EE_ORIGIN_LOCAL: u8 = 1;
/// ICMP.
pub const SO_EE_ORIGIN_ICMP: u8 = 2;
/// ICMP, version 6.
pub const SO_EE_ORIGIN_ICMP6: u8 = 3;

uapi! {
    /// `struct sockaddr_in`: an Internet address and port.
    pub struct SockaddrIn {
        /// `AF_INET`.
        pub sin_family: u16,
        /// The port.
        pub sin_port: U16,
        /// The address.
        pub sin_addr: [u8; 4],
        /// Unused.
        pub sin_zero: [u8; 8],
    }

    /// `struct sockaddr_in6`: an IPv6 address and port.
    pub struct SockaddrIn6 {
        /// `AF_INET6`.
        pub sin6_family: u16,
        /// The port.
        pub sin6_port: U16,
        /// Flow label and traffic class.
        pub sin6_flowinfo: U32,
        /// The address.
        pub sin6_addr: [u8; 16],
        /// The interface, of an address that is local to a link.
        pub sin6_scope_id: u32,
    }

    /// `struct sockaddr_ll`: the address of a packet socket.
    pub struct SockaddrLl {
        /// `AF_PACKET`.
        pub sll_family: u16,
        /// The protocol.
        pub sll_protocol: U16,
        /// The interface.
        pub sll_ifindex: i32,
        /// `ARPHRD_*`.
        pub sll_hatype: u16,
        /// For whom the packet was.
        pub sll_pkttype: u8,
        /// The length of the hardware address.
        pub sll_halen: u8,
        /// The hardware address.
        pub sll_addr: [u8; 8],
    }

    /// `struct ip_mreq`: a multicast group, and an interface by its address.
    pub struct IpMreq {
        /// The group.
        pub imr_multiaddr: [u8; 4],
        /// The interface's address.
        pub imr_interface: [u8; 4],
    }

    /// `struct ip_mreqn`: a multicast group, and an interface by address or number.
    pub struct IpMreqn {
        /// The group.
        pub imr_multiaddr: [u8; 4],
        /// The interface's address.
        pub imr_address: [u8; 4],
        /// The interface's number.
        pub imr_ifindex: i32,
    }

    /// `struct ipv6_mreq`: an IPv6 multicast group.
    pub struct Ipv6Mreq {
        /// The group.
        pub ipv6mr_multiaddr: [u8; 16],
        /// The interface's number.
        pub ipv6mr_interface: u32,
    }

    /// `struct in_pktinfo`, of `IP_PKTINFO`.
    pub struct InPktinfo {
        /// The interface.
        pub ipi_ifindex: i32,
        /// The local address.
        pub ipi_spec_dst: [u8; 4],
        /// The destination in the header.
        pub ipi_addr: [u8; 4],
    }

    /// `struct in6_pktinfo`, of `IPV6_PKTINFO`.
    pub struct In6Pktinfo {
        /// The address.
        pub ipi6_addr: [u8; 16],
        /// The interface.
        pub ipi6_ifindex: u32,
    }

    /// `struct ip6_mtuinfo`, of `IPV6_PATHMTU`.
    pub struct Ip6Mtuinfo {
        /// The destination.
        pub ip6m_addr: SockaddrIn6,
        /// The path's MTU.
        pub ip6m_mtu: u32,
    }

    /// `struct sock_extended_err`: a queued error.
    pub struct SockExtendedErr {
        /// The error number.
        pub ee_errno: u32,
        /// `SO_EE_ORIGIN_*`.
        pub ee_origin: u8,
        /// The ICMP type.
        pub ee_type: u8,
        /// The ICMP code.
        pub ee_code: u8,
        /// Padding.
        pub ee_pad: u8,
        /// Depends on the error: the MTU, for one.
        pub ee_info: u32,
        /// Unused.
        pub ee_data: u32,
    }

    /// The head of `struct tcp_info`, of `TCP_INFO`: what it was before it grew.
    pub struct TcpInfo {
        /// `TCP_ESTABLISHED` and so on.
        pub tcpi_state: u8,
        /// Of congestion control.
        pub tcpi_ca_state: u8,
        /// Retransmissions under way.
        pub tcpi_retransmits: u8,
        /// Probes under way.
        pub tcpi_probes: u8,
        /// Backoff of the timer.
        pub tcpi_backoff: u8,
        /// Options in use.
        pub tcpi_options: u8,
        /// Window scales: theirs, then ours, four bits each.
        pub tcpi_wscale: u8,
        /// Flags.
        pub tcpi_flags: u8,
        /// Retransmission timeout, microseconds.
        pub tcpi_rto: u32,
        /// Delayed acknowledgements, microseconds.
        pub tcpi_ato: u32,
        /// Their segment size.
        pub tcpi_snd_mss: u32,
        /// Our segment size.
        pub tcpi_rcv_mss: u32,
        /// Segments sent and not acknowledged.
        pub tcpi_unacked: u32,
        /// Segments acknowledged selectively.
        pub tcpi_sacked: u32,
        /// Segments lost.
        pub tcpi_lost: u32,
        /// Segments sent again.
        pub tcpi_retrans: u32,
        /// Unused.
        pub tcpi_fackets: u32,
        /// Milliseconds since data was sent.
        pub tcpi_last_data_sent: u32,
        /// Unused.
        pub tcpi_last_ack_sent: u32,
        /// Milliseconds since data was received.
        pub tcpi_last_data_recv: u32,
        /// Milliseconds since an acknowledgement was received.
        pub tcpi_last_ack_recv: u32,
        /// The path's MTU.
        pub tcpi_pmtu: u32,
        /// Slow-start threshold of receiving.
        pub tcpi_rcv_ssthresh: u32,
        /// Round-trip time, microseconds.
        pub tcpi_rtt: u32,
        /// Its variance, microseconds.
        pub tcpi_rttvar: u32,
        /// Slow-start threshold.
        pub tcpi_snd_ssthresh: u32,
        /// Congestion window, segments.
        pub tcpi_snd_cwnd: u32,
        /// Advertised segment size.
        pub tcpi_advmss: u32,
        /// Reordering seen.
        pub tcpi_reordering: u32,
        /// Round-trip time as the receiver sees it.
        pub tcpi_rcv_rtt: u32,
        /// Space for receiving.
        pub tcpi_rcv_space: u32,
        /// Retransmissions in all.
        pub tcpi_total_retrans: u32,
    }

    /// `struct ifreq`: an interface and something about it.
    pub struct Ifreq {
        /// The name, NUL-terminated.
        pub ifr_name: [u8; IFNAMSIZ],
        /// What the command says: an address, a number, flags.
        pub ifr_ifru: [u8; 24],
    }

    /// `struct ifconf`, of `SIOCGIFCONF`.
    pub struct Ifconf {
        /// The size of the buffer, in bytes.
        pub ifc_len: i32,
        /// Padding.
        pub _pad: u32,
        /// The buffer.
        pub ifc_buf: u64,
    }
}
