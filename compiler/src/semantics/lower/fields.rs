//! Access to parts: struct fields, tuple elements, array elements, a probe's `args`.

use crate::diagnostics::Diagnostic;
use crate::ir::{Conversion, Expr as Ir, Op, Scalar, Stmt};
use crate::semantics::nearest::nearest;
use crate::semantics::probes::Arguments;
use crate::stdlib;
use crate::syntax::ast::{Expr, ExprKind, Ident, Span};
use crate::types::{AddressSpace, StructField, StructType, Type};

use super::{Lowered, Lowerer, Operand, Repr, typeinfo};

impl Lowerer<'_> {
    pub fn field(&mut self, object: &Expr, field: &Ident, span: Span) -> Lowered<Operand> {
        if let ExprKind::Identifier(name) = &object.kind {
            match (name.as_str(), &self.probe.arguments) {
                ("args", _) => return self.argument(field, span),
                ("ctx", Arguments::Iterator(info)) => return self.iterated(info, field, span),
                ("ctx", _) => return self.context_field(field, span),
                _ => {}
            }
        }
        let is_config = |name: &str| name == "config" && !self.env.functions.contains_key(name);
        if matches!(&object.kind, ExprKind::Identifier(name) if is_config(name))
            || matches!(&object.kind, ExprKind::Call { name, arguments } if is_config(&name.name) && arguments.is_empty())
        {
            return stdlib::setting(self, field, span);
        }
        if let Some(of) = typeinfo::subject(object) {
            return self.typeinfo_field(of, field, span);
        }
        let object = self.expr(object)?;
        if object.is_unknown() && !self.env.unknown_is_final() {
            return Ok(Operand::void(span));
        }
        match object.ty.clone() {
            Type::Record(_) => self.record_field(object, field, span),
            Type::Struct(info) => {
                let member = self.find_field(&info, field)?;
                self.member(object.repr, object.ty.c_align(), &member, span)
            }
            Type::Pointer { to, space } => match self.complete(&to) {
                Type::Struct(info) => {
                    let member = self.find_field(&info, field)?;
                    let address = self.register(object)?;
                    self.member(Repr::Remote { address, space }, 1, &member, span)
                }
                _ => Err(self.no_fields(&to, field)),
            },
            other => Err(self.no_fields(&other, field)),
        }
    }

    fn no_fields(&mut self, ty: &Type, field: &Ident) -> super::Reported {
        let message = format!("cannot access field '{}' on an expression of type '{ty}'", field.name);
        let diagnostic = Diagnostic::error("no-such-field", field.span, message);
        let hint = "cast it to a pointer to the structure first: ((struct NAME *)value).field";
        self.report(if ty.is_integer() { diagnostic.hint(hint) } else { diagnostic })
    }

    /// The fields of a structure that was only named so far.
    pub fn complete(&self, ty: &Type) -> Type {
        match ty {
            Type::Struct(info) if info.fields.is_empty() => match self.find_struct(&info.name) {
                Some(info) => Type::Struct(info),
                None => ty.clone(),
            },
            other => other.clone(),
        }
    }

    /// `char` arrays are texts; those of the script's own structures have room for a NUL behind them.
    fn as_read(&self, info: &StructType, member: &StructField) -> StructField {
        let mut member = member.clone();
        if let Type::String { capacity } = member.ty
            && !self.env.c_types.is_own(&info.name)
        {
            member.ty = Type::Array { element: Type::I8.into(), length: capacity };
        }
        member
    }

    pub(super) fn find_field(&mut self, info: &StructType, field: &Ident) -> Lowered<StructField> {
        if let Some(member) = info.fields.iter().find(|member| member.name == field.name) {
            return Ok(self.as_read(info, member));
        }
        let message = format!("{} has no field '{}'", info.name, field.name);
        let mut diagnostic = Diagnostic::error("no-such-field", field.span, message);
        if let Some(near) = nearest(&field.name, info.fields.iter().map(|member| member.name.as_str())) {
            diagnostic = diagnostic.hint(format!("did you mean {near}?"));
        } else if !info.fields.is_empty() && info.fields.len() <= 12 {
            let names: Vec<&str> = info.fields.iter().map(|member| member.name.as_str()).collect();
            diagnostic = diagnostic.hint(format!("its fields are {}", names.join(", ")));
        }
        Err(self.report(diagnostic))
    }

    /// The kernel's structure of a name, whatever the script calls so.
    fn kernels_own(&self, ty: &Type) -> Type {
        let kernels = match ty {
            Type::Struct(info) => self.info.struct_type(&info.name),
            _ => None,
        };
        kernels.map_or_else(|| self.complete(ty), Type::Struct)
    }

    /// What lies behind one field after another of the kernel's, each but the last a pointer to a structure.
    pub fn follow(&mut self, object: Operand, path: &[&str], span: Span) -> Lowered<Operand> {
        let mut value = object;
        for name in path {
            let field = Ident { name: (*name).to_string(), span };
            let Type::Pointer { to, space } = value.ty.clone() else { return Err(self.no_fields(&value.ty, &field)) };
            let Type::Struct(info) = self.kernels_own(&to) else { return Err(self.no_fields(&to, &field)) };
            let member = self.find_field(&info, &field)?;
            let address = self.register(value)?;
            value = self.member(Repr::Remote { address, space }, 1, &member, span)?;
        }
        Ok(value)
    }

    /// Offset and type of a field, for `offsetof`.
    pub fn field_place(&mut self, ty: &Type, field: &Ident) -> Lowered<(u32, Type)> {
        let ty = match ty {
            Type::Pointer { to, .. } => self.complete(to),
            other => self.complete(other),
        };
        match &ty {
            Type::Struct(info) => {
                let member = self.find_field(info, field)?;
                Ok((member.offset, member.ty))
            }
            other => Err(self.no_fields(other, field)),
        }
    }

    /// `args.name`
    fn argument(&mut self, field: &Ident, span: Span) -> Lowered<Operand> {
        let probe = self.probe;
        if !matches!(probe.arguments, Arguments::Tracepoint(_)) {
            probe.depends.set(true);
        }
        match &probe.arguments {
            Arguments::Tracepoint(info) => {
                let member = self.find_field(info, field)?;
                probe.depend_on_field(&member);
                if member.data_loc {
                    return self.data_location(&member, span);
                }
                if self.complete(&member.ty).is_scalar() {
                    return self.member(Repr::Memory(Ir::Context), 8, &member, span);
                }
                // The context is not memory that helpers take: what does not fit a register is
                // read as any kernel memory is.
                let address = Ir::convert(Conversion::ToInteger, Scalar::I64, Ir::Context);
                self.member(Repr::Remote { address, space: AddressSpace::Kernel }, 1, &member, span)
            }
            Arguments::User(function) if probe.provider == "uprobe" => self.user_argument(function, field, span),
            Arguments::Assumed => Ok(Operand::scalar(Type::U64, Ir::int(0), span)),
            Arguments::Words(info) => {
                let member = self.find_field(info, field)?;
                self.argument_words(&member, span)
            }
            _ => {
                let message = format!("args is not available in a {} probe", probe.provider);
                Err(self.error("no-arguments", span, message))
            }
        }
    }

    /// `__data_loc`: where in the record the bytes lie.
    fn data_location(&mut self, member: &StructField, span: Span) -> Lowered<Operand> {
        let word = self.load_scalar(&Type::U32, Ir::Context.offset(member.offset));
        let offset = Ir::binary(Op::And, word, Ir::int(0xffff));
        let base = Ir::convert(Conversion::ToInteger, Scalar::I64, Ir::Context);
        let address = self.bind(Scalar::I64, Ir::binary(Op::Add, base, offset));
        let to = match &member.ty {
            Type::Array { element, .. } => (**element).clone(),
            _ => Type::I8,
        };
        Ok(Operand::scalar(Type::pointer(to, AddressSpace::Kernel), address, span))
    }

    fn record_field(&mut self, object: Operand, field: &Ident, span: Span) -> Lowered<Operand> {
        let Type::Record(fields) = &object.ty else { return Ok(Operand::void(span)) };
        let Some(index) = fields.iter().position(|(name, _)| *name == field.name) else {
            return Err(self.no_fields(&object.ty, field));
        };
        let index_span = field.span;
        self.element(object, index as i64, index_span, span)
    }

    /// Element `index` of a tuple or record.
    pub fn element(&mut self, object: Operand, index: i64, index_span: Span, span: Span) -> Lowered<Operand> {
        if object.is_unknown() && !self.env.unknown_is_final() {
            return Ok(Operand::void(span));
        }
        let types = super::memory::element_types(&object.ty);
        if !matches!(object.ty, Type::Tuple(_) | Type::Record(_)) {
            let message = format!("'.{index}' needs a tuple, not {}", object.ty);
            return Err(self.error("not-a-tuple", span, message));
        }
        let offsets = object.ty.element_offsets();
        let place = usize::try_from(index).ok().and_then(|i| Some((types.get(i)?, offsets.get(i)?)));
        let Some((ty, offset)) = place else {
            let message = format!("index {index} is out of bounds for a tuple of {} elements", types.len());
            return Err(self.error("index-out-of-bounds", index_span, message));
        };
        let address = self.materialize(&object)?.offset(*offset);
        Ok(self.in_memory(ty, address, span))
    }

    /// `x[i]`
    pub fn index(&mut self, object: &Expr, index: &Expr, span: Span) -> Lowered<Operand> {
        let object = self.expr(object)?;
        match object.ty.clone() {
            Type::Void => self.unknown(&object).map(|()| Operand::void(span)),
            Type::Tuple(_) => {
                let at = self.constant_integer(index, "the index of a tuple")?;
                self.element(object, at, index.span, span)
            }
            Type::Array { element, length } => self.array_element(object, &element, length, index, span),
            Type::String { capacity } => self.array_element(object, &Type::I8, capacity, index, span),
            Type::Pointer { to, space } => {
                let at = self.integer(index)?;
                let ty = self.complete(&to);
                let scale = Ir::int(i64::from(ty.size().max(1)));
                let base = self.register(object)?;
                let address = self.bind(Scalar::I64, Ir::binary(Op::Add, base, Ir::binary(Op::Mul, at, scale)));
                self.place(ty, address, space, span)
            }
            other => {
                let message = format!("the index operator [] can not be used on a value of type {other}");
                Err(self.error("not-an-array", span, message))
            }
        }
    }

    fn array_element(
        &mut self,
        object: Operand,
        element: &Type,
        length: u32,
        index: &Expr,
        span: Span,
    ) -> Lowered<Operand> {
        let at = self.expr(index)?;
        // A flexible array does not tell its length.
        let flexible = length == 0 && matches!(object.ty, Type::Array { .. });
        if let Some(constant) = at.constant()
            && !flexible
            && !(0..i64::from(length)).contains(&constant)
        {
            let message = format!("the index {constant} is out of bounds for array of size {length}");
            return Err(self.error("index-out-of-bounds", index.span, message));
        }
        let checked = at.constant().is_none() && !flexible;
        let at = self.register(at)?;
        let scale = Ir::int(i64::from(element.size()));
        match object.repr.clone() {
            Repr::Remote { address, space } => {
                let place = Ir::binary(Op::Add, address, Ir::binary(Op::Mul, at.clone(), scale));
                let mut place = self.bind(Scalar::I64, place);
                if checked {
                    // Nothing can be read at address 0, which leaves zeros.
                    let address = self.new_var(Scalar::I64);
                    let beyond = self.out_of_bounds(span, vec![Stmt::Set(address, Ir::int(0))])?;
                    let condition = Ir::binary(Op::ULt, at, Ir::int(i64::from(length)));
                    self.emit(Stmt::If { condition, then: vec![Stmt::Set(address, place)], otherwise: beyond });
                    place = Ir::Var(address);
                }
                self.place(element.clone(), place, space, span)
            }
            _ => {
                let base = self.materialize(&object)?;
                if checked {
                    return self.element_within(base, at, element, length, span);
                }
                let address = Ir::Offset { base: Box::new(base), by: Box::new(Ir::binary(Op::Mul, at, scale)) };
                let address = self.bind(Scalar::Pointer, address);
                let address = self.aligned(address, element.c_align(), element);
                Ok(self.in_memory(element, address, span))
            }
        }
    }

    /// A copy of an element of an array in memory that BPF may access; zeros if there is none.
    fn element_within(&mut self, base: Ir, at: Ir, element: &Type, length: u32, span: Span) -> Lowered<Operand> {
        let copy = Ir::Slot(self.slot_for(element));
        // The verifier must see the bound that LLVM may know already.
        let at = self.bind(Scalar::I64, Ir::Opaque(Box::new(at)));
        let condition = Ir::binary(Op::ULt, at.clone(), Ir::int(i64::from(length)));
        // Opaque once more: what is made of the index must not be made before it is compared.
        let at = Ir::Opaque(Box::new(at));
        let offset = Ir::binary(Op::Mul, at, Ir::int(i64::from(element.size())));
        let from = Ir::Offset { base: Box::new(base), by: Box::new(offset) };
        let (size, align) = (element.size(), element.c_align());
        let then = vec![Stmt::Copy { to: copy.clone(), from, size, align }];
        let otherwise = self.out_of_bounds(span, vec![Stmt::Zero { to: copy.clone(), size, align }])?;
        self.emit(Stmt::If { condition, then, otherwise });
        Ok(self.in_memory(element, copy, span))
    }

    /// Tells that an index is out of bounds, then goes on with `otherwise`.
    fn out_of_bounds(&mut self, span: Span, otherwise: Vec<Stmt>) -> Lowered<Vec<Stmt>> {
        let message = "Array access out of bounds. This can lead to unexpected results.";
        let (mut told, sent) = self.nested(|this| this.tell_failure(message, span));
        sent?;
        told.extend(otherwise);
        Ok(told)
    }
}
