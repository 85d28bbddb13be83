//! Netlink and its routing family (netlink(7), rtnetlink(7)).

// Families.

/// Routing and interfaces.
pub const NETLINK_ROUTE: i32 = 0;
/// For programs.
pub const NETLINK_USERSOCK: i32 = 2;
/// About sockets.
pub const NETLINK_SOCK_DIAG: i32 = 4;
/// Auditing.
pub const NETLINK_AUDIT: i32 = 9;
/// Packet filters.
pub const NETLINK_NETFILTER: i32 = 12;
/// Devices.
pub const NETLINK_KOBJECT_UEVENT: i32 = 15;
/// Generic.
pub const NETLINK_GENERIC: i32 = 16;

// Flags of messages.

/// A request.
pub const NLM_F_REQUEST: u16 = 0x1;
/// One of several.
pub const NLM_F_MULTI: u16 = 0x2;
/// Acknowledge.
pub const NLM_F_ACK: u16 = 0x4;
/// Echo.
pub const NLM_F_ECHO: u16 = 0x8;
/// The dump is inconsistent.
pub const NLM_F_DUMP_INTR: u16 = 0x10;
/// The whole table.
pub const NLM_F_ROOT: u16 = 0x100;
/// All that match.
pub const NLM_F_MATCH: u16 = 0x200;
/// At one moment.
pub const NLM_F_ATOMIC: u16 = 0x400;
/// A dump.
pub const NLM_F_DUMP: u16 = 0x300;
/// Replace.
pub const NLM_F_REPLACE: u16 = 0x100;
/// Fail if it exists.
pub const NLM_F_EXCL: u16 = 0x200;
/// Create.
pub const NLM_F_CREATE: u16 = 0x400;
/// Append.
pub const NLM_F_APPEND: u16 = 0x800;
/// The request was cut from the answer.
pub const NLM_F_CAPPED: u16 = 0x100;
/// The answer has attributes.
pub const NLM_F_ACK_TLVS: u16 = 0x200;

// Types of messages.

/// Nothing.
pub const NLMSG_NOOP: u16 = 1;
/// An error, or an acknowledgement.
pub const NLMSG_ERROR: u16 = 2;
/// The end of a dump.
pub const NLMSG_DONE: u16 = 3;
/// Messages were lost.
pub const NLMSG_OVERRUN: u16 = 4;
/// Add an interface.
pub const RTM_NEWLINK: u16 = 16;
/// Remove an interface.
pub const RTM_DELLINK: u16 = 17;
/// Get interfaces.
pub const RTM_GETLINK: u16 = 18;
/// Change an interface.
pub const RTM_SETLINK: u16 = 19;
/// Add an address.
pub const RTM_NEWADDR: u16 = 20;
/// Remove an address.
pub const RTM_DELADDR: u16 = 21;
/// Get addresses.
pub const RTM_GETADDR: u16 = 22;
/// Add a route.
pub const RTM_NEWROUTE: u16 = 24;
/// Remove a route.
pub const RTM_DELROUTE: u16 = 25;
/// Get routes.
pub const RTM_GETROUTE: u16 = 26;
/// Add a neighbour.
pub const RTM_NEWNEIGH: u16 = 28;
/// Remove a neighbour.
pub const RTM_DELNEIGH: u16 = 29;
/// Get neighbours.
pub const RTM_GETNEIGH: u16 = 30;
/// Add a rule.
pub const RTM_NEWRULE: u16 = 32;
/// Get rules.
pub const RTM_GETRULE: u16 = 34;

// Options of `SOL_NETLINK`.

/// Join a group.
pub const NETLINK_ADD_MEMBERSHIP: i32 = 1;
/// Leave a group.
pub const NETLINK_DROP_MEMBERSHIP: i32 = 2;
/// Receive the group.
pub const NETLINK_PKTINFO: i32 = 3;
/// Report lost broadcasts.
pub const NETLINK_BROADCAST_ERROR: i32 = 4;
/// Do not.
pub const NETLINK_NO_ENOBUFS: i32 = 5;
/// All network namespaces.
pub const NETLINK_LISTEN_ALL_NSID: i32 = 8;
/// Which groups?
pub const NETLINK_LIST_MEMBERSHIPS: i32 = 9;
/// Cut acknowledgements.
pub const NETLINK_CAP_ACK: i32 = 10;
/// Extended acknowledgements.
pub const NETLINK_EXT_ACK: i32 = 11;
/// Check requests strictly.
pub const NETLINK_GET_STRICT_CHK: i32 = 12;

// Attributes of interfaces.

/// The hardware address.
pub const IFLA_ADDRESS: u16 = 1;
/// The hardware broadcast address.
pub const IFLA_BROADCAST: u16 = 2;
/// The name.
pub const IFLA_IFNAME: u16 = 3;
/// The MTU.
pub const IFLA_MTU: u16 = 4;
/// The lower interface.
pub const IFLA_LINK: u16 = 5;
/// The queueing discipline.
pub const IFLA_QDISC: u16 = 6;
/// Statistics.
pub const IFLA_STATS: u16 = 7;
/// The master.
pub const IFLA_MASTER: u16 = 10;
/// The length of the queue.
pub const IFLA_TXQLEN: u16 = 13;
/// The operational state.
pub const IFLA_OPERSTATE: u16 = 16;
/// The link mode.
pub const IFLA_LINKMODE: u16 = 17;
/// About the kind of interface.
pub const IFLA_LINKINFO: u16 = 18;
/// Move to a process's namespace.
pub const IFLA_NET_NS_PID: u16 = 19;
/// Statistics, 64 bits.
pub const IFLA_STATS64: u16 = 23;
/// By address family.
pub const IFLA_AF_SPEC: u16 = 26;
/// The group.
pub const IFLA_GROUP: u16 = 27;
/// Move to a namespace.
pub const IFLA_NET_NS_FD: u16 = 28;
/// What else to dump.
pub const IFLA_EXT_MASK: u16 = 29;
/// How often it is promiscuous.
pub const IFLA_PROMISCUITY: u16 = 30;
/// Queues for sending.
pub const IFLA_NUM_TX_QUEUES: u16 = 31;
/// Queues for receiving.
pub const IFLA_NUM_RX_QUEUES: u16 = 32;
/// Is the link up?
pub const IFLA_CARRIER: u16 = 33;

// Attributes of addresses.

/// The address, or the peer's.
pub const IFA_ADDRESS: u16 = 1;
/// The address.
pub const IFA_LOCAL: u16 = 2;
/// The label.
pub const IFA_LABEL: u16 = 3;
/// The broadcast address.
pub const IFA_BROADCAST: u16 = 4;
/// Lifetimes.
pub const IFA_CACHEINFO: u16 = 6;
/// Flags.
pub const IFA_FLAGS: u16 = 8;

// Flags of addresses.

/// Not learned.
pub const IFA_F_PERMANENT: u32 = 0x80;

// Attributes of routes.

/// The destination.
pub const RTA_DST: u16 = 1;
/// The source.
pub const RTA_SRC: u16 = 2;
/// The input interface.
pub const RTA_IIF: u16 = 3;
/// The output interface.
pub const RTA_OIF: u16 = 4;
/// The gateway.
pub const RTA_GATEWAY: u16 = 5;
/// The priority.
pub const RTA_PRIORITY: u16 = 6;
/// The preferred source.
pub const RTA_PREFSRC: u16 = 7;
/// Metrics.
pub const RTA_METRICS: u16 = 8;
/// Lifetimes.
pub const RTA_CACHEINFO: u16 = 12;
/// The table.
pub const RTA_TABLE: u16 = 15;

// Fields of routes.

/// No table.
pub const RT_TABLE_UNSPEC: u8 = 0;
/// The default table.
pub const RT_TABLE_DEFAULT: u8 = 253;
/// The main table.
pub const RT_TABLE_MAIN: u8 = 254;
/// The table of local addresses.
pub const RT_TABLE_LOCAL: u8 = 255;
/// Unknown origin.
pub const RTPROT_UNSPEC: u8 = 0;
/// From the kernel.
pub const RTPROT_KERNEL: u8 = 2;
/// From starting up.
pub const RTPROT_BOOT: u8 = 3;
/// From the administrator.
pub const RTPROT_STATIC: u8 = 4;
/// Anywhere.
pub const RT_SCOPE_UNIVERSE: u8 = 0;
/// On this link.
pub const RT_SCOPE_LINK: u8 = 253;
/// This machine.
pub const RT_SCOPE_HOST: u8 = 254;
/// Nowhere.
pub const RT_SCOPE_NOWHERE: u8 = 255;
/// Unknown.
pub const RTN_UNSPEC: u8 = 0;
/// A gateway or a link.
pub const RTN_UNICAST: u8 = 1;
/// Here.
pub const RTN_LOCAL: u8 = 2;
/// Broadcast.
pub const RTN_BROADCAST: u8 = 3;
/// Multicast.
pub const RTN_MULTICAST: u8 = 5;
/// Dropped.
pub const RTN_BLACKHOLE: u8 = 6;
/// Unreachable.
pub const RTN_UNREACHABLE: u8 = 7;

// States of neighbours.

/// Reachable.
pub const NUD_REACHABLE: u16 = 0x2;
/// Was reachable.
pub const NUD_STALE: u16 = 0x4;
/// Fixed.
pub const NUD_PERMANENT: u16 = 0x80;
/// Needs no ARP.
pub const NUD_NOARP: u16 = 0x40;

// Attributes of neighbours.

/// The address.
pub const NDA_DST: u16 = 1;
/// The hardware address.
pub const NDA_LLADDR: u16 = 2;

uapi! {
    /// `struct sockaddr_nl`: the address of a netlink socket.
    pub struct SockaddrNl {
        /// `AF_NETLINK`.
        pub nl_family: u16,
        /// Padding.
        pub nl_pad: u16,
        /// The port; 0 is the kernel.
        pub nl_pid: u32,
        /// Multicast groups.
        pub nl_groups: u32,
    }

    /// `struct nlmsghdr`: the head of a message. Each starts at a multiple of 4 bytes.
    pub struct Nlmsghdr {
        /// Its length, head included.
        pub nlmsg_len: u32,
        /// Its type.
        pub nlmsg_type: u16,
        /// `NLM_F_*`.
        pub nlmsg_flags: u16,
        /// Connects requests and answers.
        pub nlmsg_seq: u32,
        /// The sender's port.
        pub nlmsg_pid: u32,
    }

    /// `struct nlmsgerr`: what follows in `NLMSG_ERROR`, and before the request.
    pub struct Nlmsgerr {
        /// A negative error number, or 0.
        pub error: i32,
        /// The request's head.
        pub msg: Nlmsghdr,
    }

    /// `struct rtattr`: the head of an attribute. Each starts at a multiple of 4 bytes.
    pub struct Rtattr {
        /// Its length, head included.
        pub rta_len: u16,
        /// Its type.
        pub rta_type: u16,
    }

    /// `struct rtgenmsg`, padded as requests have it.
    pub struct Rtgenmsg {
        /// The address family.
        pub rtgen_family: u8,
    }

    /// `struct ifinfomsg`: an interface.
    pub struct Ifinfomsg {
        /// `AF_UNSPEC`.
        pub ifi_family: u8,
        /// Padding.
        pub __ifi_pad: u8,
        /// `ARPHRD_*`.
        pub ifi_type: u16,
        /// Its number.
        pub ifi_index: i32,
        /// `IFF_*`.
        pub ifi_flags: u32,
        /// Which flags to change.
        pub ifi_change: u32,
    }

    /// `struct ifaddrmsg`: an address.
    pub struct Ifaddrmsg {
        /// The address family.
        pub ifa_family: u8,
        /// The length of the prefix.
        pub ifa_prefixlen: u8,
        /// `IFA_F_*`.
        pub ifa_flags: u8,
        /// `RT_SCOPE_*`.
        pub ifa_scope: u8,
        /// The interface.
        pub ifa_index: u32,
    }

    /// `struct rtmsg`: a route.
    pub struct Rtmsg {
        /// The address family.
        pub rtm_family: u8,
        /// The length of the destination's prefix.
        pub rtm_dst_len: u8,
        /// The length of the source's prefix.
        pub rtm_src_len: u8,
        /// Type of service.
        pub rtm_tos: u8,
        /// `RT_TABLE_*`.
        pub rtm_table: u8,
        /// `RTPROT_*`.
        pub rtm_protocol: u8,
        /// `RT_SCOPE_*`.
        pub rtm_scope: u8,
        /// `RTN_*`.
        pub rtm_type: u8,
        /// `RTM_F_*`.
        pub rtm_flags: u32,
    }

    /// `struct ndmsg`: a neighbour.
    pub struct Ndmsg {
        /// The address family.
        pub ndm_family: u8,
        /// Padding.
        pub ndm_pad1: u8,
        /// Padding.
        pub ndm_pad2: u16,
        /// The interface.
        pub ndm_ifindex: i32,
        /// `NUD_*`.
        pub ndm_state: u16,
        /// Flags.
        pub ndm_flags: u8,
        /// `RTN_*`.
        pub ndm_type: u8,
    }
}
