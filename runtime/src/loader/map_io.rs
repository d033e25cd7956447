//! Reads and writes of maps whose sizes are known only at run time, in batches where possible.
//!
//! Values of per-CPU maps are one copy for each possible CPU, each padded to eight bytes, as the
//! kernel lays them out for user space.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use aya_obj::generated::{bpf_attr, bpf_cmd};

use super::bpf::{address, attribute, bpf};

/// A batch is as many elements as fit into this many bytes, within these bounds.
const BATCH_BYTES: usize = 8 << 20;
const SMALLEST_BATCH: usize = 64;
const LARGEST_BATCH: usize = 4096;
/// Bytes that a hash map's position in a batch takes: it is a key or a `u32`.
const MINIMUM_POSITION: usize = 8;

/// A map's descriptor and the sizes that user space sees.
#[derive(Clone, Copy)]
pub struct MapIo<'a> {
    pub fd: BorrowedFd<'a>,
    pub key_size: usize,
    /// All CPUs' copies, for a per-CPU map.
    pub value_size: usize,
}

/// A map's contents: keys and values packed one behind the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub keys: Vec<u8>,
    pub values: Vec<u8>,
    pub count: usize,
}

impl MapIo<'_> {
    /// Everything in a hash map. Entries that come and go meanwhile may or may not be seen.
    pub fn read_all(self) -> io::Result<Contents> {
        match self.read_batches() {
            // Kernels without batches for this map type, or a bucket larger than a batch.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSPC | ENOTSUPP)) => {
                self.read_one_by_one()
            }
            result => result,
        }
    }

    fn read_batches(self) -> io::Result<Contents> {
        let mut contents = Contents::default();
        let batch = self.batch_size();
        let mut keys = vec![0u8; self.key_size * batch];
        let mut values = vec![0u8; self.value_size * batch];
        let mut position: Option<Vec<u8>> = None;
        loop {
            let mut next = vec![0u8; self.key_size.max(MINIMUM_POSITION)];
            let mut attr = self.batch_attribute(&mut keys, &mut values, batch as u32);
            attr.batch.in_batch = position.as_deref().map_or(0, address);
            attr.batch.out_batch = next.as_mut_ptr() as u64;
            // SAFETY: both buffers hold a batch of elements of the map's sizes, both positions a key.
            let result = unsafe { bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attr) };
            let done = match result {
                Ok(_) => false,
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
                Err(error) => return Err(error),
            };
            // SAFETY: the kernel has updated the count in the same member of the union.
            let count = unsafe { attr.batch.count } as usize;
            contents.keys.extend_from_slice(keys.get(..count * self.key_size).unwrap_or_default());
            contents.values.extend_from_slice(values.get(..count * self.value_size).unwrap_or_default());
            contents.count += count;
            if done {
                return Ok(contents);
            }
            position = Some(next);
        }
    }

    fn batch_attribute(self, keys: &mut [u8], values: &mut [u8], count: u32) -> bpf_attr {
        let mut attr = attribute();
        attr.batch.map_fd = self.fd.as_raw_fd() as u32;
        attr.batch.keys = keys.as_mut_ptr() as u64;
        attr.batch.values = values.as_mut_ptr() as u64;
        attr.batch.count = count;
        attr
    }

    fn read_one_by_one(self) -> io::Result<Contents> {
        let mut contents = Contents::default();
        for key in self.keys_one_by_one()?.chunks_exact(self.key_size.max(1)) {
            if let Some(value) = self.lookup(key)? {
                contents.keys.extend_from_slice(key);
                contents.values.extend_from_slice(&value);
                contents.count += 1;
            }
        }
        Ok(contents)
    }

    /// Every key, packed one behind the other.
    pub fn keys(self) -> io::Result<Vec<u8>> {
        self.read_all().map(|contents| contents.keys)
    }

    fn keys_one_by_one(self) -> io::Result<Vec<u8>> {
        let mut keys = Vec::new();
        let mut last: Option<Vec<u8>> = None;
        loop {
            let mut next = vec![0u8; self.key_size];
            let mut attr = self.element_attribute(last.as_deref());
            attr.__bindgen_anon_2.__bindgen_anon_1.next_key = next.as_mut_ptr() as u64;
            // SAFETY: `next` and the key before it have the map's key size.
            match unsafe { bpf(bpf_cmd::BPF_MAP_GET_NEXT_KEY, &mut attr) } {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(keys),
                Err(error) => return Err(error),
            }
            keys.extend_from_slice(&next);
            last = Some(next);
        }
    }

    /// The value of a key, if it is there.
    pub fn lookup(self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.check(key, None)?;
        let mut value = vec![0u8; self.value_size];
        let mut attr = self.element_attribute(Some(key));
        attr.__bindgen_anon_2.__bindgen_anon_1.value = value.as_mut_ptr() as u64;
        // SAFETY: key and value have the map's sizes.
        match unsafe { bpf(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut attr) } {
            Ok(_) => Ok(Some(value)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sets the value of a key.
    pub fn update(self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.check(key, Some(value))?;
        let mut attr = self.element_attribute(Some(key));
        attr.__bindgen_anon_2.__bindgen_anon_1.value = address(value);
        // SAFETY: key and value have the map's sizes.
        unsafe { bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr) }.map(drop)
    }

    /// Removes a key; that it is not there is no error.
    pub fn delete(self, key: &[u8]) -> io::Result<()> {
        self.check(key, None)?;
        let mut attr = self.element_attribute(Some(key));
        // SAFETY: the key has the map's key size.
        match unsafe { bpf(bpf_cmd::BPF_MAP_DELETE_ELEM, &mut attr) } {
            Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes many keys, packed one behind the other.
    pub fn delete_many(self, keys: &[u8]) -> io::Result<()> {
        self.change_many(bpf_cmd::BPF_MAP_DELETE_BATCH, keys, None, |key| self.delete(key))
    }

    /// Sets the values of many keys, packed one behind the other, to `value`.
    pub fn update_many(self, keys: &[u8], value: &[u8]) -> io::Result<()> {
        self.change_many(bpf_cmd::BPF_MAP_UPDATE_BATCH, keys, Some(value), |key| self.update(key, value))
    }

    /// Changes keys in batches; what a batch stops at is done by `one`, and so is everything on
    /// kernels that have no such batch for the map's type.
    fn change_many(
        self,
        command: bpf_cmd,
        keys: &[u8],
        value: Option<&[u8]>,
        one: impl Fn(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let size = self.key_size.max(1);
        let mut rest = keys;
        while !rest.is_empty() {
            let count = (rest.len() / size).min(self.batch_size());
            let mut batch = rest.get(..count * size).unwrap_or_default().to_vec();
            let mut values = value.map(|value| value.repeat(count)).unwrap_or_default();
            if value.is_some_and(|value| value.len() != self.value_size) {
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            }
            let mut attr = self.batch_attribute(&mut batch, &mut values, count as u32);
            // SAFETY: both buffers hold `count` elements of the map's sizes; deleting reads no values.
            let result = unsafe { bpf(command, &mut attr) };
            let done = match &result {
                Ok(_) => count,
                // There are no such batches; the count was not touched.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | ENOTSUPP)) => 0,
                // SAFETY: the kernel has updated the count in the same member of the union.
                Err(_) => (unsafe { attr.batch.count }) as usize,
            };
            rest = rest.get(done.min(count) * size..).unwrap_or_default();
            if let (Err(_), Some(key)) = (result, rest.get(..size)) {
                one(key)?;
                rest = rest.get(size..).unwrap_or_default();
            }
        }
        Ok(())
    }

    fn batch_size(self) -> usize {
        (BATCH_BYTES / (self.key_size + self.value_size).max(1)).clamp(SMALLEST_BATCH, LARGEST_BATCH)
    }

    /// Makes an array unchangeable from user space, so that the verifier may rely on its values.
    pub fn freeze(self) -> io::Result<()> {
        let mut attr = self.element_attribute(None);
        // SAFETY: the command takes no pointers.
        unsafe { bpf(bpf_cmd::BPF_MAP_FREEZE, &mut attr) }.map(drop)
    }

    fn element_attribute(self, key: Option<&[u8]>) -> bpf_attr {
        let mut attr = attribute();
        // SAFETY: all members of the union are plain integers; this one is for single elements.
        let element = unsafe { &mut attr.__bindgen_anon_2 };
        element.map_fd = self.fd.as_raw_fd() as u32;
        element.key = key.map_or(0, address);
        attr
    }

    /// The kernel reads as many bytes as the map says, whatever we pass.
    fn check(self, key: &[u8], value: Option<&[u8]>) -> io::Result<()> {
        let wrong = key.len() != self.key_size || value.is_some_and(|value| value.len() != self.value_size);
        if wrong { Err(io::Error::from_raw_os_error(libc::EINVAL)) } else { Ok(()) }
    }
}

/// The kernel's own error number for what a map type cannot do; it is not in libc.
const ENOTSUPP: i32 = 524;
