//! A readable form of the intermediate code, for snapshots and debugging.
//!
//! `{}` leaves out where statements come from; `{:#}` shows it as `-- start..end`.

use std::fmt::{self, Display, Formatter, Write};

use crate::helpers;
use crate::ir::*;

impl Display for Module {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "license {:?}", self.license)?;
        if let Some(map) = self.scratch {
            writeln!(f, "scratch {map}")?;
        }
        for program in &self.programs {
            f.write_char('\n')?;
            program.fmt(f)?;
        }
        for (number, function) in self.functions.iter().enumerate() {
            write!(f, "\nf{number}(")?;
            for (place, parameter) in function.parameters.iter().enumerate() {
                write!(f, "{}{parameter}", if place > 0 { ", " } else { "" })?;
            }
            f.write_str("): ")?;
            function.program.fmt(f)?;
        }
        Ok(())
    }
}

impl Display for Program {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "program {} {:?} returns {} {{", self.symbol, self.kind, self.default_return)?;
        for (number, ty) in self.vars.iter().enumerate() {
            writeln!(f, "    var v{number}: {ty}")?;
        }
        for (number, slot) in self.slots.iter().enumerate() {
            write!(f, "    slot s{number}: {} bytes, align {}", slot.size, slot.align)?;
            match slot.scratch {
                Some(offset) => writeln!(f, ", scratch + {offset}")?,
                None => f.write_char('\n')?,
            }
        }
        block(f, &self.body, 1)?;
        f.write_str("}\n")
    }
}

impl Display for Scalar {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scalar::Bool => "bool",
            Scalar::I8 => "i8",
            Scalar::I16 => "i16",
            Scalar::I32 => "i32",
            Scalar::I64 => "i64",
            Scalar::Pointer => "ptr",
        })
    }
}

impl Display for Var {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl Display for Slot {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

impl Display for MapIndex {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "map{}", self.0)
    }
}

/// The statements of a block, each on its own line.
fn block(f: &mut Formatter<'_>, stmts: &[Stmt], depth: usize) -> fmt::Result {
    stmts.iter().try_for_each(|stmt| statement(f, stmt, depth))
}

fn statement(f: &mut Formatter<'_>, stmt: &Stmt, depth: usize) -> fmt::Result {
    if matches!(stmt, Stmt::At(_)) && !f.alternate() {
        return Ok(());
    }
    indent(f, depth)?;
    match stmt {
        Stmt::At(span) => writeln!(f, "-- {}..{}", span.start, span.end),
        Stmt::Set(var, value) => writeln!(f, "{var} = {value}"),
        Stmt::Store { ty, address, value } => writeln!(f, "{ty}[{address}] = {value}"),
        Stmt::AtomicAdd { ty, address, value } => writeln!(f, "atomic {ty}[{address}] += {value}"),
        Stmt::Copy { to, from, size, align } => writeln!(f, "copy {size}/{align} [{to}] = [{from}]"),
        Stmt::Zero { to, size, align } => writeln!(f, "zero {size}/{align} [{to}]"),
        Stmt::Bytes { to, bytes, align } => {
            writeln!(f, "bytes {}/{align} [{to}] = \"{}\"", bytes.len(), bytes.escape_ascii())
        }
        Stmt::Evaluate(value) => writeln!(f, "{value}"),
        Stmt::If { condition, then, otherwise } => {
            writeln!(f, "if {condition} {{")?;
            block(f, then, depth + 1)?;
            if !otherwise.is_empty() {
                indent(f, depth)?;
                f.write_str("} else {\n")?;
                block(f, otherwise, depth + 1)?;
            }
            close(f, depth)
        }
        Stmt::Loop { body } => nested(f, format_args!("loop"), body, depth),
        Stmt::Range { index, start, end, body } => {
            nested(f, format_args!("for {index} in {start} .. {end}"), body, depth)
        }
        Stmt::ForEach { map, key, value, body } => {
            nested(f, format_args!("for ({key}, {value}) in {map}"), body, depth)
        }
        Stmt::Apart { body } => nested(f, format_args!("apart"), body, depth),
        Stmt::Break => f.write_str("break\n"),
        Stmt::Continue => f.write_str("continue\n"),
        Stmt::Return(None) => f.write_str("return\n"),
        Stmt::Return(Some(value)) => writeln!(f, "return {value}"),
    }
}

/// A statement with one body.
fn nested(f: &mut Formatter<'_>, head: fmt::Arguments<'_>, body: &[Stmt], depth: usize) -> fmt::Result {
    writeln!(f, "{head} {{")?;
    block(f, body, depth + 1)?;
    close(f, depth)
}

fn close(f: &mut Formatter<'_>, depth: usize) -> fmt::Result {
    indent(f, depth)?;
    f.write_str("}\n")
}

fn indent(f: &mut Formatter<'_>, depth: usize) -> fmt::Result {
    (0..depth).try_for_each(|_| f.write_str("    "))
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Const { ty: Scalar::I64, value } => write!(f, "{value}"),
            Expr::Const { ty: Scalar::Pointer, value: 0 } => f.write_str("null"),
            Expr::Const { ty, value } => write!(f, "{value}:{ty}"),
            Expr::Var(var) => var.fmt(f),
            Expr::Slot(slot) => write!(f, "&{slot}"),
            Expr::Context => f.write_str("ctx"),
            Expr::Load { ty, address } => write!(f, "{ty}[{address}]"),
            Expr::Offset { base, by } => write!(f, "{base} + {}", Operand(by)),
            Expr::Binary { op, left, right } => {
                write!(f, "{} {} {}", Operand(left), symbol(*op), Operand(right))
            }
            Expr::Convert { op, to, value } => write!(f, "{}({value}, {to})", conversion(*op)),
            Expr::Select { condition, then, otherwise } => {
                write!(f, "select({condition}, {then}, {otherwise})")
            }
            Expr::Call { function, arguments } => {
                write!(f, "f{function}(")?;
                for (number, argument) in arguments.iter().enumerate() {
                    if number > 0 {
                        f.write_str(", ")?;
                    }
                    argument.fmt(f)?;
                }
                f.write_str(")")
            }
            Expr::CallC { symbol, arguments, .. } => {
                let arguments: Vec<String> = arguments.iter().map(|(argument, _)| argument.to_string()).collect();
                write!(f, "{symbol}({})", arguments.join(", "))
            }
            Expr::Helper { id, arguments, returns } => call(f, *id, arguments, *returns),
            Expr::Map(map) => map.fmt(f),
            Expr::MapValue { map, offset: 0 } => write!(f, "&{map}"),
            Expr::MapValue { map, offset } => write!(f, "&{map}+{offset}"),
            Expr::Opaque(value) => write!(f, "opaque({value})"),
            Expr::Swap(value) => write!(f, "swap({value})"),
        }
    }
}

/// An expression as part of another: in parentheses if it has an operator of its own.
struct Operand<'a>(&'a Expr);

impl Display for Operand<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Expr::Binary { .. } | Expr::Offset { .. } => write!(f, "({})", self.0),
            other => other.fmt(f),
        }
    }
}

fn call(f: &mut Formatter<'_>, id: Helper, arguments: &[Expr], returns: Scalar) -> fmt::Result {
    match helper_name(id) {
        Some(name) => f.write_str(name)?,
        None => write!(f, "helper{}", id.0)?,
    }
    f.write_char('(')?;
    for (number, argument) in arguments.iter().enumerate() {
        write!(f, "{}{argument}", if number == 0 { "" } else { ", " })?;
    }
    f.write_char(')')?;
    match returns {
        Scalar::I64 => Ok(()),
        other => write!(f, ":{other}"),
    }
}

fn symbol(op: Op) -> &'static str {
    match op {
        Op::Add => "+",
        Op::Sub => "-",
        Op::Mul => "*",
        Op::UDiv => "/u",
        Op::SDiv => "/s",
        Op::URem => "%u",
        Op::SRem => "%s",
        Op::And => "&",
        Op::Or => "|",
        Op::Xor => "^",
        Op::Shl => "<<",
        Op::LShr => ">>u",
        Op::AShr => ">>s",
        Op::Eq => "==",
        Op::Ne => "!=",
        Op::ULt => "<u",
        Op::ULe => "<=u",
        Op::SLt => "<s",
        Op::SLe => "<=s",
    }
}

fn conversion(op: Conversion) -> &'static str {
    match op {
        Conversion::ZeroExtend => "zext",
        Conversion::SignExtend => "sext",
        Conversion::Truncate => "trunc",
        Conversion::ToInteger => "int",
        Conversion::ToPointer => "ptr",
    }
}

/// The names that `linux/bpf.h` gives the helpers.
fn helper_name(id: Helper) -> Option<&'static str> {
    helpers::ALL.iter().find(|known| known.id == id).map(|known| known.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ProgramKind;
    use crate::syntax::ast::{SourceId, Span};

    fn sample() -> Program {
        let word = |value| Expr::Const { ty: Scalar::I64, value };
        let lookup = Expr::Helper {
            id: Helper::MAP_LOOKUP_ELEM,
            arguments: vec![Expr::Map(MapIndex(3)), Expr::Slot(Slot(0))],
            returns: Scalar::Pointer,
        };
        let sum = Expr::Binary { op: Op::Add, left: Box::new(Expr::Var(Var(1))), right: Box::new(word(1)) };
        let product = Expr::Binary { op: Op::Mul, left: Box::new(sum), right: Box::new(word(-2)) };
        let place = Expr::Offset { base: Box::new(Expr::Var(Var(0))), by: Box::new(word(8)) };
        Program {
            symbol: "p0".into(),
            kind: ProgramKind::Tracepoint,
            vars: vec![Scalar::Pointer, Scalar::I64],
            slots: vec![SlotInfo { size: 16, align: 8, scratch: Some(24) }],
            body: vec![
                Stmt::At(Span { source: SourceId(0), start: 3, end: 9 }),
                Stmt::Set(Var(0), lookup),
                Stmt::Bytes { to: Expr::Slot(Slot(0)), bytes: b"a\n\xff".to_vec(), align: 1 },
                Stmt::Range {
                    index: Var(1),
                    start: word(0),
                    end: word(9),
                    body: vec![Stmt::If {
                        condition: Expr::Const { ty: Scalar::Bool, value: 1 },
                        then: vec![Stmt::Store { ty: Scalar::I64, address: place, value: product }],
                        otherwise: vec![Stmt::Break],
                    }],
                },
                Stmt::Return(None),
            ],
            default_return: 0,
        }
    }

    #[test]
    fn programs_are_readable() {
        let expected = r#"program p0 Tracepoint returns 0 {
    var v0: ptr
    var v1: i64
    slot s0: 16 bytes, align 8, scratch + 24
    v0 = map_lookup_elem(map3, &s0):ptr
    bytes 3/1 [&s0] = "a\n\xff"
    for v1 in 0 .. 9 {
        if 1:bool {
            i64[v0 + 8] = (v1 + 1) * -2
        } else {
            break
        }
    }
    return
}
"#;
        assert_eq!(sample().to_string(), expected);
    }

    #[test]
    fn places_are_shown_on_demand() {
        assert!(format!("{:#}", sample()).contains("\n    -- 3..9\n"));
    }
}
