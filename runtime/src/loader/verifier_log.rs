//! What the verifier's log says: the reason, and the place in the script.

use super::object::LineInfo;

/// The essence of a rejection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reason {
    /// The verifier's own last word: `R1 invalid mem access 'scalar'`.
    pub message: String,
    /// The instruction that it was looking at.
    pub instruction: Option<u32>,
}

/// Finds the reason in a log. The last line that is neither an instruction, nor a register state,
/// nor a source line, nor statistics is what the verifier objects to.
pub fn reason(log: &str) -> Reason {
    let mut reason = Reason::default();
    let mut helper = "";
    for line in log.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(index) = instruction_index(line) {
            reason.instruction = Some(index);
            helper = called_helper(line).unwrap_or(helper);
        } else if !is_noise(line) {
            line.clone_into(&mut reason.message);
        }
    }
    let named = REFUSALS.iter().find_map(|words| reason.message.strip_prefix(words));
    let named = named.map(|rest| rest.split('#').next().filter(|name| !name.is_empty()).unwrap_or(helper));
    if let Some(helper) = named {
        reason.message = format!("helper {helper} not allowed in probe");
    }
    reason
}

/// How the verifier refuses a helper, by version and cause; all but the first name it (`check_helper_call` in
/// `kernel/bpf/verifier.c`).
const REFUSALS: [&str; 3] =
    ["helper call is not allowed in probe", "program of this type cannot use helper ", "unknown func "];

/// `12: (85) call bpf_d_path#147` calls `bpf_d_path`.
fn called_helper(line: &str) -> Option<&str> {
    line.split_once(") call ")?.1.split('#').next()
}

/// Where an instruction comes from: the last entry that does not lie behind it.
pub fn place(lines: &[LineInfo], instruction: u32) -> Option<LineInfo> {
    lines.iter().filter(|line| line.instruction <= instruction && line.line > 0).max_by_key(|l| l.instruction).copied()
}

/// `12: (79) r1 = *(u64 *)(r1 +0)` gives 12.
fn instruction_index(line: &str) -> Option<u32> {
    let (index, rest) = line.split_once(": ")?;
    let index = index.parse().ok()?;
    rest.starts_with('(').then_some(index)
}

/// Lines that say how the verifier went, not what it found wrong.
fn is_noise(line: &str) -> bool {
    const PREFIXES: [&str; 15] = [
        ";",
        "old state",
        "cur state",
        "processed ",
        "verification time",
        "stack depth",
        "from ",
        "mark_precise",
        "last_idx",
        "regs=",
        "parent ",
        "func#",
        "Func#",
        "Validating",
        "caller:",
    ];
    let is_state = line.split_once(": ").is_some_and(|(index, rest)| {
        index.parse::<u32>().is_ok() && (rest.starts_with('R') || rest.starts_with("frame"))
    });
    is_state || line == "callee:" || is_register_state(line) || PREFIXES.iter().any(|prefix| line.starts_with(prefix))
}

/// `R0=scalar() R10=fp0`: register states printed on a line of their own.
fn is_register_state(line: &str) -> bool {
    let rest = line.strip_prefix("frame1: ").unwrap_or(line);
    rest.strip_prefix('R').and_then(|rest| rest.split(['=', '_']).next()).is_some_and(|number| {
        !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && rest.contains('=')
            && rest.contains("R10=")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "func#0 @0\n0: R1=ctx() R10=fp0\n; $x = *curtask; @ In [7]:2\n\
        0: (b7) r1 = 0                        ; R1_w=0\n1: (79) r0 = *(u64 *)(r1 +0)\n\
        R1 invalid mem access 'scalar'\nverification time 55 usec\nstack depth 0\n\
        processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0\n";

    #[test]
    fn the_objection_and_its_instruction_are_found() {
        let reason = reason(LOG);
        assert_eq!(reason.message, "R1 invalid mem access 'scalar'");
        assert_eq!(reason.instruction, Some(1));
    }

    #[test]
    fn a_helper_that_is_not_allowed_is_named() {
        for words in [
            "helper call is not allowed in probe",
            "program of this type cannot use helper bpf_d_path#147",
            "unknown func bpf_d_path#147",
        ] {
            let log = format!("4: (85) call bpf_d_path#147\n{words}\n");
            assert_eq!(super::reason(&log).message, "helper bpf_d_path not allowed in probe");
        }
    }

    #[test]
    fn an_instruction_belongs_to_the_line_before_it() {
        let lines = [
            LineInfo { instruction: 0, line: 1, column: 1 },
            LineInfo { instruction: 4, line: 2, column: 3 },
            LineInfo { instruction: 6, line: 0, column: 0 },
        ];
        assert_eq!(place(&lines, 3).map(|line| line.line), Some(1));
        assert_eq!(place(&lines, 9).map(|line| (line.line, line.column)), Some((2, 3)));
        assert_eq!(place(&[], 9), None);
    }
}
