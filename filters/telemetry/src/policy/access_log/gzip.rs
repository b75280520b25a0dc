//! gzip from what Envoy can compress.
//!
//! Envoy's foreign function `compress` gives zlib (RFC 1950); collectors are
//! only required to accept gzip (RFC 1952). Both wrap the same deflate stream.

/// Header of a gzip member: deflate, no flags, no time, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Wraps the deflate stream of a zlib stream as gzip; `plain` is what was
/// compressed. `None` when the bytes are no zlib stream.
#[must_use]
pub fn gzip_from_zlib(zlib: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    let (header, rest) = zlib.split_first_chunk::<2>()?;
    let (deflate, _adler) = rest.split_last_chunk::<4>()?;
    let [method, flags] = *header;
    let is_zlib = method & 0x0f == 8
        && flags & 0x20 == 0
        && (u16::from(method) << 8 | u16::from(flags)) % 31 == 0;
    if !is_zlib {
        return None;
    }
    let mut out = Vec::with_capacity(HEADER.len() + deflate.len() + 8);
    out.extend_from_slice(&HEADER);
    out.extend_from_slice(deflate);
    out.extend_from_slice(&crc32(plain).to_le_bytes());
    out.extend_from_slice(&(plain.len() as u32).to_le_bytes());
    Some(out)
}

/// CRC-32 of gzip (polynomial 0xEDB88320, reflected).
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        let index = (crc ^ u32::from(*byte)) & 0xff;
        TABLE.get(index as usize).copied().unwrap_or(0) ^ (crc >> 8)
    })
}

#[allow(clippy::indexing_slicing)] // evaluated at compile time
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let mut value = n as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                0xedb8_8320 ^ (value >> 1)
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[n] = value;
        n += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn a_gzip_reader_reads_what_was_compressed_as_zlib() {
        for plain in [b"".to_vec(), b"abc".to_vec(), b"record ".repeat(10_000)] {
            let mut zlib =
                flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
            zlib.write_all(&plain).unwrap();
            let gzip = gzip_from_zlib(&zlib.finish().unwrap(), &plain).unwrap();
            let mut read = Vec::new();
            flate2::read::GzDecoder::new(&gzip[..])
                .read_to_end(&mut read)
                .unwrap();
            assert_eq!(read, plain);
        }
    }

    #[test]
    fn what_is_not_zlib_is_refused() {
        for bytes in [&b""[..], b"\x78", b"\x78\x9c\0\0\0", b"hello world"] {
            assert_eq!(gzip_from_zlib(bytes, b""), None);
        }
    }

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
