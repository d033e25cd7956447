//! User functions: `args`, and types by name, from the debug information of the binary that a probe is in.

use std::sync::Arc;

use crate::diagnostics::Diagnostic;
use crate::ir::{Expr as Ir, Op, Scalar, Stmt};
use crate::semantics::arch::NATIVE;
use crate::semantics::calling::{self, Place};
use crate::semantics::nearest::nearest;
use crate::semantics::probes::UserFunction;
use crate::syntax::ast::{Ident, Span};
use crate::types::{AddressSpace, EnumType, StructField, StructType, Type};
use crate::user_info::{Parameter, UserPrototype};

use super::{Lowered, Lowerer, Operand};

/// More than any function is given by value; damaged debug information announces more.
const LARGEST: u32 = 1 << 20;

impl Lowerer<'_> {
    /// A structure by name: the script's own, the traced binary's, the kernel's.
    pub fn find_struct(&self, name: &str) -> Option<Arc<StructType>> {
        let own = self.env.c_types.own_struct(name).or_else(|| {
            let (path, near) = self.probed_binary()?;
            self.info.user_struct(path, near, name)
        });
        own.or_else(|| self.env.c_types.struct_type(name, self.info))
    }

    /// What a name without a keyword stands for.
    pub fn find_typedef(&self, name: &str) -> Option<Type> {
        let own = self.env.c_types.own_typedef(name, self.info).or_else(|| {
            let (path, near) = self.probed_binary()?;
            self.info.user_typedef(path, near, name)
        });
        own.or_else(|| self.env.c_types.typedef(name, self.info))
    }

    pub fn find_enum(&self, name: &str) -> Option<Arc<EnumType>> {
        let own = self.env.c_types.own_enum(name).or_else(|| {
            let (path, near) = self.probed_binary()?;
            self.info.user_enum(path, near, name)
        });
        own.or_else(|| self.env.c_types.enum_type(name, self.info))
    }

    /// The binary that the probe is in; what is looked up there may be otherwise in another one.
    fn probed_binary(&self) -> Option<(&std::path::Path, u64)> {
        let binary = self.probe.binary()?;
        self.probe.depends_on_binary.set(true);
        Some(binary)
    }

    /// `args.name`
    pub fn user_argument(&mut self, function: &UserFunction, field: &Ident, span: Span) -> Lowered<Operand> {
        let prototype = self.user_prototype(function, span)?;
        let mut places = prototype.parameters.iter().zip(calling::places(&NATIVE, &prototype, &function.symbol));
        match places.find(|(parameter, _)| parameter.name == field.name) {
            Some((parameter, place)) => self.passed(parameter, &place, span),
            None => Err(self.no_such_parameter(function, &prototype, field)),
        }
    }

    /// All arguments that programs can see, as one structure.
    pub fn user_arguments(&mut self, function: &UserFunction, span: Span) -> Lowered<Operand> {
        let prototype = self.user_prototype(function, span)?;
        let places = calling::places(&NATIVE, &prototype, &function.symbol);
        let visible = prototype.parameters.iter().zip(&places);
        let visible: Vec<_> = visible.filter(|(it, place)| it.ty != Type::Void && !is_out_of_sight(place)).collect();
        let mut info = StructType { name: self.probe.name.clone(), size: 0, fields: Vec::new() };
        for (parameter, _) in &visible {
            let (name, ty) = (parameter.name.clone(), self.complete(&parameter.ty));
            let offset = info.size;
            let size = ty.size().clamp(1, LARGEST + 1).next_multiple_of(8);
            info.size = info.size.saturating_add(size).min(LARGEST + 8);
            info.fields.push(StructField { name, offset, ty, bitfield: None, data_loc: false });
        }
        if info.size > LARGEST {
            return Err(self.too_large(&function.symbol, span));
        }
        let slot = Ir::Slot(self.new_slot(info.size.max(8), 8));
        self.emit(Stmt::Zero { to: slot.clone(), size: info.size, align: 8 });
        for ((parameter, place), field) in visible.into_iter().zip(&info.fields) {
            let value = self.passed(parameter, place, span)?;
            self.store(slot.clone().offset(field.offset), &value, &field.ty)?;
        }
        Ok(Operand::memory(Type::Struct(info.into()), slot, span))
    }

    fn too_large(&mut self, what: &str, span: Span) -> super::Reported {
        let message = format!("what {what} is given by value takes more than {LARGEST} bytes");
        self.error("value-too-large", span, message)
    }

    /// Arguments of 32-bit programs lie on the stack, not in registers.
    pub fn check_convention(&mut self, function: &UserFunction, span: Span) -> Lowered<()> {
        if !function.is_32_bit {
            return Ok(());
        }
        let message = format!("{} is a 32-bit program: its arguments are not in registers", function.path.display());
        let diagnostic = Diagnostic::error("no-arguments", span, message);
        let hint = "read them from the stack, which has the return address first: *(uint32*)uptr(reg(\"sp\") + 4)";
        Err(self.report(diagnostic.hint(hint)))
    }

    fn user_prototype(&mut self, function: &UserFunction, span: Span) -> Lowered<Arc<UserPrototype>> {
        self.probe.depends.set(true);
        self.check_convention(function, span)?;
        if function.offset > 0 {
            let message = format!(
                "args holds what {} was called with only at its start: {} bytes behind it registers may hold other values",
                function.symbol, function.offset
            );
            self.warn(Diagnostic::warning("arguments-moved", span, message));
        }
        match self.info.user_prototype(&function.path, function.address) {
            Ok(prototype) => Ok(prototype),
            Err(error) => {
                let diagnostic = Diagnostic::error("no-arguments", span, error.reason);
                Err(self.report(match error.remedy {
                    Some(remedy) => diagnostic.hint(remedy),
                    None => diagnostic,
                }))
            }
        }
    }

    fn no_such_parameter(
        &mut self,
        function: &UserFunction,
        prototype: &UserPrototype,
        field: &Ident,
    ) -> super::Reported {
        let message = format!("Can't find function parameter {}", field.name);
        let diagnostic = Diagnostic::error("no-such-argument", field.span, message);
        let names: Vec<&str> = prototype.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        self.report(match nearest(&field.name, names.iter().copied()) {
            Some(near) => diagnostic.hint(format!("did you mean {near}?")),
            None if names.is_empty() => diagnostic.hint(format!("{} has no parameters", function.symbol)),
            None => diagnostic.hint(format!("the parameters of {} are {}", function.symbol, names.join(", "))),
        })
    }

    fn passed(&mut self, parameter: &Parameter, place: &Place, span: Span) -> Lowered<Operand> {
        let ty = self.complete(&parameter.ty);
        if ty == Type::Void || *place == Place::Hidden {
            let message = format!(
                "'{}' ({}) is passed as a floating-point number or a type that the language does not have",
                parameter.name, parameter.c_type
            );
            return Err(self.error("unsupported-type", span, message));
        }
        if ty.size() > LARGEST {
            return Err(self.too_large(&parameter.name, span));
        }
        match place {
            Place::Nowhere => {
                let message = format!(
                    "'{}' ({}) is not passed: the compiler has optimised it away",
                    parameter.name, parameter.c_type
                );
                Err(self.error("optimised-away", span, message))
            }
            Place::Constant(value) => Ok(self.user_scalar(ty, Ir::int(*value), span)),
            Place::Registers(registers) if ty.is_scalar() => {
                let value = self.register_word(registers.first().copied().unwrap_or(0));
                Ok(self.user_scalar(ty, value, span))
            }
            Place::Registers(registers) => self.in_registers(ty, registers, span),
            Place::Stack(_) | Place::Behind(_) | Place::Hidden => {
                let address = self.address_in(place);
                self.place(ty, address, AddressSpace::User, span)
            }
        }
    }

    /// Registers hold more than narrow values: what is above them is not defined.
    fn user_scalar(&mut self, ty: Type, value: Ir, span: Span) -> Operand {
        let value = match &ty {
            Type::Bool => self.bind(Scalar::I64, Ir::binary(Op::And, value, Ir::int(1))),
            Type::Integer { .. } | Type::Enum { .. } => self.narrow(&ty, value),
            _ => value,
        };
        Operand::scalar(ty, value, span)
    }

    /// A structure that is passed in one register or two.
    fn in_registers(&mut self, ty: Type, registers: &[u32], span: Span) -> Lowered<Operand> {
        let size = ty.size().max(registers.len() as u32 * 8).max(8);
        let slot = Ir::Slot(self.new_slot(size, 8));
        for (index, register) in registers.iter().enumerate() {
            let value = self.register_word(*register);
            let address = slot.clone().offset(index as u32 * 8);
            self.emit(Stmt::Store { ty: Scalar::I64, address, value });
        }
        Ok(Operand::memory(ty, slot, span))
    }

    fn register_word(&mut self, offset: u32) -> Ir {
        self.bind(Scalar::I64, Ir::load(Scalar::I64, Ir::Context.offset(offset)))
    }

    /// The address of what is not in registers itself.
    fn address_in(&mut self, place: &Place) -> Ir {
        match place {
            Place::Stack(above) => {
                let stack = NATIVE.offsets.iter().find(|(name, _)| *name == "sp").map_or(0, |(_, offset)| *offset);
                let pointer = self.register_word(stack);
                self.bind(Scalar::I64, Ir::binary(Op::Add, pointer, Ir::int(i64::from(*above))))
            }
            Place::Behind(inner) => match &**inner {
                Place::Registers(registers) => self.register_word(registers.first().copied().unwrap_or(0)),
                elsewhere => {
                    let address = self.address_in(elsewhere);
                    let slot = Ir::Slot(self.new_slot(8, 8));
                    self.probe_read(slot.clone(), 8, address, AddressSpace::User);
                    self.load_scalar(&Type::U64, slot)
                }
            },
            Place::Registers(_) | Place::Hidden | Place::Constant(_) | Place::Nowhere => Ir::int(0),
        }
    }
}

/// Whether programs cannot have what is in this place.
fn is_out_of_sight(place: &Place) -> bool {
    matches!(place, Place::Hidden | Place::Nowhere)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::Sources;
    use crate::pipeline::{Request, compile};
    use crate::semantics::fake::FakeKernel;
    use crate::user_info::{Passing, UserSymbol};

    fn first_error(kernel: &FakeKernel, text: &str) -> &'static str {
        let mut sources = Sources::default();
        let source = sources.add("In [1]", text);
        let errors = compile(&Request::new(&sources, source, kernel)).err().unwrap_or_default();
        errors.first().map_or("none", |error| error.id)
    }

    #[test]
    fn arguments_of_32_bit_programs_are_not_read_from_registers() {
        let symbol = UserSymbol { name: "f".into(), file_offset: 16, address: 16, size: 16, is_function: true };
        let kernel = FakeKernel { symbols: vec![symbol], is_32_bit: true, ..FakeKernel::default() };
        for text in ["uprobe:/b:f { print(args); }", "uprobe:/b:f { print(args.b); }", "uprobe:/b:f { print(arg0); }"] {
            assert_eq!(first_error(&kernel, text), "no-arguments", "{text}");
        }
        assert_eq!(first_error(&kernel, "uretprobe:/b:f { print(retval); }"), "none");
    }

    /// As damaged debug information announces them.
    #[test]
    fn values_beyond_all_bounds_are_refused() {
        let symbol = UserSymbol { name: "f".into(), file_offset: 16, address: 16, size: 16, is_function: true };
        let huge = Type::Array { element: Arc::new(Type::U64), length: 1 << 28 };
        let parameter = |name: &str| Parameter {
            name: name.into(),
            ty: huge.clone(),
            c_type: "huge".into(),
            passing: Passing { size: u32::MAX, align: u32::MAX, in_memory: true, ..Passing::default() },
            at_entry: crate::user_info::AtEntry::Unsaid,
        };
        let parameters = ["a", "b", "c"].map(parameter).into();
        let prototype = UserPrototype { parameters, ..UserPrototype::default() };
        let kernel = FakeKernel { symbols: vec![symbol], prototype, ..FakeKernel::default() };
        for text in ["uprobe:/b:f { print(args); }", "uprobe:/b:f { print(args.b); }", "uprobe:/b:f { @ = args.c; }"] {
            assert_eq!(first_error(&kernel, text), "value-too-large", "{text}");
        }
    }
}
