//! Control groups: from path to ID, and from ID to path.

use crate::semantics::lower::{Lowered, Lowerer, Operand};
use crate::types::Type;

use super::{CallSite, Entry, Lower, Mode};

pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "cgroupid",
        signatures: &["uint64 cgroupid(const string path)"],
        documentation: "The ID of the cgroup (v2) at a path.",
        example: "tracepoint:syscalls:sys_enter_openat /cgroup == cgroupid(\"/sys/fs/cgroup\")/ { @[comm] = count(); }",
        mode: Mode::CompileTime,
        arguments: (1, Some(1)),
        lower: Lower::Value(id_of_path),
        ..Entry::BASE
    },
    Entry {
        name: "cgroup_path",
        signatures: &["cgroup_path_t cgroup_path(int cgroupid, string filter)"],
        documentation: "The path of a cgroup, looked up when it is printed, so it may differ from print to print. `filter` chooses hierarchies by name, with wildcards; that of cgroup2 is called `unified`.",
        example: "tracepoint:syscalls:sys_enter_execve { print(cgroup_path(cgroup)); }",
        mode: Mode::Asynchronous,
        arguments: (1, Some(2)),
        lower: Lower::Value(path_of_id),
        ..Entry::BASE
    },
];

fn id_of_path(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let Some(argument) = call.arguments.first() else { return Ok(Operand::void(call.span)) };
    let path = lowerer.constant_text(argument, "the path given to cgroupid()")?;
    match lowerer.info.cgroup_id(&path) {
        Some(id) => Ok(Operand::scalar(Type::U64, crate::ir::Expr::int(id as i64), call.span)),
        None => Err(lowerer.error("unknown-cgroup", call.span, format!("there is no cgroup {path}"))),
    }
}

fn path_of_id(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let [id, filter @ ..] = call.arguments else { return Ok(Operand::void(call.span)) };
    let id = lowerer.value_argument(id)?;
    let operand = lowerer.expr(id)?;
    if operand.is_unknown() {
        return lowerer.unknown(&operand).map(|()| operand);
    }
    if !operand.ty.is_integer() {
        let message = format!("cgroup_path() takes the ID of a cgroup, not {}", operand.ty);
        return Err(lowerer.error("type-mismatch", operand.span, message));
    }
    let filter = match filter.first() {
        Some(filter) => lowerer.constant_text(filter, "the filter of cgroup_path()")?,
        None => "*".to_string(),
    };
    let id = lowerer.register(operand)?;
    let filter = lowerer.plan.cgroup_filter(&filter);
    Ok(Operand::scalar(Type::CgroupPath { filter }, id, call.span))
}
