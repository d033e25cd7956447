//! Which probes of a plan share a link. That is decided before programs are loaded: the kernel wants
//! to know then.

use probebook_compiler::plan::{Attach, Plan, ProbePlan};

use super::uprobe::Place;
use super::{AttachError, Attachment, Mechanisms, Surroundings, Target, attach, uprobe};
use crate::loader::program::Linking;

/// The first Linux with `BPF_TRACE_UPROBE_MULTI`, and the first where such a link that is limited to a
/// process sees all its threads (commits 89ae89f53d20 and 46ba0e49b642).
const UPROBE_MULTI: (u32, u32) = (6, 6);
const UPROBE_MULTI_OF_PROCESS: (u32, u32) = (6, 11);

/// Probes of one program that are attached by one link, as indices into the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub program: usize,
    pub probes: Vec<usize>,
}

/// How each program of a plan will be linked.
pub fn linking(plan: &Plan, mechanisms: Mechanisms, of_process: bool) -> Vec<Linking> {
    let needed = if of_process { UPROBE_MULTI_OF_PROCESS } else { UPROBE_MULTI };
    let uprobe_multi = mechanisms.uprobe_multi && kernel_version() >= needed;
    let of_program = |program: usize| {
        let mut probes = plan.probes.iter().filter(|probe| probe.program == program);
        let places: usize = probes.clone().map(|probe| places(probe, 0).map_or(0, |places| places.len())).sum();
        let all = probes.all(|probe| places_of(&probe.attach).is_some());
        if uprobe_multi && all && places > 1 { Linking::UprobeMulti } else { Linking::Single }
    };
    (0..plan.programs.len()).map(of_program).collect()
}

/// The probes of a plan in their order, those together that one link can hold.
pub fn groups(plan: &Plan, linking: &[Linking]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (index, probe) in plan.probes.iter().enumerate() {
        let is_multi = linking.get(probe.program) == Some(&Linking::UprobeMulti);
        let together = |group: &&mut Group| {
            let first = group.probes.first().and_then(|first| plan.probes.get(*first));
            group.program == probe.program
                && first.is_some_and(|first| places_of(&first.attach) == places_of(&probe.attach))
        };
        match groups.iter_mut().filter(|_| is_multi).find(together) {
            Some(group) => group.probes.push(index),
            None => groups.push(Group { program: probe.program, probes: vec![index] }),
        }
    }
    groups
}

/// Attaches a group's probes; if that fails, one by one, to see which of them it is.
pub fn attach_group(
    probes: &[(usize, &ProbePlan)],
    target: Target<'_>,
    around: &Surroundings<'_>,
) -> Vec<Result<Vec<Attachment>, AttachError>> {
    let separately =
        || probes.iter().map(|(cookie, probe)| attach(probe, Target { cookie: *cookie as u64, ..target }, around));
    if let ([(_, first), _, ..], Linking::UprobeMulti) = (probes, target.linking)
        && let Some((path, returns)) = places_of(&first.attach)
    {
        let all: Vec<Place> =
            probes.iter().filter_map(|(cookie, probe)| places(probe, *cookie as u64)).flatten().collect();
        if let Ok(attachments) = uprobe::attach(target, path, &all, returns, around) {
            let others = probes.iter().skip(1).map(|_| Ok(Vec::new()));
            return std::iter::once(Ok(attachments)).chain(others).collect();
        }
    }
    separately().collect()
}

/// File and kind of probes that are places in a file.
fn places_of(attach: &Attach) -> Option<(&str, bool)> {
    match attach {
        Attach::Uprobe { path, returns, .. } => Some((path, *returns)),
        Attach::Usdt { path, .. } => Some((path, false)),
        _ => None,
    }
}

/// The places of such a probe. A static tracepoint's cookies number its places.
pub fn places(probe: &ProbePlan, cookie: u64) -> Option<Vec<Place>> {
    match &probe.attach {
        Attach::Uprobe { offset, .. } => Some(vec![Place { offset: *offset, semaphore: 0, cookie }]),
        Attach::Usdt { places, .. } => {
            let place = |(cookie, place): (usize, &probebook_compiler::plan::UsdtPlace)| Place {
                offset: place.offset,
                semaphore: place.semaphore,
                cookie: cookie as u64,
            };
            Some(places.iter().enumerate().map(place).collect())
        }
        _ => None,
    }
}

/// The kernel's version, `6.12.3-amd64` as 6 and 12.
fn kernel_version() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use probebook_compiler::plan::{ProgramKind, ProgramPlan};
    use probebook_compiler::syntax::ast::Span;

    fn plan(probes: &[(usize, &str, bool)]) -> Plan {
        let probe = |(program, path, returns): &(usize, &str, bool)| ProbePlan {
            name: String::new(),
            span: Span::default(),
            attach: Attach::Uprobe { path: (*path).into(), symbol: String::new(), offset: 1, returns: *returns },
            program: *program,
        };
        let programs = probes.iter().map(|(program, ..)| program + 1).max().unwrap_or(0);
        let program = ProgramPlan { symbol: String::new(), section: String::new(), kind: ProgramKind::Probe };
        Plan { probes: probes.iter().map(probe).collect(), programs: vec![program; programs], ..Plan::default() }
    }

    #[test]
    fn only_several_places_of_one_program_need_a_common_link() {
        let plan = plan(&[(0, "/a", false), (0, "/b", false), (0, "/a", false), (1, "/a", true)]);
        let linking = vec![Linking::UprobeMulti, Linking::Single];
        let probes: Vec<Vec<usize>> = groups(&plan, &linking).into_iter().map(|group| group.probes).collect();
        assert_eq!(probes, [vec![0, 2], vec![1], vec![3]]);
        let none = Mechanisms { uprobe_multi: false, ..Mechanisms::default() };
        assert_eq!(super::linking(&plan, none, false), [Linking::Single, Linking::Single]);
        if kernel_version() >= UPROBE_MULTI {
            assert_eq!(super::linking(&plan, Mechanisms::default(), false), linking);
        }
    }
}
