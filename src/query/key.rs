//! A sort key that holds any column's value, so that sorting compares numbers and never looks a row up again.

use crate::model::Ip;

/// The value of a column, in an order that numbers can express. What is missing comes last in both directions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Key {
    // The order of the fields is the order of comparison.
    missing: bool,
    hi: u64,
    lo: u64,
    rest: u16,
}

impl Key {
    pub(super) const MISSING: Self = Self { missing: true, hi: 0, lo: 0, rest: 0 };

    pub(super) const fn number(n: u64) -> Self {
        Self { missing: false, hi: 0, lo: n, rest: 0 }
    }

    pub(super) const fn endpoint(addr: Ip, port: u16) -> Self {
        let bits = addr.bits();
        #[expect(clippy::cast_possible_truncation, reason = "the halves of the address")]
        let (hi, lo) = ((bits >> 64) as u64, bits as u64);
        Self { missing: false, hi, lo, rest: port }
    }

    pub(super) const fn addr(addr: Ip) -> Self {
        Self::endpoint(addr, 0)
    }

    /// IEEE 754 numbers in their total order.
    pub(super) const fn float(value: f64) -> Self {
        let bits = value.to_bits();
        let sign = 1 << 63;
        Self::number(if bits & sign == 0 { bits | sign } else { !bits })
    }

    /// The first eighteen bytes of a text.
    pub(super) fn text(text: &str) -> Self {
        let mut bytes = [0; 18];
        for (to, from) in bytes.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        let word =
            |at: usize| bytes.iter().skip(at).take(8).fold(0, |word: u64, b| word << 8 | u64::from(*b));
        let [.., a, b] = bytes;
        Self { missing: false, hi: word(0), lo: word(8), rest: u16::from_be_bytes([a, b]) }
    }

    pub(super) fn optional(key: Option<Self>) -> Self {
        key.unwrap_or(Self::MISSING)
    }

    /// The same value for a descending order.
    pub(super) const fn directed(self, descending: bool) -> Self {
        if descending && !self.missing {
            Self { missing: false, hi: !self.hi, lo: !self.lo, rest: !self.rest }
        } else {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_as_their_values_do() {
        let floats = [f64::NEG_INFINITY, -2.5, -0.1, 0.0, 0.1, 7.0, f64::INFINITY];
        assert!(floats.map(Key::float).is_sorted());
        let texts = ["", "a", "ab", "b", "b\u{1}", "system.slice/nginx"];
        assert!(texts.map(Key::text).is_sorted());
        let v4 = Ip::from_v4_octets([10, 0, 0, 1]);
        assert!(Key::endpoint(v4, 80) < Key::endpoint(v4, 443));
        assert!(Key::endpoint(v4, 443) < Key::endpoint(Ip::from_v4_octets([10, 0, 0, 2]), 1));
    }

    #[test]
    fn what_is_missing_comes_last_in_both_directions() {
        for descending in [false, true] {
            assert!(Key::number(0).directed(descending) < Key::MISSING.directed(descending));
            assert!(Key::number(u64::MAX).directed(descending) < Key::MISSING.directed(descending));
        }
        assert!(Key::number(2).directed(true) < Key::number(1).directed(true));
    }
}
