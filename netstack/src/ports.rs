//! Who has which port: bind conflicts, ephemeral ports, and who a packet is for.
//!
//! A [`Claim`] covers v4 addresses, v6 addresses, or both (a dual-stack wildcard). Two claims on one port conflict if what they
//! cover overlaps, unless both allow reuse (`inet_csk_bind_conflict`, `udp_lib_lport_inuse`).

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Weak},
    time::Instant,
};

use linux_abi::{Errno, Result};

/// The addresses a socket is bound to. An unspecified address means all of its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    pub v4: Option<Ipv4Addr>,
    pub v6: Option<Ipv6Addr>,
}

impl Coverage {
    /// What binding to `ip` covers. v4-mapped addresses must have been unmapped.
    pub fn of(ip: IpAddr, v6only: bool) -> Coverage {
        match ip {
            IpAddr::V4(v4) => Coverage { v4: Some(v4), v6: None },
            IpAddr::V6(v6) if v6.is_unspecified() && !v6only => {
                Coverage { v4: Some(Ipv4Addr::UNSPECIFIED), v6: Some(v6) }
            }
            IpAddr::V6(v6) => Coverage { v4: None, v6: Some(v6) },
        }
    }

    /// Whether some address belongs to both.
    pub fn overlaps(&self, other: &Coverage) -> bool {
        let v4 = match (self.v4, other.v4) {
            (Some(a), Some(b)) => a == b || a.is_unspecified() || b.is_unspecified(),
            _ => false,
        };
        let v6 = match (self.v6, other.v6) {
            (Some(a), Some(b)) => a == b || a.is_unspecified() || b.is_unspecified(),
            _ => false,
        };
        v4 || v6
    }

    /// How well `to` is meant, if at all: an address itself before a wildcard, a v4 socket before a dual-stack one.
    pub fn score(&self, to: IpAddr) -> Option<u32> {
        match to {
            IpAddr::V4(to) => {
                let mine = self.v4?;
                let family = u32::from(self.v6.is_none());
                if mine == to { Some(4 + family) } else { mine.is_unspecified().then_some(1 + family) }
            }
            IpAddr::V6(to) => {
                let mine = self.v6?;
                if mine == to { Some(4) } else { mine.is_unspecified().then_some(1) }
            }
        }
    }
}

/// A socket's hold on a port.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The socket's number.
    pub id: u64,
    pub coverage: Coverage,
    /// `SO_REUSEADDR`.
    pub reuse: bool,
    /// `SO_REUSEPORT`.
    pub reuseport: bool,
    pub uid: u32,
    /// In state LISTEN.
    pub listening: bool,
    /// The port came with a connection from a listener.
    pub accepted: bool,
}

impl Claim {
    /// Whether both can have the port.
    fn conflicts(&self, other: &Claim) -> bool {
        if self.id == other.id || !self.coverage.overlaps(&other.coverage) {
            return false;
        }
        let reuse = self.reuse && other.reuse && !other.listening;
        let reuseport = self.reuseport && other.reuseport && self.uid == other.uid;
        !(reuse || reuseport)
    }
}

/// A claim and whose it is.
type Owned<E> = (Claim, Weak<E>);

/// The ports of one protocol.
pub struct Ports<E> {
    by_port: HashMap<u16, Port<E>>,
}

/// Who has one port.
struct Port<E> {
    /// Who was bound to it: only they can be found by packets that belong to no connection.
    bound: Vec<Owned<E>>,
    /// Ends of connections: many, so they are not searched.
    connected: HashMap<u64, Claim>,
    /// How many of those got the port from a listener, not from connect(2).
    accepted: usize,
    /// Claims that outlive their sockets until a time (TIME_WAIT): at most one of each kind.
    lingering: Vec<(Claim, Instant)>,
}

impl<E> Default for Port<E> {
    fn default() -> Port<E> {
        Port { bound: Vec::new(), connected: HashMap::new(), accepted: 0, lingering: Vec::new() }
    }
}

impl<E> Port<E> {
    fn conflicts(&self, claim: &Claim, now: Instant) -> bool {
        self.lingering.iter().any(|(other, until)| *until > now && claim.conflicts(other))
            || self.bound.iter().any(|(other, _)| claim.conflicts(other))
            || self.connected.values().any(|other| claim.conflicts(other))
    }
}

impl<E> Default for Ports<E> {
    fn default() -> Ports<E> {
        Ports { by_port: HashMap::new() }
    }
}

/// The ports from which the stack chooses (`net.ipv4.ip_local_port_range`).
#[derive(Clone, Copy, Debug)]
pub struct PortRange {
    pub low: u16,
    pub high: u16,
}

impl PortRange {
    /// All of its ports of both parities, beginning somewhere with those of `parity`: Linux prefers odd ones for bind(2)
    /// and even ones for connect(2), so that the two do not get in each other's way.
    fn candidates(self, random: u32, parity: u16) -> impl Iterator<Item = u16> {
        let half = (u32::from(self.high.saturating_sub(self.low)) + 1).div_ceil(2).max(1);
        let start = random % half;
        let preferred = u32::from((self.low ^ parity) & 1);
        [preferred, preferred ^ 1]
            .into_iter()
            .flat_map(move |offset| {
                (0..half).map(move |step| u32::from(self.low) + offset + (start + step) % half * 2)
            })
            .filter_map(move |port| u16::try_from(port).ok().filter(|port| *port <= self.high))
    }
}

impl<E> Ports<E> {
    /// Gives `port` to `claim`.
    ///
    /// # Errors
    /// `EADDRINUSE`.
    pub fn bind(&mut self, port: u16, claim: Claim, owner: Weak<E>, now: Instant) -> Result<()> {
        let entry = self.by_port.entry(port).or_default();
        entry.lingering.retain(|(_, until)| *until > now);
        if entry.conflicts(&claim, now) {
            return Err(Errno::EADDRINUSE);
        }
        entry.bound.push((claim, owner));
        Ok(())
    }

    /// Gives `claim` a port nobody else has there, for bind(2) to port zero.
    ///
    /// # Errors
    /// `EADDRINUSE` when there is none left.
    pub fn bind_any(
        &mut self,
        range: PortRange,
        random: u32,
        claim: Claim,
        owner: Weak<E>,
        now: Instant,
    ) -> Result<u16> {
        // SO_REUSEADDR is for ports one asks for.
        let alone = Claim { reuse: false, ..claim };
        let free = range
            .candidates(random, 1)
            .find(|port| !self.by_port.get(port).is_some_and(|entry| entry.conflicts(&alone, now)));
        let port = free.ok_or(Errno::EADDRINUSE)?;
        self.by_port.entry(port).or_default().bound.push((claim, owner));
        Ok(port)
    }

    /// Gives `claim` a port for a connection: one that is free, or shared only with other ends of connections that chose it so
    /// and for which `is_unique` says that the connection would be the only one of its kind.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` when there is none left.
    pub fn connect(
        &mut self,
        range: PortRange,
        random: u32,
        claim: Claim,
        is_unique: &dyn Fn(u16) -> bool,
    ) -> Result<u16> {
        let shareable = |entry: &Port<E>| entry.bound.is_empty() && entry.accepted == 0;
        let free = range
            .candidates(random, 0)
            .find(|port| self.by_port.get(port).is_none_or(shareable) && is_unique(*port));
        let port = free.ok_or(Errno::EADDRNOTAVAIL)?;
        self.by_port.entry(port).or_default().connected.insert(claim.id, claim);
        Ok(port)
    }

    /// Notes that a connection accepted from a listener has its `port`.
    pub fn accept(&mut self, port: u16, claim: Claim) {
        let entry = self.by_port.entry(port).or_default();
        entry.accepted += 1;
        entry.connected.insert(claim.id, Claim { accepted: true, ..claim });
    }

    /// The claim of `id` on `port`.
    pub fn claim(&self, port: u16, id: u64) -> Option<Claim> {
        let entry = self.by_port.get(&port)?;
        let bound = entry.bound.iter().find(|(claim, _)| claim.id == id).map(|(claim, _)| *claim);
        bound.or_else(|| entry.connected.get(&id).copied())
    }

    /// Changes the claim of `id`, which was bound to `port`, if nobody minds.
    ///
    /// # Errors
    /// `EADDRINUSE`.
    pub fn change(&mut self, port: u16, id: u64, change: &dyn Fn(&mut Claim)) -> Result<()> {
        let Some(entry) = self.by_port.get_mut(&port) else { return Ok(()) };
        let Some(at) = entry.bound.iter().position(|(claim, _)| claim.id == id) else { return Ok(()) };
        let Some(mut changed) = entry.bound.get(at).map(|(claim, _)| *claim) else { return Ok(()) };
        change(&mut changed);
        // The ends of connections do not mind a listener, only its peers do.
        if entry.bound.iter().any(|(other, _)| changed.conflicts(other)) {
            return Err(Errno::EADDRINUSE);
        }
        if let Some((claim, _)) = entry.bound.get_mut(at) {
            *claim = changed;
        }
        Ok(())
    }

    /// Gives `port` up.
    pub fn release(&mut self, port: u16, id: u64) {
        let Some(entry) = self.by_port.get_mut(&port) else { return };
        match entry.connected.remove(&id) {
            Some(claim) => entry.accepted -= usize::from(claim.accepted),
            None => entry.bound.retain(|(claim, _)| claim.id != id),
        }
        if entry.bound.is_empty() && entry.connected.is_empty() && entry.lingering.is_empty() {
            self.by_port.remove(&port);
        }
    }

    /// Gives `port` up, but keeps others off it until `until`, as a connection in TIME_WAIT does.
    pub fn release_later(&mut self, port: u16, id: u64, until: Instant) {
        if let Some(claim) = self.claim(port, id)
            && let Some(entry) = self.by_port.get_mut(&port)
        {
            let same = |other: &Claim| {
                (other.coverage, other.reuse, other.reuseport, other.uid)
                    == (claim.coverage, claim.reuse, claim.reuseport, claim.uid)
            };
            entry.lingering.retain(|(other, _)| !same(other));
            entry.lingering.push((Claim { listening: false, ..claim }, until));
        }
        self.release(port, id);
    }

    /// Changes what the claim of `id` on `port` allows: others are asked when they come.
    pub fn set_reuse(&mut self, port: u16, id: u64, reuse: bool, reuseport: bool) {
        let Some(entry) = self.by_port.get_mut(&port) else { return };
        let bound = entry.bound.iter_mut().map(|(claim, _)| claim).find(|claim| claim.id == id);
        if let Some(claim) = bound.or_else(|| entry.connected.get_mut(&id)) {
            claim.reuse = reuse;
            claim.reuseport = reuseport;
        }
    }

    /// Who was bound to `port` and satisfies `rank` best, with the score that gives. Among equals that share the port
    /// (`SO_REUSEPORT`), `hash` decides; among others, who was bound last.
    pub fn find(
        &self,
        port: u16,
        hash: u32,
        rank: &dyn Fn(&Claim, &Arc<E>) -> Option<u32>,
    ) -> Option<Arc<E>> {
        let mut best = 0;
        let mut equals: Vec<Arc<E>> = Vec::new();
        for (claim, owner) in &self.by_port.get(&port)?.bound {
            let Some(owner) = owner.upgrade() else { continue };
            let Some(score) = rank(claim, &owner) else { continue };
            if score > best || equals.is_empty() || (score == best && !claim.reuseport) {
                best = score;
                equals.clear();
                equals.push(owner);
            } else if score == best {
                equals.push(owner);
            }
        }
        let count = u32::try_from(equals.len()).ok().filter(|count| *count > 0)?;
        equals.into_iter().nth((hash % count) as usize)
    }

    /// Everybody who was bound to `port`.
    pub fn holders(&self, port: u16) -> Vec<(Claim, Arc<E>)> {
        let holders = self.by_port.get(&port).map(|entry| entry.bound.as_slice()).unwrap_or_default();
        holders.iter().filter_map(|(claim, owner)| Some((*claim, owner.upgrade()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(id: u64, ip: &str, v6only: bool) -> Claim {
        let coverage = Coverage::of(ip.parse().unwrap(), v6only);
        Claim { id, coverage, reuse: false, reuseport: false, uid: 0, listening: false, accepted: false }
    }

    fn reuse(claim: Claim) -> Claim {
        Claim { reuse: true, ..claim }
    }

    fn try_both(a: Claim, b: Claim) -> bool {
        let mut ports: Ports<()> = Ports::default();
        ports.bind(80, a, Weak::new(), Instant::now()).unwrap();
        ports.bind(80, b, Weak::new(), Instant::now()).is_ok()
    }

    #[test]
    fn addresses_decide_who_conflicts() {
        assert!(!try_both(claim(1, "127.0.0.1", false), claim(2, "127.0.0.1", false)));
        assert!(try_both(claim(1, "127.0.0.1", false), claim(2, "127.0.0.2", false)));
        assert!(!try_both(claim(1, "127.0.0.1", false), claim(2, "0.0.0.0", false)));
        assert!(!try_both(claim(1, "::", false), claim(2, "127.0.0.1", false)));
        assert!(try_both(claim(1, "::", true), claim(2, "127.0.0.1", false)));
        assert!(!try_both(claim(1, "::", true), claim(2, "::1", false)));
        assert!(try_both(claim(1, "::1", false), claim(2, "0.0.0.0", false)));
    }

    #[test]
    fn reuse_needs_both_and_no_listener() {
        let any = claim(1, "0.0.0.0", false);
        let other = claim(2, "0.0.0.0", false);
        assert!(!try_both(reuse(any), other));
        assert!(try_both(reuse(any), reuse(other)));
        assert!(!try_both(Claim { listening: true, ..reuse(any) }, reuse(other)));
        let share = |c: Claim, uid| Claim { reuseport: true, uid, listening: true, ..c };
        assert!(try_both(share(any, 5), share(other, 5)));
        assert!(!try_both(share(any, 5), share(other, 6)));
    }

    #[test]
    fn the_second_listener_is_refused() {
        let mut ports: Ports<()> = Ports::default();
        ports.bind(80, reuse(claim(1, "0.0.0.0", false)), Weak::new(), Instant::now()).unwrap();
        ports.bind(80, reuse(claim(2, "0.0.0.0", false)), Weak::new(), Instant::now()).unwrap();
        ports.change(80, 1, &|claim| claim.listening = true).unwrap();
        assert_eq!(ports.change(80, 2, &|claim| claim.listening = true), Err(Errno::EADDRINUSE));
        ports.release(80, 1);
        ports.change(80, 2, &|claim| claim.listening = true).unwrap();
    }

    #[test]
    fn every_port_of_the_range_is_given_out_once() {
        let range = PortRange { low: 1000, high: 1009 };
        let mut ports: Ports<()> = Ports::default();
        let mut given: Vec<u16> = (0..10)
            .map(|id| {
                ports.bind_any(range, 7, claim(id, "0.0.0.0", false), Weak::new(), Instant::now()).unwrap()
            })
            .collect();
        assert!(given[..5].iter().all(|port| port % 2 == 1));
        given.sort_unstable();
        assert_eq!(given, (1000..=1009).collect::<Vec<_>>());
        let more = ports.bind_any(range, 7, reuse(claim(11, "0.0.0.0", false)), Weak::new(), Instant::now());
        assert_eq!(more, Err(Errno::EADDRINUSE));
        // Another address is another matter; a connection cannot share with those who bound.
        assert!(ports.bind_any(range, 7, claim(12, "::1", true), Weak::new(), Instant::now()).is_ok());
        let connect = ports.connect(range, 7, claim(13, "127.0.0.1", false), &|_| true);
        assert_eq!(connect, Err(Errno::EADDRNOTAVAIL));
    }

    #[test]
    fn connections_share_ports_as_long_as_they_differ() {
        let range = PortRange { low: 1000, high: 1001 };
        let mut ports: Ports<()> = Ports::default();
        for id in 0..4 {
            ports.connect(range, 0, claim(id, "127.0.0.1", false), &|_| true).unwrap();
        }
        let none = ports.connect(range, 0, claim(9, "127.0.0.1", false), &|_| false);
        assert_eq!(none, Err(Errno::EADDRNOTAVAIL));
        assert_eq!(
            ports.bind(1000, claim(10, "0.0.0.0", false), Weak::new(), Instant::now()),
            Err(Errno::EADDRINUSE)
        );
    }

    #[test]
    fn a_port_in_time_wait_needs_consent_on_both_sides() {
        let mut ports: Ports<()> = Ports::default();
        let now = Instant::now();
        let until = now + std::time::Duration::from_secs(60);
        ports.bind(80, reuse(claim(1, "127.0.0.1", false)), Weak::new(), now).unwrap();
        ports.release_later(80, 1, until);
        let plain = claim(2, "0.0.0.0", false);
        assert_eq!(ports.bind(80, plain, Weak::new(), now), Err(Errno::EADDRINUSE));
        ports.bind(80, reuse(plain), Weak::new(), now).unwrap();
        ports.release(80, 2);
        ports.bind(80, plain, Weak::new(), until).unwrap();
    }
}
