//! Tracepoints whose program does not look at its context are attached as raw tracepoints: the kernel
//! then neither copies the fields nor goes through perf, and attaching and detaching take a tenth.

use crate::codegen::walk;
use crate::ir::{Expr, Helper, Program, Stmt};
use crate::kernel_info::KernelInfo;
use crate::plan::{Attach, ProbePlan, ProgramKind};

/// Changes the programs for which it can be done, and their probes. An event of tracefs that belongs
/// to a tracepoint has its name (`trace_event_name()` in the kernel's `include/linux/trace_events.h`);
/// those of system calls belong to none. A program for both kinds becomes two.
pub fn choose(programs: &mut Vec<Program>, probes: &mut [ProbePlan], info: &dyn KernelInfo) {
    for index in 0..programs.len() {
        let Some(program) = programs.get(index) else { continue };
        if program.kind != ProgramKind::Tracepoint || looks_at_event(&program.body, info) {
            continue;
        }
        let own = probes.iter_mut().filter(|probe| probe.program == index);
        let (direct, others): (Vec<_>, Vec<_>) =
            own.map(|probe| (tracepoint(&probe.attach, info), probe)).partition(|(name, _)| name.is_some());
        if direct.is_empty() {
            continue;
        }
        let symbol = if others.is_empty() { program.symbol.clone() } else { format!("{}_raw", program.symbol) };
        let raw = Program { symbol, kind: ProgramKind::RawTracepoint, ..program.clone() };
        let place = if others.is_empty() { index } else { programs.len() };
        for (name, probe) in direct {
            probe.program = place;
            probe.attach = Attach::RawTracepoint { name: name.unwrap_or_default() };
        }
        match programs.get_mut(place) {
            Some(program) => *program = raw,
            None => programs.push(raw),
        }
    }
}

/// Whether statements do what only a program of the event's own kind can.
fn looks_at_event(stmts: &[Stmt], info: &dyn KernelInfo) -> bool {
    stmts.iter().any(|stmt| {
        let mut found = false;
        walk::expressions(stmt, |expr| found |= needs_event(expr, info));
        found || walk::bodies(stmt).into_iter().any(|body| looks_at_event(body, info))
    })
}

fn needs_event(expr: &Expr, info: &dyn KernelInfo) -> bool {
    match expr {
        Expr::Context => true,
        Expr::Helper { id: Helper::GET_ATTACH_COOKIE, .. } => !info.has_raw_tracepoint_cookies(),
        _ => {
            let mut found = false;
            walk::operands(expr, &mut |operand| found |= needs_event(operand, info));
            found
        }
    }
}

/// The tracepoint that an event belongs to.
fn tracepoint(attach: &Attach, info: &dyn KernelInfo) -> Option<String> {
    let Attach::Tracepoint { category, name } = attach else { return None };
    let exists = category != "syscalls" && info.raw_tracepoint_arguments(name).is_some();
    exists.then(|| name.clone())
}
