//! A kprobe and a kretprobe of the same functions become one program, where the kernel calls one at both
//! ends of a function (a kprobe session, Linux 6.10): it is attached in half the time.

use crate::codegen::walk;
use crate::ir::{Expr, Helper, Op, Program, Scalar, Slot, Stmt, Var};
use crate::kernel_info::KernelInfo;
use crate::plan::{Attach, ProbePlan, ProgramKind};
use crate::semantics::plan_builder::PlanBuilder;

/// Tells the two ends apart. Since Linux 7.0 it takes the context; before, it takes nothing and ignores it.
const IS_RETURN: &str = "bpf_session_is_return";

/// Joins what can be joined; probes keep their order and refer to the joined programs afterwards.
pub fn join(programs: &mut Vec<Program>, probes: &mut [ProbePlan], builder: &mut PlanBuilder, info: &dyn KernelInfo) {
    let mut entry = 0;
    while entry < programs.len() {
        if let Some(exit) = partner(entry, programs, probes)
            && info.has_kprobe_sessions()
        {
            let removed = programs.remove(exit);
            renumber(probes, exit, entry);
            // What was behind the removed program has moved up.
            entry -= usize::from(exit < entry);
            if let Some(program) = programs.get_mut(entry) {
                combine(program, removed, builder);
            }
        }
        entry += 1;
    }
}

/// The program at the returns of just those functions that `entry` is at the entries of. A single function
/// stays a kprobe, which can be where ftrace cannot.
fn partner(entry: usize, programs: &[Program], probes: &[ProbePlan]) -> Option<usize> {
    let is_probe = |index: &usize| {
        programs.get(*index).is_some_and(|program| program.kind == ProgramKind::Probe && !has_names(program))
    };
    let wanted = functions(entry, false, probes).filter(|functions| functions.len() > 1 && is_probe(&entry))?;
    let mut others = (0..programs.len()).filter(is_probe);
    others.find(|index| functions(*index, true, probes).is_some_and(|functions| functions == wanted))
}

/// Whether it tells its probes apart by their cookies: a session has one for both ends.
fn has_names(program: &Program) -> bool {
    walk::any(&program.body, &|expr| matches!(expr, Expr::Helper { id: Helper::GET_ATTACH_COOKIE, .. }))
}

/// The functions that a program's probes are all at the start (or the end) of, if that is all they are.
fn functions(program: usize, returns: bool, probes: &[ProbePlan]) -> Option<Vec<&str>> {
    let own = probes.iter().filter(|probe| probe.program == program);
    own.map(|probe| match &probe.attach {
        Attach::Kprobe { module: None, symbol, offset: 0, returns: at } if *at == returns && !symbol.is_empty() => {
            Some(symbol.as_str())
        }
        _ => None,
    })
    .collect()
}

/// Program `removed` has become a part of program `into`.
fn renumber(probes: &mut [ProbePlan], removed: usize, into: usize) {
    for probe in probes {
        if probe.program == removed {
            probe.program = into;
        }
        probe.program -= usize::from(probe.program > removed);
    }
}

/// Puts the program of the returns into that of the entries.
fn combine(entry: &mut Program, exit: Program, builder: &mut PlanBuilder) {
    let shift = Shift { vars: entry.vars.len() as u32, slots: entry.slots.len() as u32 };
    let Program { vars, slots, body: mut at_return, .. } = exit;
    shift.block(&mut at_return);
    entry.vars.extend(vars);
    entry.slots.extend(slots);
    let is_return = Var(entry.vars.len() as u32);
    entry.vars.push(Scalar::I64);
    let mut at_entry = std::mem::take(&mut entry.body);
    continue_to_return(&mut at_entry);
    let id = builder.kernel_function(IS_RETURN);
    let call = Expr::Helper { id, arguments: vec![Expr::Context], returns: Scalar::I64 };
    // A kernel function that gives a `bool` sets the lowest byte only.
    let truth = Expr::binary(Op::And, call, Expr::int(0xff));
    let condition = Expr::Var(is_return).is_nonzero();
    let branch = Stmt::If { condition, then: at_return, otherwise: at_entry };
    let place = branch_place(&branch);
    entry.body = place.into_iter().chain([Stmt::Set(is_return, truth), branch]).collect();
    entry.kind = ProgramKind::Session;
}

/// The verifier's lines need a place for the call as well.
fn branch_place(branch: &Stmt) -> Option<Stmt> {
    let Stmt::If { otherwise, .. } = branch else { return None };
    otherwise.iter().find(|stmt| matches!(stmt, Stmt::At(_))).cloned()
}

/// What the entry's part returns other than 0 keeps the kernel from calling the program at the return
/// (`kprobe_multi_link_handler` in `kernel/trace/bpf_trace.c`).
fn continue_to_return(block: &mut [Stmt]) {
    for stmt in block {
        match stmt {
            Stmt::Return(value) => *value = None,
            _ => walk::bodies_mut(stmt).into_iter().for_each(|body| continue_to_return(body)),
        }
    }
}

/// Numbers of variables and slots, moved behind those of another program.
struct Shift {
    vars: u32,
    slots: u32,
}

impl Shift {
    fn block(&self, block: &mut [Stmt]) {
        block.iter_mut().for_each(|stmt| self.stmt(stmt));
    }

    fn stmt(&self, stmt: &mut Stmt) {
        match stmt {
            Stmt::Set(var, _) | Stmt::Range { index: var, .. } => self.var(var),
            Stmt::ForEach { key, value, .. } => {
                self.var(key);
                self.var(value);
            }
            _ => {}
        }
        walk::expressions_mut(stmt, |expr| self.expr(expr));
        walk::bodies_mut(stmt).into_iter().for_each(|body| self.block(body));
    }

    fn expr(&self, expr: &mut Expr) {
        match expr {
            Expr::Var(var) => self.var(var),
            Expr::Slot(slot) => *slot = Slot(slot.0 + self.slots),
            _ => walk::operands_mut(expr, &mut |operand| self.expr(operand)),
        }
    }

    fn var(&self, var: &mut Var) {
        var.0 += self.vars;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::environment::Environment;
    use crate::semantics::fake::FakeKernel;
    use crate::semantics::rounds::{Analysis, analyse};

    fn analysed(text: &str, kprobe_sessions: bool) -> Analysis {
        let functions = ["vfs_open", "vfs_read", "vfs_write"].map(|name| ("vmlinux".to_string(), name.to_string()));
        let kernel = FakeKernel { functions: functions.into(), kprobe_sessions, ..FakeKernel::default() };
        let script = crate::syntax::parse(text, crate::syntax::ast::SourceId::default()).unwrap();
        let mut environment = Environment::default();
        environment.kprobe_sessions = true;
        analyse(&script, &mut environment, &kernel, None).unwrap_or_else(|errors| panic!("{errors:?}"))
    }

    /// The kinds of all programs, and the program of each probe.
    fn shape(text: &str, kprobe_sessions: bool) -> (Vec<ProgramKind>, Vec<usize>) {
        let Analysis { module, probes, .. } = analysed(text, kprobe_sessions);
        let kinds = module.programs.iter().map(|program| program.kind).collect();
        (kinds, probes.iter().map(|probe| probe.program).collect())
    }

    use ProgramKind::{Probe, Run, Session};

    #[test]
    fn the_same_functions_share_a_program() {
        let text = "kprobe:vfs_* { @a = count(); } begin { } kretprobe:vfs_* { @b = count(); } end { }";
        assert_eq!(shape(text, true), (vec![Session, Run, Run], vec![0, 0, 0, 1, 0, 0, 0, 2]));
        assert_eq!(shape(text, false), (vec![Probe, Run, Probe, Run], vec![0, 0, 0, 1, 2, 2, 2, 3]));
        let text = "kretprobe:vfs_* { @b = count(); } begin { } kprobe:vfs_* { @a = count(); }";
        assert_eq!(shape(text, true), (vec![Run, Session], vec![1, 1, 1, 0, 1, 1, 1]));
    }

    #[test]
    fn other_functions_or_a_single_one_do_not() {
        for text in [
            "kprobe:vfs_* { @a = count(); } kretprobe:vfs_*r* { @b = count(); }",
            "kprobe:vfs_read { @a = count(); } kretprobe:vfs_read { @b = count(); }",
            "kprobe:vfs_* { @[probe] = count(); } kretprobe:vfs_* { @b = count(); }",
            "kprobe:vfs_* { @a = count(); } kprobe:vfs_* { @b = count(); }",
        ] {
            assert!(!shape(text, true).0.contains(&Session), "{text}");
        }
    }

    #[test]
    fn a_pair_for_each_pair_of_actions() {
        let one = "kprobe:vfs_* { @a = count(); } kretprobe:vfs_* { @b = count(); }";
        let (kinds, programs) = shape(&one.repeat(2), true);
        assert_eq!(kinds, [Session, Session]);
        assert_eq!(programs, [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]);
    }

    /// A value other than 0 would keep the kernel from calling the program at the return.
    #[test]
    fn the_entry_returns_nothing_and_the_return_keeps_its_variables_apart() {
        let text = "kprobe:vfs_* { $x = pid; if ($x > 1) { return 1; } @a = $x; } kretprobe:vfs_* { $y = retval; @b = $y; return 2; }";
        let Analysis { module, builder, .. } = analysed(text, true);
        assert_eq!(builder.kernel_functions, [IS_RETURN]);
        let [program] = module.programs.as_slice() else { panic!("one program") };
        let Some(Stmt::If { then, otherwise, .. }) = program.body.last() else { panic!("no branch") };
        let text = |block: &[Stmt]| format!("{block:?}");
        assert!(!text(otherwise).contains("Return(Some"), "{}", text(otherwise));
        assert!(text(then).contains("Return(Some"), "{}", text(then));
        let set = |block: &[Stmt]| -> Vec<Var> {
            block.iter().filter_map(|stmt| if let Stmt::Set(var, _) = stmt { Some(*var) } else { None }).collect()
        };
        assert!(set(then).iter().all(|var| !set(otherwise).contains(var)));
    }
}
