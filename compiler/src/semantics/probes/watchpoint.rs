//! `watchpoint:address:length:mode`: the processor's breakpoints on memory.

use crate::diagnostics::Diagnostic;
use crate::plan::{Access, Attach, ProgramKind};
use crate::semantics::arch::NATIVE;

use super::{Arguments, Expanded, ProbeContext, ProbeType, Request};

pub const WATCHPOINT: ProbeType = ProbeType {
    name: "watchpoint",
    aliases: &["w"],
    variants: &["watchpoint:absolute_address:length:mode"],
    documentation: "Fires when memory at an address is written (`w`), read or written (`rw`) or executed (`x`): 1, 2, 4 or 8 bytes. With `-p` or `-c` the address is one of that process, else of any process that runs, or of the kernel.",
    expand,
};

fn expand(request: &Request) -> Result<Vec<Expanded>, Box<Diagnostic>> {
    let [address, length, mode] = request.parts.as_slice() else { return Err(request.wrong_form(&WATCHPOINT)) };
    let invalid = |message: String| request.error("invalid-probe", message);
    let number = |text: &str, what: &str| {
        let parsed = match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => text.parse().ok(),
        };
        parsed.ok_or_else(|| invalid(format!("Invalid {what} argument: {text} is not a number")))
    };
    let address = number(address, "function/address")?;
    let length = number(length, "length")?;
    if address == 0 {
        return Err(invalid("watchpoint must be attached to a non-zero address".into()));
    }
    if !matches!(length, 1 | 2 | 4 | 8) {
        return Err(invalid("watchpoint length must be one of (1,2,4,8)".into()));
    }
    if address % length != 0 {
        return Err(invalid(format!("the address of a watchpoint of {length} bytes must be a multiple of {length}")));
    }
    let access = parse_mode(request, mode)?;
    let name = format!("watchpoint:{}", request.parts.join(":"));
    let mut context = ProbeContext::new(ProgramKind::PerfEvent, WATCHPOINT.name, name);
    context.arguments = Arguments::Registers;
    let attach = Attach::Watchpoint { address, length: length as u32, access };
    Ok(vec![Expanded { attach, context, span: request.point.span }])
}

fn parse_mode(request: &Request, mode: &str) -> Result<Access, Box<Diagnostic>> {
    let mut letters: Vec<char> = mode.chars().collect();
    letters.sort_unstable();
    if letters.is_empty() || letters.iter().any(|letter| !matches!(letter, 'r' | 'w' | 'x')) {
        return Err(request.error("invalid-probe", "watchpoint mode must be combination of (r,w,x)"));
    }
    if letters.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(request.error("invalid-probe", "watchpoint modes may not be duplicated"));
    }
    let sorted: String = letters.iter().collect();
    if !NATIVE.watchpoint_modes.contains(&sorted.as_str()) {
        let diagnostic = request.error("invalid-probe", format!("invalid watchpoint mode: {mode}"));
        return Err(Box::new(diagnostic.hint(format!("supported modes: {}", NATIVE.watchpoint_modes.join(",")))));
    }
    Ok(Access { read: sorted.contains('r'), write: sorted.contains('w'), execute: sorted.contains('x') })
}

#[cfg(test)]
mod tests {
    use crate::semantics::environment::Environment;
    use crate::semantics::fake::FakeKernel;
    use crate::semantics::probes::{expand, find_type};
    use crate::syntax::ast::{AttachPart, AttachPoint, Span};

    fn message(text: &str) -> Option<String> {
        let parts = text.split(':').map(|part| AttachPart { span: Span::default(), text: part.into() }).collect();
        let point = AttachPoint { span: Span::default(), label: None, parts, text: text.into() };
        expand(&point, &Environment::default(), &FakeKernel::default(), None).err().map(|error| error.message)
    }

    #[test]
    fn addresses_lengths_and_modes_are_checked() {
        assert!(find_type("w").is_some());
        assert_eq!(message("watchpoint:0x10000000:8:w"), None);
        assert_eq!(message("w:4096:1:wr"), None);
        let fails = ["w:0:8:w", "w:0x10000000:3:w", "w:0x10000001:2:w", "w:0x10:8:", "w:0x10:8:ww", "w:0x10:8:q"];
        for text in fails {
            assert!(message(text).is_some(), "{text}");
        }
    }
}
