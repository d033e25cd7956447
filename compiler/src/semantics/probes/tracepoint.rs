//! `tracepoint:category:event`: the kernel's static tracepoints, with arguments by name.

use std::sync::Arc;

use crate::diagnostics::Diagnostic;
use crate::plan::{Attach, ProgramKind};
use crate::types::{AddressSpace, StructType};

use super::{Arguments, Expanded, ProbeContext, ProbeType, Request, glob, tracepoint_format};

pub const TRACEPOINT: ProbeType = ProbeType {
    name: "tracepoint",
    aliases: &["t"],
    variants: &["tracepoint:category:event"],
    documentation: "Fires at a static tracepoint of the kernel; its fields are in `args`.",
    expand,
};

fn expand(request: &Request) -> Result<Vec<Expanded>, Box<Diagnostic>> {
    let any = "*".to_string();
    let (category, name) = match request.parts.as_slice() {
        [category, name] => (category, name),
        // A lone wildcard goes over all categories.
        [name] if glob::is_pattern(name) => (&any, name),
        _ => return Err(request.wrong_form(&TRACEPOINT)),
    };
    if !glob::is_pattern(category) && !glob::is_pattern(name) {
        return match describe(request, category, name)? {
            Some(expanded) => Ok(vec![expanded]),
            None => Err(unknown(request, category, name)?),
        };
    }
    let all = request.info.tracepoints().map_err(|error| request.unavailable(error))?;
    let matching: Vec<&(String, String)> =
        all.iter().filter(|(c, n)| glob::matches(category, c) && glob::matches(name, n)).collect();
    request.check_limit(matching.len())?;
    let mut result = Vec::new();
    for (category, name) in matching {
        result.extend(describe(request, category, name)?);
    }
    Ok(result)
}

/// The tracepoint with its fields; `None` if it does not exist.
fn describe(request: &Request, category: &str, name: &str) -> Result<Option<Expanded>, Box<Diagnostic>> {
    let format = request.info.tracepoint_format(category, name).map_err(|error| request.unavailable(error))?;
    let Some(format) = format else { return Ok(None) };
    let full = format!("tracepoint:{category}:{name}");
    let space = if category == "syscalls" { AddressSpace::User } else { AddressSpace::Kernel };
    let fields = tracepoint_format::parse(&format, space, request.info);
    let info = StructType {
        name: full.clone(),
        size: fields.iter().map(|f| f.offset + f.ty.size()).max().unwrap_or(0),
        fields,
    };
    let mut context = ProbeContext::new(ProgramKind::Tracepoint, "tracepoint", full);
    context.address_space = space;
    context.arguments = Arguments::Tracepoint(Arc::new(info));
    let attach = Attach::Tracepoint { category: category.to_string(), name: name.to_string() };
    Ok(Some(Expanded { attach, context, span: request.point.span }))
}

fn unknown(request: &Request, category: &str, name: &str) -> Result<Box<Diagnostic>, Box<Diagnostic>> {
    let all = request.info.tracepoints().map_err(|error| request.unavailable(error))?;
    let shown = format!("{category}:{name}");
    if all.iter().any(|(c, _)| c == category) {
        let names = all.iter().filter(|(c, _)| c == category).map(|(_, n)| n.as_str());
        return Ok(request.no_match(&TRACEPOINT, &shown, name, names));
    }
    // Right name, wrong category.
    if let Some((other, _)) = all.iter().find(|(_, n)| n == name) {
        let diagnostic = request.no_match(&TRACEPOINT, &shown, name, std::iter::empty());
        return Ok(Box::new(diagnostic.hint(format!("did you mean tracepoint:{other}:{name}?"))));
    }
    let categories = all.iter().map(|(c, _)| c.as_str());
    Ok(request.no_match(&TRACEPOINT, &shown, category, categories))
}
