//! Scratch variables: scopes, declaration, reading and writing.

use std::collections::HashMap;

use crate::diagnostics::Diagnostic;
use crate::ir::{Conversion, Expr as Ir, Scalar, Slot, Stmt, Var};
use crate::semantics::environment::KeyInfo;
use crate::semantics::nearest::nearest;
use crate::syntax::ast::{Expr, ExprKind, NodeId, Span, TypeName, TypeNameKind};
use crate::types::{AddressSpace, Type};

use super::{Lowered, Lowerer, Operand};

/// The variables that are visible at a place, innermost block last.
#[derive(Debug, Default)]
pub struct Scopes {
    blocks: Vec<HashMap<String, Variable>>,
}

/// A declared variable.
#[derive(Clone, Debug)]
pub struct Variable {
    /// The node that declares it.
    pub declared: NodeId,
    pub span: Span,
    pub storage: Storage,
    /// The type after `let $x:`, which nothing may widen.
    pub annotated: bool,
    /// Whether what was lowered so far gives it a value.
    pub assigned: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Storage {
    /// The type is not known yet.
    Unknown,
    Register(Var),
    Memory(Slot),
}

impl Scopes {
    pub fn enter(&mut self) {
        self.blocks.push(HashMap::new());
    }

    /// Gives what the block has declared and never assigned.
    pub fn leave(&mut self) -> Vec<(String, Span)> {
        let variables = self.blocks.pop().unwrap_or_default();
        let idle = variables.into_iter().filter(|(_, variable)| !variable.assigned);
        idle.map(|(name, variable)| (name, variable.span)).collect()
    }

    /// The variable was declared without a value.
    fn declared_only(&mut self, name: &str) {
        if let Some(variable) = self.blocks.last_mut().and_then(|block| block.get_mut(name)) {
            variable.assigned = false;
        }
    }

    /// The variable has a value from here on.
    fn assign(&mut self, name: &str) {
        if let Some(variable) = self.blocks.iter_mut().rev().find_map(|block| block.get_mut(name)) {
            variable.assigned = true;
        }
    }

    pub fn find(&self, name: &str) -> Option<&Variable> {
        self.blocks.iter().rev().find_map(|block| block.get(name))
    }

    pub fn declare(&mut self, name: &str, variable: Variable) {
        if let Some(block) = self.blocks.last_mut() {
            block.insert(name.to_string(), variable);
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.blocks.iter().flat_map(|block| block.keys().map(String::as_str))
    }
}

impl Lowerer<'_> {
    /// Ends the innermost block's scope.
    pub fn leave_scope(&mut self) {
        let mut idle = self.scopes.leave();
        idle.sort_by_key(|(_, span)| span.start);
        for (name, span) in idle {
            let message = format!("Variable ${name} was never assigned to.");
            self.warn(Diagnostic::warning("never-assigned", span, message));
        }
    }

    pub fn read_variable(&mut self, name: &str, span: Span) -> Lowered<Operand> {
        let Some(variable) = self.scopes.find(name).cloned() else {
            return Err(self.undefined_variable(name, span));
        };
        if !variable.assigned {
            let message = format!("Variable used before it was assigned: ${name}");
            self.warn(
                Diagnostic::warning("used-before-assigned", span, message).also(variable.span, "declared here, as 0"),
            );
        }
        let ty = self.variable_type(variable.declared);
        match variable.storage {
            Storage::Unknown if !variable.assigned => self.untyped_zero(variable.declared, name, span),
            Storage::Unknown => {
                self.env.met_unknown = true;
                Ok(Operand::void(span))
            }
            Storage::Register(var) => {
                let value = self.bind(Scalar::I64, Ir::Var(var));
                Ok(Operand::scalar(ty, value, span))
            }
            Storage::Memory(slot) => Ok(Operand::memory(ty, Ir::Slot(slot), span)),
        }
    }

    /// A variable that was declared and has no value yet: if none ever gives it a type, it is the integer 0.
    fn untyped_zero(&mut self, declared: NodeId, name: &str, span: Span) -> Lowered<Operand> {
        self.env.reads_untyped = true;
        self.env.met_unknown = true;
        if !self.env.untyped_are_integers {
            return Ok(Operand::void(span));
        }
        let zero = Operand { flexible: true, ..Operand::scalar(Type::I8, Ir::int(0), span) };
        self.widen_variable(declared, name, &zero)?;
        Ok(zero)
    }

    fn undefined_variable(&mut self, name: &str, span: Span) -> super::Reported {
        if self.failed_variables.contains(name) {
            return super::Reported;
        }
        let message = format!("undefined or undeclared variable: ${name}");
        let mut diagnostic = Diagnostic::error("undefined-variable", span, message);
        if let Some(near) = nearest(name, self.scopes.names()) {
            diagnostic = diagnostic.hint(format!("did you mean ${near}?"));
        }
        self.report(diagnostic)
    }

    pub fn variable_type(&self, declared: NodeId) -> Type {
        self.env.variable(self.program_index(), declared).cloned().unwrap_or(Type::Void)
    }

    /// Makes room for a variable of the type inferred so far, and puts it in scope.
    pub fn declare(&mut self, name: &str, declared: NodeId, span: Span, annotated: bool) -> Storage {
        let ty = self.variable_type(declared);
        let storage = if ty == Type::Void {
            Storage::Unknown
        } else if ty.is_scalar() {
            Storage::Register(self.new_var(Scalar::I64))
        } else {
            Storage::Memory(self.slot_for(&ty))
        };
        self.scopes.declare(name, Variable { declared, span, storage, annotated, assigned: true });
        storage
    }

    /// `let $x[: type] [= value]`
    pub fn let_variable(
        &mut self,
        id: NodeId,
        (name, span): (&str, Span),
        type_name: Option<&TypeName>,
        value: Option<&Expr>,
    ) -> Lowered<()> {
        if let Some(before) = self.scopes.find(name) {
            let first = before.span;
            let message = format!("Variable ${name} was already declared. Variable shadowing is not allowed.");
            let diagnostic =
                Diagnostic::error("redeclared-variable", span, message).also(first, "This is the initial declaration.");
            return Err(self.report(diagnostic));
        }
        let annotation = type_name.map(|name| self.resolve_type(name)).transpose()?;
        let value = value.map(|value| self.expr(value)).transpose()?;
        if let Some(ty) = annotation {
            let ty = match (&ty, &value) {
                (Type::String { capacity: 0 }, Some(value)) => value.ty.clone(),
                (Type::String { capacity: 0 }, None) => Type::String { capacity: self.env.settings.max_strlen },
                _ => ty,
            };
            if let Some(value) = &value {
                self.require_annotated_fit(value, &ty, name)?;
            }
            self.widen_variable(id, name, &Operand { ty: ty.clone(), ..Operand::void(span) })?;
            if let Some(value) = &value {
                self.take_space(id, name, value, &ty)?;
            }
        }
        if let Some(value) = &value
            && type_name.is_none()
        {
            self.widen_variable(id, name, value)?;
        }
        // `string` alone has the room that its values need.
        let sized = type_name.is_some_and(|ty| !matches!(&ty.kind, TypeNameKind::Named(name) if name == "string"));
        let storage = self.declare(name, id, span, sized);
        match value {
            Some(value) => self.write_storage(storage, id, &value),
            None => {
                self.scopes.declared_only(name);
                self.zero_storage(storage, id)
            }
        }
    }

    /// A literal must lie in the range of the type that was written down.
    pub(super) fn require_annotated_fit(&mut self, value: &Operand, ty: &Type, name: &str) -> Lowered<()> {
        self.require_fit(value, ty, &format!("${name}"))?;
        if let (Some(constant), Type::Integer { bits, signed }) = (value.constant(), ty)
            && *bits < 64
        {
            let (low, high) =
                if *signed { (-(1i64 << (bits - 1)), (1i64 << (bits - 1)) - 1) } else { (0, (1i64 << bits) - 1) };
            if constant < low || constant > high {
                let message = format!("{constant} is out of range for {ty}, which holds {low} to {high}");
                let diagnostic = Diagnostic::error("literal-out-of-range", value.span, message);
                return Err(self.report(diagnostic.hint(format!("cast it: ({ty}){constant}"))));
            }
        }
        Ok(())
    }

    fn widen_variable(&mut self, declared: NodeId, name: &str, value: &Operand) -> Lowered<()> {
        let program = self.program_index();
        if let Err(has) = self.env.widen_variable(program, declared, &value.ty, value.flexible) {
            let message = format!(
                "type mismatch for ${name}: trying to assign a value of type '{}' when it already has the type '{has}'",
                value.ty
            );
            return Err(self.error("type-mismatch", value.span, message));
        }
        Ok(())
    }

    /// `$x = value`: declares the variable in this block if it is not yet visible.
    pub fn assign_variable(&mut self, target: &Expr, name: &str, value: Operand) -> Lowered<()> {
        if value.is_unknown() && self.env.unknown_is_final() {
            return self.unknown(&value);
        }
        self.scopes.assign(name);
        let (declared, storage) = match self.scopes.find(name).cloned() {
            Some(variable) => {
                if variable.annotated {
                    let ty = self.variable_type(variable.declared);
                    self.require_annotated_fit(&value, &ty, name)?;
                    self.take_space(variable.declared, name, &value, &ty)?;
                } else {
                    self.widen_variable(variable.declared, name, &value)?;
                }
                (variable.declared, variable.storage)
            }
            None => {
                self.widen_variable(target.id, name, &value)?;
                (target.id, self.declare(name, target.id, target.span, false))
            }
        };
        self.write_storage(storage, declared, &value)
    }

    /// A pointer's written type does not tell where it points to; the value does.
    fn take_space(&mut self, declared: NodeId, name: &str, value: &Operand, ty: &Type) -> Lowered<()> {
        match (&value.ty, ty) {
            (Type::Pointer { space, .. }, Type::Pointer { to, space: AddressSpace::Unknown }) => {
                let ty = Type::Pointer { to: to.clone(), space: *space };
                self.widen_variable(declared, name, &Operand { ty, ..Operand::void(value.span) })
            }
            _ => Ok(()),
        }
    }

    pub fn write_storage(&mut self, storage: Storage, declared: NodeId, value: &Operand) -> Lowered<()> {
        let ty = self.variable_type(declared);
        match storage {
            Storage::Unknown => {
                self.env.met_unknown = true;
                Ok(())
            }
            Storage::Register(var) => {
                self.warn_conversion(value, &ty, value.span);
                let register = self.register(value.clone())?;
                let register = self.narrow(&ty, register);
                self.emit(Stmt::Set(var, register));
                Ok(())
            }
            Storage::Memory(slot) => self.store(Ir::Slot(slot), value, &ty),
        }
    }

    fn zero_storage(&mut self, storage: Storage, declared: NodeId) -> Lowered<()> {
        match storage {
            Storage::Unknown => self.env.met_unknown = true,
            Storage::Register(var) => self.emit(Stmt::Set(var, Ir::int(0))),
            Storage::Memory(slot) => {
                let ty = self.variable_type(declared);
                self.emit(Stmt::Zero { to: Ir::Slot(slot), size: ty.size(), align: ty.align() });
            }
        }
        Ok(())
    }

    /// `&$x`, `&@x`: the address of the value as it is now.
    pub fn take_address(&mut self, operand: &Expr, span: Span) -> Lowered<Operand> {
        match &operand.kind {
            // Who has the address may write there.
            ExprKind::Variable(name) => self.scopes.assign(name),
            ExprKind::Map { name, key: None } if matches!(self.env.map(name, operand.span).key, KeyInfo::Keyed(_)) => {
                return self.map_address(name, span);
            }
            ExprKind::Map { name, key: None } if self.env.map(name, operand.span).value.is_none() => {
                return self.no_map_yet(name, operand.span);
            }
            ExprKind::Map { .. } => {}
            _ => return Err(self.error("invalid-operator", span, "only variables and maps have an address")),
        }
        let value = self.expr(operand)?;
        if value.is_unknown() {
            return Ok(Operand::void(span));
        }
        let ty = Type::pointer(value.ty.clone(), AddressSpace::Bpf);
        let address = self.address_of(&value)?;
        Ok(Operand::scalar(ty, address, span))
    }

    /// `&@x` of a map with keys: the map itself, as helpers take it.
    fn map_address(&mut self, name: &str, span: Span) -> Lowered<Operand> {
        let info = self.env.map(name, span).clone();
        let map = self.plan.user_map(name, &info, self.env.settings.max_map_keys);
        let address = Ir::convert(Conversion::ToInteger, Scalar::I64, Ir::Map(map));
        Ok(Operand::scalar(Type::pointer(Type::Void, AddressSpace::Bpf), address, span))
    }

    /// `$x++`, `--@x[k]`: gives the old or the new value.
    pub fn step(&mut self, target: &Expr, increment: bool, prefix: bool, span: Span) -> Lowered<Operand> {
        let value = self.expr(target)?;
        let value = if value.is_unknown() { Operand { ty: Type::I64, ..Operand::integer(0, span) } } else { value };
        let by = match &value.ty {
            Type::Pointer { to, .. } => i64::from(self.complete(to).size().max(1)),
            ty if ty.is_integer() => 1,
            ty => {
                let message = format!("++ and -- need an integer or a pointer, not {ty}");
                return Err(self.error("invalid-operator", span, message));
            }
        };
        let ty = value.ty.clone();
        let old = self.register(value)?;
        let by = Ir::int(if increment { by } else { -by });
        let new = self.bind(Scalar::I64, Ir::binary(crate::ir::Op::Add, old.clone(), by));
        // A step may leave a narrow type's range; the variable is widened with it.
        let ty = if ty.is_integer() { Type::Integer { bits: 64, signed: ty.is_signed() } } else { ty };
        self.assign(target, Operand::scalar(ty.clone(), new.clone(), span))?;
        Ok(Operand::scalar(ty, if prefix { new } else { old }, span))
    }
}
