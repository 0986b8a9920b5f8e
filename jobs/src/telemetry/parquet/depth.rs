//! How deep a footer's schema nests, found without recursion.
//!
//! The parquet crate builds the schema by recursion over a depth that the file decides: a footer of 100 KB overflows the
//! stack, which ends the process and cannot be caught. So the list of schema elements, which the format stores flat
//! with each one's number of children, is walked first.
//!
//! Source: Thrift compact protocol; `FileMetaData` and `SchemaElement` of parquet.thrift.

const STOP: u8 = 0;
const I32: u8 = 5;
const LIST: u8 = 9;
/// Nesting of Thrift values within a schema element; the format has three levels.
const MAX_THRIFT_DEPTH: usize = 8;

/// `FileMetaData.schema` and `SchemaElement.num_children`.
const SCHEMA: i64 = 2;
const NUM_CHILDREN: i64 = 5;

/// Whether the schema nests at most `limit` levels; `None` when the footer is not Thrift.
pub(super) fn nests_at_most(footer: &[u8], limit: usize) -> Option<bool> {
    let mut walk = Walk { rest: footer };
    let mut field = 0;
    loop {
        let kind = walk.field(&mut field)?;
        if kind == STOP {
            return Some(true);
        }
        if field != SCHEMA || kind != LIST {
            walk.skip(kind, 0)?;
            continue;
        }
        let (_, count) = walk.list()?;
        let mut open: Vec<u64> = Vec::new();
        for _ in 0..count {
            while open.last() == Some(&0) {
                open.pop();
            }
            if let Some(children) = open.last_mut() {
                *children -= 1;
            }
            let children = walk.element()?;
            if children > 0 {
                open.push(children);
            }
            if open.len() > limit {
                return Some(false);
            }
        }
        return Some(true);
    }
}

struct Walk<'b> {
    rest: &'b [u8],
}

impl Walk<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn pass(&mut self, count: u64) -> Option<()> {
        self.rest = self.rest.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// A field's header: gives its type and moves `field` on to its number.
    fn field(&mut self, field: &mut i64) -> Option<u8> {
        let header = self.byte()?;
        let kind = header & 0x0f;
        if kind != STOP {
            *field = match header >> 4 {
                0 => self.zigzag()?,
                step => field.checked_add(i64::from(step))?,
            };
        }
        Some(kind)
    }

    /// A list's header: its elements' type and their number.
    fn list(&mut self) -> Option<(u8, u64)> {
        let header = self.byte()?;
        let count = match header >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        Some((header & 0x0f, count))
    }

    /// A `SchemaElement`: gives its number of children.
    fn element(&mut self) -> Option<u64> {
        let (mut field, mut children) = (0, 0);
        loop {
            match self.field(&mut field)? {
                STOP => return Some(children),
                I32 if field == NUM_CHILDREN => {
                    children = u64::try_from(self.zigzag()?).unwrap_or(0);
                }
                kind => self.skip(kind, 0)?,
            }
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > MAX_THRIFT_DEPTH {
            return None;
        }
        match kind {
            1 | 2 => Some(()), // a boolean field's value is its type
            3 => self.pass(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.pass(8),
            8 => {
                let length = self.varint()?;
                self.pass(length)
            }
            9 | 10 => {
                let (kind, count) = self.list()?;
                if kind <= 2 {
                    return self.pass(count); // booleans of a list are bytes
                }
                for _ in 0..count {
                    self.skip(kind, depth + 1)?;
                }
                Some(())
            }
            12 => {
                let mut field = 0;
                loop {
                    match self.field(&mut field)? {
                        STOP => return Some(()),
                        kind => self.skip(kind, depth + 1)?,
                    }
                }
            }
            _ => None, // maps: neither structure has one before its schema
        }
    }
}
