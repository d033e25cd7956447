//! `iter:task`, `iter:task_file` …: goes over objects of the kernel once.

use crate::diagnostics::Diagnostic;
use crate::plan::{Attach, ProgramKind};

use crate::semantics::nearest::nearest;

use super::{Arguments, Expanded, ProbeContext, ProbeType, Request, glob};

pub const ITER: ProbeType = ProbeType {
    name: "iter",
    aliases: &["it"],
    variants: &["iter:object", "iter:object:pin"],
    documentation: "Goes once over all kernel objects of a kind, such as `task`, `task_file` or `task_vma`; the object is in `ctx`. With a pin the iterator becomes a file (relative to /sys/fs/bpf) that runs it when it is read.",
    expand,
};

/// Where pins with a relative path go.
const PINS: &str = "/sys/fs/bpf/";
/// The kernel's name of an iterator's context starts so.
const CONTEXT: &str = "struct bpf_iter__";

fn expand(request: &Request) -> Result<Vec<Expanded>, Box<Diagnostic>> {
    let (name, pin) = match request.parts.as_slice() {
        [name] => (name, None),
        [name, pin] if !pin.is_empty() => (name, Some(pin)),
        _ => return Err(request.wrong_form(&ITER)),
    };
    if glob::is_pattern(name) || pin.is_some_and(|pin| glob::is_pattern(pin)) {
        return Err(request.error("invalid-probe", "iter probe type does not support wildcards"));
    }
    let all = request.info.iterators().map_err(|error| request.unavailable(error))?;
    let context_type = request.info.struct_type(&format!("{CONTEXT}{name}"));
    let Some(context_type) = context_type.filter(|_| all.contains(name)) else {
        let known = all.iter().map(String::as_str);
        let message = format!("iter {name} not available for your kernel version.");
        let diagnostic = request.error("unknown-probe", message);
        return Err(Box::new(match nearest(name, known) {
            Some(near) => diagnostic.hint(format!("did you mean {near}?")),
            None => *diagnostic,
        }));
    };
    let pin = pin.map(|pin| if pin.starts_with('/') { pin.clone() } else { format!("{PINS}{pin}") });
    let mut context = ProbeContext::new(ProgramKind::Iter, ITER.name, format!("iter:{name}"));
    context.arguments = Arguments::Iterator(context_type);
    context.prints_to_file = pin.is_some();
    // The kernel knows what is gone over when the program is loaded.
    context.is_alone = true;
    let attach = Attach::Iter { target: name.clone(), pin };
    Ok(vec![Expanded { attach, context, span: request.point.span }])
}
