//! Which of the kernel's helper functions programs may call here.

use probebook_compiler::helpers;
use probebook_runtime::Session;
use probebook_runtime::loader::feature::{self, Support};

use super::{Line, State};

const AREA: &str = "helpers";

/// One line for each helper that programs of ours may call, each tried by loading a program.
pub fn lines(session: &Session) -> Vec<Line> {
    // Some helpers need a program whose arguments are typed.
    let iterator = session.system().btf().iterator_id("task");
    helpers::ALL.iter().map(|known| line(known, feature::helper(known.id.0, iterator))).collect()
}

fn line(known: &helpers::Known, support: Support) -> Line {
    let serves = known.serves;
    let missing = |detail: String, remedy: &str| Line::not(State::Missing, AREA, known.name, detail, remedy);
    match support {
        Support::Works => Line::works(AREA, known.name, serves),
        Support::Unknown => missing(format!("this kernel does not have it: {serves}"), "use a newer kernel"),
        Support::OtherPrograms => {
            let detail = format!("no program may call it here: {serves}");
            missing(detail, remedy(known.name))
        }
        Support::Refused(reason) => {
            let detail = format!("programs cannot be loaded: {reason}");
            Line::not(State::Fails, AREA, known.name, detail, "see the lines about privileges")
        }
    }
}

/// Why the kernel keeps a helper from everybody.
fn remedy(name: &str) -> &'static str {
    match name {
        "probe_write_user" => "lockdown forbids it: boot without lockdown to use write_user()",
        "override_return" => "it needs CONFIG_BPF_KPROBE_OVERRIDE and no lockdown",
        "get_func_arg" | "d_path" | "get_socket_cookie" => "only fentry and fexit may",
        _ => "",
    }
}
