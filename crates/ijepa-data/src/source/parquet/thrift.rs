//! Thrift's compact encoding, in which Parquet writes footers and page headers.

/// Nesting beyond what any footer or page header has.
pub(super) const MAX_DEPTH: usize = 16;

pub(super) const I32: u8 = 5;
pub(super) const STRUCT: u8 = 12;

/// What is left to read, as far as skipping over it needs.
pub(super) struct Compact<'a>(pub(super) &'a [u8]);

impl<'a> Compact<'a> {
    /// The type of the next field, whose number goes to `field`; `Some(None)` at the end.
    pub(super) fn field(&mut self, field: &mut u64) -> Option<Option<u8>> {
        let byte = self.byte()?;
        if byte == 0 {
            return Some(None);
        }
        *field = match byte >> 4 {
            0 => self.varint()? >> 1,
            step => field.checked_add(u64::from(step))?,
        };
        Some(Some(byte & 0x0f))
    }

    pub(super) fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            // A boolean field has its value in its type.
            1 | 2 => {}
            3 => drop(self.byte()?),
            4..=6 => drop(self.varint()?),
            7 => drop(self.take(8)?),
            8 => {
                let length = self.varint()?.try_into().ok()?;
                self.take(length)?;
            }
            9 | 10 => {
                let byte = self.byte()?;
                let long = byte >> 4 == 15;
                let length = if long {
                    self.varint()?
                } else {
                    u64::from(byte >> 4)
                };
                for _ in 0..length {
                    self.element(byte & 0x0f, depth)?;
                }
            }
            STRUCT => {
                let mut field = 0;
                while let Some(kind) = self.field(&mut field)? {
                    self.skip(kind, depth)?;
                }
            }
            // Neither footers nor page headers have maps.
            _ => return None,
        }
        Some(())
    }

    /// Skips an element of a list, where a boolean takes a byte.
    fn element(&mut self, kind: u8, depth: usize) -> Option<()> {
        if matches!(kind, 1 | 2) {
            self.byte().map(drop)
        } else {
            self.skip(kind, depth)
        }
    }

    /// A whole number that must not be negative.
    pub(super) fn size(&mut self) -> Option<u64> {
        let zigzag = self.varint()?;
        (zigzag & 1 == 0).then_some(zigzag >> 1)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
}
