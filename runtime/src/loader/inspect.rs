//! What is loaded in the kernel already: BPF programs and descriptions of types, by their ids.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use aya_obj::generated::{bpf_btf_info, bpf_cmd, bpf_prog_info};

use super::bpf::{attribute, bpf, bpf_descriptor};

/// `struct bpf_func_info` of `linux/bpf.h`: where a function starts, and its type's id.
const FUNCTION_INFO: usize = 8;
/// More than this the kernel's own description does not take either.
const LARGEST_BTF: u32 = 64 << 20;

/// A loaded BPF program.
pub struct LoadedProgram {
    pub id: u32,
    /// The types that it describes itself by.
    pub btf: Option<Vec<u8>>,
    /// Ids of its functions' types.
    pub functions: Vec<u32>,
}

/// All programs that are loaded now. What is unloaded meanwhile is left out.
pub fn programs() -> io::Result<Vec<LoadedProgram>> {
    let mut found = Vec::new();
    let mut id = 0;
    while let Some(next) = next_id(bpf_cmd::BPF_PROG_GET_NEXT_ID, id)? {
        id = next;
        found.extend(program(id).and_then(|fd| describe(id, fd.as_fd())).ok());
    }
    Ok(found)
}

/// A loaded program by its id.
pub fn program(id: u32) -> io::Result<OwnedFd> {
    by_id(bpf_cmd::BPF_PROG_GET_FD_BY_ID, id)
}

/// The types of a loaded program.
pub fn program_btf(program: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let info = program_info(program, &mut [])?;
    let btf = by_id(bpf_cmd::BPF_BTF_GET_FD_BY_ID, info.btf_id)?;
    btf_data(btf.as_fd())
}

/// The kernel's own copy of a module's types, which a program names when it is loaded.
pub fn module_btf(module: &str) -> io::Result<Option<OwnedFd>> {
    let mut id = 0;
    while let Some(next) = next_id(bpf_cmd::BPF_BTF_GET_NEXT_ID, id)? {
        id = next;
        let Ok(fd) = by_id(bpf_cmd::BPF_BTF_GET_FD_BY_ID, id) else { continue };
        let mut name = [0u8; 64];
        // SAFETY: a C struct of integers; all zeros asks for no data.
        let mut info: bpf_btf_info = unsafe { std::mem::zeroed() };
        info.name = name.as_mut_ptr() as u64;
        info.name_len = 64;
        btf_info(fd.as_fd(), &mut info)?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        if info.kernel_btf != 0 && name.get(..end) == Some(module.as_bytes()) {
            return Ok(Some(fd));
        }
    }
    Ok(None)
}

fn describe(id: u32, program: BorrowedFd<'_>) -> io::Result<LoadedProgram> {
    let count = program_info(program, &mut [])?.nr_func_info as usize;
    let mut records = vec![0u8; count * FUNCTION_INFO];
    let info = program_info(program, &mut records)?;
    let btf = match info.btf_id {
        0 => None,
        id => Some(btf_data(by_id(bpf_cmd::BPF_BTF_GET_FD_BY_ID, id)?.as_fd())?),
    };
    let (records, _) = records.as_chunks::<FUNCTION_INFO>();
    let ids = records.iter().map(|[_, _, _, _, a, b, c, d]| u32::from_ne_bytes([*a, *b, *c, *d]));
    Ok(LoadedProgram { id, btf, functions: ids.collect() })
}

/// `functions` has room for its function information.
fn program_info(program: BorrowedFd<'_>, functions: &mut [u8]) -> io::Result<bpf_prog_info> {
    // SAFETY: a C struct of integers; all zeros asks for no arrays.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    if !functions.is_empty() {
        info.func_info = functions.as_mut_ptr() as u64;
        info.func_info_rec_size = FUNCTION_INFO as u32;
        info.nr_func_info = u32::try_from(functions.len() / FUNCTION_INFO).unwrap_or(0);
    }
    let mut attr = attribute();
    attr.info.bpf_fd = program.as_raw_fd() as u32;
    attr.info.info = (&raw mut info) as u64;
    attr.info.info_len = u32::try_from(size_of::<bpf_prog_info>()).unwrap_or(0);
    // SAFETY: `info` and the array it points to are live and have the lengths given.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr) }?;
    Ok(info)
}

fn btf_data(btf: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    // SAFETY: a C struct of integers; all zeros asks for no data.
    let mut info: bpf_btf_info = unsafe { std::mem::zeroed() };
    btf_info(btf, &mut info)?;
    let size = info.btf_size.min(LARGEST_BTF);
    let mut data = vec![0u8; size as usize];
    // SAFETY: as above.
    info = unsafe { std::mem::zeroed() };
    info.btf = data.as_mut_ptr() as u64;
    info.btf_size = size;
    btf_info(btf, &mut info)?;
    Ok(data)
}

/// Fills `info` in; its pointers must be valid for the lengths beside them.
fn btf_info(btf: BorrowedFd<'_>, info: &mut bpf_btf_info) -> io::Result<()> {
    let mut attr = attribute();
    attr.info.bpf_fd = btf.as_raw_fd() as u32;
    attr.info.info = std::ptr::from_mut(info) as u64;
    attr.info.info_len = u32::try_from(size_of::<bpf_btf_info>()).unwrap_or(0);
    // SAFETY: `info` is live; both callers point it to live memory of the lengths given.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr) }.map(drop)
}

/// The id after another, in order; `None` after the last.
fn next_id(command: bpf_cmd, after: u32) -> io::Result<Option<u32>> {
    let mut attr = attribute();
    attr.__bindgen_anon_6.__bindgen_anon_1.start_id = after;
    // SAFETY: the attribute holds no pointers.
    match unsafe { bpf(command, &mut attr) } {
        // SAFETY: the kernel has filled the same member in.
        Ok(_) => Ok(Some(unsafe { attr.__bindgen_anon_6.next_id })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn by_id(command: bpf_cmd, id: u32) -> io::Result<OwnedFd> {
    let mut attr = attribute();
    attr.__bindgen_anon_6.__bindgen_anon_1.start_id = id;
    // SAFETY: the attribute holds no pointers, and the command gives a descriptor.
    unsafe { bpf_descriptor(command, &mut attr) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_exist_is_not_found() {
        if crate::loader::privilege::missing_privilege().is_some() {
            return println!("skipped: needs root");
        }
        assert_eq!(program(u32::MAX).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(module_btf("no_such_module").unwrap().is_none());
        assert!(module_btf("vmlinux").unwrap().is_some());
        programs().unwrap();
    }
}
