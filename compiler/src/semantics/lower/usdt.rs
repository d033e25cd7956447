//! Arguments of static tracepoints, read from where each place of the probe has them.

use crate::diagnostics::Diagnostic;
use crate::ir::{Expr as Ir, Helper, Op, Scalar, Stmt};
use crate::plan::Cookie;
use crate::semantics::arch::NATIVE as REGISTERS;
use crate::semantics::probes::UsdtSite;
use crate::semantics::probes::usdt_arguments::{Argument, NATIVE, Place, Register};
use crate::syntax::ast::Span;
use crate::types::{AddressSpace, Type};
use crate::user_info::UsdtLocation;

use super::{Lowered, Lowerer, Operand};

impl Lowerer<'_> {
    /// `argN` of a static tracepoint. Where its places have the argument in different places, the
    /// cookie tells which one was reached.
    pub fn usdt_argument(&mut self, site: &UsdtSite, index: usize, span: Span) -> Lowered<Operand> {
        self.probe.depends.set(true);
        let mut found: Vec<(Vec<usize>, Option<Argument>)> = Vec::new();
        for (number, location) in site.locations.iter().enumerate() {
            let argument = self.argument_at(location, index, span)?;
            // The distance to a symbol differs from place to place.
            let is_relative = matches!(&argument, Some(Argument { place: Place::Symbol { .. }, .. }));
            match found.iter_mut().find(|(_, known)| *known == argument && !is_relative) {
                Some((numbers, _)) => numbers.push(number),
                None => found.push((vec![number], argument)),
            }
        }
        if found.iter().all(|(_, argument)| argument.is_none()) {
            return Err(self.no_such_argument(site, index, span));
        }
        let value = match found.as_slice() {
            [(numbers, argument)] => self.read_argument(site, numbers, argument.as_ref(), span)?,
            several => self.choose_argument(site, several, span)?,
        };
        Ok(Operand::scalar(Type::I64, value, span))
    }

    /// Which place of a static tracepoint was reached, by its index.
    pub fn place_reached(&mut self) -> Ir {
        let cookie = self.helper(Helper::GET_ATTACH_COOKIE, vec![Ir::Context]);
        self.bind(Scalar::I64, Ir::binary(Op::And, cookie, Ir::int((1 << Cookie::PLACE_BITS) - 1)))
    }

    fn argument_at(&mut self, location: &UsdtLocation, index: usize, span: Span) -> Lowered<Option<Argument>> {
        match NATIVE.argument(&location.arguments, index).transpose() {
            Ok(argument) => Ok(argument),
            Err(operand) => {
                let message = format!("arg{index} of {} is in a place that cannot be read: {operand}", self.probe.name);
                Err(self.error("unsupported-argument", span, message))
            }
        }
    }

    fn no_such_argument(&mut self, site: &UsdtSite, index: usize, span: Span) -> super::Reported {
        let count = site.locations.iter().map(|location| NATIVE.count(&location.arguments)).max().unwrap_or(0);
        let message = format!("{} has no arg{index}", self.probe.name);
        let hint = match count {
            0 => "it has no arguments".to_string(),
            1 => "its only argument is arg0".to_string(),
            count => format!("its arguments are arg0 to arg{}", count - 1),
        };
        self.report(Diagnostic::error("no-such-argument", span, message).hint(hint))
    }

    fn choose_argument(
        &mut self,
        site: &UsdtSite,
        several: &[(Vec<usize>, Option<Argument>)],
        span: Span,
    ) -> Lowered<Ir> {
        let place = self.place_reached();
        let result = self.new_var(Scalar::I64);
        self.emit(Stmt::Set(result, Ir::int(0)));
        for (numbers, argument) in several {
            let is_here = numbers.iter().map(|number| Ir::binary(Op::Eq, place.clone(), Ir::int(*number as i64)));
            let is_here = is_here.map(Ir::bool_to_int).reduce(|left, right| Ir::binary(Op::Or, left, right));
            let Some(condition) = is_here.map(Ir::is_nonzero) else { continue };
            let (mut then, value) = self.nested(|this| this.read_argument(site, numbers, argument.as_ref(), span));
            then.push(Stmt::Set(result, value?));
            self.emit(Stmt::If { condition, then, otherwise: Vec::new() });
        }
        Ok(Ir::Var(result))
    }

    /// The argument's value; what a place does not have is 0 there.
    fn read_argument(
        &mut self,
        site: &UsdtSite,
        numbers: &[usize],
        argument: Option<&Argument>,
        span: Span,
    ) -> Lowered<Ir> {
        let Some(argument) = argument else { return Ok(Ir::int(0)) };
        let ty = Type::Integer { bits: argument.bytes * 8, signed: argument.signed };
        let address = match &argument.place {
            Place::Constant(value) => return Ok(self.narrow(&ty, Ir::int(*value))),
            Place::Register(register) => {
                let value = self.register_value(*register);
                return Ok(self.narrow(&ty, value));
            }
            Place::Memory { base, index, offset } => {
                let mut address = Ir::binary(Op::Add, self.register_value(*base), Ir::int(*offset));
                if let Some((index, scale)) = index {
                    let by = Ir::binary(Op::Mul, self.register_value(*index), Ir::int(i64::from(*scale)));
                    address = Ir::binary(Op::Add, address, by);
                }
                address
            }
            Place::Symbol { name, offset } => self.symbol_address(site, numbers, name, *offset, span)?,
        };
        let address = self.bind(Scalar::I64, address);
        self.read_scalar(&ty, address, AddressSpace::User)
    }

    fn register_value(&mut self, register: Register) -> Ir {
        let value = self.bind(Scalar::I64, Ir::load(Scalar::I64, Ir::Context.offset(register.offset)));
        match register.shift {
            0 => value,
            shift => Ir::binary(Op::LShr, value, Ir::int(i64::from(shift))),
        }
    }

    /// A symbol of the same file lies as far from the probe in memory as it does in the file.
    fn symbol_address(
        &mut self,
        site: &UsdtSite,
        numbers: &[usize],
        name: &str,
        offset: i64,
        span: Span,
    ) -> Lowered<Ir> {
        let binary = self.info.user_binary(&site.path).unwrap_or_default();
        let symbol = binary.symbols.iter().find(|symbol| symbol.name == name);
        let here = numbers.first().and_then(|number| site.locations.get(*number));
        let (Some(symbol), Some(here)) = (symbol, here) else {
            let message = format!("an argument lies at {name}, which is no symbol of {}", site.path.display());
            return Err(self.error("unsupported-argument", span, message));
        };
        let distance = symbol.address.wrapping_sub(here.address).cast_signed().wrapping_add(offset);
        let place = REGISTERS.offsets.iter().find(|(register, _)| *register == "ip").map_or(0, |(_, at)| *at);
        let instruction = self.register_value(Register { offset: place, shift: 0 });
        Ok(Ir::binary(Op::Add, instruction, Ir::int(distance)))
    }
}
