//! Which probes of a plan share a link. That is decided before programs are loaded: the kernel wants
//! to know then.

use std::collections::HashMap;

use probebook_compiler::plan::{Attach, Cookie, Plan, ProbePlan, ProgramKind, UsdtPlace};

use super::uprobe::Place;
use super::{AttachError, Attachment, Mechanisms, Surroundings, Target, attach, kprobe_multi, uprobe};
use crate::loader::privilege;
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

/// The kernel, as far as links depend on it.
#[derive(Clone, Copy)]
pub struct Kernel<'a> {
    /// Major and minor number.
    pub release: (u32, u32),
    /// Whether one link can hold many kprobes; found out when it is first asked for.
    pub has_kprobe_multi: &'a dyn Fn() -> bool,
}

/// How each program of a plan will be linked.
pub fn linking(plan: &Plan, mechanisms: Mechanisms, of_process: bool, kernel: Kernel<'_>) -> Vec<Linking> {
    let needed = if of_process { UPROBE_MULTI_OF_PROCESS } else { UPROBE_MULTI };
    let uprobe_multi = mechanisms.uprobe_multi && kernel.release >= needed;
    // For such a link the capabilities of tracing suffice.
    let worthwhile = if privilege::is_administrator() { 2 } else { 1 };
    let of_program = |program: usize| {
        let probes = || plan.probes.iter().filter(|probe| probe.program == program);
        let places: usize = probes().map(|probe| places(probe, 0).map_or(0, |places| places.len())).sum();
        let many_functions = probes().count() > 1 && probes().all(|probe| is_function(&probe.attach));
        let is_session = plan.programs.get(program).is_some_and(|program| program.kind == ProgramKind::Session);
        if is_session {
            Linking::KprobeSession
        } else if uprobe_multi && places >= worthwhile && probes().all(|probe| places_of(&probe.attach).is_some()) {
            Linking::UprobeMulti
        } else if mechanisms.kprobe_multi && many_functions && (kernel.has_kprobe_multi)() {
            Linking::KprobeMulti
        } else {
            Linking::Single
        }
    };
    (0..plan.programs.len()).map(of_program).collect()
}

/// The probes of a plan in their order, those together that one link can hold.
fn groups(plan: &Plan, linking: &[Linking]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    // The group of a program's probes in each file; kernel functions lie in none.
    let mut known: HashMap<(usize, Option<UserPlaces>), usize> = HashMap::new();
    for (index, probe) in plan.probes.iter().enumerate() {
        let alone = linking.get(probe.program).is_none_or(|linking| *linking == Linking::Single);
        let key = (probe.program, places_of(&probe.attach));
        let group = known.get(&key).filter(|_| !alone).and_then(|group| groups.get_mut(*group));
        match group {
            Some(group) => group.probes.push(index),
            None => {
                known.insert(key, groups.len());
                groups.push(Group { program: probe.program, probes: vec![index] });
            }
        }
    }
    groups
}

/// The probes of a plan in the order in which they are attached, so that actions on one place run in their order.
pub fn in_order(plan: &Plan, linking: &[Linking]) -> impl Iterator<Item = Group> {
    let is_reversed = |group: &Group| {
        let probe = group.probes.first().and_then(|index| plan.probes.get(*index));
        probe.is_some_and(|probe| latest_runs_first(&probe.attach))
    };
    let (reversed, others): (Vec<_>, Vec<_>) = groups(plan, linking).into_iter().partition(is_reversed);
    others.into_iter().chain(reversed.into_iter().rev())
}

/// Whether the kernel runs the program first that was attached last: on trampolines (`bpf_trampoline_link_prog` in
/// `kernel/bpf/trampoline.c`), uprobes (`consumer_add` in `kernel/events/uprobes.c`) and kprobes (`add_new_kprobe` in
/// `kernel/kprobes.c`; their returns are in the order of attaching).
fn latest_runs_first(attach: &Attach) -> bool {
    match attach {
        Attach::Fentry { .. } | Attach::Uprobe { .. } | Attach::Usdt { .. } => true,
        Attach::Kprobe { returns, .. } => !returns,
        _ => false,
    }
}

/// Attaches a group's probes; if that fails, one by one, to see which of them it is.
pub fn attach_group(
    probes: &[(usize, &ProbePlan)],
    target: Target<'_>,
    around: &Surroundings<'_>,
) -> Vec<Result<Vec<Attachment>, AttachError>> {
    if matches!(target.linking, Linking::KprobeMulti | Linking::KprobeSession) {
        return kprobe_multi::attach(probes, target);
    }
    let separately = || {
        probes.iter().map(|(index, probe)| attach(probe, Target { cookie: Cookie::of(*index, 0), ..target }, around))
    };
    if let ([(_, first), _, ..], Linking::UprobeMulti) = (probes, target.linking)
        && let Some((path, returns)) = places_of(&first.attach)
    {
        let all: Vec<Place> =
            probes.iter().filter_map(|(index, probe)| places(probe, Cookie::of(*index, 0))).flatten().collect();
        if let Ok(attachments) = uprobe::attach(target, path, &all, returns, around) {
            let others = probes.iter().skip(1).map(|_| Ok(Vec::new()));
            return std::iter::once(Ok(attachments)).chain(others).collect();
        }
    }
    separately().collect()
}

/// Whether a probe is one that `BPF_TRACE_KPROBE_MULTI` can have among others: at the start or the end of a
/// function that is known by its name alone.
fn is_function(attach: &Attach) -> bool {
    matches!(attach, Attach::Kprobe { module: None, symbol, offset: 0, .. } if !symbol.is_empty())
}

/// The file, and whether the probes are at the end of functions.
type UserPlaces<'a> = (&'a str, bool);

/// File and kind of probes that are places in a file.
fn places_of(attach: &Attach) -> Option<UserPlaces<'_>> {
    match attach {
        Attach::Uprobe { path, returns, .. } => Some((path, *returns)),
        Attach::Usdt { path, .. } => Some((path, false)),
        _ => None,
    }
}

/// The places of such a probe. The cookie is that of the first one.
pub fn places(probe: &ProbePlan, cookie: u64) -> Option<Vec<Place>> {
    match &probe.attach {
        Attach::Uprobe { offset, .. } => Some(vec![Place { offset: *offset, semaphore: 0, cookie }]),
        Attach::Usdt { places, .. } => {
            let place = |(index, place): (usize, &UsdtPlace)| Place {
                offset: place.offset,
                semaphore: place.semaphore,
                cookie: cookie | index as u64,
            };
            Some(places.iter().enumerate().map(place).collect())
        }
        _ => None,
    }
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
        let (symbol, code, section) = Default::default();
        let program = ProgramPlan { symbol, object: 0, code, section, kind: ProgramKind::Probe, overrides: false };
        Plan { probes: probes.iter().map(probe).collect(), programs: vec![program; programs], ..Plan::default() }
    }

    #[test]
    fn only_several_places_of_one_program_need_a_common_link() {
        let plan = plan(&[(0, "/a", false), (0, "/b", false), (0, "/a", false), (1, "/a", true)]);
        let linking = vec![Linking::UprobeMulti, Linking::Single];
        let probes: Vec<Vec<usize>> = groups(&plan, &linking).into_iter().map(|group| group.probes).collect();
        assert_eq!(probes, [vec![0, 2], vec![1], vec![3]]);
        let none = Mechanisms { uprobe_multi: false, ..Mechanisms::default() };
        let single = [Linking::Single, Linking::Single];
        let on = |release| Kernel { release, has_kprobe_multi: &|| true };
        assert_eq!(super::linking(&plan, none, false, on((6, 18))), single);
        assert_eq!(super::linking(&plan, Mechanisms::default(), false, on((6, 5))), single);
        assert_eq!(super::linking(&plan, Mechanisms::default(), false, on((6, 6))), linking);
        assert_eq!(super::linking(&plan, Mechanisms::default(), true, on((6, 6))), single);
    }

    #[test]
    fn where_the_latest_runs_first_the_first_is_attached_last() {
        let user = plan(&[(0, "/a", false), (1, "/a", false), (2, "/a", true)]);
        let other = |program| ProbePlan {
            name: String::new(),
            span: Span::default(),
            attach: Attach::Interval { period_ns: 1 },
            program,
        };
        let probes = user.probes.iter().cloned().chain([other(3), other(4)]).collect();
        let plan = Plan { probes, ..user };
        let programs: Vec<usize> = in_order(&plan, &[Linking::Single; 5]).map(|group| group.program).collect();
        assert_eq!(programs, [3, 4, 2, 1, 0]);
    }

    #[test]
    fn kernel_functions_of_one_program_share_a_link() {
        let probe = |program| ProbePlan {
            name: String::new(),
            span: Span::default(),
            attach: Attach::Kprobe { module: None, symbol: "f".into(), offset: 0, returns: false },
            program,
        };
        let plan = Plan { probes: [0, 1, 0].map(probe).into(), ..Plan::default() };
        let probes = |linking: &[Linking]| -> Vec<Vec<usize>> {
            groups(&plan, linking).into_iter().map(|group| group.probes).collect()
        };
        assert_eq!(probes(&[Linking::KprobeMulti, Linking::Single]), [vec![0, 2], vec![1]]);
        assert_eq!(probes(&[Linking::Single, Linking::Single]), [vec![0], vec![1], vec![2]]);
    }
}
