//! Values in the usual spellings: numbers, durations, sizes, addresses.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::ast::{Host, Label, Network, Place};
use super::lookup::Lookup;
use crate::model::Ip;

/// A number as C writes it: decimal, `0x…`, or octal with a leading 0 (`strtoul` with base 0).
pub(super) fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    // from_str_radix takes a sign.
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

/// A number with a sign in front, if need be, within what a C `int` holds (`get_integer` in `lib/utils.c` of iproute2).
fn integer(text: &str) -> Option<i32> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let n = i64::try_from(number(digits)?).ok()?;
    i32::try_from(if negative { -n } else { n }).ok()
}

/// The number at the beginning of a text, and what follows it, as `sscanf` reads `%i`: what does not fit is cut to 32 bits.
fn scanned(text: &str) -> Option<(u32, &str)> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let hex = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X"));
    let (digits, radix) = match hex {
        Some(digits) => (digits, 16),
        None if rest.starts_with('0') => (rest, 8),
        None => (rest, 10),
    };
    let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    let (digits, after) = digits.split_at(end);
    if digits.is_empty() && hex.is_none() {
        return None;
    }
    // strtol stops at the ends of its range.
    let size = digits
        .chars()
        .filter_map(|c| c.to_digit(radix))
        .fold(0_i64, |n, digit| n.saturating_mul(i64::from(radix)).saturating_add(i64::from(digit)));
    let low = (if negative { -size } else { size }) & i64::from(u32::MAX);
    Some((u32::try_from(low).ok()?, after))
}

/// A mark and, behind a slash, its mask, as far as `ss` reads a text (`parse_markmask` in `misc/ss.c`), and whether that
/// is what stands there.
pub(super) fn mark(text: &str) -> Option<(u32, u32, bool)> {
    let strict = |t: &str| number(t).and_then(|n| u32::try_from(n).ok());
    let (value, after) = scanned(text)?;
    if !text.contains('/') {
        return Some((value, u32::MAX, strict(text).is_some()));
    }
    let (mask, _) = scanned(after.strip_prefix('/')?)?;
    let exact = text.split_once('/').is_some_and(|(v, m)| strict(v).is_some() && strict(m).is_some());
    Some((value, mask, exact))
}

const TIME_UNITS: &[(&str, u64)] = &[
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
    ("days", 86_400_000_000),
    ("day", 86_400_000_000),
    ("hours", 3_600_000_000),
    ("hour", 3_600_000_000),
    ("hr", 3_600_000_000),
    ("minutes", 60_000_000),
    ("minute", 60_000_000),
    ("mins", 60_000_000),
    ("min", 60_000_000),
    ("seconds", 1_000_000),
    ("second", 1_000_000),
    ("secs", 1_000_000),
    ("sec", 1_000_000),
    ("msec", 1_000),
    ("usec", 1),
    ("µs", 1),
    ("μs", 1),
];

const SIZE_UNITS: &[(&str, u64)] = &[
    ("G", 1 << 30),
    ("M", 1 << 20),
    ("K", 1 << 10),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
    ("b", 1),
];

/// Reads `1h30m`, `1.5s`, `200ms`; a number alone is in `bare` microseconds. The result is in microseconds.
pub(super) fn duration(text: &str, bare: u64) -> Option<u64> {
    with_units(text, TIME_UNITS, bare, true)
}

/// Reads `4096`, `64k`, `1.5MiB`: `k` and `KiB` are 1024, `kB` is 1000.
pub(super) fn size(text: &str) -> Option<u64> {
    with_units(text, SIZE_UNITS, 1, false)
}

fn with_units(text: &str, units: &[(&str, u64)], bare: u64, many: bool) -> Option<u64> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut parts = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (amount, after) = rest.split_at(digits);
        let unit_len = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        let scale = if unit.is_empty() && parts == 0 && after.is_empty() {
            bare
        } else {
            units.iter().find(|(name, _)| *name == unit)?.1
        };
        total = total.checked_add(scaled(amount, scale)?)?;
        rest = after;
        parts += 1;
    }
    (parts == 1 || many && parts > 1).then_some(total)
}

/// `amount` is digits with at most one point in them; what is smaller than one unit of the result is cut off.
fn scaled(amount: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    let whole: u64 = whole.parse().ok()?;
    let mut result = whole.checked_mul(scale)?;
    if !fraction.is_empty() {
        if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let part: u64 = fraction.parse().ok()?;
        let power = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
        result = result.checked_add(u64::try_from(u128::from(part) * u128::from(scale) / power).ok()?)?;
    }
    Some(result)
}

/// A duration in microseconds as it is read.
pub(super) struct Duration(pub(super) u64);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, scale) in &TIME_UNITS[..6] {
            if rest >= *scale {
                write!(f, "{}{unit}", rest / scale)?;
                rest %= scale;
            }
        }
        Ok(())
    }
}

/// A size in bytes as it is read.
pub(super) struct Size(pub(super) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIZE_UNITS[..3].iter().find(|(_, scale)| self.0 >= *scale && self.0.is_multiple_of(*scale)) {
            Some((unit, scale)) => write!(f, "{}{unit}", self.0 / scale),
            None => write!(f, "{}", self.0),
        }
    }
}

/// An address with as many octets as were written, each a C number; the others are 0 (`get_addr_ipv4` in `lib/utils.c`
/// of iproute2).
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let Some(part) = parts.next() else { break };
        *octet = u8::try_from(number(part)?).ok()?;
    }
    parts.next().is_none().then(|| octets.into())
}

/// A prefix length, or for IPv4 a netmask.
fn prefix_len(text: &str, width: u8) -> Option<u8> {
    if let Some(len) = number(text) {
        return u8::try_from(len).ok().filter(|len| *len <= width);
    }
    let mask = text.parse::<Ipv4Addr>().ok().filter(|_| width == 32)?.to_bits();
    (mask.leading_ones() + mask.trailing_zeros().min(32) == 32 || mask == 0)
        .then(|| u8::try_from(mask.leading_ones()).unwrap_or(32))
}

/// `ADDRESS[/LEN]`
pub(super) fn network(text: &str, family: Option<Label>) -> Option<Network> {
    let (addr, len) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
    let v6 = addr.contains(':');
    if family.is_some_and(|f| (f == Label::Inet6) != v6) {
        return None;
    }
    let addr: Ip = if v6 { addr.parse::<Ipv6Addr>().ok()?.into() } else { ipv4(addr)?.into() };
    let whole = Network::host(addr, v6);
    match len {
        Some(len) => Some(Network { len: prefix_len(len, whole.len)?, ..whole }),
        None => Some(whole),
    }
}

/// What a port can be.
pub(super) enum PortError {
    /// No number and no service.
    Unknown,
    /// A number so far beyond 65535 that ss does not take it either.
    TooLarge,
}

/// A port by number or service name; nothing, what begins with `*`, and -1 are any (`parse_hostcond` in `misc/ss.c`).
pub(super) fn port(text: &str, lookup: &dyn Lookup) -> Result<Option<i32>, PortError> {
    if text.is_empty() || text.starts_with('*') {
        return Ok(None);
    }
    match integer(text) {
        Some(-1) => Ok(None),
        Some(n) => Ok(Some(n)),
        None if number(text).is_some() => Err(PortError::TooLarge),
        None => lookup.service(text).map(|port| Some(port.into())).ok_or(PortError::Unknown),
    }
}

/// What is wrong with a host: which part of it, and why.
pub(super) struct HostError {
    /// The part of the text that is wrong.
    pub(super) part: std::ops::Range<usize>,
    pub(super) kind: HostErrorKind,
}

pub(super) enum HostErrorKind {
    Port(PortError),
    Address,
    NoBracket,
}

/// The two ways to read `text` as address and port.
fn split(text: &str) -> Option<Vec<(std::ops::Range<usize>, std::ops::Range<usize>)>> {
    let end = text.len();
    if text.starts_with('[') {
        let close = text.find(']')?;
        // The length may also stand behind the bracket, as everybody but ss writes it.
        if let Some(behind) = text[close + 1..].strip_prefix('/') {
            let colon = behind.find(':').map_or(end, |c| close + 2 + c);
            return Some(vec![(0..colon, (colon + 1).min(end)..end)]);
        }
        let port = close + 1 + usize::from(text[close + 1..].starts_with(':'));
        return Some(vec![(1..close, port..end)]);
    }
    if let Some(behind) = text.strip_prefix('*') {
        let port = 1 + usize::from(behind.starts_with(':'));
        return Some(vec![(0..1, port..end)]);
    }
    let from = text.find('/').unwrap_or(0);
    let Some(colon) = text[from..].rfind(':').map(|c| from + c) else {
        return Some(vec![(0..end, end..end)]);
    };
    let cut = (0..colon, colon + 1..end);
    // An IPv6 address without brackets: ss takes what follows the last colon for the port, and so do we as long as that
    // leaves an address.
    let many = text[..colon].contains(':');
    Some(if many { vec![cut, (0..end, end..end)] } else { vec![cut] })
}

/// `ADDRESS[:PORT]` without the family in front.
pub(super) fn host(text: &str, family: Option<Label>, lookup: &dyn Lookup) -> Result<Host, HostError> {
    let Some(ways) = split(text) else {
        return Err(HostError { part: 0..text.len(), kind: HostErrorKind::NoBracket });
    };
    let mut first = None;
    for (addr_at, port_at) in ways {
        match read(text, (addr_at, port_at), family, lookup) {
            Ok(host) => return Ok(host),
            Err(e) => {
                first.get_or_insert(e);
            }
        }
    }
    Err(first.unwrap_or(HostError { part: 0..text.len(), kind: HostErrorKind::Address }))
}

fn read(
    text: &str,
    (addr_at, port_at): (std::ops::Range<usize>, std::ops::Range<usize>),
    family: Option<Label>,
    lookup: &dyn Lookup,
) -> Result<Host, HostError> {
    let port_text = text.get(port_at.clone()).unwrap_or("");
    let mut addr = text.get(addr_at.clone()).unwrap_or("").to_owned();
    // A bracket that none opens is a part of no address.
    if text.starts_with('[') {
        addr = addr.replacen('[', "", 1).replacen(']', "", 1);
    }
    let place = match &*addr {
        "" | "*" | "any" | "all" | "default" => Place::Any,
        addr => match network(addr, family) {
            Some(network) => Place::In(network),
            None => named(addr, family, lookup)
                .ok_or(HostError { part: addr_at, kind: HostErrorKind::Address })?,
        },
    };
    let port =
        port(port_text, lookup).map_err(|e| HostError { part: port_at, kind: HostErrorKind::Port(e) })?;
    Ok(Host { family, place, port })
}

fn named(name: &str, family: Option<Label>, lookup: &dyn Lookup) -> Option<Place> {
    // What looks like an address is not asked for: an error in it would become a question to a name server.
    if name.contains(['/', ':']) || !name.contains(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let networks: Vec<Network> = lookup
        .host(name)
        .into_iter()
        .map(|ip| Network::host(ip, !ip.is_v4()))
        .filter(|n| family.is_none_or(|f| (f == Label::Inet6) == n.v6))
        .collect();
    (!networks.is_empty()).then(|| Place::Named(name.into(), networks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_the_usual_spellings() {
        let s = |t| duration(t, 1_000_000);
        assert_eq!(s("90"), Some(90_000_000));
        assert_eq!(s("5m"), Some(300_000_000));
        assert_eq!(s("1h30m"), Some(5_400_000_000));
        assert_eq!(s("1.5s"), Some(1_500_000));
        assert_eq!(s("200ms"), Some(200_000));
        assert_eq!(s("2days"), Some(172_800_000_000));
        for bad in
            ["", "m", "5x", "5m3", "1..2s", "-3s", ".s", "1h 2m", "99999999999999999999d", "1.0000000001s"]
        {
            assert_eq!(s(bad), None, "{bad}");
        }
        for us in [0, 1, 999, 1_000, 60_000_000, 5_400_000_001, u64::MAX] {
            let text = Duration(us).to_string();
            assert_eq!(duration(&text, 1), Some(us), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_in_the_usual_spellings() {
        assert_eq!(size("4096"), Some(4096));
        assert_eq!(size("64k"), Some(65_536));
        assert_eq!(size("1.5MiB"), Some(1_572_864));
        assert_eq!(size("2MB"), Some(2_000_000));
        assert_eq!(size("1k1"), None);
        assert_eq!(size("lots"), None);
        for n in [0, 1, 1000, 1024, 65_536, 1 << 30, u64::MAX] {
            assert_eq!(size(&Size(n).to_string()), Some(n));
        }
    }

    #[test]
    fn marks_are_read_as_sscanf_reads_them() {
        let whole = u32::MAX;
        assert_eq!([mark("42"), mark("0x2a/0xff")], [Some((42, whole, true)), Some((42, 255, true))]);
        for (text, value, mask) in [
            ("42x", 42, whole),
            ("0x2ag", 42, whole),
            ("052 ", 42, whole),
            ("08", 0, whole),
            ("0x", 0, whole),
            ("0xg", 0, whole),
            ("-1", whole, whole),
            ("+42", 42, whole),
            ("99999999999", 0x4876_e7ff, whole),
            ("99999999999999999999", whole, whole),
            ("42/0xffx", 42, 255),
            ("42/3/", 42, 3),
        ] {
            assert_eq!(mark(text), Some((value, mask, false)), "{text}");
        }
        for bad in ["", "x", "-", "+x", "42x/1", "42/", "/1", "42//3", "/"] {
            assert_eq!(mark(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_are_those_of_c() {
        assert_eq!(
            [number("0x50"), number("010"), number("80"), number("0")],
            [Some(80), Some(8), Some(80), Some(0)]
        );
        assert_eq!([number("+1"), number("0x"), number("08"), number(""), number("0x+1")], [None; 5]);
        let [low, high] = [integer("-2147483648"), integer("2147483647")];
        assert_eq!([low, high, integer("+0x50")], [Some(i32::MIN), Some(i32::MAX), Some(80)]);
        assert_eq!([integer("2147483648"), integer("--1"), integer("- 1"), integer("80x")], [None; 4]);
    }
}
