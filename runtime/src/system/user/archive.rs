//! Finds a file in a ZIP archive, where it lies uncompressed: Android maps libraries from there.
//!
//! Only the central directory and one local header are read
//! (`https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT`, sections 4.3.7, 4.3.12, 4.3.16).

use object::ReadRef;

const END_OF_DIRECTORY: u32 = 0x0605_4b50;
const DIRECTORY_ENTRY: u32 = 0x0201_4b50;
const LOCAL_HEADER: u32 = 0x0403_4b50;
const END_SIZE: u64 = 22;
const ENTRY_SIZE: u64 = 46;
const LOCAL_SIZE: u64 = 30;
/// The longest comment behind the directory.
const LONGEST_COMMENT: u64 = 0xffff;

/// Offset and size of a stored file; the error says why it cannot be had.
pub fn find<'data>(data: impl ReadRef<'data>, path: &str) -> Result<(u64, u64), String> {
    let broken = || "the archive is damaged".to_owned();
    let (mut at, count) = directory(data).ok_or("it is no ZIP archive")?;
    for _ in 0..count {
        let entry = data.read_bytes_at(at, ENTRY_SIZE).map_err(|()| broken())?;
        if word(entry, 0) != Some(DIRECTORY_ENTRY) {
            return Err(broken());
        }
        let half = |offset| half(entry, offset).unwrap_or(0);
        let (name_length, extra, comment) = (half(28), half(30), half(32));
        let name = data.read_bytes_at(at + ENTRY_SIZE, u64::from(name_length)).map_err(|()| broken())?;
        if name == path.as_bytes() {
            if half(10) != 0 {
                return Err(format!("{path} is compressed in the archive, so that nothing can run it there"));
            }
            let size = u64::from(word(entry, 24).unwrap_or(0));
            let header = u64::from(word(entry, 42).unwrap_or(0));
            return Ok((contents(data, header).ok_or_else(broken)?, size));
        }
        at += ENTRY_SIZE + u64::from(name_length) + u64::from(extra) + u64::from(comment);
    }
    Err(format!("the archive holds no {path}"))
}

/// Where the central directory starts, and how many entries it has.
fn directory<'data>(data: impl ReadRef<'data>) -> Option<(u64, u16)> {
    let length = data.len().ok()?;
    let from = length.saturating_sub(END_SIZE + LONGEST_COMMENT);
    let tail = data.read_bytes_at(from, length - from).ok()?;
    let last = tail.len().checked_sub(END_SIZE as usize)?;
    let at = (0..=last).rev().find(|at| word(tail, *at) == Some(END_OF_DIRECTORY))?;
    Some((u64::from(word(tail, at + 16)?), half(tail, at + 10)?))
}

/// Where a file's bytes start, behind its local header.
fn contents<'data>(data: impl ReadRef<'data>, header: u64) -> Option<u64> {
    let local = data.read_bytes_at(header, LOCAL_SIZE).ok()?;
    if word(local, 0) != Some(LOCAL_HEADER) {
        return None;
    }
    Some(header + LOCAL_SIZE + u64::from(half(local, 26)?) + u64::from(half(local, 28)?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).map(u16::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive with one file, stored or marked as compressed.
    fn archive(method: u16) -> Vec<u8> {
        let (name, contents) = (b"lib/x.so", b"contents");
        let mut bytes = b"PK\x03\x04".to_vec();
        bytes.extend([0; 22]);
        bytes.extend((name.len() as u16).to_le_bytes());
        bytes.extend(3u16.to_le_bytes());
        bytes.extend(name);
        bytes.extend(b"pad");
        bytes.extend(contents);
        let directory = bytes.len() as u32;
        let mut entry = b"PK\x01\x02".to_vec();
        entry.resize(ENTRY_SIZE as usize, 0);
        entry[10..12].copy_from_slice(&method.to_le_bytes());
        entry[24..28].copy_from_slice(&(contents.len() as u32).to_le_bytes());
        entry[28..30].copy_from_slice(&(name.len() as u16).to_le_bytes());
        bytes.extend(entry);
        bytes.extend(name);
        bytes.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0\0\0\0\0");
        bytes.extend(directory.to_le_bytes());
        bytes.extend(b"\x07\0comment");
        bytes
    }

    #[test]
    fn a_stored_file_is_found_and_others_are_explained() {
        let stored = archive(0);
        let (start, size) = find(&stored[..], "lib/x.so").unwrap();
        assert_eq!(&stored[start as usize..(start + size) as usize], b"contents");
        assert!(find(&stored[..], "lib/y.so").unwrap_err().contains("holds no"));
        assert!(find(&archive(8)[..], "lib/x.so").unwrap_err().contains("compressed"));
        assert!(find(&b"PK"[..], "x").unwrap_err().contains("no ZIP"));
    }

    #[test]
    fn no_damaged_archive_is_more_than_an_error() {
        let good = archive(0);
        for length in 0..good.len() {
            let _ = find(&good[..length], "lib/x.so");
        }
        for at in 0..good.len() {
            for value in [0, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                let _ = find(&bad[..], "lib/x.so");
            }
        }
    }
}
