//! Lowers every action for the probes it stands for, as few programs as will do.

use std::path::Path;

use crate::diagnostics::Diagnostic;
use crate::ir::Program;
use crate::kernel_info::KernelInfo;
use crate::plan::{ProbePlan, ProgramKind};
use crate::semantics::environment::Environment;
use crate::semantics::lower::Lowerer;
use crate::semantics::plan_builder::PlanBuilder;
use crate::semantics::probes::{Expanded, ProbeContext};
use crate::syntax::ast::Probe;

/// So many probes share a program, or its code, though their names are used: it takes the name from a table then,
/// which costs a call of a helper each time that a probe fires. Fewer are compiled and loaded soon enough.
const MANY: usize = 16;

/// One action block with the probes it stands for.
pub struct Action<'a> {
    pub probe: &'a Probe,
    pub expanded: Vec<Expanded>,
}

/// The probes of an action. The kernel tells a program that they share which of them fired, by its
/// [`crate::plan::Cookie`].
#[derive(Clone, Copy)]
pub struct Siblings<'a> {
    pub probes: &'a [Expanded],
    /// The first one's index in the plan.
    pub first: usize,
}

impl Siblings<'_> {
    /// Whether enough of them could share the program of a probe, if that told them apart.
    fn are_many(&self, context: &ProbeContext, info: &dyn KernelInfo) -> bool {
        let alike = self.probes.iter().filter(|other| is_alike(&other.context, context));
        has_cookie(context, info) && alike.take(MANY).count() == MANY
    }
}

/// Whether programs for two probes of an action are of one kind.
fn is_alike(one: &ProbeContext, other: &ProbeContext) -> bool {
    (one.kind, one.provider, one.is_32_bit()) == (other.kind, other.provider, other.is_32_bit())
}

/// Whether such a probe has a cookie.
fn has_cookie(context: &ProbeContext, info: &dyn KernelInfo) -> bool {
    match context.kind {
        ProgramKind::Tracepoint | ProgramKind::PerfEvent | ProgramKind::Probe => true,
        ProgramKind::Fentry | ProgramKind::Fexit => true,
        ProgramKind::RawTracepoint => info.has_raw_tracepoint_cookies(),
        _ => false,
    }
}

/// One walk over the actions of a script.
pub struct Walk<'a> {
    environment: &'a mut Environment,
    info: &'a dyn KernelInfo,
    builder: &'a mut PlanBuilder,
    diagnostics: &'a mut Vec<Diagnostic>,
    pub programs: Vec<Program>,
    pub probes: Vec<ProbePlan>,
}

/// A program that further probes of its action can have: those like its first one, perhaps only
/// those in its binary, and whose records have the same fields.
struct Shared<'a> {
    first: &'a ProbeContext,
    only_in: Option<&'a Path>,
    index: usize,
}

impl Shared<'_> {
    fn serves(&self, context: &ProbeContext) -> bool {
        is_alike(self.first, context)
            && (self.only_in.is_none() || self.only_in == path(context))
            && context.has_fields(&self.first.depends_on_fields.borrow())
    }
}

fn path(context: &ProbeContext) -> Option<&Path> {
    context.binary().map(|(path, _)| path)
}

impl<'a> Walk<'a> {
    pub fn new(
        environment: &'a mut Environment,
        info: &'a dyn KernelInfo,
        builder: &'a mut PlanBuilder,
        diagnostics: &'a mut Vec<Diagnostic>,
    ) -> Walk<'a> {
        Walk { environment, info, builder, diagnostics, programs: Vec::new(), probes: Vec::new() }
    }

    /// Lowers an action for every kind of probe it stands for.
    pub fn action(&mut self, action: &Action) {
        let siblings = Siblings { probes: &action.expanded, first: self.probes.len() };
        let first_event = self.builder.events.len();
        let mut shared: Vec<Shared> = Vec::new();
        for expanded in &action.expanded {
            let context = &expanded.context;
            let known = shared.iter().find(|shared| shared.serves(context)).map(|shared| shared.index);
            let index = known.unwrap_or_else(|| {
                let index = self.programs.len();
                self.builder.begin_program(first_event);
                let (program, is_own) = self.program(action.probe, context, siblings);
                self.programs.push(program);
                if !is_own {
                    let only_in = path(context).filter(|_| context.depends_on_binary.get());
                    shared.push(Shared { first: context, only_in, index });
                }
                index
            });
            let Expanded { attach, context: ProbeContext { name, .. }, span } = expanded;
            self.probes.push(ProbePlan { name: name.clone(), span: *span, attach: attach.clone(), program: index });
        }
    }

    /// The program of a probe, and whether it is for this probe alone.
    fn program(&mut self, probe: &Probe, context: &ProbeContext, siblings: Siblings) -> (Program, bool) {
        let (before, told) = (self.builder.mark(), self.diagnostics.len());
        let program = self.lower(probe, context, None);
        let is_own = context.is_alone || context.depends.get();
        if context.depends.get() || !context.depends_on_name.get() {
            return (program, is_own);
        }
        let said = self.diagnostics.split_off(told);
        if siblings.are_many(context, self.info) && !said.iter().any(Diagnostic::is_error) {
            let builder = self.builder.clone();
            self.builder.roll_back(before);
            let program = self.lower(probe, context, Some(siblings));
            if !self.diagnostics.iter().skip(told).any(Diagnostic::is_error) {
                return (program, is_own);
            }
            // The name has to be a literal here.
            self.diagnostics.truncate(told);
            *self.builder = builder;
        }
        self.diagnostics.extend(said);
        (program, true)
    }

    fn lower(&mut self, probe: &Probe, context: &ProbeContext, siblings: Option<Siblings>) -> Program {
        let index = self.programs.len();
        let symbol = symbol(&context.name, index);
        let mut lowerer = Lowerer::new(self.environment, self.info, self.builder, context, index, self.diagnostics);
        lowerer.siblings = siblings;
        lowerer.program(symbol, probe.predicate.as_ref(), &probe.body)
    }
}

/// What a program is called in the kernel: its probe's name, as far as C has letters for it, and a
/// number. `fentry:bpf` finds it by that.
fn symbol(probe: &str, index: usize) -> String {
    const LONGEST: usize = 100;
    let letters = probe.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    format!("{}_{}", letters.take(LONGEST).collect::<String>(), index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::MapRole;
    use crate::semantics::fake::FakeKernel;
    use crate::semantics::probes::{Arguments, UserFunction};
    use crate::semantics::rounds::{Analysis, analyse};

    /// What a script becomes where the kernel has as many functions, `f_10`, `f_11`, …
    fn analysed(text: &str, functions: usize) -> Analysis {
        let functions = (0..functions).map(|index| ("vmlinux".to_owned(), format!("f_{}", 10 + index))).collect();
        let kernel = FakeKernel { functions, kprobe_sessions: true, ..FakeKernel::default() };
        let script = crate::syntax::parse(text, crate::syntax::ast::SourceId::default()).unwrap();
        let mut environment = Environment::default();
        environment.kprobe_sessions = true;
        analyse(&script, &mut environment, &kernel, None).unwrap_or_else(|errors| panic!("{errors:?}"))
    }

    #[test]
    fn many_probes_share_a_program_that_has_their_names() {
        for (text, few, many) in [
            ("kprobe:f_* { @[probe] = count(); }", MANY - 1, 1),
            ("kprobe:f_* { @ = count(); }", 1, 1),
            ("kprobe:f_* { @[probe] = count(); } kretprobe:f_* { @[probe, 1] = count(); }", 2 * MANY - 2, 2),
            ("kprobe:f_*, kretprobe:f_* { print((probe, func)); }", 2 * MANY - 2, 2),
        ] {
            let text = text.replace("@[probe, 1]", "@ret[probe]");
            assert_eq!(analysed(&text, MANY - 1).module.programs.len(), few, "{text}");
            assert_eq!(analysed(&text, MANY).module.programs.len(), many, "{text}");
        }
    }

    #[test]
    fn tracepoints_share_a_program_if_the_fields_it_reads_are_where_they_are_in_the_first() {
        let record = |offset: u32, size: u32| {
            format!(
                "\tfield:long ret;\toffset:{offset};\tsize:{size};\tsigned:1;\n\tfield:int nr;\toffset:8;\tsize:4;\tsigned:1;\n"
            )
        };
        let records = [("w", record(16, 8)), ("x", record(16, 8)), ("y", record(24, 8)), ("z", record(16, 4))];
        let tracepoints = records.map(|(name, format)| ("a".into(), name.into(), format)).into();
        let kernel = FakeKernel { tracepoints, ..FakeKernel::default() };
        let programs = |text: &str| -> Vec<usize> {
            let script = crate::syntax::parse(text, crate::syntax::ast::SourceId::default()).unwrap();
            let analysis = analyse(&script, &mut Environment::default(), &kernel, None);
            analysis.ok().unwrap().probes.iter().map(|probe| probe.program).collect()
        };
        assert_eq!(programs("tracepoint:a:* { @[args.nr, probetype] = count(); }"), [0, 0, 0, 0]);
        assert_eq!(programs("tracepoint:a:* { @[args.nr, args.ret] = count(); }"), [0, 0, 1, 2]);
        assert_eq!(programs("tracepoint:a:* { print(args); }"), [0, 1, 2, 3]);
    }

    /// Where a program of 32 bits passes its arguments, one of 64 bits has something else.
    #[test]
    fn programs_of_32_and_64_bits_share_none() {
        let context = |is_32_bit| {
            let function = UserFunction { is_32_bit, ..UserFunction::default() };
            let context = ProbeContext::new(ProgramKind::Probe, "uprobe", "uprobe:x:y".into());
            ProbeContext { arguments: Arguments::User(function), ..context }
        };
        let shared = |first: bool, other: bool| is_alike(&context(first), &context(other));
        assert_eq!([shared(false, false), shared(true, true), shared(false, true)], [true, true, false]);
    }

    /// Cookies have indices into the plan; the table begins with the action's first probe.
    #[test]
    fn the_names_are_those_of_the_action() {
        let analysis = analysed("begin { } kprobe:f_* { printf(\"%s\\n\", probe); }", MANY);
        let mut builder = analysis.builder;
        builder.finish();
        let bytes = builder.maps.iter().find_map(|map| match &map.role {
            MapRole::Constants { bytes } => Some(bytes.as_slice()),
            _ => None,
        });
        let entries: Vec<&[u8]> = bytes.unwrap().chunks(16).collect();
        assert_eq!(entries.len(), MANY + 1);
        assert_eq!((entries[0], entries[1]), (&b"kprobe:f_10\0\0\0\0\0"[..], &b"kprobe:f_11\0\0\0\0\0"[..]));
        let text = format!("{:?}", analysis.module.programs[1].body);
        assert!(text.contains("value: 32 } }, right: Const { ty: I64, value: 1 } }"), "{text}");
    }

    #[test]
    fn a_name_that_must_be_a_literal_is_one() {
        let text = "kprobe:f_* { print(strftime(probe, nsecs)); }";
        let analysis = analysed(text, MANY);
        assert_eq!((analysis.module.programs.len(), analysis.builder.time_formats.len()), (MANY, MANY));
        let formats = &analysis.builder.time_formats;
        assert_eq!(formats.first().map(String::as_str), Some("kprobe:f_10"));
    }
}
