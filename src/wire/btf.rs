//! BTF, the kernel's description of its own types (`/sys/kernel/btf/vmlinux`, `Documentation/bpf/btf.rst`): where a field
//! lies in a structure of the kernel that runs.

use rustc_hash::FxHashMap;

const MAGIC: u16 = 0xeb9f;

const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
const VAR: u32 = 14;
const DATASEC: u32 = 15;
const DECL_TAG: u32 = 17;
const TYPE_TAG: u32 = 18;
const ENUM64: u32 = 19;

/// Longer chains of types are none that a compiler makes; a description that is a circle must not hang.
const DEPTH: usize = 32;

/// A type: its name, what it is, and where what belongs to it begins.
#[derive(Clone, Copy)]
struct Type {
    name: u32,
    kind: u32,
    members: u32,
    /// Offsets of members carry the size of a bit-field in their upper byte.
    bit_fields: bool,
    /// Its size, or the type that it is made of.
    extent: u32,
    body: usize,
}

/// Where a field lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Bytes from the beginning of the structure.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
}

/// The types of a kernel.
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins; number 0 is `void` and has none.
    starts: Vec<u32>,
    named: FxHashMap<&'static str, u32>,
    enumerators: FxHashMap<&'static str, i64>,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_ne_bytes(*b))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_ne_bytes(*b))
}

impl<'a> Btf<'a> {
    /// Reads a description, and remembers the structures, functions and enumerators with these names. `None` for bytes that
    /// are none.
    #[must_use]
    pub fn new(bytes: &'a [u8], names: &[&'static str], enumerators: &[&'static str]) -> Option<Self> {
        let section = |start: usize, len: usize| {
            let header = u32_at(bytes, 4)?;
            let begin = usize::try_from(header.checked_add(u32_at(bytes, start)?)?).ok()?;
            let end = begin.checked_add(usize::try_from(u32_at(bytes, len)?).ok()?)?;
            bytes.get(begin..end)
        };
        if u16_at(bytes, 0)? != MAGIC {
            return None;
        }
        let (types, strings) = (section(8, 12)?, section(16, 20)?);
        let mut btf = Self {
            types,
            strings,
            // A type takes 12 bytes at least and 40 in the middle.
            starts: Vec::with_capacity(types.len() / 32),
            named: FxHashMap::default(),
            enumerators: FxHashMap::default(),
        };
        btf.starts.push(0);
        let mut at = 0;
        while at < types.len() {
            let found = btf.read(at)?;
            btf.remember(found, names, enumerators);
            btf.starts.push(u32::try_from(at).ok()?);
            at = found.body.checked_add(body_of(found)?)?;
        }
        Some(btf)
    }

    fn read(&self, at: usize) -> Option<Type> {
        let info = u32_at(self.types, at + 4)?;
        Some(Type {
            name: u32_at(self.types, at)?,
            kind: info >> 24 & 0x1f,
            members: info & 0xffff,
            bit_fields: info >> 31 != 0,
            extent: u32_at(self.types, at + 8)?,
            body: at + 12,
        })
    }

    fn remember(&mut self, found: Type, names: &[&'static str], enumerators: &[&'static str]) {
        match found.kind {
            STRUCT | FUNC => {
                let id = u32::try_from(self.starts.len()).unwrap_or(0);
                if let Some(name) = names.iter().find(|name| self.is_called(found.name, name)) {
                    self.named.entry(name).or_insert(id);
                }
            }
            ENUM if !enumerators.is_empty() => {
                for n in 0..found.members {
                    let at = found.body + 8 * n as usize;
                    let Some((name, value)) = u32_at(self.types, at).zip(u32_at(self.types, at + 4)) else {
                        return;
                    };
                    if let Some(wanted) = enumerators.iter().find(|wanted| self.is_called(name, wanted)) {
                        self.enumerators.insert(wanted, i64::from(value.cast_signed()));
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether the string at this offset is this one.
    fn is_called(&self, name: u32, wanted: &str) -> bool {
        let at = name as usize;
        let end = at + wanted.len();
        self.strings.get(at..end) == Some(wanted.as_bytes()) && self.strings.get(end) == Some(&0)
    }

    /// The number of a structure or function that was asked for.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<u32> {
        self.named.get(name).copied()
    }

    /// The value of an enumerator that was asked for.
    #[must_use]
    pub fn enumerator(&self, name: &str) -> Option<i64> {
        self.enumerators.get(name).copied()
    }

    /// Where a field lies in a structure that was asked for; names of members with points between, those of unnamed
    /// structures and unions left out. `None` if there is no such field, or if it is a bit-field.
    #[must_use]
    pub fn place(&self, structure: &str, path: &str) -> Option<Place> {
        let mut id = self.id(structure)?;
        let mut offset = 0_u32;
        for name in path.split('.') {
            let (bits, member) = self.member(id, name, DEPTH)?;
            offset = offset.checked_add(bits.is_multiple_of(8).then_some(bits / 8)?)?;
            id = member;
        }
        Some(Place { offset, size: self.size(id, DEPTH)? })
    }

    /// A type that is no other name of another.
    fn resolved(&self, id: u32) -> Option<Type> {
        let mut found = self.of(id)?;
        for _ in 0..DEPTH {
            if !matches!(found.kind, TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG) {
                return Some(found);
            }
            found = self.of(found.extent)?;
        }
        None
    }

    fn of(&self, id: u32) -> Option<Type> {
        let at = *self.starts.get(id as usize).filter(|_| id != 0)?;
        self.read(at as usize)
    }

    /// Offset in bits and type of a member.
    fn member(&self, structure: u32, name: &str, depth: usize) -> Option<(u32, u32)> {
        let found = self.resolved(structure).filter(|t| matches!(t.kind, STRUCT | UNION))?;
        for n in 0..found.members {
            let at = found.body + 12 * n as usize;
            let called = u32_at(self.types, at)?;
            let (id, place) = (u32_at(self.types, at + 4)?, u32_at(self.types, at + 8)?);
            let (bits, width) = if found.bit_fields { (place & 0xff_ffff, place >> 24) } else { (place, 0) };
            if self.is_called(called, name) {
                return (width == 0).then_some((bits, id));
            }
            if self.is_called(called, "")
                && depth > 0
                && let Some((within, id)) = self.member(id, name, depth - 1)
            {
                return Some((bits.checked_add(within)?, id));
            }
        }
        None
    }

    fn size(&self, id: u32, depth: usize) -> Option<u32> {
        let found = self.resolved(id)?;
        match found.kind {
            INT | STRUCT | UNION | ENUM | ENUM64 => Some(found.extent),
            PTR => u32::try_from(size_of::<usize>()).ok(),
            ARRAY if depth > 0 => {
                let of = self.size(u32_at(self.types, found.body)?, depth - 1)?;
                of.checked_mul(u32_at(self.types, found.body + 8)?)
            }
            _ => None,
        }
    }
}

/// Size of what follows the head of a type; `None` for a kind that is not known, after which nothing can be found.
fn body_of(found: Type) -> Option<usize> {
    let members = found.members as usize;
    Some(match found.kind {
        INT | VAR | DECL_TAG => 4,
        ARRAY => 12,
        STRUCT | UNION | DATASEC | ENUM64 => 12 * members,
        ENUM | FUNC_PROTO => 8 * members,
        // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT and TYPE_TAG are their head alone.
        2 | 7..=12 | 16 | 18 => 0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `struct s { u32 a; union { u64 b; struct { u16 c; u16 d:3; }; }; struct t *e; u32 f[2]; }`, `enum { E = 7 }`,
    /// and a function `go`.
    fn description() -> Vec<u8> {
        let mut strings = vec![0];
        let mut name = |s: &str| {
            let at = u32::try_from(strings.len()).unwrap();
            strings.extend(s.bytes());
            strings.push(0);
            at
        };
        let [s, x, y, z, bits, pointer, array, en, go] =
            ["s", "a", "b", "c", "d", "e", "f", "E", "go"].map(&mut name);
        let head = |name: u32, kind: u32, n: u32, flag: u32, size: u32| {
            vec![name, flag << 31 | kind << 24 | n, size]
        };
        let types: Vec<Vec<u32>> = vec![
            [head(0, INT, 0, 0, 4), vec![32]].concat(),
            [head(0, INT, 0, 0, 8), vec![64]].concat(),
            [head(0, INT, 0, 0, 2), vec![16]].concat(),
            [head(0, STRUCT, 2, 1, 4), vec![z, 3, 0, bits, 3, 3 << 24 | 16]].concat(),
            [head(0, UNION, 2, 0, 8), vec![y, 2, 0, 0, 4, 0]].concat(),
            head(0, PTR, 0, 0, 0),
            [head(0, ARRAY, 0, 0, 0), vec![1, 1, 2]].concat(),
            head(0, VOLATILE, 0, 0, 1),
            [head(s, STRUCT, 4, 0, 32), vec![x, 8, 0, 0, 5, 64, pointer, 6, 128, array, 7, 192]].concat(),
            [head(0, ENUM, 1, 0, 4), vec![en, 7]].concat(),
            head(go, FUNC, 0, 0, 0),
        ];
        let types: Vec<u8> = types.concat().into_iter().flat_map(u32::to_ne_bytes).collect();
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        let [types_len, strings_len] = [types.len(), strings.len()].map(|n| u32::try_from(n).unwrap());
        bytes.extend([24, 0, types_len, types_len, strings_len].into_iter().flat_map(u32::to_ne_bytes));
        bytes.extend(types);
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn fields_are_found_through_unnamed_ones() {
        let bytes = description();
        let btf = Btf::new(&bytes, &["s", "go", "gone"], &["E"]).unwrap();
        let place = |path| btf.place("s", path).map(|p| (p.offset, p.size));
        assert_eq!(place("a"), Some((0, 4)));
        assert_eq!(place("b"), Some((8, 8)));
        assert_eq!(place("c"), Some((8, 2)));
        assert_eq!(place("d"), None, "a bit-field has no place of its own");
        assert_eq!((place("e"), place("f")), (Some((16, 8)), Some((24, 8))));
        assert_eq!((place("x"), place("a.b"), btf.place("gone", "a")), (None, None, None));
        assert_eq!((btf.id("go"), btf.id("gone")), (Some(11), None));
        assert_eq!((btf.enumerator("E"), btf.enumerator("F")), (Some(7), None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Btf::new(&bytes, &["s"], &["E"]);
        }

        #[test]
        fn a_description_with_holes_is_taken_or_refused(
            holes in proptest::collection::vec((0_usize..400, any::<u8>()), 1..8)
        ) {
            let mut bytes = description();
            for (at, byte) in holes {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            if let Some(btf) = Btf::new(&bytes, &["s", "go"], &["E"]) {
                for path in ["a", "b", "c", "d", "e", "f", "a.b.c"] {
                    let _ = btf.place("s", path);
                }
            }
        }
    }
}
