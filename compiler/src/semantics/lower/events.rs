//! Events: what a program hands to the runtime through the ring buffer.

use crate::ir::{Expr as Ir, Helper, Scalar, Stmt};
use crate::plan::{EVENT_HEADER_SIZE, EventPlan, Loss};
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
        self.header(event, &slot);
        self.build(slot.clone().offset(EVENT_HEADER_SIZE), &tuple, arguments)?;
        self.output(slot, size);
        Ok(())
    }

    /// Sends an event without arguments.
    pub fn signal(&mut self, event: EventPlan) {
        let slot = Ir::Slot(self.new_slot(EVENT_HEADER_SIZE, 8));
        self.header(event, &slot);
        self.output(slot, EVENT_HEADER_SIZE);
    }

    pub fn header(&mut self, event: EventPlan, slot: &Ir) {
        let id = self.plan.event(event);
        self.emit(Stmt::Store { ty: Scalar::I64, address: slot.clone(), value: Ir::int(i64::from(id)) });
    }

    /// Hands `size` bytes to the ring buffer; what finds it full is counted.
    pub fn output(&mut self, slot: Ir, size: u32) {
        let ring = self.plan.ring_buffer();
        let arguments = vec![Ir::Map(ring), slot, Ir::int(i64::from(size)), Ir::int(NO_WAKEUP)];
        let failed = self.helper(Helper::RINGBUF_OUTPUT, arguments);
        self.count_loss_if(failed.is_nonzero(), Loss::Event);
    }
}
