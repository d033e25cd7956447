//! Events: what a program hands to the runtime through the ring buffer.

use crate::ir::{Expr as Ir, Helper, MapIndex, Op, Scalar, Stmt};
use crate::plan::{EVENT_HEADER_SIZE, EventPlan, Loss, Origin, Stream};
use crate::syntax::ast::Span;
use crate::types::Type;

use super::{Lowered, Lowerer, Operand};

/// `BPF_RB_NO_WAKEUP`: the reader drains on a timer.
const NO_WAKEUP: i64 = 1;

impl Lowerer<'_> {
    /// The types in which arguments travel: literals as 64-bit integers.
    pub fn event_types(&self, arguments: &[Operand]) -> Vec<Type> {
        arguments
            .iter()
            .map(|argument| match &argument.ty {
                Type::Integer { signed, .. } if argument.constant().is_some() => {
                    Type::Integer { bits: 64, signed: *signed }
                }
                other => other.clone(),
            })
            .collect()
    }

    /// Sends an event whose arguments are laid out as a tuple of `types`.
    pub fn send(&mut self, event: EventPlan, arguments: &[Operand], types: &[Type]) -> Lowered<()> {
        let tuple = Type::tuple(types.to_vec());
        let size = EVENT_HEADER_SIZE + tuple.size();
        let slot = Ir::Slot(self.new_slot(size, 8));
        let is_error = matches!(event, EventPlan::Printf { stream: Stream::Error(_), .. });
        self.header(event, &slot);
        self.build(slot.clone().offset(EVENT_HEADER_SIZE), &tuple, arguments)?;
        if is_error {
            self.output_error(slot, size);
        } else {
            self.output(slot, size);
        }
        Ok(())
    }

    /// Sends an event without arguments.
    pub fn signal(&mut self, event: EventPlan) {
        let slot = Ir::Slot(self.new_slot(EVENT_HEADER_SIZE, 8));
        self.header(event, &slot);
        self.output(slot, EVENT_HEADER_SIZE);
    }

    /// Where in the script something is, and which calls of macros it was expanded from.
    pub fn origin(&self, span: Span) -> Origin {
        let (mut at, mut calls) = (span, Vec::new());
        for (call, body) in self.expansions.iter().rev() {
            if at.is_within(*body) && !body.is_within(*call) {
                calls.push(*call);
                at = *call;
            }
        }
        Origin { span, calls }
    }

    /// Something goes wrong in the program: tells so.
    pub fn tell_failure(&mut self, message: impl Into<String>, span: Span) -> Lowered<()> {
        let event = EventPlan::RuntimeError { message: message.into(), helper: None, origin: self.origin(span) };
        self.send(event, &[Operand::integer(0, span)], &[Type::I64])
    }

    /// Tells of a helper that failed; what it returned says why if there is no message.
    pub fn tell_helper_failure(&mut self, message: &str, helper: Helper, code: Ir, span: Span) -> Lowered<()> {
        let event =
            EventPlan::RuntimeError { message: message.into(), helper: Some(helper), origin: self.origin(span) };
        self.send(event, &[Operand::scalar(Type::I64, code, span)], &[Type::I64])
    }

    /// With `-k`, tells if a helper that reads memory has failed.
    pub fn check_read(&mut self, helper: Helper, result: &Ir) {
        if !self.env.read_warnings {
            return;
        }
        let span = self.place;
        // Sending a number cannot fail.
        let (then, _) = self.nested(|this| this.tell_helper_failure("", helper, result.clone(), span));
        let failed = Ir::binary(Op::SLt, result.clone(), Ir::int(0));
        self.emit(Stmt::If { condition: failed, then, otherwise: Vec::new() });
    }

    /// With `-k`, what tells that a map does not have an entry.
    pub fn missing_key(&mut self) -> Vec<Stmt> {
        if !self.env.read_warnings {
            return Vec::new();
        }
        let span = self.place;
        let message = "Can't lookup map element because it does not exist.";
        self.nested(|this| this.tell_helper_failure(message, Helper::MAP_LOOKUP_ELEM, Ir::int(0), span)).0
    }

    pub fn header(&mut self, event: EventPlan, slot: &Ir) {
        let id = self.plan.event(event);
        self.emit(Stmt::Store { ty: Scalar::I64, address: slot.clone(), value: Ir::int(i64::from(id)) });
    }

    /// Hands `size` bytes to the ring buffer; what finds it full is counted.
    pub fn output(&mut self, slot: Ir, size: u32) {
        let ring = self.plan.ring_buffer();
        let failed = self.output_to(ring, slot, size);
        self.count_loss_if(failed, Loss::Event);
    }

    /// As [`Lowerer::output`]; if the ring buffer is full, by the one that only errors use. While it is
    /// not, errors stay in order with everything else.
    fn output_error(&mut self, slot: Ir, size: u32) {
        let (ring, errors) = (self.plan.ring_buffer(), self.plan.error_buffer());
        let failed = self.output_to(ring, slot.clone(), size);
        let (then, ()) = self.nested(|this| {
            let failed = this.output_to(errors, slot, size);
            this.count_loss_if(failed, Loss::Event);
        });
        self.emit(Stmt::If { condition: failed, then, otherwise: Vec::new() });
    }

    /// Hands bytes to the ring buffer; whether they could not be delivered.
    pub fn output_to_ring(&mut self, slot: Ir, size: u32) -> Ir {
        let ring = self.plan.ring_buffer();
        self.output_to(ring, slot, size)
    }

    fn output_to(&mut self, ring: MapIndex, slot: Ir, size: u32) -> Ir {
        let arguments = vec![Ir::Map(ring), slot, Ir::int(i64::from(size)), Ir::int(NO_WAKEUP)];
        self.helper(Helper::RINGBUF_OUTPUT, arguments).is_nonzero()
    }
}
