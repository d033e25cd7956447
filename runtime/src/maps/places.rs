//! Where in a key or a value stacks and symbols lie, and which keys are one because their stacks are.

use probebook_compiler::plan::UNWOUND;
use probebook_compiler::types::Type;

use crate::value::Resolve;

/// Where in a value of this type that lies which `of` finds in types that are no tuples, with what it says of it.
pub fn places<T>(ty: &Type, of: &dyn Fn(&Type) -> Option<T>) -> Vec<(usize, T)> {
    let within = |types: &mut dyn Iterator<Item = &Type>| {
        let bases = ty.element_offsets();
        types
            .zip(bases)
            .flat_map(|(ty, base)| places(ty, of).into_iter().map(move |(at, found)| (at + base as usize, found)))
            .collect()
    };
    match ty {
        Type::Tuple(elements) => within(&mut elements.iter()),
        Type::Record(fields) => within(&mut fields.iter().map(|(_, ty)| ty)),
        other => of(other).map(|found| (0, found)).into_iter().collect(),
    }
}

/// Makes equal what is the same key to a reader: stacks that were unwound here may have several numbers.
pub struct CanonicalKey {
    /// Where the stacks lie, and how many frames they have at most.
    stacks: Vec<(usize, u32)>,
}

impl CanonicalKey {
    pub fn new(key: &Type) -> CanonicalKey {
        let limit = |ty: &Type| match ty {
            Type::Stack { user: true, limit, .. } => Some(*limit),
            _ => None,
        };
        CanonicalKey { stacks: places(key, &limit) }
    }

    /// Whether no two keys are the same.
    pub fn is_identity(&self) -> bool {
        self.stacks.is_empty()
    }

    /// Whether a stack in the key was unwound here.
    pub fn has_unwound(&self, key: &[u8]) -> bool {
        self.stacks.iter().any(|(at, _)| stack_at(key, *at).is_some_and(|(id, _)| id >= UNWOUND))
    }

    /// The key with each stack's number replaced by the one that stands for all of the same stack.
    pub fn of(&self, key: &[u8], resolve: &dyn Resolve) -> Vec<u8> {
        let mut canonical = key.to_vec();
        for (at, limit) in &self.stacks {
            let Some((id, pid)) = stack_at(key, *at) else { continue };
            let id = resolve.canonical_stack(id, pid, *limit);
            canonical.iter_mut().skip(*at).zip(id.to_ne_bytes()).for_each(|(to, byte)| *to = byte);
        }
        canonical
    }
}

/// A stack's number and its process, see `STACK_KEY_SIZE`.
fn stack_at(key: &[u8], offset: usize) -> Option<(i64, u32)> {
    let (id, rest) = key.get(offset..)?.split_first_chunk::<8>()?;
    // The number of the process is the lower half of its word.
    Some((i64::from_ne_bytes(*id), u64::from_ne_bytes(*rest.first_chunk()?) as u32))
}
