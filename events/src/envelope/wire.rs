//! Protobuf wire format, as far as the hot bodies need it. A message is written twice by the same code: first to count its
//! length, then for real.

/// Where fields go: a buffer, or a count of bytes.
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]);
    fn varint(&mut self, value: u64);

    fn tag(&mut self, field: u32, wire_type: u32) {
        self.varint(u64::from((field << 3) | wire_type));
    }

    /// A field without presence: 0 is not written.
    fn uint(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.present(field, value);
        }
    }

    /// `int64`: two's complement, negative values take ten bytes.
    fn int(&mut self, field: u32, value: i64) {
        self.uint(field, value.cast_unsigned());
    }

    /// An `optional` field.
    fn optional(&mut self, field: u32, value: Option<u64>) {
        if let Some(value) = value {
            self.present(field, value);
        }
    }

    fn present(&mut self, field: u32, value: u64) {
        self.tag(field, 0);
        self.varint(value);
    }

    fn text(&mut self, field: u32, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.tag(field, 2);
            self.varint(bytes.len() as u64);
            self.put(bytes);
        }
    }

    /// A message field; written even when the message is empty.
    fn message(&mut self, field: u32, message: &impl Fields) {
        self.tag(field, 2);
        let mut count = Count(0);
        message.write(&mut count);
        self.varint(count.0 as u64);
        message.write(self);
    }
}

pub(super) trait Fields {
    fn write<S: Sink + ?Sized>(&self, sink: &mut S);
}

/// `sint32` and `sint64`: small negative numbers stay short.
pub(super) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

struct Count(usize);

impl Sink for Count {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    fn varint(&mut self, value: u64) {
        // ceil(bits / 7), at least 1.
        self.0 += ((64 - (value | 1).leading_zeros() as usize) * 9 + 64) / 64;
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.push(value.to_le_bytes()[0]);
    }
}

#[cfg(test)]
mod tests {
    use super::{Count, Sink};

    #[test]
    fn counted_as_written() {
        for shift in 0..64 {
            for value in [1_u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let (mut count, mut bytes) = (Count(0), Vec::new());
                count.varint(value);
                bytes.varint(value);
                assert_eq!(count.0, bytes.len(), "{value}");
            }
        }
    }
}
