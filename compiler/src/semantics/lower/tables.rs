//! Texts by number: a table that programs carry along among their constants, and read only.

use crate::ir::{Expr as Ir, Helper, Op, Scalar, Stmt};
use crate::plan::Cookie;
use crate::semantics::probes::ProbeContext;
use crate::syntax::ast::Span;
use crate::types::Type;

use super::{Lowerer, Operand, text_literal};

impl Lowerer<'_> {
    /// The text with a number, counted from 0; `unknown` is that of all numbers without one.
    pub fn text_from_table(
        &mut self,
        texts: impl Iterator<Item = Option<String>>,
        unknown: &str,
        number: Ir,
        span: Span,
    ) -> Operand {
        let mut texts: Vec<String> = texts.map(|text| text.unwrap_or_else(|| unknown.to_owned())).collect();
        let count = texts.len() as u32;
        texts.push(unknown.to_owned());
        let longest = texts.iter().map(String::len).max().unwrap_or(0);
        let entry_size = (longest + 1).next_multiple_of(8);
        let (map, offset) = self.plan.constant(table(texts, entry_size));
        let index = self.number_below(number, count);
        let by = Ir::binary(Op::Mul, index, Ir::int(entry_size as i64));
        let address = Ir::Offset { base: Box::new(Ir::MapValue { map, offset }), by: Box::new(by) };
        let ty = Type::String { capacity: entry_size as u32 };
        // On the stack it lies in a place that the verifier knows: loops over it are followed sooner there.
        let slot = Ir::Slot(self.new_slot(entry_size as u32, 8));
        self.emit(Stmt::Copy { to: slot.clone(), from: address, size: entry_size as u32, align: 8 });
        Operand::memory(ty, slot, span)
    }

    /// A text that each probe has its own of. Where siblings share the program, their cookies tell which it is.
    pub fn text_of_probe(&mut self, text: fn(&ProbeContext) -> String, span: Span) -> Operand {
        self.probe.depends_on_name.set(true);
        let Some(siblings) = self.siblings else { return text_literal(text(self.probe), span) };
        let cookie = self.helper(Helper::GET_ATTACH_COOKIE, vec![Ir::Context]);
        let probe = Ir::binary(Op::LShr, cookie, Ir::int(i64::from(Cookie::PLACE_BITS)));
        let number = Ir::binary(Op::Sub, probe, Ir::int(siblings.first as i64));
        let texts = siblings.probes.iter().map(|probe| Some(text(&probe.context)));
        self.text_from_table(texts, "", number, span)
    }

    /// A number that the verifier knows to be 0 to `count`, which stands for all others.
    fn number_below(&mut self, number: Ir, count: u32) -> Ir {
        let result = self.new_var(Scalar::I64);
        let number = self.bind(Scalar::I64, Ir::Opaque(Box::new(number)));
        let condition = Ir::binary(Op::ULt, number.clone(), Ir::int(i64::from(count)));
        let then = vec![Stmt::Set(result, number)];
        let otherwise = vec![Stmt::Set(result, Ir::int(i64::from(count)))];
        self.emit(Stmt::If { condition, then, otherwise });
        Ir::Var(result)
    }
}

/// Texts one after the other, each followed by as many NULs as an entry has room for.
fn table(texts: Vec<String>, entry_size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(texts.len() * entry_size);
    for text in texts {
        let end = bytes.len() + entry_size;
        bytes.extend(text.into_bytes());
        bytes.resize(end, 0);
    }
    bytes
}
