//! Expressions: the dispatch, literals, identifiers, calls, and compile-time constants.

use crate::diagnostics::Diagnostic;
use crate::ir::{Expr as Ir, Stmt};
use crate::semantics::macros;
use crate::semantics::probes::Arguments;
use crate::stdlib::{self, CallSite, Lower, Mode};
use crate::syntax::ast::{BinaryOp, Block, Expr, ExprKind, Ident, OffsetStep, Span, TypeOrExpr, UnaryOp};
use crate::types::Type;

use super::{Lowered, Lowerer, Operand, Repr, literals, tuples, typeinfo};

impl Lowerer<'_> {
    /// Lowers an expression; what it needs beforehand is emitted.
    pub fn expr(&mut self, expr: &Expr) -> Lowered<Operand> {
        let around = std::mem::replace(&mut self.place, expr.span);
        let operand = self.lower_expr(expr);
        self.place = around;
        operand
    }

    /// Calls itself for each level of nesting: what an arm needs beyond a call lies in a function of its own, off this
    /// one's stack.
    fn lower_expr(&mut self, expr: &Expr) -> Lowered<Operand> {
        let span = expr.span;
        match &expr.kind {
            ExprKind::Integer(value) => Ok(integer_literal(*value, span)),
            ExprKind::String(text) => Ok(text_literal(text.clone(), span)),
            ExprKind::Bool(value) => Ok(Operand::scalar(Type::Bool, Ir::int(i64::from(*value)), span)),
            ExprKind::Identifier(name) => self.identifier(name, span),
            ExprKind::Variable(name) => self.read_variable(name, span),
            ExprKind::Map { name, key } => self.read_map(name, key.as_deref(), span),
            ExprKind::Positional(index) => Ok(self.positional(*index, span)),
            ExprKind::PositionalCount => Ok(Operand::integer(self.env.parameters.len() as i64, span)),
            ExprKind::Call { name, arguments } => self.call(name, arguments, span, false),
            ExprKind::Sizeof(of) => self.size_of(of, span),
            ExprKind::Offsetof { of, path } => self.offset_of(of, path, span),
            ExprKind::Typeinfo(of) => self.typeinfo(of, span),
            ExprKind::Unary { operator, operand } => self.unary(*operator, operand, span),
            ExprKind::Step { target, increment, prefix } => self.step(target, *increment, *prefix, span),
            ExprKind::Binary { operator: BinaryOp::And, left, right } => self.logical(left, right, true, span),
            ExprKind::Binary { operator: BinaryOp::Or, left, right } => self.logical(left, right, false, span),
            ExprKind::Binary { operator, left, right } => self.operands(expr, *operator, left, right),
            ExprKind::Ternary { condition, then, otherwise } => {
                self.ternary(condition, then.as_deref(), otherwise, span)
            }
            ExprKind::If { condition, then, otherwise } => self.if_value(condition, then, otherwise.as_ref(), span),
            ExprKind::Field { object, field } => self.field(object, field, span),
            ExprKind::TupleField { object, index, index_span } => self.tuple_field(object, *index, *index_span, span),
            ExprKind::Index { object, index } => self.index(object, index, span),
            ExprKind::Cast { to, operand } => self.cast(to, operand, span),
            ExprKind::Tuple(elements) => self.tuple(elements, span),
            ExprKind::Record(fields) => self.record(fields, span),
            ExprKind::Block(block) => self.traced_back(block, span, |this| this.block_value(block, span)),
            ExprKind::Comptime(inner) => self.comptime(inner, span),
        }
    }

    fn size_of(&mut self, of: &TypeOrExpr, span: Span) -> Lowered<Operand> {
        let size = match of {
            TypeOrExpr::Expr(expr) if self.is_enum_constant(expr) => Type::I64.size(),
            _ => self.type_of(of)?.size(),
        };
        Ok(Operand { ty: Type::U64, ..integer_literal(u64::from(size), span) })
    }

    /// Whether an expression is the name of an enumeration's value, which is an integer of 64 bits.
    fn is_enum_constant(&self, expr: &Expr) -> bool {
        let ExprKind::Identifier(name) = &expr.kind else { return false };
        stdlib::find(name).is_none() && self.env.c_types.enum_constant(name, self.info).is_some()
    }

    fn tuple_field(&mut self, object: &Expr, index: u32, index_span: Span, span: Span) -> Lowered<Operand> {
        if let Some(element) = tuples::element(object, index) {
            return self.expr(element);
        }
        let object = self.expr(object)?;
        self.element(object, i64::from(index), index_span, span)
    }

    /// `expr` is `left` and `right` with an operator that looks at both.
    fn operands(&mut self, expr: &Expr, operator: BinaryOp, left: &Expr, right: &Expr) -> Lowered<Operand> {
        if matches!(operator, BinaryOp::Equal | BinaryOp::NotEqual)
            && let (Some(left), Some(right)) = (typeinfo::subject(left), typeinfo::subject(right))
        {
            return self.same_typeinfo(operator, left, right, expr.span);
        }
        if let Some(value) = literals::evaluate(expr) {
            return self.folded(value, expr.span);
        }
        if matches!(operator, BinaryOp::Equal | BinaryOp::NotEqual)
            && let (Some(left), Some(right)) = (tuples::known(left), tuples::known(right))
        {
            let holds = (left == right) == (operator == BinaryOp::Equal);
            return Ok(Operand::scalar(Type::Bool, Ir::int(i64::from(holds)), expr.span));
        }
        let left = self.expr(left)?;
        let right = self.expr(right)?;
        self.binary(operator, left, right, expr.span)
    }

    fn identifier(&mut self, name: &str, span: Span) -> Lowered<Operand> {
        if stdlib::find(name).is_some() {
            let name = Ident { name: name.to_string(), span };
            return self.call(&name, &[], span, false);
        }
        if let Some((info, value)) = self.env.c_types.enum_constant(name, self.info) {
            return Ok(Operand::scalar(Type::Enum { info }, Ir::int(value), span));
        }
        Err(self.unknown_name(name, span))
    }

    fn unknown_name(&mut self, name: &str, span: Span) -> super::Reported {
        let diagnostic = Diagnostic::error("unknown-name", span, format!("unknown name {name}"));
        let hint = self.meant_by(name).or_else(|| self.near_name(name).map(|near| format!("did you mean {near}?")));
        self.report(hint.into_iter().fold(diagnostic, Diagnostic::hint))
    }

    fn near_name(&self, name: &str) -> Option<&str> {
        let names = stdlib::entries().map(|entry| entry.name).chain(self.env.c_types.constant_names());
        let own = self.env.functions.keys().chain(self.env.c_functions.keys()).map(String::as_str);
        crate::semantics::nearest::nearest(name, names.chain(own))
    }

    /// What a name without a meaning of its own stands for elsewhere.
    fn meant_by(&self, name: &str) -> Option<String> {
        if self.scopes.find(name).is_some() {
            return Some(format!("the variable is ${name}"));
        }
        let is_argument = match &self.probe.arguments {
            Arguments::Tracepoint(info) | Arguments::Words(info) => info.fields.iter().any(|field| field.name == name),
            _ => false,
        };
        match name {
            _ if is_argument => Some(format!("the probe's argument is args.{name}")),
            "hash" | "lruhash" | "percpuhash" | "percpulruhash" => {
                Some(format!("maps of a kind are declared before the probes: let @name = {name}(1000);"))
            }
            "null" | "NULL" | "nullptr" => Some("a pointer to nothing is 0".into()),
            _ => None,
        }
    }

    /// A call, or a name used without parentheses. `statement`: its value is not used.
    pub fn call(&mut self, name: &Ident, arguments: &[TypeOrExpr], span: Span, statement: bool) -> Lowered<Operand> {
        if let Some(signature) = self.env.functions.get(&name.name).cloned() {
            return self.call_function(name, &signature, arguments, span);
        }
        let Some(entry) = stdlib::find(&name.name) else {
            return match self.env.c_functions.get(&name.name).cloned() {
                Some(callable) => self.call_c_function(name, &callable, arguments, span),
                None => Err(self.unknown_name(&name.name, name.span)),
            };
        };
        let site = CallSite { name: &name.name, name_span: name.span, span, arguments, statement };
        self.check_call(entry, &site)?;
        match entry.lower {
            Lower::Value(lower) => lower(self, &site),
            Lower::Aggregate(_) => {
                let message = format!("{}() can only be assigned to a map", entry.name);
                let hint = format!("write @name = {}(…) or @name[key] = {}(…)", entry.name, entry.name);
                Err(self.report(Diagnostic::error("aggregate-outside-map", span, message).hint(hint)))
            }
            Lower::Grammar => Err(self.unknown_name(&name.name, name.span)),
        }
    }

    /// What every call must meet: the number of arguments, the probe type, safety.
    pub fn check_call(&mut self, entry: &stdlib::Entry, site: &CallSite) -> Lowered<()> {
        let count = site.arguments.len();
        let (least, most) = entry.arguments;
        if count < least || most.is_some_and(|most| count > most) {
            let message = format!("{}() takes {}, not {count}", entry.name, argument_range(least, most));
            let diagnostic = Diagnostic::error("wrong-argument-count", site.span, message);
            return Err(self.report(diagnostic.hint(entry.signatures.join("; "))));
        }
        if !entry.probes.is_empty() && !entry.probes.contains(&self.probe.provider) {
            let name = if entry.name == "argN" { site.name } else { entry.name };
            let message = format!("{name} cannot be used in a {} probe", self.probe.provider);
            let hint = format!("it works in: {}", entry.probes.join(", "));
            return Err(self.report(Diagnostic::error("wrong-probe-type", site.span, message).hint(hint)));
        }
        if self.probe.prints_to_file && entry.mode == Mode::Asynchronous && entry.name != "printf" {
            let message = format!("{} cannot be used in a pinned iterator", entry.name);
            let diagnostic = Diagnostic::error("wrong-probe-type", site.span, message);
            return Err(self.report(diagnostic.hint("probebook is gone when it is read; printf writes to the file")));
        }
        if entry.is_unsafe && !self.env.allow_unsafe {
            let message = format!("{}() is unsafe. To use you need the --unsafe flag", entry.name);
            let diagnostic = Diagnostic::error("unsafe-function", site.span, message);
            return Err(self.report(diagnostic.hint("in a notebook, the line %unsafe on in the cell allows it")));
        }
        Ok(())
    }

    fn positional(&mut self, index: u32, span: Span) -> Operand {
        let text = (index as usize).checked_sub(1).and_then(|i| self.env.parameters.get(i)).cloned();
        match text {
            None => {
                let message = format!("Positional parameter ${index} is empty or not provided.");
                self.warn(Diagnostic::warning("empty-parameter", span, message));
                Operand { flexible: true, ..Operand::integer(0, span) }
            }
            Some(text) => match parse_integer(&text) {
                Some(value) => Operand { span, ..Operand::integer(value, span) },
                None => text_literal(text, span),
            },
        }
    }

    fn tuple(&mut self, elements: &[Expr], span: Span) -> Lowered<Operand> {
        let mut operands = Vec::new();
        for element in elements {
            operands.push(self.expr(element)?);
        }
        if operands.iter().any(Operand::is_unknown) && !self.env.unknown_is_final() {
            return Ok(Operand::void(span));
        }
        let ty = Type::tuple(operands.iter().map(|operand| operand.ty.clone()).collect());
        let slot = Ir::Slot(self.slot_for(&ty));
        self.build(slot.clone(), &ty, &operands)?;
        Ok(Operand::memory(ty, slot, span))
    }

    fn record(&mut self, fields: &[(Ident, Expr)], span: Span) -> Lowered<Operand> {
        let mut operands = Vec::new();
        for (_, value) in fields {
            operands.push(self.expr(value)?);
        }
        if operands.iter().any(Operand::is_unknown) && !self.env.unknown_is_final() {
            return Ok(Operand::void(span));
        }
        let types = fields.iter().zip(&operands).map(|((name, _), operand)| (name.name.clone(), operand.ty.clone()));
        let ty = Type::Record(types.collect::<Vec<_>>().into());
        let slot = Ir::Slot(self.slot_for(&ty));
        self.build(slot.clone(), &ty, &operands)?;
        Ok(Operand::memory(ty, slot, span))
    }

    fn offset_of(&mut self, of: &TypeOrExpr, path: &[OffsetStep], span: Span) -> Lowered<Operand> {
        let mut ty = self.type_of(of)?;
        let mut offset = 0;
        for (number, step) in path.iter().enumerate() {
            match step {
                OffsetStep::Field(name) if number > 0 && matches!(ty, Type::Pointer { .. }) => {
                    let message = format!("'{ty}' is a pointer: {} does not lie in the structure itself", name.name);
                    return Err(self.error("no-such-field", name.span, message));
                }
                OffsetStep::Field(name) => {
                    let (at, field_ty) = self.field_place(&ty, name)?;
                    offset += at;
                    ty = field_ty;
                }
                OffsetStep::Index(index) => match ty {
                    Type::Array { element, .. } => {
                        offset += element.size() * *index as u32;
                        ty = (*element).clone();
                    }
                    _ => return Err(self.error("not-an-array", span, format!("{ty} is not an array"))),
                },
            }
        }
        Ok(Operand { ty: Type::U64, ..integer_literal(u64::from(offset), span) })
    }

    fn unary(&mut self, operator: UnaryOp, operand: &Expr, span: Span) -> Lowered<Operand> {
        // A negated literal is a literal.
        if let (UnaryOp::Negate, ExprKind::Integer(value)) = (operator, &operand.kind) {
            return self.negative_literal(*value, span);
        }
        if operator == UnaryOp::AddressOf {
            return self.take_address(operand, span);
        }
        let value = self.expr(operand)?;
        if value.is_unknown() && !self.env.unknown_is_final() {
            return Ok(Operand::void(span));
        }
        self.apply_unary(operator, value, span)
    }

    fn negative_literal(&mut self, value: u64, span: Span) -> Lowered<Operand> {
        if value > i64::MIN.unsigned_abs() {
            return Err(self.error("integer-overflow", span, format!("-{value} does not fit 64 bits")));
        }
        let negative = (value as i64).wrapping_neg();
        let bits = [8, 16, 32].into_iter().find(|bits| negative >= -(1i64 << (bits - 1))).unwrap_or(64);
        Ok(Operand::scalar(Type::Integer { bits, signed: true }, Ir::int(negative), span))
    }

    /// What operators on literals come to: a literal again.
    fn folded(&mut self, value: Result<i128, literals::Beyond>, span: Span) -> Lowered<Operand> {
        match value {
            Ok(value) if value < 0 => self.negative_literal(value.unsigned_abs() as u64, span),
            Ok(value) => Ok(integer_literal(value as u64, span)),
            Err(beyond) => {
                let what = if beyond == literals::Beyond::Overflow { "overflow" } else { "underflow" };
                let diagnostic = Diagnostic::error("integer-overflow", span, format!("unable to fold: {what}"));
                Err(self.report(diagnostic.hint("the result of these literals does not fit 64 bits")))
            }
        }
    }

    /// A `u32` known at compile time.
    pub fn constant_u32(&mut self, expr: &Expr, what: &str) -> Lowered<u32> {
        let value = self.constant_integer(expr, what)?;
        match u32::try_from(value) {
            Ok(value) => Ok(value),
            Err(_) => {
                Err(self.error("constant-range", expr.span, format!("{what} must be between 0 and {}", u32::MAX)))
            }
        }
    }

    /// An integer known at compile time.
    pub fn constant_integer(&mut self, expr: &Expr, what: &str) -> Lowered<i64> {
        let operand = self.expr(expr)?;
        match operand.constant() {
            Some(value) => Ok(value),
            None => Err(self.error("not-a-constant", expr.span, format!("{what} must be a constant integer"))),
        }
    }

    /// A string known at compile time.
    pub fn constant_text(&mut self, argument: &TypeOrExpr, what: &str) -> Lowered<String> {
        let expr = self.value_argument(argument)?;
        let operand = self.expr(expr)?;
        match operand.repr {
            Repr::Text(text) => Ok(text),
            Repr::Scalar(Ir::Const { value, .. }) if matches!(expr.kind, ExprKind::Positional(_)) => {
                Ok(value.to_string())
            }
            _ => Err(self.error("not-a-constant", expr.span, format!("{what} must be a string literal"))),
        }
    }

    /// An argument that must be a value, not a type.
    pub fn value_argument<'e>(&mut self, argument: &'e TypeOrExpr) -> Lowered<&'e Expr> {
        match argument {
            TypeOrExpr::Expr(expr) => Ok(expr),
            TypeOrExpr::Type(name) => {
                Err(self.error("type-as-value", name.span, "expected a value here, found a type"))
            }
        }
    }

    /// An expression whose value nobody wants.
    pub fn evaluate(&mut self, expr: &Expr) -> Lowered<()> {
        self.emit(Stmt::At(expr.span));
        match &expr.kind {
            ExprKind::Call { name, arguments } => {
                let value = self.call(name, arguments, expr.span, true)?;
                self.warn_discarded(expr, &value);
                Ok(())
            }
            ExprKind::Block(block) => self.traced_back(block, expr.span, |this| this.block(block)),
            ExprKind::If { condition, then, otherwise } => self.if_statement(condition, then, otherwise.as_ref()),
            _ => {
                let value = self.expr(expr)?;
                self.warn_discarded(expr, &value);
                Ok(())
            }
        }
    }

    /// Lowers a block expression; if it is a macro's expansion, errors in it name the call.
    fn traced_back<T>(&mut self, block: &Block, call: Span, lower: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.diagnostics.len();
        self.expansions.push((call, block.span));
        let result = lower(self);
        self.expansions.pop();
        if let Some(new) = self.diagnostics.get_mut(before..) {
            macros::trace_back(new, call, block.span);
        }
        result
    }
}

/// A non-negative literal: the smallest signed type that holds it, `uint64` beyond.
pub fn integer_literal(value: u64, span: Span) -> Operand {
    let ty = match value {
        0..=0x7f => Type::I8,
        0x80..=0x7fff => Type::Integer { bits: 16, signed: true },
        0x8000..=0x7fff_ffff => Type::I32,
        _ if i64::try_from(value).is_ok() => Type::I64,
        _ => Type::U64,
    };
    let flexible = ty.is_signed();
    Operand { flexible, ..Operand::scalar(ty, Ir::int(value as i64), span) }
}

/// A string literal with room for its NUL.
pub fn text_literal(text: String, span: Span) -> Operand {
    let ty = Type::String { capacity: text.len() as u32 + 1 };
    Operand { ty, repr: Repr::Text(text), span, flexible: false }
}

fn argument_range(least: usize, most: Option<usize>) -> String {
    let plural = |n: usize| if n == 1 { "argument" } else { "arguments" };
    match most {
        None => format!("at least {least} {}", plural(least)),
        Some(0) => "no arguments".to_string(),
        Some(most) if most == least => format!("{least} {}", plural(least)),
        Some(most) => format!("{least} to {most} {}", plural(most)),
    }
}

/// A parameter that reads as an integer in any base, with a sign or a duration.
fn parse_integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let value = if let Some(hex) = digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        u64::from_str_radix(hex, 16).ok()?
    } else if digits.len() > 1 && digits.starts_with('0') {
        u64::from_str_radix(digits, 8).ok()?
    } else {
        digits.parse::<u64>().ok()?
    };
    Some(if negative { (value as i64).wrapping_neg() } else { value as i64 })
}
