//! Probes that cannot be attached, and those that the kernel has passed over.

use std::collections::BTreeSet;

use probebook_compiler::plan::{Attach, MissingProbes, Plan};

use crate::attach::{AttachError, Reason};
use crate::events::{Severity, Sink};

/// What becomes of a probe that could not be attached, whatever the reason; `missing_probes` decides.
pub fn pass_over(error: AttachError, how: MissingProbes, sink: &mut dyn Sink) -> Result<(), AttachError> {
    match how {
        MissingProbes::Error => Err(error),
        MissingProbes::Ignore => Ok(()),
        MissingProbes::Warn => {
            sink.message(Severity::Warning, &error.to_string(), Some(error.span));
            Ok(())
        }
    }
}

/// Whether what a probe is in has just gone, and is one of several files that its attach point stands for:
/// among the programs of a whole host one may always be ending, or being replaced.
pub fn went_away(error: &AttachError, plan: &Plan) -> bool {
    if !matches!(error.reason, Reason::FileGone(_)) {
        return false;
    }
    let file = |attach: &Attach| match attach {
        Attach::Uprobe { path, .. } | Attach::Usdt { path, .. } => Some(path.clone()),
        _ => None,
    };
    let siblings = plan.probes.iter().filter(|probe| probe.span == error.span);
    siblings.filter_map(|probe| file(&probe.attach)).collect::<BTreeSet<_>>().len() > 1
}

/// The probes of a program, in one word: the kernel does not tell which of them it has skipped.
pub fn probes_of(plan: &Plan, program: usize) -> String {
    let mut probes = plan.probes.iter().filter(|probe| probe.program == program);
    let first = probes.next().map_or("a probe", |probe| probe.name.as_str());
    match probes.count() {
        0 => first.to_owned(),
        1 => format!("{first} or another one"),
        others => format!("{first} or one of {others} others"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probebook_compiler::plan::{Attach, ProbePlan};
    use probebook_compiler::syntax::ast::Span;

    #[test]
    fn probes_that_share_a_program_are_told_once() {
        let probe = |(name, program): (&str, usize)| ProbePlan {
            name: name.into(),
            span: Span::default(),
            attach: Attach::Begin,
            program,
        };
        let probes = [("a", 0), ("b", 1), ("c", 1), ("d", 2), ("e", 2), ("f", 2)].map(probe).into();
        let plan = Plan { probes, ..Plan::default() };
        let names: Vec<String> = (0..3).map(|program| probes_of(&plan, program)).collect();
        assert_eq!(names, ["a", "b or another one", "d or one of 2 others"]);
    }
}
