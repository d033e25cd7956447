//! Syntax tree to typed IR: one walk that checks types and lowers, a construct a file.
//!
//! The walk is made in rounds. In early rounds a type may still be unknown ([`Type::Void`]); the
//! output of those rounds is thrown away. In the last round unknown is an error.

pub mod aggregates;
mod arguments;
mod c_functions;
mod compare;
pub mod constants;
pub mod convert;
mod events;
mod expressions;
mod fields;
mod functions;
mod keys;
mod literals;
mod loops;
pub mod maps;
mod members;
pub mod memory;
mod operators;
mod purity;
mod statements;
mod tables;
mod tuples;
mod typeinfo;
mod usdt;
mod user_types;
mod variables;
mod warnings;

use std::collections::HashSet;

use crate::diagnostics::Diagnostic;
use crate::ir::{self, Expr as Ir, Scalar, Slot, SlotInfo, Stmt, Var};
use crate::kernel_info::KernelInfo;
use crate::plan::ProgramKind;
use crate::semantics::actions::Siblings;
use crate::semantics::environment::Environment;
use crate::semantics::plan_builder::PlanBuilder;
use crate::semantics::probes::ProbeContext;
use crate::syntax::ast::{Block, Expr, Span};
use crate::types::{AddressSpace, Type};

pub use expressions::text_literal;
pub use variables::Scopes;

/// A construct failed and has already been reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported;

pub type Lowered<T> = Result<T, Reported>;

/// A value while a program is being lowered: its type, and where it is.
#[derive(Clone, Debug)]
pub struct Operand {
    pub ty: Type,
    pub repr: Repr,
    pub span: Span,
    /// A non-negative integer literal, whose sign adapts to the other operand.
    pub flexible: bool,
}

/// Where a value is.
#[derive(Clone, Debug)]
pub enum Repr {
    /// Nowhere: `void`, or not known yet.
    None,
    /// In a register, as an I64 extended according to its type.
    Scalar(Ir),
    /// In memory that BPF may access directly, at this address.
    Memory(Ir),
    /// A struct or an array in memory that must be probe-read; `address` is an I64.
    Remote { address: Ir, space: AddressSpace },
    /// A string literal, not yet anywhere.
    Text(String),
}

impl Operand {
    pub fn void(span: Span) -> Operand {
        Operand { ty: Type::Void, repr: Repr::None, span, flexible: false }
    }

    pub fn scalar(ty: Type, value: Ir, span: Span) -> Operand {
        Operand { ty, repr: Repr::Scalar(value), span, flexible: false }
    }

    pub fn memory(ty: Type, address: Ir, span: Span) -> Operand {
        Operand { ty, repr: Repr::Memory(address), span, flexible: false }
    }

    pub fn integer(value: i64, span: Span) -> Operand {
        Operand::scalar(Type::I64, Ir::int(value), span)
    }

    /// Whether the type is not known in this round.
    pub fn is_unknown(&self) -> bool {
        self.ty == Type::Void
    }

    /// The value of an integer constant.
    pub fn constant(&self) -> Option<i64> {
        match &self.repr {
            Repr::Scalar(value) => value.constant(),
            _ => None,
        }
    }
}

/// Lowers one program.
pub struct Lowerer<'a> {
    pub env: &'a mut Environment,
    pub info: &'a dyn KernelInfo,
    pub plan: &'a mut PlanBuilder,
    pub probe: &'a ProbeContext,
    /// The action's probes, if they share the program though they differ in their names.
    pub siblings: Option<Siblings<'a>>,
    pub diagnostics: &'a mut Vec<Diagnostic>,
    pub scopes: Scopes,
    program: usize,
    vars: Vec<Scalar>,
    slots: Vec<SlotInfo>,
    blocks: Vec<Vec<Stmt>>,
    loop_depth: u32,
    /// The function that is lowered, if it is none that a probe fires.
    frame: Option<functions::Frame>,
    /// The expression that is lowered.
    place: Span,
    /// The macros' expansions around it: the call, and the body.
    expansions: Vec<(Span, Span)>,
    /// How many expressions around this one are looked at for their type only.
    unevaluated: u32,
    /// How many branches around this place are never run.
    never_run: u32,
    /// Variables that something of an erroneous statement was to be assigned to.
    failed_variables: HashSet<String>,
}

impl<'a> Lowerer<'a> {
    pub fn new(
        env: &'a mut Environment,
        info: &'a dyn KernelInfo,
        plan: &'a mut PlanBuilder,
        probe: &'a ProbeContext,
        program: usize,
        diagnostics: &'a mut Vec<Diagnostic>,
    ) -> Self {
        Lowerer {
            env,
            info,
            plan,
            probe,
            siblings: None,
            diagnostics,
            scopes: Scopes::default(),
            program,
            vars: Vec::new(),
            slots: Vec::new(),
            blocks: vec![Vec::new()],
            loop_depth: 0,
            frame: None,
            place: Span::default(),
            never_run: 0,
            failed_variables: HashSet::new(),
            expansions: Vec::new(),
            unevaluated: 0,
        }
    }

    /// Whether what is lowered is only checked, because its branch is never run.
    pub fn is_never_run(&self) -> bool {
        self.never_run > 0
    }

    /// Lowers predicate and body to a program.
    pub fn program(mut self, symbol: String, predicate: Option<&Expr>, body: &Block) -> ir::Program {
        // A pinned iterator goes on without us.
        let is_run = matches!(self.probe.kind, ProgramKind::Run | ProgramKind::Measured);
        let is_gated = !is_run && !self.probe.prints_to_file;
        let (choice, ()) = self.nested(|this| {
            this.check_process();
            if let Some(predicate) = predicate {
                this.check_predicate(predicate);
            }
        });
        // Events that are not wanted need not know whether others still are.
        let gate_first = !purity::leaves_no_trace(&choice);
        if is_gated && gate_first {
            self.check_gate();
        }
        choice.into_iter().for_each(|stmt| self.emit(stmt));
        if is_gated && !gate_first {
            self.check_gate();
        }
        // What went wrong has been reported; the rest is of no use then.
        let _ = self.block(body);
        let body = self.blocks.pop().unwrap_or_default();
        let kind = match self.probe.kind {
            ProgramKind::RawTracepoint if self.probe.needs_types.get() => ProgramKind::TypedTracepoint,
            kind => kind,
        };
        ir::Program { symbol, kind, vars: self.vars, slots: self.slots, body, default_return: 0 }
    }

    /// Leaves unless the predicate holds.
    fn check_predicate(&mut self, predicate: &Expr) {
        self.emit(Stmt::At(predicate.span));
        if let Ok(condition) = self.condition(predicate) {
            let leave = vec![Stmt::Return(None)];
            self.emit(Stmt::If { condition, then: Vec::new(), otherwise: leave });
        }
    }

    /// With `-p`, leaves unless the process is the one; other probes are attached to it alone.
    fn check_process(&mut self) {
        let Some(pid) = self.env.pid else { return };
        if !matches!(self.probe.provider, "tracepoint" | "rawtracepoint" | "kprobe" | "kretprobe" | "fentry" | "fexit")
        {
            return;
        }
        let current = crate::stdlib::current_id(self, true, false);
        let condition = Ir::binary(ir::Op::Ne, current, Ir::int(i64::from(pid)));
        self.emit(Stmt::If { condition, then: vec![Stmt::Return(None)], otherwise: Vec::new() });
    }

    /// Does nothing once the cell has ended: links are closed later, off the reply path.
    fn check_gate(&mut self) {
        let control = self.plan.control();
        let address = Ir::MapValue { map: control, offset: crate::plan::Control::GATE };
        let gate = Ir::load(Scalar::I32, address);
        let condition = Ir::binary(ir::Op::Eq, gate, Ir::Const { ty: Scalar::I32, value: 0 });
        self.emit(Stmt::If { condition, then: vec![Stmt::Return(None)], otherwise: Vec::new() });
    }

    pub fn emit(&mut self, statement: Stmt) {
        if let Some(block) = self.blocks.last_mut() {
            block.push(statement);
        }
    }

    /// Runs `f` and gives the statements that it emitted.
    pub fn nested<R>(&mut self, f: impl FnOnce(&mut Self) -> R) -> (Vec<Stmt>, R) {
        self.blocks.push(Vec::new());
        let result = f(self);
        (self.blocks.pop().unwrap_or_default(), result)
    }

    pub fn new_var(&mut self, ty: Scalar) -> Var {
        self.vars.push(ty);
        Var(self.vars.len() as u32 - 1)
    }

    /// Evaluates now and gives the result a name, so that it can be used several times.
    pub fn bind(&mut self, ty: Scalar, value: Ir) -> Ir {
        match value {
            Ir::Const { .. } => return value,
            _ if ty == Scalar::I64 => {
                if let Some(constant) = value.constant() {
                    return Ir::int(constant);
                }
            }
            _ => {}
        }
        let var = self.new_var(ty);
        self.emit(Stmt::Set(var, value));
        Ir::Var(var)
    }

    /// Calls a helper that gives an integer.
    pub fn helper(&mut self, id: ir::Helper, arguments: Vec<Ir>) -> Ir {
        let call = match id.gives_int() {
            true => {
                let call = Ir::Helper { id, arguments, returns: Scalar::I32 };
                Ir::convert(ir::Conversion::SignExtend, Scalar::I64, call)
            }
            false => Ir::Helper { id, arguments, returns: Scalar::I64 },
        };
        self.bind(Scalar::I64, call)
    }

    pub fn new_slot(&mut self, size: u32, align: u32) -> Slot {
        self.slots.push(SlotInfo { size: size.max(1), align, scratch: None });
        Slot(self.slots.len() as u32 - 1)
    }

    /// A slot for a value; strings and aggregates of words are aligned so that copies are fast.
    pub fn slot_for(&mut self, ty: &Type) -> Slot {
        let size = ty.size();
        let align = if size >= 8 { 8 } else { ty.align() };
        self.new_slot(size, align)
    }

    /// Reports an error; the result is for `Err(...)?`.
    pub fn error(&mut self, id: &'static str, span: Span, message: impl Into<String>) -> Reported {
        self.report(Diagnostic::error(id, span, message))
    }

    pub fn report(&mut self, diagnostic: Diagnostic) -> Reported {
        self.diagnostics.push(diagnostic);
        Reported
    }

    /// Which program this is, for what is kept by program from round to round.
    pub fn program_index(&self) -> usize {
        self.program
    }
}

impl Ir {
    pub fn int(value: i64) -> Ir {
        Ir::Const { ty: Scalar::I64, value }
    }

    pub fn load(ty: Scalar, address: Ir) -> Ir {
        Ir::Load { ty, address: Box::new(address) }
    }

    pub fn binary(op: ir::Op, left: Ir, right: Ir) -> Ir {
        Ir::Binary { op, left: Box::new(left), right: Box::new(right) }
    }

    /// An address made an integer and a pointer again stays the pointer that it was: LLVM and the verifier
    /// know what it points to.
    pub fn convert(op: ir::Conversion, to: Scalar, value: Ir) -> Ir {
        if let (ir::Conversion::ToPointer, Ir::Convert { op: ir::Conversion::ToInteger, value, .. }) = (op, &value) {
            return (**value).clone();
        }
        Ir::Convert { op, to, value: Box::new(value) }
    }

    /// `self + by` bytes.
    pub fn offset(self, by: u32) -> Ir {
        match (by, self) {
            (0, base) => base,
            (_, Ir::MapValue { map, offset }) => Ir::MapValue { map, offset: offset + by },
            (_, base) => Ir::Offset { base: Box::new(base), by: Box::new(Ir::int(i64::from(by))) },
        }
    }

    /// A truth value as an I64.
    pub fn bool_to_int(self) -> Ir {
        Ir::convert(ir::Conversion::ZeroExtend, Scalar::I64, self)
    }

    /// Whether an I64 is not zero.
    pub fn is_nonzero(self) -> Ir {
        match self {
            Ir::Convert { op: ir::Conversion::ZeroExtend, value, .. } if value.is_bool() => *value,
            other => Ir::binary(ir::Op::Ne, other, Ir::int(0)),
        }
    }

    fn is_bool(&self) -> bool {
        use ir::Op::*;
        matches!(self, Ir::Binary { op: Eq | Ne | ULt | ULe | SLt | SLe, .. })
    }
}
