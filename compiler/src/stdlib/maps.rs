//! Functions on whole maps and their entries.

use crate::ir::{Expr as Ir, Helper, Op, Scalar, Stmt};
use crate::plan::EventPlan;
use crate::semantics::environment::KeyInfo;
use crate::semantics::lower::maps::not_null;
use crate::semantics::lower::{Lowered, Lowerer, Operand};
use crate::syntax::ast::{Expr, ExprKind, Span, TypeOrExpr};
use crate::types::Type;

use super::{CallSite, Entry, Lower, Mode};

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "clear",
        signatures: &["void clear(map m)"],
        documentation: "Removes all entries of a map.",
        example: "tracepoint:raw_syscalls:sys_enter { @[comm] = count(); } interval:s:1 { print(@); clear(@); }",
        mode: Mode::Asynchronous,
        arguments: (1, Some(1)),
        lower: Lower::Value(|lowerer, call| whole_map(lowerer, call, |map| EventPlan::Clear { map })),
        ..Entry::BASE
    },
    Entry {
        name: "zero",
        signatures: &["void zero(map m)"],
        documentation: "Sets all values of a map to zero; its keys stay.",
        example: "tracepoint:raw_syscalls:sys_enter { @[comm] = count(); } interval:s:1 { print(@); zero(@); }",
        mode: Mode::Asynchronous,
        arguments: (1, Some(1)),
        lower: Lower::Value(|lowerer, call| whole_map(lowerer, call, |map| EventPlan::Zero { map })),
        ..Entry::BASE
    },
    Entry {
        name: "delete",
        signatures: &["bool delete(map m, mapkey k)", "bool delete(mapkey k)"],
        documentation: "Deletes one entry of a map, or unsets a scalar map. Gives whether the entry was there.",
        example: "tracepoint:syscalls:sys_exit_read { delete(@start, tid); }",
        arguments: (1, None),
        lower: Lower::Value(delete),
        ..Entry::BASE
    },
    Entry {
        name: "has_key",
        signatures: &["bool has_key(map m, mapkey k)"],
        documentation: "Whether a map has an entry with this key.",
        example: "tracepoint:syscalls:sys_enter_read { @start[tid] = nsecs; } tracepoint:syscalls:sys_exit_read /has_key(@start, tid)/ { @ = hist(nsecs - @start[tid]); }",
        arguments: (2, Some(2)),
        lower: Lower::Value(has_key),
        ..Entry::BASE
    },
    Entry {
        name: "find",
        signatures: &["bool find(map m, mapkey k, variable result)"],
        documentation: "Whether a map has an entry with this key; if so, its value is put into a variable. It saves a second look into the map.",
        example: "tracepoint:syscalls:sys_enter_read { @start[tid] = nsecs; } tracepoint:syscalls:sys_exit_read { let $t; if (find(@start, tid, $t)) { @ = hist(nsecs - $t); } }",
        arguments: (3, Some(3)),
        lower: Lower::Value(find),
        ..Entry::BASE
    },
    Entry {
        name: "len",
        signatures: &["int64 len(map m)", "int64 len(ustack stack)", "int64 len(kstack stack)"],
        documentation: "The number of entries of a map, or of frames of a stack.",
        example: "tracepoint:syscalls:sys_enter_read { @start[tid] = nsecs; } interval:s:1 { printf(\"%d\\n\", len(@start)); }",
        arguments: (1, Some(1)),
        lower: Lower::Value(len),
        ..Entry::BASE
    },
];

/// The map that an argument names, with its key if one is written.
pub fn map_argument<'e>(
    lowerer: &mut Lowerer,
    call: &CallSite,
    argument: &'e TypeOrExpr,
) -> Lowered<(&'e str, Option<&'e Expr>, Span)> {
    if let TypeOrExpr::Expr(expr) = argument
        && let ExprKind::Map { name, key } = &expr.kind
    {
        return Ok((name, key.as_deref(), expr.span));
    }
    Err(lowerer.error("not-a-map", call.span, format!("{}() needs a map", call.name)))
}

/// The index of a map named as a whole, whatever its key is.
pub fn named_map(lowerer: &mut Lowerer, name: &str, span: Span) -> Lowered<Option<usize>> {
    let info = lowerer.env.map(name, span).clone();
    if info.value.is_none() {
        if lowerer.env.unknown_is_final() {
            return Err(lowerer.undefined_map(name, span));
        }
        return Ok(None);
    }
    let keys = lowerer.env.settings.max_map_keys;
    Ok(Some(lowerer.plan.user_map(name, &info, keys).0 as usize))
}

fn whole_map(lowerer: &mut Lowerer, call: &CallSite, event: fn(usize) -> EventPlan) -> Lowered<Operand> {
    let Some(argument) = call.arguments.first() else { return Ok(Operand::void(call.span)) };
    let (name, key, span) = map_argument(lowerer, call, argument)?;
    if key.is_some() {
        let message = format!("{}() works on a whole map; for one entry use delete(@{name}, key)", call.name);
        return Err(lowerer.error("map-with-key", span, message));
    }
    if let Some(map) = named_map(lowerer, name, span)? {
        lowerer.signal(event(map));
    }
    Ok(Operand::void(call.span))
}

fn delete(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let [first, rest @ ..] = call.arguments else { return Ok(Operand::void(call.span)) };
    let (name, old_key, span) = map_argument(lowerer, call, first)?;
    let key = match (rest, old_key) {
        ([], key) => key,
        ([key], None) => Some(lowerer.value_argument(key)?),
        _ => return delete_all(lowerer, call),
    };
    if key.is_none() && matches!(lowerer.env.map(name, span).key, KeyInfo::Keyed(_)) {
        let message = format!("delete() needs a key of @{name}; clear(@{name}) removes all entries");
        return Err(lowerer.error("missing-key", span, message));
    }
    let entry = lowerer.entry(name, key, span)?;
    if entry.key.is_none() && matches!(entry.value, Type::Aggregate(_)) {
        let map = entry.map.0 as usize;
        lowerer.signal(EventPlan::Clear { map });
        let cleared = Operand::scalar(Type::Bool, Ir::int(1), call.span);
        return Ok(if call.statement { Operand::void(call.span) } else { cleared });
    }
    let failed = lowerer.delete_entry(&entry);
    if call.statement {
        if entry.key.is_some() {
            warn_if_missing(lowerer, call, failed)?;
        }
        return Ok(Operand::void(call.span));
    }
    let deleted = Ir::binary(Op::Eq, failed, Ir::int(0)).bool_to_int();
    Ok(Operand::scalar(Type::Bool, deleted, call.span))
}

/// The old form: `delete(@a[1], @b[2])`.
fn delete_all(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    for argument in call.arguments {
        let (name, key, span) = map_argument(lowerer, call, argument)?;
        let entry = lowerer.entry(name, key, span)?;
        lowerer.delete_entry(&entry);
    }
    Ok(Operand::void(call.span))
}

/// A discarded result hides that nothing was deleted: say so.
fn warn_if_missing(lowerer: &mut Lowerer, call: &CallSite, failed: Ir) -> Lowered<()> {
    let message = "Can't delete map element because it does not exist.";
    let (then, sent) = lowerer
        .nested(|lowerer| lowerer.tell_helper_failure(message, Helper::MAP_DELETE_ELEM, failed.clone(), call.span));
    lowerer.emit(Stmt::If { condition: failed.is_nonzero(), then, otherwise: vec![] });
    sent
}

fn has_key(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let [map, key] = call.arguments else { return Ok(Operand::void(call.span)) };
    let Some((_, found)) = look_up(lowerer, call, map, key)? else { return Ok(Operand::void(call.span)) };
    let value = lowerer.bind(Scalar::I64, not_null(found).bool_to_int());
    Ok(Operand::scalar(Type::Bool, value, call.span))
}

/// The entry that a keyed map has for a key: where its value is, or NULL.
fn look_up(lowerer: &mut Lowerer, call: &CallSite, map: &TypeOrExpr, key: &TypeOrExpr) -> Lowered<Option<(Type, Ir)>> {
    let (name, own_key, span) = map_argument(lowerer, call, map)?;
    if own_key.is_some() {
        let message = format!("{}() takes the map without a key: {}(@{name}, key)", call.name, call.name);
        return Err(lowerer.error("map-with-key", span, message));
    }
    if lowerer.env.map(name, span).key == KeyInfo::Scalar {
        let message =
            format!("call to {}() expects a map with explicit keys (non-scalar map); @{name} has none", call.name);
        return Err(lowerer.error("scalar-map", span, message));
    }
    let key = lowerer.value_argument(key)?;
    let entry = lowerer.entry(name, Some(key), span)?;
    let Some(key) = entry.key.clone() else { return Ok(None) };
    Ok(Some((entry.value, lowerer.lookup(entry.map, key))))
}

fn find(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let [map, key, result] = call.arguments else { return Ok(Operand::void(call.span)) };
    let result = lowerer.value_argument(result)?;
    let ExprKind::Variable(name) = &result.kind else {
        return Err(lowerer.error("not-a-variable", result.span, "find() puts the value into a variable: write $name"));
    };
    let Some((ty, found)) = look_up(lowerer, call, map, key)? else { return Ok(Operand::void(call.span)) };
    if let Type::Aggregate(_) = ty {
        let message = "find() cannot give the value of an aggregation; use has_key() and read the map";
        return Err(lowerer.error("type-mismatch", call.span, message));
    }
    let (then, assigned) = lowerer.nested(|lowerer| {
        let value = lowerer.in_memory(&ty, found.clone(), call.span);
        lowerer.assign_variable(result, name, value)
    });
    assigned?;
    lowerer.emit(Stmt::If { condition: not_null(found.clone()), then, otherwise: vec![] });
    let value = lowerer.bind(Scalar::I64, not_null(found).bool_to_int());
    Ok(Operand::scalar(Type::Bool, value, call.span))
}

fn len(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let Some(argument) = call.arguments.first() else { return Ok(Operand::void(call.span)) };
    if let TypeOrExpr::Expr(expr) = argument
        && let ExprKind::Map { name, key: None } = &expr.kind
    {
        return map_length(lowerer, call, name, expr.span);
    }
    let value = lowerer.value_argument(argument)?;
    let is_unwound = match &value.kind {
        ExprKind::Identifier(name) => name == "dw_ustack",
        ExprKind::Call { name, .. } => name.name == "dw_ustack",
        _ => false,
    };
    if is_unwound {
        let message = "len() of dw_ustack is not known in the probe: the stack is unwound afterwards";
        return Err(lowerer.error("type-mismatch", call.span, message));
    }
    let stack = lowerer.expr(value)?;
    match &stack.ty {
        Type::Stack { user, limit, .. } => {
            let frames = super::symbols::stack_depth(lowerer, *user, *limit);
            Ok(Operand::scalar(Type::I64, frames, call.span))
        }
        Type::Void => Ok(Operand::void(call.span)),
        other => {
            let message = format!("len() needs a map or a stack, not {other}");
            Err(lowerer.error("type-mismatch", call.span, message))
        }
    }
}

/// Counts the entries one by one: the kernel keeps no number that programs may read.
fn map_length(lowerer: &mut Lowerer, call: &CallSite, name: &str, span: Span) -> Lowered<Operand> {
    let count = lowerer.new_var(Scalar::I64);
    let Some(map) = named_map(lowerer, name, span)? else {
        return Ok(Operand::integer(0, call.span));
    };
    if lowerer.env.map(name, span).key == KeyInfo::Scalar {
        let message = format!("call to len() expects a map with explicit keys (non-scalar map); @{name} has none");
        return Err(lowerer.error("scalar-map", span, message));
    }
    lowerer.emit(Stmt::Set(count, Ir::int(0)));
    let (key, value) = (lowerer.new_var(Scalar::Pointer), lowerer.new_var(Scalar::Pointer));
    let body = vec![Stmt::Set(count, Ir::binary(Op::Add, Ir::Var(count), Ir::int(1)))];
    lowerer.emit(Stmt::ForEach { map: crate::ir::MapIndex(map as u32), key, value, body });
    Ok(Operand::scalar(Type::I64, Ir::Var(count), call.span))
}
