//! Maps: their types, keys, reading, writing and deleting.

use crate::diagnostics::Diagnostic;
use crate::ir::{Expr as Ir, Helper, MapIndex, Op, Scalar, Stmt};
use crate::plan::Loss;
use crate::semantics::environment::KeyInfo;
use crate::semantics::widen;
use crate::syntax::ast::{Expr, Span};
use crate::types::Type;

use super::{Lowered, Lowerer, Operand, Repr};

/// What the kernel says of a map that is full.
const E2BIG: i64 = -7;

/// From so many bytes on, a literal is looked up among the constants, not written on the stack.
const LONG_TEXT: u32 = 17;
/// Up to so many: each literal takes as much as the map has room for.
const HUGE_TEXT: u32 = 256;

/// An entry of a map, ready for helpers.
#[derive(Clone, Debug)]
pub struct Entry {
    pub map: MapIndex,
    pub value: Type,
    /// The address of the key; `None` for a scalar map.
    pub key: Option<Ir>,
}

/// Where the flag lies that says whether a scalar map has been assigned.
pub fn present_offset(value: &Type) -> u32 {
    value.size().next_multiple_of(8)
}

impl Lowerer<'_> {
    /// Notes that a map is used with or without a key, and settles its key type.
    pub fn use_map(&mut self, name: &str, key: Option<&Operand>, span: Span) -> Lowered<()> {
        let map = self.env.map(name, span).clone();
        let wanted = match key {
            None => KeyInfo::Scalar,
            Some(key) if key.is_unknown() => return self.unknown(key),
            Some(key) => KeyInfo::Keyed(widen::stored(&key.ty)),
        };
        let joined = match (&map.key, &wanted) {
            (KeyInfo::Unknown, _) => Some(wanted.clone()),
            (KeyInfo::Scalar, KeyInfo::Scalar) => Some(KeyInfo::Scalar),
            (KeyInfo::Keyed(has), KeyInfo::Keyed(new)) if map.fixed_by.is_some() => {
                widen::fits(new, has).then(|| map.key.clone())
            }
            (KeyInfo::Keyed(has), KeyInfo::Keyed(new)) => widen::join(has, new).map(KeyInfo::Keyed),
            _ => None,
        };
        match joined {
            Some(joined) if joined == map.key => Ok(()),
            Some(joined) => {
                let is_first = map.key == KeyInfo::Unknown;
                self.env.learned |= is_first;
                self.env.changed |= !is_first;
                self.env.map(name, span).key = joined;
                Ok(())
            }
            None => Err(self.key_clash(name, &map, &wanted, span)),
        }
    }

    fn key_clash(
        &mut self,
        name: &str,
        map: &crate::semantics::environment::MapInfo,
        wanted: &KeyInfo,
        span: Span,
    ) -> super::Reported {
        let describe = |key: &KeyInfo| match key {
            KeyInfo::Keyed(ty) => format!("a key of type '{ty}'"),
            _ => "no key".to_string(),
        };
        let message = format!("@{name} is used here with {}, but it has {}", describe(wanted), describe(&map.key));
        self.clash(name, map, Diagnostic::error("map-key-mismatch", span, message))
    }

    /// Completes a type clash with the place, or the cell, that fixed the type.
    pub fn clash(
        &mut self,
        name: &str,
        map: &crate::semantics::environment::MapInfo,
        diagnostic: Diagnostic,
    ) -> super::Reported {
        let diagnostic = match &map.fixed_by {
            Some(cell) => {
                let value = map.value.as_ref().map_or("nothing".to_string(), describe_value);
                let key = match &map.key {
                    KeyInfo::Keyed(ty) => format!(" keyed by {ty}"),
                    _ => String::new(),
                };
                diagnostic
                    .label(format!("@{name} was {value}{key} in {cell}"))
                    .hint(format!("%drop @{name} forgets it, or use another name"))
            }
            None if map.first != diagnostic.primary.span => diagnostic.also(map.first, "first used here"),
            None => diagnostic,
        };
        self.report(diagnostic)
    }

    /// Evaluates the key and finds the map's place in the plan.
    pub fn entry(&mut self, name: &str, key: Option<&Expr>, span: Span) -> Lowered<Entry> {
        let key = key.map(|key| self.key(name, key, span)).transpose()?;
        self.entry_for(name, key, span)
    }

    pub fn entry_for(&mut self, name: &str, key: Option<Operand>, span: Span) -> Lowered<Entry> {
        self.use_map(name, key.as_ref(), span)?;
        let info = self.env.map(name, span).clone();
        let map = self.plan.user_map(name, &info, self.env.settings.max_map_keys);
        self.env.met_unknown |= info.value.is_none();
        let value = info.value.clone().unwrap_or(Type::Void);
        let key = match (&key, &info.key) {
            // A value that lies in a slot in the key's own layout serves as it is.
            (Some(Operand { ty: key_ty, repr: Repr::Memory(slot @ Ir::Slot(_)), .. }), KeyInfo::Keyed(ty))
                if key_ty == ty =>
            {
                Some(slot.clone())
            }
            (Some(key), KeyInfo::Keyed(ty)) if !key.is_unknown() => {
                self.warn_conversion(key, ty, key.span);
                if let (Some(number), Type::Integer { bits: 64, .. }, true) =
                    (key.constant(), ty, self.plan.has_constants())
                {
                    let (constants, offset) = self.plan.constant(number.to_ne_bytes().to_vec());
                    return Ok(Entry { map, value, key: Some(Ir::MapValue { map: constants, offset }) });
                }
                let slot = Ir::Slot(self.slot_for(ty));
                self.store(slot.clone(), key, ty)?;
                Some(slot)
            }
            (Some(_), _) => Some(Ir::Slot(self.new_slot(8, 8))),
            (None, _) => None,
        };
        Ok(Entry { map, value, key })
    }

    /// `@x`, `@x[key]`; an aggregate is combined over all CPUs and gives an integer.
    pub fn read_map(&mut self, name: &str, key: Option<&Expr>, span: Span) -> Lowered<Operand> {
        let entry = self.entry(name, key, span)?;
        if entry.value == Type::Void {
            return self.read_untyped(name, span);
        }
        self.warn_never_assigned(name, span);
        if let Type::Aggregate(aggregate) = entry.value.clone() {
            return self.read_aggregate(name, &entry, &aggregate, span);
        }
        self.read_entry(&entry, span)
    }

    /// A map that nothing has assigned to yet: if nothing ever does, its entries are the integer 0.
    fn read_untyped(&mut self, name: &str, span: Span) -> Lowered<Operand> {
        self.env.reads_untyped = true;
        if self.env.unknown_is_final() {
            return Err(self.undefined_map(name, span));
        }
        if self.env.untyped_are_integers {
            self.env.never_assigned.insert(name.to_owned());
            self.settle_value(name, &Type::I64, true, span)?;
        }
        Ok(Operand::void(span))
    }

    /// A map that must be there, for its address is taken.
    pub(super) fn no_map_yet(&mut self, name: &str, span: Span) -> Lowered<Operand> {
        if self.env.unknown_is_final() { Err(self.undefined_map(name, span)) } else { Ok(Operand::void(span)) }
    }

    fn warn_never_assigned(&mut self, name: &str, span: Span) {
        if !self.env.never_assigned.contains(name) {
            return;
        }
        let message = format!("@{name} is never assigned to, so that it is always 0 here");
        let mut diagnostic = Diagnostic::warning("never-assigned", span, message);
        let names = self.env.maps.keys().filter(|other| *other != name).map(String::as_str);
        if let Some(near) = crate::semantics::nearest::nearest(name, names) {
            diagnostic = diagnostic.hint(format!("did you mean @{near}?"));
        }
        self.warn(diagnostic);
    }

    /// A map that nothing says the type of; where that is because of another mistake, it is not said again.
    pub fn undefined_map(&mut self, name: &str, span: Span) -> super::Reported {
        if self.env.failed_maps.contains(name) {
            return super::Reported;
        }
        let message = format!("undefined map: @{name}");
        let mut diagnostic = Diagnostic::error("undefined-map", span, message);
        let names = self.env.maps.keys().filter(|other| *other != name).map(String::as_str);
        if let Some(near) = crate::semantics::nearest::nearest(name, names) {
            diagnostic = diagnostic.hint(format!("did you mean @{near}?"));
        }
        self.report(diagnostic)
    }

    fn read_entry(&mut self, entry: &Entry, span: Span) -> Lowered<Operand> {
        let ty = entry.value.clone();
        let Some(key) = &entry.key else {
            let address = Ir::MapValue { map: entry.map, offset: 0 };
            return Ok(if ty.is_scalar() {
                let value = self.load_scalar(&ty, address);
                Operand::scalar(ty, value, span)
            } else {
                Operand::memory(ty, address, span)
            });
        };
        let found = self.lookup(entry.map, key.clone());
        if ty.is_scalar() {
            let result = self.new_var(Scalar::I64);
            let (mut then, value) = self.nested(|this| this.load_scalar(&ty, found.clone()));
            then.push(Stmt::Set(result, value));
            let mut otherwise = vec![Stmt::Set(result, Ir::int(0))];
            otherwise.extend(self.missing_key());
            self.emit(Stmt::If { condition: not_null(found), then, otherwise });
            return Ok(Operand::scalar(ty, Ir::Var(result), span));
        }
        let slot = Ir::Slot(self.slot_for(&ty));
        let (size, align) = (ty.size(), ty.align());
        let then = vec![Stmt::Copy { to: slot.clone(), from: found.clone(), size, align }];
        let mut otherwise = vec![Stmt::Zero { to: slot.clone(), size, align }];
        otherwise.extend(self.missing_key());
        self.emit(Stmt::If { condition: not_null(found), then, otherwise });
        Ok(Operand::memory(ty, slot, span))
    }

    /// The address of an entry's value, or null.
    pub fn lookup(&mut self, map: MapIndex, key: Ir) -> Ir {
        let arguments = vec![Ir::Map(map), key];
        let call = Ir::Helper { id: Helper::MAP_LOOKUP_ELEM, arguments, returns: Scalar::Pointer };
        self.bind(Scalar::Pointer, call)
    }

    /// Settles the type of what a map holds.
    pub fn settle_value(&mut self, name: &str, ty: &Type, flexible: bool, span: Span) -> Lowered<()> {
        if *ty == Type::Void {
            return Ok(());
        }
        let map = self.env.map(name, span).clone();
        let wanted = widen::stored(ty);
        let Some(has) = &map.value else {
            self.env.learned = true;
            let info = self.env.map(name, span);
            info.value = Some(wanted);
            info.flexible = flexible;
            return Ok(());
        };
        let (has, wanted) = widen::agree_on_sign((has, map.flexible), (&wanted, flexible));
        let joined = if map.fixed_by.is_some() {
            widen::fits(&wanted, &has).then(|| has.clone())
        } else {
            widen::join(&has, &wanted).filter(|_| same_nature(&has, &wanted))
        };
        let Some(joined) = joined else {
            let message = format!(
                "type mismatch for @{name}: trying to assign a value of type '{wanted}' when it already contains a value of type '{has}'"
            );
            return Err(self.clash(name, &map, Diagnostic::error("map-type-mismatch", span, message)));
        };
        let info = self.env.map(name, span);
        let changed = info.value.as_ref() != Some(&joined) || info.flexible && !flexible;
        info.flexible &= flexible;
        info.value = Some(joined);
        self.env.changed |= changed;
        Ok(())
    }

    /// `@x[key] = value`
    pub fn assign_map(&mut self, name: &str, key: Option<&Expr>, value: Operand, span: Span) -> Lowered<()> {
        if self.unevaluated > 0 {
            let message = "Map assignments not allowed inside of sizeof, offsetof, typeof or typeinfo";
            return Err(self.error("assignment-in-type", span, message));
        }
        let key = key.map(|key| self.key(name, key, span)).transpose()?;
        if value.is_unknown() {
            self.use_map(name, key.as_ref(), span)?;
            return self.unknown(&value);
        }
        self.settle_value(name, &value.ty, value.flexible, span)?;
        let entry = self.entry_for(name, key, span)?;
        if matches!(entry.value, Type::Aggregate(_)) {
            return Ok(());
        }
        self.warn_conversion(&value, &entry.value, value.span);
        match &entry.key {
            None => {
                let address = Ir::MapValue { map: entry.map, offset: 0 };
                self.store(address, &value, &entry.value)?;
                let flag = Ir::MapValue { map: entry.map, offset: present_offset(&entry.value) };
                self.emit(Stmt::Store { ty: Scalar::I64, address: flag, value: Ir::int(1) });
            }
            Some(key) => {
                let slot = match &value.repr {
                    Repr::Memory(address) if value.ty == entry.value => address.clone(),
                    Repr::Text(text) if matches!(entry.value, Type::String { capacity: LONG_TEXT..=HUGE_TEXT }) => {
                        self.constant_text_in(text, &entry.value)
                    }
                    _ => {
                        let slot = Ir::Slot(self.slot_for(&entry.value));
                        self.store(slot.clone(), &value, &entry.value)?;
                        slot
                    }
                };
                self.update(entry.map, key.clone(), slot);
            }
        }
        Ok(())
    }

    /// Puts an entry; what could not be stored is counted.
    fn update(&mut self, map: MapIndex, key: Ir, value: Ir) {
        let arguments = vec![Ir::Map(map), key, value, Ir::int(0)];
        let status = self.helper(Helper::MAP_UPDATE_ELEM, arguments);
        let (then, ()) = self.nested(|this| this.count_lost_key(map, status.clone()));
        self.emit(Stmt::If { condition: status.is_nonzero(), then, otherwise: vec![] });
    }

    /// Counts a new key that was not stored, by what `bpf_map_update_elem` has said: a full map gives
    /// `E2BIG` (`kernel/bpf/hashtab.c`), one that is allocated as it grows also `ENOMEM`.
    pub fn count_lost_key(&mut self, map: MapIndex, status: Ir) {
        let is_full = Ir::binary(Op::Eq, status, Ir::int(E2BIG));
        let full = self.loss_offset(Loss::MapFull(map.0 as usize));
        let no_memory = self.loss_offset(Loss::NoMemory(map.0 as usize));
        let (condition, then, otherwise) = (Box::new(is_full), Box::new(full), Box::new(no_memory));
        let count = self.add_to_counter(Ir::Select { condition, then, otherwise });
        self.emit(count);
    }

    /// The address of the only key that an array of one entry has.
    pub fn only_key(&mut self) -> Ir {
        let key = Ir::Slot(self.new_slot(4, 4));
        let zero = Ir::Const { ty: Scalar::I32, value: 0 };
        self.emit(Stmt::Store { ty: Scalar::I32, address: key.clone(), value: zero });
        key
    }

    /// Adds one to a loss counter if the condition holds.
    pub fn count_loss_if(&mut self, condition: Ir, loss: Loss) {
        let offset = self.loss_offset(loss);
        let count = self.add_to_counter(offset);
        self.emit(Stmt::If { condition, then: vec![count], otherwise: vec![] });
    }

    /// Where in the entry of the loss counters one of them lies.
    fn loss_offset(&mut self, loss: Loss) -> Ir {
        Ir::int(i64::from(self.plan.loss(loss)) * 8)
    }

    fn add_to_counter(&mut self, offset: Ir) -> Stmt {
        let counters = Ir::MapValue { map: self.plan.counters(), offset: 0 };
        let address = Ir::Offset { base: Box::new(counters), by: Box::new(offset) };
        Stmt::AtomicAdd { ty: Scalar::I64, address, value: Ir::int(1) }
    }

    /// Deletes an entry, or unsets a scalar map. Gives 0 on success.
    pub fn delete_entry(&mut self, entry: &Entry) -> Ir {
        match &entry.key {
            Some(key) => self.helper(Helper::MAP_DELETE_ELEM, vec![Ir::Map(entry.map), key.clone()]),
            None if matches!(entry.value, Type::Aggregate(_)) => {
                // Only this CPU's copy can be reached here; the rest is cleared by the runtime.
                Ir::int(0)
            }
            None => {
                let size = present_offset(&entry.value) + 8;
                let value = Ir::MapValue { map: entry.map, offset: 0 };
                self.emit(Stmt::Zero { to: value, size, align: 8 });
                Ir::int(0)
            }
        }
    }
}

pub fn not_null(pointer: Ir) -> Ir {
    Ir::binary(Op::Ne, pointer, Ir::Const { ty: Scalar::Pointer, value: 0 })
}

/// An aggregate and a plain value never share a map, nor do a pointer and a plain integer.
fn same_nature(a: &Type, b: &Type) -> bool {
    matches!(a, Type::Aggregate(_)) == matches!(b, Type::Aggregate(_))
}

/// `count()`, `a value of type int64`
fn describe_value(ty: &Type) -> String {
    match ty {
        Type::Aggregate(aggregate) => format!("{}()", aggregate.name()),
        other => format!("a value of type '{other}'"),
    }
}
