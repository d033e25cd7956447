//! What a program must name already when it is loaded: the function or type it will be attached to.

use std::os::fd::AsFd;

use probebook_compiler::kernel_info::KERNEL;
use probebook_compiler::plan::{Attach, FentryTarget, Plan, ProbePlan, ProgramKind};

use super::{AttachError, Reason};
use crate::loader::inspect;
use crate::loader::program::Binding;
use crate::system::{Btf, System};

/// The bindings of a plan's programs, in their order; most kinds need none.
pub fn all(plan: &Plan, system: &System) -> Result<Vec<Option<Binding>>, AttachError> {
    let of_program = |(index, program): (usize, &probebook_compiler::plan::ProgramPlan)| {
        let Some(probe) = plan.probes.iter().find(|probe| probe.program == index) else { return Ok(None) };
        let bound = bind(probe, program.kind, system);
        bound.map_err(|reason| AttachError { probe: probe.name.clone(), span: probe.span, reason })
    };
    plan.programs.iter().enumerate().map(of_program).collect()
}

fn bind(probe: &ProbePlan, kind: ProgramKind, system: &System) -> Result<Option<Binding>, Reason> {
    match &probe.attach {
        Attach::Fentry { target: FentryTarget::Module(module), function, .. } => {
            in_module(module, function, system).map(Some)
        }
        Attach::Fentry { target: FentryTarget::Program(id), function, .. } => in_program(*id, function).map(Some),
        Attach::Iter { target, .. } => {
            let missing = || Reason::Missing(format!("this kernel has no iterator {target}"));
            Ok(Some(Binding { btf_id: system.btf().iterator_id(target).ok_or_else(missing)?, owner: None }))
        }
        Attach::RawTracepoint { name } if kind == ProgramKind::TypedTracepoint => {
            let missing = || Reason::Missing(format!("the kernel does not describe the raw tracepoint {name}"));
            Ok(Some(Binding { btf_id: system.btf().raw_tracepoint_id(name).ok_or_else(missing)?, owner: None }))
        }
        _ => Ok(None),
    }
}

fn in_module(module: &str, function: &str, system: &System) -> Result<Binding, Reason> {
    let missing = || Reason::Missing(format!("the kernel does not describe a function {function} of {module}"));
    let btf_id = system.module_btf(module).and_then(|btf| btf.function_id(function)).ok_or_else(missing)?;
    if module == KERNEL {
        return Ok(Binding { btf_id, owner: None });
    }
    let owner = inspect::module_btf(module).map_err(|error| Reason::of(error, "finding the module's types"))?;
    Ok(Binding { btf_id, owner: Some(owner.ok_or_else(missing)?) })
}

fn in_program(id: u32, function: &str) -> Result<Binding, Reason> {
    let program =
        inspect::program(id).map_err(|_| Reason::Missing(format!("there is no BPF program {id} any more")))?;
    let data = inspect::program_btf(program.as_fd())
        .map_err(|error| Reason::of(error, "reading the types of the BPF program"))?;
    let missing = || Reason::Missing(format!("the BPF program {id} has no function {function}"));
    let btf_id = Btf::of_program(data).function_id(function).ok_or_else(missing)?;
    Ok(Binding { btf_id, owner: Some(program) })
}
