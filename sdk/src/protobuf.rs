//! The protobuf wire format, read where it lies.
//!
//! Envoy hands over a `Struct` configuration and dynamic metadata as serialized
//! messages. Few small messages are needed of them, so a reader of fields costs a
//! module a fraction of a protobuf runtime. Groups, which proto3 does not have,
//! are malformed.

/// The bytes are not what they claim to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// What a field holds, by its wire type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// Integers, booleans, enumerations.
    Varint(u64),
    /// The bits of a `double` or a fixed 64-bit integer.
    Fixed64(u64),
    /// The bits of a `float` or a fixed 32-bit integer.
    Fixed32(u32),
    /// Strings, bytes and messages.
    Bytes(&'a [u8]),
}

/// Reads one message's fields, in wire order.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of `message`.
    #[must_use]
    pub const fn new(message: &'a [u8]) -> Self {
        Self { bytes: message }
    }

    /// The next field's number and content, `None` at the end.
    ///
    /// # Errors
    /// When the bytes are no message; what was read before is then worth nothing.
    pub fn next_field(&mut self) -> Result<Option<(u64, Content<'a>)>, Malformed> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let content = match key & 7 {
            0 => Content::Varint(self.varint()?),
            1 => {
                let (bits, rest) = self.bytes.split_first_chunk::<8>().ok_or(Malformed)?;
                self.bytes = rest;
                Content::Fixed64(u64::from_le_bytes(*bits))
            }
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                let (content, rest) = self.bytes.split_at_checked(length).ok_or(Malformed)?;
                self.bytes = rest;
                Content::Bytes(content)
            }
            5 => {
                let (bits, rest) = self.bytes.split_first_chunk::<4>().ok_or(Malformed)?;
                self.bytes = rest;
                Content::Fixed32(u32::from_le_bytes(*bits))
            }
            _ => return Err(Malformed),
        };
        Ok(Some((key >> 3, content)))
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.bytes.split_first().ok_or(Malformed)?;
            self.bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::{Content, Malformed, Reader};

    #[test]
    fn every_wire_type_but_groups_is_read() {
        let message = [
            0x08, 0x96, 0x01, // 1: varint 150
            0x11, 1, 0, 0, 0, 0, 0, 0, 0, // 2: fixed 64
            0x1a, 2, b'o', b'k', // 3: bytes
            0x25, 2, 0, 0, 0, // 4: fixed 32
        ];
        let mut reader = Reader::new(&message);
        for expected in [
            (1, Content::Varint(150)),
            (2, Content::Fixed64(1)),
            (3, Content::Bytes(b"ok")),
            (4, Content::Fixed32(2)),
        ] {
            assert_eq!(reader.next_field(), Ok(Some(expected)));
        }
        assert_eq!(reader.next_field(), Ok(None));
        assert_eq!(Reader::new(&[0x0b]).next_field(), Err(Malformed));
    }

    #[test]
    fn a_field_that_is_cut_short_is_malformed() {
        for message in [
            &[0x08][..],
            &[0x11, 1],
            &[0x1a, 2, b'o'],
            &[0x25, 2],
            &[0xff; 12],
        ] {
            assert_eq!(Reader::new(message).next_field(), Err(Malformed));
        }
    }
}
