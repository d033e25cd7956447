//! Which probes of a plan share a link. That is decided before programs are loaded: the kernel wants
//! to know then.

use probebook_compiler::plan::{Attach, Plan, ProbePlan};

use super::{AttachError, Attachment, Mechanisms, Surroundings, Target, attach, kprobe};
use crate::loader::features;
use crate::loader::program::Linking;

/// Probes of one program that are attached by one link, as indices into the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub program: usize,
    pub probes: Vec<usize>,
}

/// How each program of a plan will be linked.
pub fn linking(plan: &Plan, mechanisms: Mechanisms) -> Vec<Linking> {
    let of_program = |program: usize| {
        let probes = || plan.probes.iter().filter(|probe| probe.program == program);
        let many = probes().count() > 1 && probes().all(|probe| is_function(&probe.attach));
        let wanted = mechanisms.kprobe_multi && many;
        if wanted && features::kprobe_multi() { Linking::KprobeMulti } else { Linking::Single }
    };
    (0..plan.programs.len()).map(of_program).collect()
}

/// The probes of a plan in their order, those together that one link can hold.
pub fn groups(plan: &Plan, linking: &[Linking]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    // The group of a program, since a program's probes are of one kind.
    let mut of_program: Vec<Option<usize>> = vec![None; plan.programs.len()];
    for (index, probe) in plan.probes.iter().enumerate() {
        let is_multi = linking.get(probe.program) == Some(&Linking::KprobeMulti);
        let known = of_program.get(probe.program).copied().flatten().filter(|_| is_multi);
        match known.and_then(|known| groups.get_mut(known)) {
            Some(group) => group.probes.push(index),
            None => {
                if let Some(slot) = of_program.get_mut(probe.program) {
                    *slot = Some(groups.len());
                }
                groups.push(Group { program: probe.program, probes: vec![index] });
            }
        }
    }
    groups
}

/// Attaches a group's probes.
pub fn attach_group(
    probes: &[(usize, &ProbePlan)],
    target: Target<'_>,
    around: &Surroundings<'_>,
) -> Vec<Result<Vec<Attachment>, AttachError>> {
    match target.linking {
        Linking::KprobeMulti => kprobe::attach_many(probes, target),
        Linking::Single => probes
            .iter()
            .map(|(cookie, probe)| attach(probe, Target { cookie: *cookie as u64, ..target }, around))
            .collect(),
    }
}

/// Whether a probe is one that `BPF_TRACE_KPROBE_MULTI` can have among others: at the start or the end of a
/// function that is known by its name alone.
fn is_function(attach: &Attach) -> bool {
    matches!(attach, Attach::Kprobe { module: None, symbol, offset: 0, .. } if !symbol.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use probebook_compiler::plan::{ProgramKind, ProgramPlan};
    use probebook_compiler::syntax::ast::Span;

    #[test]
    fn probes_of_one_program_share_a_link() {
        let probe = |program| ProbePlan {
            name: String::new(),
            span: Span::default(),
            attach: Attach::Kprobe { module: None, symbol: "f".into(), offset: 0, returns: false },
            program,
        };
        let program = ProgramPlan { symbol: String::new(), section: String::new(), kind: ProgramKind::Probe };
        let plan = Plan { probes: [0, 1, 0].map(probe).into(), programs: vec![program; 2], ..Plan::default() };
        let probes = |linking: &[Linking]| -> Vec<Vec<usize>> {
            groups(&plan, linking).into_iter().map(|group| group.probes).collect()
        };
        assert_eq!(probes(&[Linking::KprobeMulti, Linking::Single]), [vec![0, 2], vec![1]]);
        assert_eq!(probes(&[Linking::Single, Linking::Single]), [vec![0], vec![1], vec![2]]);
        let none = Mechanisms { kprobe_multi: false, ..Mechanisms::default() };
        assert_eq!(linking(&plan, none), [Linking::Single, Linking::Single]);
    }
}
