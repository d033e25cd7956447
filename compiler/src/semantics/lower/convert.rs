//! Conversions between types: registers, casts, and truth values.

use std::sync::Arc;

use crate::diagnostics::Diagnostic;
use crate::ir::{Conversion, Expr as Ir, Op, Scalar};
use crate::semantics::environment::KeyInfo;
use crate::semantics::nearest::nearest;
use crate::syntax::ast::{Expr, ExprKind, Span, TypeName, TypeNameKind, TypeOrExpr};
use crate::types::{AddressSpace, StructType, Type};

use super::{Lowered, Lowerer, Operand, Repr};

impl Lowerer<'_> {
    /// Evaluates a condition to a [`Scalar::Bool`].
    pub fn condition(&mut self, expr: &Expr) -> Lowered<Ir> {
        let operand = self.expr(expr)?;
        if matches!(operand.ty, Type::String { .. }) && !matches!(operand.repr, Repr::Text(_)) {
            let diagnostic = Diagnostic::error("invalid-condition", expr.span, "Invalid condition: string");
            return Err(self.report(diagnostic.hint("compare it: text != \"\"")));
        }
        self.truth(operand)
    }

    /// Whether a value counts as true: non-zero, non-null.
    pub fn truth(&mut self, operand: Operand) -> Lowered<Ir> {
        if operand.is_unknown() {
            // Not a constant: no branch may be left out yet.
            let unknown = Ir::binary(Op::Ne, Ir::Opaque(Box::new(Ir::int(0))), Ir::int(0));
            return self.unknown(&operand).map(|()| unknown);
        }

        match &operand.ty {
            Type::Bool | Type::Integer { .. } | Type::Enum { .. } | Type::Pointer { .. } | Type::KernelSymbol => {
                Ok(self.register(operand)?.is_nonzero())
            }
            Type::String { .. } => {
                if let Repr::Text(text) = &operand.repr {
                    return Ok(Ir::binary(Op::Ne, Ir::int(i64::from(!text.is_empty())), Ir::int(0)));
                }
                let address = self.materialize(&operand)?;
                Ok(Ir::binary(Op::Ne, Ir::load(Scalar::I8, address), Ir::Const { ty: Scalar::I8, value: 0 }))
            }
            other => Err(self.error("invalid-condition", operand.span, format!("Invalid condition: {other}"))),
        }
    }

    /// The value as an I64 register. Aggregates are read; other types are an error.
    pub fn register(&mut self, operand: Operand) -> Lowered<Ir> {
        match operand.repr {
            Repr::Scalar(value) => Ok(value),
            Repr::Memory(address) if operand.ty.is_scalar() => Ok(self.load_scalar(&operand.ty, address)),
            Repr::Remote { address, space } if operand.ty.is_scalar() => self.read_scalar(&operand.ty, address, space),
            Repr::None => self.unknown(&operand).map(|_| Ir::int(0)),
            _ => {
                let message = format!("expected an integer, found {}", operand.ty);
                Err(self.error("type-mismatch", operand.span, message))
            }
        }
    }

    /// An integer argument, of any width.
    pub fn integer(&mut self, expr: &Expr) -> Lowered<Ir> {
        let operand = self.expr(expr)?;
        self.register(operand)
    }

    /// What is still unknown in the last round has never been given a type.
    pub fn unknown(&mut self, operand: &Operand) -> Lowered<()> {
        if !self.env.unknown_is_final() {
            return Ok(());
        }
        Err(self.error("no-value", operand.span, "this has no value"))
    }

    /// `(type)expression`
    pub fn cast(&mut self, to: &TypeName, operand: &Expr, span: Span) -> Lowered<Operand> {
        let target = self.resolve_type(to)?;
        let value = self.expr(operand)?;
        let (from, literal) = (value.ty.clone(), value.constant());
        let result = self.cast_to(value, target, span)?;
        if let (Type::Enum { info }, Some(constant)) = (&result.ty, literal)
            && !info.variants.iter().any(|(_, value)| *value == constant)
        {
            let message = format!("Enum: {} doesn't contain a variant value of {constant}", info.name);
            return Err(self.error("no-such-variant", span, message));
        }
        let is_needed = matches!(from, Type::Void | Type::Pointer { .. }) || self.is_aggregate(operand);
        if from == result.ty && !is_needed {
            let message = format!("Unnecessary cast: expression is already of type {from}");
            self.warn(Diagnostic::warning("unnecessary-cast", span, message));
        }
        Ok(result)
    }

    /// Whether it is a map that a cast makes an integer of.
    fn is_aggregate(&self, expr: &Expr) -> bool {
        let ExprKind::Map { name, .. } = &expr.kind else { return false };
        let value = self.env.maps.get(name).and_then(|map| map.value.as_ref());
        matches!(value, Some(Type::Aggregate(_)))
    }

    /// Converts a value explicitly.
    pub fn cast_to(&mut self, value: Operand, target: Type, span: Span) -> Lowered<Operand> {
        if value.is_unknown() {
            return Ok(Operand { span, ..value });
        }

        match &target {
            Type::Integer { .. } | Type::Enum { .. } => {
                let register = match &value.ty {
                    ty @ Type::Array { .. } if ty.size() != target.size() => {
                        return Err(self.bad_cast(ty, &target, span));
                    }
                    Type::Array { .. } => self.array_as_integer(&value)?,
                    ty if ty.is_scalar() => self.register(value)?,
                    ty => return Err(self.bad_cast(ty, &target, span)),
                };
                let narrowed = self.narrow(&target, register);
                Ok(Operand::scalar(target, narrowed, span))
            }
            Type::Username | Type::KernelSymbol if value.ty.is_integer() => {
                let register = self.register(value)?;
                Ok(Operand::scalar(target, register, span))
            }
            Type::Bool => {
                let truth = self.truth(value)?.bool_to_int();
                Ok(Operand::scalar(Type::Bool, truth, span))
            }
            Type::Pointer { to, space } => {
                let space = match (&value.ty, space) {
                    (Type::Pointer { space, .. }, AddressSpace::Unknown) => *space,
                    (_, AddressSpace::Unknown) => self.probe.address_space,
                    _ => *space,
                };
                let ty = Type::Pointer { to: to.clone(), space };
                let register = match (&value.repr, &value.ty) {
                    (Repr::Memory(_) | Repr::Text(_), ty) if !ty.is_scalar() => self.address_of(&value)?,
                    // An address has no sign: -1 of eight bits is 0xff.
                    (_, Type::Integer { bits, signed: true }) if *bits < 64 => {
                        let unsigned = Type::Integer { bits: *bits, signed: false };
                        let register = self.register(value)?;
                        self.narrow(&unsigned, register)
                    }
                    _ => self.register(value)?,
                };
                Ok(Operand::scalar(ty, register, span))
            }
            Type::String { capacity } => self.cast_to_string(value, *capacity, span),
            Type::Array { element, length } => self.cast_to_array(value, element, *length, span),
            ty if *ty == value.ty => Ok(Operand { span, ..value }),
            _ => Err(self.bad_cast(&value.ty, &target, span)),
        }
    }

    fn bad_cast(&mut self, from: &Type, to: &Type, span: Span) -> super::Reported {
        self.error("invalid-cast", span, format!("cannot cast from {from} to {to}"))
    }

    fn cast_to_string(&mut self, value: Operand, capacity: u32, span: Span) -> Lowered<Operand> {
        if !matches!(value.ty, Type::String { .. }) {
            return Err(self.bad_cast(&value.ty, &Type::String { capacity }, span));
        }
        let capacity = if capacity == 0 { value.ty.size() } else { capacity };
        let ty = Type::String { capacity };
        if capacity < value.ty.size() {
            return Err(self.bad_cast(&value.ty, &ty, span));
        }
        let slot = self.slot_for(&ty);
        self.store(Ir::Slot(slot), &value, &ty)?;
        Ok(Operand::memory(ty, Ir::Slot(slot), span))
    }

    fn array_as_integer(&mut self, value: &Operand) -> Lowered<Ir> {
        let size = value.ty.size();
        let address = self.materialize(value)?;
        match size {
            1 | 2 | 4 | 8 => {
                let ty = Type::Integer { bits: (size * 8) as u8, signed: false };
                Ok(self.load_scalar(&ty, address))
            }
            _ => Err(self.bad_cast(&value.ty, &Type::U64, value.span)),
        }
    }

    fn cast_to_array(&mut self, value: Operand, element: &Type, length: u32, span: Span) -> Lowered<Operand> {
        if !element.is_integer() && *element != Type::Bool {
            let ty = Type::Array { element: element.clone().into(), length };
            return Err(self.bad_cast(&value.ty, &ty, span));
        }
        // A literal is as wide as the array asks for.
        let wanted = element.size() * length;
        let value = match value.constant() {
            Some(_) if matches!(wanted, 1 | 2 | 4 | 8) && value.ty.is_integer() => {
                Operand { ty: Type::Integer { bits: (wanted * 8) as u8, signed: value.ty.is_signed() }, ..value }
            }
            _ => value,
        };
        let from = value.ty.size();
        let length = if length == 0 { from / element.size().max(1) } else { length };
        let ty = Type::Array { element: element.clone().into(), length };
        if from != ty.size() {
            let message = format!("cannot cast {} ({from} bytes) to {ty} ({} bytes)", value.ty, ty.size());
            return Err(self.error("invalid-cast", span, message));
        }
        let source_ty = value.ty.clone();
        let slot = self.slot_for(&ty);
        self.store(Ir::Slot(slot), &value, &source_ty)?;
        Ok(Operand::memory(ty, Ir::Slot(slot), span))
    }

    /// Cuts an I64 to an integer type's width and extends it again, so that it is canonical.
    pub fn narrow(&mut self, ty: &Type, value: Ir) -> Ir {
        let bits = ty.size() * 8;
        if bits >= 64 || bits == 0 {
            return value;
        }
        if let Ir::Const { value, .. } = value {
            let shift = 64 - bits;
            let shifted = value << shift;
            let extended = if ty.is_signed() { shifted >> shift } else { ((shifted as u64) >> shift) as i64 };
            return Ir::int(extended);
        }
        let narrow = Ir::convert(Conversion::Truncate, Scalar::of_bits(bits as u8), value);
        let extend = if ty.is_signed() { Conversion::SignExtend } else { Conversion::ZeroExtend };
        let wide = Ir::convert(extend, Scalar::I64, narrow);
        self.bind(Scalar::I64, wide)
    }

    /// The type that a written type stands for.
    pub fn resolve_type(&mut self, name: &TypeName) -> Lowered<Type> {
        match &name.kind {
            TypeNameKind::Named(text) => self.named_type(text, name.span),
            TypeNameKind::Struct(text) => self.struct_type(&format!("struct {text}"), name.span),
            TypeNameKind::Union(text) => self.struct_type(&format!("union {text}"), name.span),
            TypeNameKind::Enum(text) => match self.find_enum(text) {
                Some(info) => Ok(Type::Enum { info }),
                None => Err(self.error("unknown-type", name.span, format!("there is no enum {text}"))),
            },
            TypeNameKind::Pointer(to) => {
                let to = self.pointee_type(to)?;
                Ok(Type::pointer(to, AddressSpace::Unknown))
            }
            TypeNameKind::Array(element, length) => {
                let element = self.resolve_type(element)?;
                let length = match length {
                    None => 0,
                    Some(length) => self.constant_u32(length, "the length of an array")?,
                };
                Ok(match element {
                    Type::String { .. } => Type::String { capacity: length },
                    Type::Buffer { .. } => Type::Buffer { capacity: length },
                    Type::Inet => Type::Inet,
                    element => Type::Array { element: element.into(), length },
                })
            }
            TypeNameKind::Typeof(inner) => self.type_of(inner),
        }
    }

    /// A pointer may point to a struct that nobody knows the fields of.
    fn pointee_type(&mut self, to: &TypeName) -> Lowered<Type> {
        match &to.kind {
            TypeNameKind::Named(text) if text == "void" => Ok(Type::Void),
            TypeNameKind::Struct(text) => self.pointee_struct(format!("struct {text}"), to.span),
            TypeNameKind::Union(text) => self.pointee_struct(format!("union {text}"), to.span),
            _ => self.resolve_type(to),
        }
    }

    fn pointee_struct(&mut self, name: String, span: Span) -> Lowered<Type> {
        if self.env.c_types.is_declared(&name) && self.find_struct(&name).is_none() {
            return Ok(Type::Struct(Arc::new(StructType { name, size: 0, fields: Vec::new() })));
        }
        self.struct_type(&name, span)
    }

    /// The type of a type or of an expression, which is not evaluated.
    pub fn type_of(&mut self, of: &TypeOrExpr) -> Lowered<Type> {
        match of {
            TypeOrExpr::Type(name) => self.resolve_type(name),
            // A bare name in the place of a type is a type, if there is one of that name.
            TypeOrExpr::Expr(Expr { kind: ExprKind::Identifier(name), span, .. })
                if builtin_type(name).or_else(|| self.find_typedef(name)).is_some() =>
            {
                self.named_type(name, *span)
            }
            // A map that has keys stands for their type.
            TypeOrExpr::Expr(Expr { kind: ExprKind::Map { name, key: None }, span, .. })
                if matches!(self.env.map(name, *span).key, KeyInfo::Keyed(_)) =>
            {
                match &self.env.map(name, *span).key {
                    KeyInfo::Keyed(key) => Ok(key.clone()),
                    _ => Ok(Type::Void),
                }
            }
            // Whether it has keys may be told further below.
            TypeOrExpr::Expr(Expr { kind: ExprKind::Map { name, key: None }, span, .. })
                if matches!(self.env.map(name, *span).key, KeyInfo::Unknown) && !self.env.unknown_is_final() =>
            {
                Ok(Type::Void)
            }
            TypeOrExpr::Expr(expr) => {
                let mark = self.plan.mark();
                let before = self.diagnostics.len();
                self.unevaluated += 1;
                let (_, operand) = self.nested(|this| this.expr(expr));
                self.unevaluated -= 1;
                self.plan.roll_back(mark);
                let errors: Vec<_> = self.diagnostics.drain(before..).filter(Diagnostic::is_error).collect();
                self.diagnostics.extend(errors);
                operand.map(|operand| operand.ty)
            }
        }
    }

    fn named_type(&mut self, name: &str, span: Span) -> Lowered<Type> {
        if let Some(ty) = builtin_type(name) {
            return Ok(ty);
        }
        match self.find_typedef(name) {
            Some(ty) => Ok(self.complete(&ty)),
            None => {
                let hint = match nearest(name, TYPE_NAMES.into_iter()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => {
                        "integers are int8 … int64 and uint8 … uint64; kernel structures are written struct NAME".into()
                    }
                };
                let diagnostic = Diagnostic::error("unknown-type", span, format!("there is no type {name}"));
                Err(self.report(diagnostic.hint(hint)))
            }
        }
    }

    fn struct_type(&mut self, name: &str, span: Span) -> Lowered<Type> {
        match self.find_struct(name) {
            Some(info) => Ok(Type::Struct(info)),
            None => {
                let message = format!("there is no {name} in this script or in the kernel's type information");
                let diagnostic = Diagnostic::error("unknown-type", span, message);
                let near = self.near_struct(name).map(|near| format!("did you mean {near}?"));
                Err(self.report(near.into_iter().fold(diagnostic, Diagnostic::hint)))
            }
        }
    }

    /// The structure that was probably meant; nobody waits for it but the author of a mistake.
    fn near_struct(&self, name: &str) -> Option<String> {
        let bare = name.rsplit(' ').next().unwrap_or(name);
        let other = ["struct", "union"].map(|keyword| format!("{keyword} {bare}"));
        if let Some(other) = other.into_iter().find(|other| other != name && self.find_struct(other).is_some()) {
            return Some(other);
        }
        let known = self.info.type_names();
        let own = self.env.c_types.struct_names();
        nearest(name, own.chain(known.iter().map(String::as_str))).map(str::to_owned)
    }
}

/// The names of bpftrace's own types.
const TYPE_NAMES: [&str; 12] =
    ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "string", "buffer", "inet"];

/// bpftrace's own types, and C's under the names that headers use.
fn builtin_type(name: &str) -> Option<Type> {
    let integer = |bits, signed| Some(Type::Integer { bits, signed });
    match name {
        "bool" | "_Bool" => Some(Type::Bool),
        "int8" | "int8_t" | "char" | "signed char" | "s8" => integer(8, true),
        "int16" | "int16_t" | "short" | "short int" | "s16" => integer(16, true),
        "int32" | "int32_t" | "int" | "signed int" | "signed" | "s32" => integer(32, true),
        "int64" | "int64_t" | "long" | "long int" | "long long" | "long long int" | "s64" => integer(64, true),
        "uint8" | "uint8_t" | "unsigned char" | "u8" => integer(8, false),
        "uint16" | "uint16_t" | "unsigned short" | "unsigned short int" | "u16" => integer(16, false),
        "uint32" | "uint32_t" | "unsigned int" | "unsigned" | "u32" => integer(32, false),
        "uint64" | "uint64_t" | "unsigned long" | "unsigned long int" | "unsigned long long" | "u64" => {
            integer(64, false)
        }
        "size_t" | "uintptr_t" => integer(64, false),
        "string" => Some(Type::String { capacity: 0 }),
        "buffer" => Some(Type::Buffer { capacity: 0 }),
        "inet" => Some(Type::Inet),
        "username_t" | "username" => Some(Type::Username),
        "ksym_t" => Some(Type::KernelSymbol),
        "void" => Some(Type::Void),
        _ => None,
    }
}
