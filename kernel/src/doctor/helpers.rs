//! Which of the kernel's helper functions programs may call here.

use probebook_compiler::helpers;
use probebook_runtime::Session;
use probebook_runtime::loader::feature::{self, Support, Typed};

use super::{Line, State, remedies};

const AREA: &str = "helpers";

/// One line for each helper that programs of ours may call, each tried by loading a program.
pub fn lines(session: &Session) -> Vec<Line> {
    // Some helpers need a program whose arguments are typed.
    let btf = session.system().btf();
    let typed = Typed { iterator: btf.iterator_id("task"), function: btf.function_id("vfs_rename") };
    helpers::ALL.iter().map(|known| line(known, feature::helper(known.id.0, typed))).collect()
}

fn line(known: &helpers::Known, support: Support) -> Line {
    let serves = known.serves;
    let missing = |detail: String, remedy: &str| Line::not(State::Missing, AREA, known.name, detail, remedy);
    match support {
        Support::Works => Line::works(AREA, known.name, serves),
        Support::Unknown => missing(format!("this kernel does not have it: {serves}"), "use a newer kernel"),
        Support::OtherPrograms => {
            let detail = format!("no program may call it here: {serves}");
            missing(detail, remedies::for_helper(known.name).unwrap_or(""))
        }
        Support::Refused(reason) => {
            let detail = format!("programs cannot be loaded: {reason}");
            Line::not(State::Fails, AREA, known.name, detail, "see the lines about privileges")
        }
    }
}
