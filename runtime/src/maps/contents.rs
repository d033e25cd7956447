//! What is in a map: read and decoded, or wiped.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use probebook_compiler::plan::UserMap;
use probebook_compiler::types::{StackMode, Type};

use super::places::{CanonicalKey, places};
use super::{LiveMap, MapError};
use crate::decode::{decode, decode_aggregate};
use crate::loader::map_io::Contents;
use crate::value::{MapSnapshot, Resolve, Value};

/// The only key of a scalar map.
const SCALAR_KEY: [u8; 4] = [0; 4];

/// Reads a map of the user's, decoded and sorted.
pub fn snapshot(map: &LiveMap, resolve: &dyn Resolve) -> Result<MapSnapshot, MapError> {
    let Some(user) = map.user() else { return Err(MapError::Unknown(map.name())) };
    let entries = match &user.key {
        Some(key) => keyed_entries(map, user, key, resolve)?,
        None => scalar_entry(map, user, resolve)?.into_iter().collect(),
    };
    let mut snapshot = MapSnapshot {
        name: user.name.clone(),
        key: user.key.clone(),
        value: user.value.clone(),
        entries,
        lost_keys: map.lost_keys(),
    };
    snapshot.sort();
    Ok(snapshot)
}

fn keyed_entries(
    map: &LiveMap,
    user: &UserMap,
    key: &Type,
    resolve: &dyn Resolve,
) -> Result<Vec<(Value, Value)>, MapError> {
    let Contents { keys, values, .. } = map.io().read_all().map_err(|source| access(map, source))?;
    let (copies, stride) = map.copies();
    let keys = keys.chunks_exact(map.plan().key_size.max(1) as usize);
    let values = values.chunks_exact((copies * stride).max(1));
    let canonical = CanonicalKey::new(key);
    // Only aggregates of several entries are one aggregate.
    if canonical.is_identity() || !matches!(user.value, Type::Aggregate(_)) {
        let entries = keys.zip(values).map(|(k, v)| (decode(key, k, resolve), decode_value(map, user, &[v], resolve)));
        return Ok(entries.collect());
    }
    let mut same: BTreeMap<Vec<u8>, Vec<&[u8]>> = BTreeMap::new();
    for (key, value) in keys.zip(values) {
        same.entry(canonical.of(key, resolve)).or_default().push(value);
    }
    Ok(same.iter().map(|(k, v)| (decode(key, k, resolve), decode_value(map, user, v, resolve))).collect())
}

/// `None` if the map has not been assigned since it was made or cleared.
fn scalar_entry(map: &LiveMap, user: &UserMap, resolve: &dyn Resolve) -> Result<Option<(Value, Value)>, MapError> {
    let Some(value) = map.io().lookup(&SCALAR_KEY).map_err(|source| access(map, source))? else { return Ok(None) };
    let is_present = is_present(map, user, &value);
    Ok(is_present.then(|| (Value::Null, decode_value(map, user, &[&value], resolve))))
}

/// One entry by the bytes of its key; a missing one reads as zero, as it does in a script.
pub fn entry(map: &LiveMap, key: &[u8], resolve: &dyn Resolve) -> Result<(Value, Value), MapError> {
    let Some(user) = map.user() else { return Err(MapError::Unknown(map.name())) };
    let shown = user.key.as_ref().map_or(Value::Null, |ty| decode(ty, key, resolve));
    let found = values_of(map, user, key, resolve).map_err(|source| access(map, source))?;
    let found: Vec<&[u8]> = found.iter().map(Vec::as_slice).collect();
    let value = if found.is_empty() { Value::zero(&user.value) } else { decode_value(map, user, &found, resolve) };
    Ok((shown, value))
}

/// What lies under a key, and under all that are the same stack if that is one aggregate.
fn values_of(map: &LiveMap, user: &UserMap, key: &[u8], resolve: &dyn Resolve) -> io::Result<Vec<Vec<u8>>> {
    let canonical = user.key.as_ref().map(CanonicalKey::new).filter(|canonical| canonical.has_unwound(key));
    let Some(canonical) = canonical.filter(|_| matches!(user.value, Type::Aggregate(_))) else {
        return Ok(map.io().lookup(key)?.into_iter().collect());
    };
    let Contents { keys, values, .. } = map.io().read_all()?;
    let (copies, stride) = map.copies();
    let wanted = canonical.of(key, resolve);
    let entries = keys.chunks_exact(key.len().max(1)).zip(values.chunks_exact((copies * stride).max(1)));
    Ok(entries.filter(|(key, _)| canonical.of(key, resolve) == wanted).map(|(_, value)| value.to_vec()).collect())
}

/// A value with all its copies; those of several entries are one aggregate.
fn decode_value(map: &LiveMap, user: &UserMap, values: &[&[u8]], resolve: &dyn Resolve) -> Value {
    let (_, stride) = map.copies();
    match &user.value {
        Type::Aggregate(aggregate) => {
            let size = aggregate.size() as usize;
            let copies = values.iter().flat_map(|value| value.chunks_exact(stride.max(1)));
            decode_aggregate(aggregate, copies.map(|copy| copy.get(..size).unwrap_or(copy)))
        }
        ty => decode(ty, values.last().copied().unwrap_or_default(), resolve),
    }
}

/// Where a scalar map keeps its flag: behind the value, at the next multiple of eight.
fn presence_offset(user: &UserMap) -> usize {
    user.value.size().next_multiple_of(8) as usize
}

fn is_present(map: &LiveMap, user: &UserMap, value: &[u8]) -> bool {
    let (_, stride) = map.copies();
    let offset = presence_offset(user);
    value.chunks_exact(stride.max(1)).any(|copy| copy.get(offset..).is_some_and(|flag| flag.iter().any(|b| *b != 0)))
}

/// How many entries a map has.
pub fn entries(map: &LiveMap) -> Result<u64, MapError> {
    let Some(user) = map.user() else { return Ok(0) };
    let io = map.io();
    let count = if user.key.is_some() {
        io.read_all().map(|contents| contents.count as u64)
    } else {
        io.lookup(&SCALAR_KEY).map(|value| u64::from(value.is_some_and(|value| is_present(map, user, &value))))
    };
    count.map_err(|source| access(map, source))
}

pub fn is_empty(map: &LiveMap) -> Result<bool, MapError> {
    entries(map).map(|count| count == 0)
}

/// Removes every entry.
pub fn clear(map: &LiveMap) -> Result<(), MapError> {
    let io = map.io();
    let cleared = match map.user() {
        Some(UserMap { key: None, .. }) => io.update(&SCALAR_KEY, &vec![0; io.value_size]),
        _ => io.keys().and_then(|keys| io.delete_many(&keys)),
    };
    cleared.map_err(|source| access(map, source))
}

/// Sets every value to zero; the keys stay.
pub fn zero(map: &LiveMap) -> Result<(), MapError> {
    let io = map.io();
    let zeroed = match map.user() {
        Some(user @ UserMap { key: None, .. }) => zero_scalar(map, user),
        _ => io.keys().and_then(|keys| io.update_many(&keys, &vec![0; io.value_size])),
    };
    zeroed.map_err(|source| access(map, source))
}

fn zero_scalar(map: &LiveMap, user: &UserMap) -> io::Result<()> {
    let io = map.io();
    let Some(mut value) = io.lookup(&SCALAR_KEY)? else { return Ok(()) };
    let (_, stride) = map.copies();
    let offset = presence_offset(user);
    for copy in value.chunks_exact_mut(stride.max(1)) {
        let end = offset.min(copy.len());
        copy.iter_mut().take(end).for_each(|byte| *byte = 0);
    }
    io.update(&SCALAR_KEY, &value)
}

/// Whether a map has user stacks or user symbols in it.
pub fn names_processes(map: &LiveMap) -> bool {
    map.user().is_some_and(|user| user.key.iter().chain([&user.value]).any(|ty| !process_offsets(ty).is_empty()))
}

/// The processes whose stacks or symbols are in a map. Their mappings must be read while they live.
pub fn user_stack_processes(map: &LiveMap) -> Result<BTreeSet<u32>, MapError> {
    let mut processes = BTreeSet::new();
    let Some(user) = map.user() else { return Ok(processes) };
    let mut note = |bytes: &[u8]| {
        let pid = bytes.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
        processes.extend(pid.filter(|pid| *pid != 0));
    };
    visit(map, user, &process_offsets, &mut note).map_err(|source| access(map, source))?;
    Ok(processes)
}

/// The ids of the stacks of one kind (user, limit, build IDs) that a map refers to.
pub fn stack_ids(map: &LiveMap, kind: (bool, u32, bool)) -> io::Result<BTreeSet<u32>> {
    let mut ids = BTreeSet::new();
    let Some(user) = map.user() else { return Ok(ids) };
    let of_kind = |ty: &Type| match ty {
        Type::Stack { user, mode, limit } => ((*user, *limit, *mode == StackMode::BuildId) == kind).then_some(()),
        _ => None,
    };
    let offsets = |ty: &Type| places(ty, &of_kind).into_iter().map(|(offset, ())| offset).collect();
    let mut note = |bytes: &[u8]| {
        let id = bytes.first_chunk().map(|bytes| i64::from_ne_bytes(*bytes));
        ids.extend(id.and_then(|id| u32::try_from(id).ok()));
    };
    visit(map, user, &offsets, &mut note)?;
    Ok(ids)
}

/// Shows what lies at the offsets, in every key and value; nothing is read if there are none.
fn visit(
    map: &LiveMap,
    user: &UserMap,
    offsets: &dyn Fn(&Type) -> Vec<usize>,
    note: &mut dyn FnMut(&[u8]),
) -> io::Result<()> {
    let (in_key, in_value) = (user.key.as_ref().map(offsets).unwrap_or_default(), offsets(&user.value));
    if in_key.is_empty() && in_value.is_empty() {
        return Ok(());
    }
    let contents = match &user.key {
        Some(_) => map.io().read_all(),
        None => map.io().lookup(&SCALAR_KEY).map(|value| Contents {
            keys: SCALAR_KEY.into(),
            values: value.unwrap_or_default(),
            count: 1,
        }),
    };
    let contents = contents?;
    let (copies, stride) = map.copies();
    collect(&contents.keys, map.plan().key_size as usize, &in_key, note);
    collect(&contents.values, copies * stride, &in_value, note);
    Ok(())
}

fn collect(elements: &[u8], size: usize, offsets: &[usize], note: &mut dyn FnMut(&[u8])) {
    for element in elements.chunks_exact(size.max(1)) {
        offsets.iter().filter_map(|offset| element.get(*offset..)).for_each(&mut *note);
    }
}

/// Where in a value of this type the numbers of processes lie: see `STACK_KEY_SIZE` and
/// `Type::UserSymbol`, both of which keep one behind their first eight bytes.
fn process_offsets(ty: &Type) -> Vec<usize> {
    let found = places(ty, &|ty| matches!(ty, Type::Stack { user: true, .. } | Type::UserSymbol).then_some(()));
    found.into_iter().map(|(offset, ())| offset + 8).collect()
}

fn access(map: &LiveMap, source: io::Error) -> MapError {
    MapError::Access { map: map.name(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_found_inside_tuples() {
        let stack = Type::Stack { user: true, mode: StackMode::Bpftrace, limit: 127 };
        let ty = Type::tuple(vec![Type::U32, stack, Type::String { capacity: 16 }, Type::UserSymbol]);
        assert_eq!(process_offsets(&ty), [16, 48]);
        let mut element = vec![0u8; ty.size() as usize];
        element[16] = 7;
        element[48] = 9;
        let mut processes = BTreeSet::new();
        collect(&element, element.len(), &process_offsets(&ty), &mut |bytes| processes.extend([bytes[0]]));
        assert_eq!(Vec::from_iter(processes), [7, 9]);
    }

    #[test]
    fn kernel_stacks_name_no_process() {
        let stack = Type::Stack { user: false, mode: StackMode::Bpftrace, limit: 127 };
        assert!(process_offsets(&stack).is_empty());
    }
}
