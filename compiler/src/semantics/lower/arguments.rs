//! What the kernel hands to a program: arguments in words of the context, the objects of an
//! iterator, and pointers whose types the kernel keeps track of.

use std::sync::Arc;

use crate::ir::{Conversion, Expr as Ir, Helper, Op, Scalar, Stmt};
use crate::plan::ProgramKind;
use crate::semantics::probes::Arguments;
use crate::syntax::ast::{Expr, ExprKind, Ident, Span};
use crate::types::{AddressSpace, StructField, StructType, Type};

use super::{Lowered, Lowerer, Operand, Repr};

impl Lowerer<'_> {
    /// An argument that lies in words of the context.
    pub fn argument_words(&mut self, argument: &StructField, span: Span) -> Lowered<Operand> {
        let ty = self.complete(&argument.ty);
        if !ty.is_scalar() {
            return self.argument_in_memory(ty, argument.offset, span);
        }
        let value = self.argument_word(&ty, argument.offset);
        let value = if ty.is_integer() { self.narrow(&ty, value) } else { value };
        Ok(Operand::scalar(in_kernel(ty), value, span))
    }

    /// All arguments as one structure.
    pub fn all_arguments(&mut self, info: &StructType, span: Span) -> Lowered<Operand> {
        let slot = Ir::Slot(self.new_slot(info.size.max(8), 8));
        for field in &info.fields {
            let to = slot.clone().offset(field.offset);
            if field.ty.is_scalar() {
                let value = self.argument_word(&field.ty, field.offset);
                self.emit(Stmt::Store { ty: Scalar::I64, address: to, value });
            } else {
                self.copy_words(to, field.offset, field.ty.size());
            }
        }
        Ok(Operand::memory(Type::Struct(info.clone().into()), slot, span))
    }

    /// A structure passed by value.
    fn argument_in_memory(&mut self, ty: Type, offset: u32, span: Span) -> Lowered<Operand> {
        let slot = Ir::Slot(self.new_slot(ty.size().max(1).next_multiple_of(8), 8));
        self.copy_words(slot.clone(), offset, ty.size());
        Ok(Operand::memory(ty, slot, span))
    }

    fn copy_words(&mut self, to: Ir, offset: u32, size: u32) {
        for at in (0..size).step_by(8) {
            let value = self.bind(Scalar::I64, Ir::load(Scalar::I64, Ir::Context.offset(offset + at)));
            self.emit(Stmt::Store { ty: Scalar::I64, address: to.clone().offset(at), value });
        }
    }

    /// The verifier lets a program load pointers to structures and to integers; others, such as
    /// `char **`, are fetched by a helper (`btf_ctx_access` in `kernel/bpf/btf.c`).
    fn argument_word(&mut self, ty: &Type, offset: u32) -> Ir {
        let is_trampoline = matches!(self.probe.kind, ProgramKind::Fentry | ProgramKind::Fexit);
        let is_loadable = match ty {
            Type::Pointer { to, .. } => matches!(**to, Type::Struct(_) | Type::Integer { .. }),
            _ => true,
        };
        if is_loadable || !is_trampoline {
            return self.bind(Scalar::I64, Ir::load(Scalar::I64, Ir::Context.offset(offset)));
        }
        let slot = Ir::Slot(self.new_slot(8, 8));
        self.emit(Stmt::Zero { to: slot.clone(), size: 8, align: 8 });
        let number = Ir::int(i64::from(offset / 8));
        self.helper(Helper::GET_FUNC_ARG, vec![Ir::Context, number, slot.clone()]);
        self.bind(Scalar::I64, Ir::load(Scalar::I64, slot))
    }

    /// What the kernel hands to the program, as a structure.
    pub fn context_type(&mut self, span: Span) -> Lowered<Arc<StructType>> {
        let name = match (&self.probe.arguments, self.probe.kind) {
            (Arguments::Iterator(info), _) => return Ok(Arc::clone(info)),
            (_, ProgramKind::Probe) => "struct pt_regs",
            (_, ProgramKind::PerfEvent) => "struct bpf_perf_event_data",
            (_, ProgramKind::Tracepoint) => {
                return Err(self.error("wrong-probe-type", span, "Use args instead of ctx in tracepoint"));
            }
            _ => {
                let message = format!("The ctx builtin can not be used with '{}' probes", self.probe.provider);
                return Err(self.error("wrong-probe-type", span, message));
            }
        };
        let known = self.env.c_types.struct_type(name, self.info);
        Ok(known.unwrap_or_else(|| Arc::new(StructType { name: name.to_owned(), size: 0, fields: Vec::new() })))
    }

    /// `ctx.ip`: loaded from the context itself, for the verifier knows its fields.
    pub fn context_field(&mut self, field: &Ident, span: Span) -> Lowered<Operand> {
        let info = self.context_type(span)?;
        let member = self.find_field(&info, field)?;
        self.member(Repr::Memory(Ir::Context), 8, &member, span)
    }

    /// `ctx.task`: what an iterator has come to. After the last object, or for one that just went,
    /// it is NULL, and there is nothing to do; the verifier wants to see that.
    pub fn iterated(&mut self, info: &StructType, field: &Ident, span: Span) -> Lowered<Operand> {
        let member = self.find_field(info, field)?;
        let operand = self.member(Repr::Memory(Ir::Context), 8, &member, span)?;
        let (Type::Pointer { .. }, Repr::Scalar(value)) = (&operand.ty, &operand.repr) else { return Ok(operand) };
        let condition = Ir::binary(Op::Eq, value.clone(), Ir::int(0));
        self.emit(Stmt::If { condition, then: vec![Stmt::Return(None)], otherwise: Vec::new() });
        Ok(operand)
    }

    /// A pointer, or the address of a structure within one, for helpers that take nothing but
    /// pointers whose types the verifier knows. It knows those that the context holds, and those
    /// that are loaded through them, not probe-read; each may be NULL, and then the result is.
    pub fn typed_pointer(&mut self, expr: &Expr) -> Lowered<Operand> {
        self.probe.needs_types.set(true);
        self.probe.depends.set(true);
        let ExprKind::Field { object, field } = &expr.kind else { return self.expr(expr) };
        if matches!(&object.kind, ExprKind::Identifier(name) if matches!(name.as_str(), "args" | "ctx")) {
            return self.expr(expr);
        }
        let base = self.typed_pointer(object)?;
        let Type::Pointer { to, space } = base.ty.clone() else { return self.expr(expr) };
        let Type::Struct(info) = self.complete(&to) else { return self.expr(expr) };
        let member = self.find_field(&info, field)?;
        let ty = self.complete(&member.ty);
        let base = self.register(base)?;
        let place = self.new_var(Scalar::I64);
        self.emit(Stmt::Set(place, base.clone()));
        let within = Ir::binary(Op::Add, base.clone(), Ir::int(i64::from(member.offset)));
        let (then, result) = match &ty {
            Type::Struct(_) => {
                let result = Operand::scalar(Type::pointer(ty.clone(), space), Ir::Var(place), expr.span);
                (vec![Stmt::Set(place, within)], result)
            }
            Type::Pointer { .. } => {
                let address = Ir::convert(Conversion::ToPointer, Scalar::Pointer, within);
                let result = Operand::scalar(in_kernel(ty), Ir::Var(place), expr.span);
                (vec![Stmt::Set(place, Ir::load(Scalar::I64, address))], result)
            }
            _ => return self.expr(expr),
        };
        self.emit(Stmt::If { condition: base.is_nonzero(), then, otherwise: Vec::new() });
        Ok(result)
    }
}

/// Pointers that the kernel hands over point into the kernel.
fn in_kernel(ty: Type) -> Type {
    match ty {
        Type::Pointer { to, space: AddressSpace::Unknown } => Type::Pointer { to, space: AddressSpace::Kernel },
        other => other,
    }
}
