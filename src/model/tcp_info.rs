//! `struct tcp_info` of any length, and the rest of what an exact query returns.

use super::{ForeignText, Origin, SocketRow};

/// How a field of `struct tcp_info` is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Width {
    U8,
    LowNibble,
    HighNibble,
    U16,
    U32,
    U64,
}

impl Width {
    const fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::LowNibble | Self::HighNibble => 1,
            Self::U16 => 2,
            Self::U32 => 4,
            Self::U64 => 8,
        }
    }
}

/// One field: the kernel's name without `tcpi_`, where it stands, how wide it is.
#[derive(Clone, Copy, Debug)]
struct Field {
    name: &'static str,
    offset: usize,
    width: Width,
}

/// `struct tcp_info` as the kernel sent it (`tcp_get_info` in `net/ipv4/tcp.c`). The kernel of each release appends
/// fields: a field is there when the attribute is long enough to hold it, and later bytes are kept unread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TcpInfo {
    bytes: Box<[u8]>,
}

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident @ $offset:literal $width:ident;)*) => {
        const FIELDS: &[Field] = &[
            $(Field { name: stringify!($name), offset: $offset, width: Width::$width }),*
        ];

        impl TcpInfo {
            $($(#[$doc])* #[must_use] pub fn $name(&self) -> Option<u64> {
                self.read(Field { name: stringify!($name), offset: $offset, width: Width::$width })
            })*
        }
    };
}

fields! {
    /// State number.
    state @ 0 U8;
    /// Congestion avoidance state: 0 open, 1 disorder, 2 CWR, 3 recovery, 4 loss.
    ca_state @ 1 U8;
    /// Consecutive retransmission timeouts.
    retransmits @ 2 U8;
    /// Unanswered window or keepalive probes.
    probes @ 3 U8;
    /// Exponent of the back-off.
    backoff @ 4 U8;
    /// Negotiated options: 1 timestamps, 2 SACK, 4 window scaling, 8 ECN.
    options @ 5 U8;
    /// Window scale that we apply to the peer's window.
    snd_wscale @ 6 LowNibble;
    /// Window scale that the peer applies to ours.
    rcv_wscale @ 6 HighNibble;
    /// Retransmission timeout, µs.
    rto @ 8 U32;
    /// Delayed ACK timeout, µs.
    ato @ 12 U32;
    /// Segment size for sending, bytes.
    snd_mss @ 16 U32;
    /// Segment size seen, bytes.
    rcv_mss @ 20 U32;
    /// Segments in flight; for a listener the accept queue's length.
    unacked @ 24 U32;
    /// Segments acknowledged selectively; for a listener the backlog.
    sacked @ 28 U32;
    /// Segments held for lost.
    lost @ 32 U32;
    /// Retransmitted segments in flight.
    retrans @ 36 U32;
    /// Historical.
    fackets @ 40 U32;
    /// Time since data was last sent, ms.
    last_data_sent @ 44 U32;
    /// Always 0.
    last_ack_sent @ 48 U32;
    /// Time since data was last received, ms.
    last_data_recv @ 52 U32;
    /// Time since an ACK was last received, ms; a FIN refreshes it.
    last_ack_recv @ 56 U32;
    /// Path MTU, bytes.
    pmtu @ 60 U32;
    /// Limit of the receive window's growth, bytes.
    rcv_ssthresh @ 64 U32;
    /// Smoothed round-trip time, µs.
    rtt @ 68 U32;
    /// Its variation, µs.
    rttvar @ 72 U32;
    /// Slow start threshold, segments.
    snd_ssthresh @ 76 U32;
    /// Congestion window, segments.
    snd_cwnd @ 80 U32;
    /// Segment size that we announced.
    advmss @ 84 U32;
    /// Reordering seen, segments.
    reordering @ 88 U32;
    /// Receiver's estimate of the round-trip time, µs.
    rcv_rtt @ 92 U32;
    /// Receive buffer target, bytes.
    rcv_space @ 96 U32;
    /// Segments retransmitted over the life of the connection.
    total_retrans @ 100 U32;
    /// Pacing rate, bytes/s.
    pacing_rate @ 104 U64;
    /// Its limit, bytes/s.
    max_pacing_rate @ 112 U64;
    /// Bytes that the peer acknowledged.
    bytes_acked @ 120 U64;
    /// Bytes received in order.
    bytes_received @ 128 U64;
    /// Segments sent.
    segs_out @ 136 U32;
    /// Segments received.
    segs_in @ 140 U32;
    /// Bytes not yet sent.
    notsent_bytes @ 144 U32;
    /// Smallest round-trip time, µs.
    min_rtt @ 148 U32;
    /// Segments with data received.
    data_segs_in @ 152 U32;
    /// Segments with data sent.
    data_segs_out @ 156 U32;
    /// Delivery rate, bytes/s.
    delivery_rate @ 160 U64;
    /// Time with data to send, µs.
    busy_time @ 168 U64;
    /// Part of it limited by the peer's window, µs.
    rwnd_limited @ 176 U64;
    /// Part of it limited by the send buffer, µs.
    sndbuf_limited @ 184 U64;
    /// Segments delivered.
    delivered @ 192 U32;
    /// Segments delivered with a congestion mark.
    delivered_ce @ 196 U32;
    /// Bytes sent, retransmissions included.
    bytes_sent @ 200 U64;
    /// Bytes retransmitted.
    bytes_retrans @ 208 U64;
    /// Duplicates that the peer reported.
    dsack_dups @ 216 U32;
    /// Reordering events.
    reord_seen @ 220 U32;
    /// Segments received out of order.
    rcv_ooopack @ 224 U32;
    /// The peer's receive window, bytes (Linux 5.4).
    snd_wnd @ 228 U32;
    /// Our receive window, bytes (Linux 6.2).
    rcv_wnd @ 232 U32;
    /// Changes of the flow hash after timeouts (Linux 6.2).
    rehash @ 236 U32;
    /// Retransmission timeouts (Linux 6.7).
    total_rto @ 240 U16;
    /// Recoveries from them.
    total_rto_recoveries @ 242 U16;
    /// Time spent in them, ms.
    total_rto_time @ 244 U32;
    /// Segments received with a congestion mark.
    received_ce @ 248 U32;
    /// Accurate ECN byte counters.
    delivered_e1_bytes @ 252 U32;
    /// Accurate ECN byte counters.
    delivered_e0_bytes @ 256 U32;
    /// Accurate ECN byte counters.
    delivered_ce_bytes @ 260 U32;
    /// Accurate ECN byte counters.
    received_e1_bytes @ 264 U32;
    /// Accurate ECN byte counters.
    received_e0_bytes @ 268 U32;
    /// Accurate ECN byte counters.
    received_ce_bytes @ 272 U32;
    /// Why accurate ECN was given up.
    accecn_fail_mode @ 276 U16;
    /// Whether the accurate ECN option was seen.
    accecn_opt_seen @ 278 U16;
}

impl TcpInfo {
    /// The shortest `tcp_info` of a supported kernel, bytes: up to `total_retrans`.
    pub const MIN_LEN: usize = 104;

    /// Keeps the attribute's payload; any length is taken.
    #[must_use]
    pub fn new(payload: &[u8]) -> Self {
        Self { bytes: payload.into() }
    }

    /// Length of the attribute that the kernel sent, bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the kernel sent nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn read(&self, field: Field) -> Option<u64> {
        let raw = self.bytes.get(field.offset..field.offset + field.width.bytes())?;
        let mut wide = [0; 8];
        wide.get_mut(..raw.len())?.copy_from_slice(raw);
        // The kernel writes in the machine's order; short fields were placed at the start.
        let value = if cfg!(target_endian = "little") {
            u64::from_le_bytes(wide)
        } else {
            u64::from_be_bytes(wide) >> (64 - 8 * raw.len())
        };
        // Bit-fields are allocated from the low bits on little-endian machines, from the high ones elsewhere.
        let first = cfg!(target_endian = "little");
        Some(match field.width {
            Width::LowNibble if first => value & 0xf,
            Width::HighNibble if first => value >> 4,
            Width::LowNibble => value >> 4,
            Width::HighNibble => value & 0xf,
            _ => value,
        })
    }

    /// A `tcp_info` of today's length with these fields, the others 0.
    #[cfg(test)]
    pub(crate) fn of_fields(fields: &[(&str, u64)]) -> Self {
        let mut bytes = vec![0; 280];
        for (name, value) in fields {
            let f = FIELDS.iter().find(|f| f.name == *name).expect("a field of tcp_info");
            let wide = value.to_le_bytes();
            let place = &mut bytes[f.offset..f.offset + f.width.bytes()];
            place.copy_from_slice(&wide[..place.len()]);
            if cfg!(target_endian = "big") {
                place.reverse();
            }
        }
        Self::new(&bytes)
    }

    /// The names of every field that is known, in the order of [`TcpInfo::iter`].
    pub fn names() -> impl Iterator<Item = &'static str> {
        FIELDS.iter().map(|f| f.name)
    }

    /// Every field that this kernel sent, by the kernel's name without `tcpi_`.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        FIELDS.iter().filter_map(|f| self.read(*f).map(|v| (f.name, v)))
    }
}

/// `INET_DIAG_SKMEMINFO`: socket memory in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SkMemInfo {
    /// Receive memory in use.
    pub rmem_alloc: u32,
    /// Receive buffer limit.
    pub rcvbuf: u32,
    /// Send memory in use.
    pub wmem_alloc: u32,
    /// Send buffer limit.
    pub sndbuf: u32,
    /// Memory reserved ahead.
    pub fwd_alloc: u32,
    /// Bytes queued for sending.
    pub wmem_queued: u32,
    /// Option memory.
    pub optmem: u32,
    /// Backlog of a socket locked by its owner.
    pub backlog: u32,
    /// Packets dropped by this socket; `None` before Linux 4.9.
    pub drops: Option<u32>,
}

/// What an exact query says about one socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SocketDetail {
    /// The row, fresher than the table's.
    pub row: SocketRow,
    /// What the row shares with others ([`SocketRow::origin`] of `row` is not set).
    pub origin: Origin,
    /// `tcp_info`; mini-sockets have none.
    pub info: Option<TcpInfo>,
    /// Memory.
    pub mem: Option<SkMemInfo>,
    /// Congestion control algorithm.
    pub congestion: Option<ForeignText>,
    /// Upper layer protocol (`tls`, `mptcp`).
    pub ulp: Option<ForeignText>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_there_when_it_fits_whole() {
        let bytes: Vec<u8> = (0..=255).cycle().take(400).collect();
        for len in 0..400 {
            let info = TcpInfo::new(&bytes[..len]);
            for f in FIELDS {
                let there = info.iter().any(|(n, _)| n == f.name);
                assert_eq!(there, f.offset + f.width.bytes() <= len, "{} at {len}", f.name);
            }
        }
    }

    #[test]
    fn fields_follow_each_other_without_overlap() {
        for pair in FIELDS.windows(2) {
            let end = pair[0].offset + pair[0].width.bytes();
            assert!(pair[1].offset >= end || pair[1].offset == pair[0].offset, "{pair:?}");
        }
        let last = FIELDS.last().unwrap();
        assert_eq!(last.offset + last.width.bytes(), 280);
    }

    #[test]
    fn values_are_read_in_the_machines_order() {
        let mut bytes = vec![0; 280];
        bytes[6] = 0x72;
        bytes[68..72].copy_from_slice(&25_000u32.to_ne_bytes());
        bytes[120..128].copy_from_slice(&(1u64 << 40).to_ne_bytes());
        bytes[240..242].copy_from_slice(&9u16.to_ne_bytes());
        let info = TcpInfo::new(&bytes);
        assert_eq!(info.rtt(), Some(25_000));
        assert_eq!(info.bytes_acked(), Some(1 << 40));
        assert_eq!(info.total_rto(), Some(9));
        if cfg!(target_endian = "little") {
            assert_eq!((info.snd_wscale(), info.rcv_wscale()), (Some(2), Some(7)));
        }
    }
}
