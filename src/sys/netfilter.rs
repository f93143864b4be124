//! The few netfilter requests that a lab needs: track connections, translate them, forget them, drop ICMP.
//! `linux/netfilter/nfnetlink.h`, `nf_tables.h` and `nfnetlink_conntrack.h`.

use std::io;
use std::ops::RangeInclusive;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

const IPV4: u8 = 2;
const SUBSYS_CTNETLINK: u16 = 1;
const SUBSYS_NFTABLES: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEWTABLE: u16 = SUBSYS_NFTABLES << 8;
const DELTABLE: u16 = SUBSYS_NFTABLES << 8 | 2;
const NEWCHAIN: u16 = SUBSYS_NFTABLES << 8 | 3;
const NEWRULE: u16 = SUBSYS_NFTABLES << 8 | 6;
const CT_DELETE: u16 = SUBSYS_CTNETLINK << 8 | 2;

const REQUEST: u16 = 1;
const ACK: u16 = 4;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
const ERROR: u16 = 2;
const NESTED: u16 = 0x8000;

const HOOK_LOCAL_OUT: u32 = 3;
const HOOK_POSTROUTING: u32 = 4;
/// After everything that decides whether a packet leaves (`NF_IP_PRI_NAT_SRC`).
const PRIORITY_SOURCE_NAT: u32 = 100;
const PROTO_SPECIFIED: u32 = 2;
/// `NFT_META_L4PROTO`.
const META_L4PROTO: u32 = 16;
const PROTOCOL_ICMP: u8 = 1;

const TABLE: &[u8] = b"lab\0";

/// A connection to netfilter. It speaks for the namespace of the thread that opened it.
#[derive(Debug)]
pub struct Netfilter {
    socket: Socket,
    sequence: u32,
}

impl Netfilter {
    /// Opens it for the namespace of the calling thread.
    ///
    /// # Errors
    /// No netlink socket could be had, or the kernel has no netfilter.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Has every IPv4 packet that leaves tracked: a rule that looks at the state of its connection.
    ///
    /// # Errors
    /// The kernel has no `nft_ct`, or no `CAP_NET_ADMIN`.
    pub fn track(&mut self) -> io::Result<()> {
        // NFTA_CT_DREG, NFTA_CT_KEY: the state (0) into register 1.
        let state =
            expression(b"ct\0", &[attribute(1, &1_u32.to_be_bytes()), attribute(2, &0_u32.to_be_bytes())]);
        self.add_rule(b"out\0", b"filter\0", HOOK_LOCAL_OUT, 0, &state)
    }

    /// Translates the source of every IPv4 connection that leaves, to one of these ports if some are given.
    ///
    /// # Errors
    /// The kernel has no `nft_masq`, or no `CAP_NET_ADMIN`.
    pub fn masquerade(&mut self, ports: Option<RangeInclusive<u16>>) -> io::Result<()> {
        let Some(ports) = ports else {
            let masquerade = expression(b"masq\0", &[]);
            return self.add_rule(b"nat\0", b"nat\0", HOOK_POSTROUTING, PRIORITY_SOURCE_NAT, &masquerade);
        };
        // NFTA_IMMEDIATE_DREG, NFTA_IMMEDIATE_DATA: a port into a register.
        let load = |register: u32, port: u16| {
            let value = attribute(2 | NESTED, &attribute(1, &port.to_be_bytes()));
            expression(b"immediate\0", &[attribute(1, &register.to_be_bytes()), value])
        };
        // NFTA_MASQ_FLAGS, NFTA_MASQ_REG_PROTO_MIN, NFTA_MASQ_REG_PROTO_MAX.
        let numbers =
            [(1, PROTO_SPECIFIED), (2, 1), (3, 2)].map(|(kind, n)| attribute(kind, &n.to_be_bytes()));
        let expressions =
            [load(1, *ports.start()), load(2, *ports.end()), expression(b"masq\0", &numbers)].concat();
        self.add_rule(b"nat\0", b"nat\0", HOOK_POSTROUTING, PRIORITY_SOURCE_NAT, &expressions)
    }

    /// Drops every ICMP message that this host itself sends.
    ///
    /// # Errors
    /// The kernel has no nftables, or no `CAP_NET_ADMIN`.
    pub fn drop_own_icmp(&mut self) -> io::Result<()> {
        let number = |kind, n: u32| attribute(kind, &n.to_be_bytes());
        // NFTA_META_DREG, NFTA_META_KEY: the protocol into register 1.
        let load = expression(b"meta\0", &[number(1, 1), number(2, META_L4PROTO)]);
        // NFTA_CMP_SREG, NFTA_CMP_OP (equal), NFTA_CMP_DATA.
        let icmp = attribute(3 | NESTED, &attribute(1, &[PROTOCOL_ICMP]));
        let compare = expression(b"cmp\0", &[number(1, 1), number(2, 0), icmp]);
        // NFTA_IMMEDIATE_DREG (the verdict), NFTA_IMMEDIATE_DATA: NFTA_VERDICT_CODE is to drop.
        let verdict = attribute(2 | NESTED, &attribute(2 | NESTED, &number(1, 0)));
        let drop = expression(b"immediate\0", &[number(1, 0), verdict]);
        self.add_rule(b"icmp\0", b"filter\0", HOOK_LOCAL_OUT, 0, &[load, compare, drop].concat())
    }

    /// Removes every rule that was added.
    ///
    /// # Errors
    /// There is none, or no `CAP_NET_ADMIN`.
    pub fn forget_rules(&mut self) -> io::Result<()> {
        let batch = [
            self.message(BATCH_BEGIN, 0, 0, SUBSYS_NFTABLES, &[]),
            self.message(DELTABLE, ACK, IPV4, 0, &attribute(1, TABLE)),
            self.message(BATCH_END, 0, 0, SUBSYS_NFTABLES, &[]),
        ];
        self.ask(&batch.concat())
    }

    /// Forgets every tracked connection.
    ///
    /// # Errors
    /// The kernel has no `nf_conntrack_netlink`, or no `CAP_NET_ADMIN`.
    pub fn forget_connections(&mut self) -> io::Result<()> {
        let delete = self.message(CT_DELETE, ACK, 0, 0, &[]);
        self.ask(&delete)
    }

    fn add_rule(
        &mut self,
        chain: &[u8],
        kind: &[u8],
        hook: u32,
        priority: u32,
        expressions: &[u8],
    ) -> io::Result<()> {
        // NFTA_TABLE_NAME; NFTA_CHAIN_TABLE, _NAME, _HOOK, _TYPE; NFTA_RULE_TABLE, _CHAIN, _EXPRESSIONS.
        let hook = [attribute(1, &hook.to_be_bytes()), attribute(2, &priority.to_be_bytes())].concat();
        let new_chain =
            [attribute(1, TABLE), attribute(3, chain), attribute(4 | NESTED, &hook), attribute(7, kind)];
        let new_rule = [attribute(1, TABLE), attribute(2, chain), attribute(4 | NESTED, expressions)];
        let batch = [
            self.message(BATCH_BEGIN, 0, 0, SUBSYS_NFTABLES, &[]),
            self.message(NEWTABLE, CREATE, IPV4, 0, &attribute(1, TABLE)),
            self.message(NEWCHAIN, CREATE, IPV4, 0, &new_chain.concat()),
            self.message(NEWRULE, CREATE | APPEND | ACK, IPV4, 0, &new_rule.concat()),
            self.message(BATCH_END, 0, 0, SUBSYS_NFTABLES, &[]),
        ];
        self.ask(&batch.concat())
    }

    /// `struct nlmsghdr` and `struct nfgenmsg` before the attributes.
    fn message(&mut self, kind: u16, flags: u16, family: u8, resource: u16, attributes: &[u8]) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let len = u32::try_from(20 + attributes.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(20 + attributes.len());
        bytes.extend(len.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((flags | REQUEST).to_ne_bytes());
        bytes.extend(self.sequence.to_ne_bytes());
        bytes.extend(0_u32.to_ne_bytes());
        bytes.extend([family, 0]);
        bytes.extend(resource.to_be_bytes());
        bytes.extend(attributes);
        bytes
    }

    /// Sends and waits for the verdict: the first refusal, or the one acknowledgement that was asked for.
    fn ask(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.send(bytes, 0)?;
        let (answer, _) = self.socket.recv_from_full()?;
        let kind = answer.get(4..6).and_then(|b| b.try_into().ok()).map(u16::from_ne_bytes);
        let code = answer.get(16..20).and_then(|b| b.try_into().ok()).map(i32::from_ne_bytes);
        match (kind, code) {
            (Some(ERROR), Some(0)) => Ok(()),
            (Some(ERROR), Some(code)) => Err(io::Error::from_raw_os_error(code.wrapping_neg())),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// A `struct nlattr`, padded to four bytes.
fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(4 + payload.len()).unwrap_or(u16::MAX);
    let mut bytes = Vec::with_capacity(payload.len() + 7);
    bytes.extend(len.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// An element of a rule: `NFTA_LIST_ELEM` with `NFTA_EXPR_NAME` and `NFTA_EXPR_DATA`.
fn expression(name: &[u8], data: &[Vec<u8>]) -> Vec<u8> {
    attribute(1 | NESTED, &[attribute(1, name), attribute(2 | NESTED, &data.concat())].concat())
}
