//! Function probes: `uprobe`, `uretprobe`, and those still to come.

use std::path::Path;

use crate::diagnostics::Diagnostic;
use crate::kernel_info::UserSymbol;
use crate::plan::{Attach, ProgramKind};
use crate::types::AddressSpace;

use super::{Arguments, Expanded, ProbeContext, ProbeType, Request, glob};

pub const UPROBE: ProbeType = ProbeType {
    name: "uprobe",
    aliases: &["u"],
    variants: &["uprobe:binary:function", "uprobe:binary:function+offset", "uprobe:binary:address"],
    documentation: "Fires when a function of a program or library is entered; its arguments are in `arg0` ….",
    expand: Some(|request| user(request, &UPROBE, false)),
};

pub const URETPROBE: ProbeType = ProbeType {
    name: "uretprobe",
    aliases: &["ur"],
    variants: &["uretprobe:binary:function"],
    documentation: "Fires when a function of a program or library returns; `retval` is what it returned.",
    expand: Some(|request| user(request, &URETPROBE, true)),
};

pub const USDT: ProbeType = ProbeType {
    name: "usdt",
    aliases: &["U"],
    variants: &["usdt:binary:probe", "usdt:binary:namespace:probe"],
    documentation: "Fires at a static tracepoint of a program.",
    expand: None,
};

type Outcome = Result<Vec<Expanded>, Box<Diagnostic>>;

fn context(kind: ProgramKind, ty: &ProbeType, name: String, space: AddressSpace) -> ProbeContext {
    let mut context = ProbeContext::new(kind, ty.name, name);
    context.address_space = space;
    context.arguments = Arguments::Registers;
    context
}

/// `function`, `function+0x10`: name and offset.
fn split_offset(text: &str) -> Option<(&str, u64)> {
    match text.rsplit_once('+') {
        None => Some((text, 0)),
        Some((name, offset)) => Some((name, parse_number(offset)?)),
    }
}

fn parse_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn user(request: &Request, ty: &'static ProbeType, returns: bool) -> Outcome {
    let (binary, function) = match request.parts.as_slice() {
        [function] if request.pid.is_some() => ("", function),
        [binary, function] => (binary.as_str(), function),
        [_, language, _] if language == "cpp" => {
            return Err(request.error("not-supported-yet", "C++ function names are not supported yet"));
        }
        _ => return Err(request.wrong_form(ty)),
    };
    let binary = match request.pid {
        Some(pid) if binary.is_empty() => format!("/proc/{pid}/exe"),
        _ => binary.to_string(),
    };
    let paths = request.info.resolve_binary(&binary, request.pid).map_err(|error| request.unavailable(error))?;
    let mut result = Vec::new();
    for path in &paths {
        result.extend(in_binary(request, ty, path, function, returns)?);
    }
    if result.is_empty() && !glob::is_pattern(function) && !glob::is_pattern(&binary) {
        return Err(request.error("unknown-probe", format!("no such binary: {binary}")));
    }
    Ok(result)
}

fn in_binary(request: &Request, ty: &'static ProbeType, path: &Path, function: &str, returns: bool) -> Outcome {
    let binary = request.info.user_binary(path).map_err(|error| request.unavailable(error))?;
    let shown = path.display();
    if let Some(address) = parse_number(function) {
        let symbol = binary
            .symbols
            .iter()
            .find(|s| s.is_function && s.address <= address && address < s.address + s.size.max(1));
        let Some(symbol) = symbol else {
            return Err(
                request.error("unknown-probe", format!("no function of {shown} contains the address {function}"))
            );
        };
        let inside = address - symbol.address;
        return Ok(vec![at_symbol(request, ty, path, symbol, inside, returns)]);
    }
    let (name, offset) = split_offset(function).ok_or_else(|| request.wrong_form(ty))?;
    let functions = || binary.symbols.iter().filter(|symbol| symbol.is_function);
    if glob::is_pattern(name) {
        let mut matching: Vec<&UserSymbol> = functions().filter(|symbol| glob::matches(name, &symbol.name)).collect();
        matching.dedup_by(|a, b| a.name == b.name);
        request.check_limit(matching.len())?;
        return Ok(matching.into_iter().map(|symbol| at_symbol(request, ty, path, symbol, 0, returns)).collect());
    }
    let Some(symbol) = functions().find(|symbol| symbol.name == name) else {
        let names = functions().map(|symbol| symbol.name.as_str());
        return Err(request.not_found(&format!("function of {shown}"), name, names));
    };
    if offset > 0 && symbol.size > 0 && offset >= symbol.size {
        let message = format!("offset {offset} lies outside of {name}, which has {} bytes", symbol.size);
        return Err(request.error("invalid-probe", message));
    }
    Ok(vec![at_symbol(request, ty, path, symbol, offset, returns)])
}

fn at_symbol(
    request: &Request,
    ty: &'static ProbeType,
    path: &Path,
    symbol: &UserSymbol,
    offset: u64,
    returns: bool,
) -> Expanded {
    let suffix = if offset > 0 { format!("+{offset}") } else { String::new() };
    let path = path.display().to_string();
    let name = format!("{}:{path}:{}{suffix}", ty.name, symbol.name);
    let offset = symbol.file_offset + offset;
    let attach = Attach::Uprobe { path, symbol: symbol.name.clone(), offset, returns };
    let context = context(ProgramKind::Probe, ty, name, AddressSpace::User);
    Expanded { attach, context, span: request.point.span }
}
