//! Probe types: from an attach point as written to the probes it stands for.
//!
//! One probe type a file; [`TYPES`] lists them for expansion, completion and documentation.

mod assumed;
mod fentry;
mod function;
pub mod glob;
mod iter;
pub(in crate::semantics) mod kprobe;
mod raw_tracepoint;
mod signal;
mod special;
pub mod timer;
mod tracepoint;
mod tracepoint_format;
mod uprobe;
mod usdt;
pub mod usdt_arguments;
mod watchpoint;

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostics::Diagnostic;
use crate::kernel_info::{KernelInfo, Unavailable};
use crate::plan::{Attach, ProgramKind};
use crate::semantics::environment::Environment;
use crate::semantics::nearest::nearest;
use crate::syntax::{
    self,
    ast::{AttachPoint, Item, SourceId, Span},
};
use crate::types::{AddressSpace, StructField, StructType, Type};
use crate::user_info::UsdtLocation;

/// Told of a kernel function that kprobes cannot be at.
pub const UNKNOWN_FUNCTION: &str = "unknown-function";

/// A probe type of the language.
pub struct ProbeType {
    pub name: &'static str,
    /// Short names and old names.
    pub aliases: &'static [&'static str],
    /// `interval:ms:count`
    pub variants: &'static [&'static str],
    pub documentation: &'static str,
    pub expand: Expand,
}

/// How an attach point of this type is expanded.
pub type Expand = fn(&Request) -> Result<Vec<Expanded>, Box<Diagnostic>>;

/// An attach point to expand, and what is known.
pub struct Request<'a> {
    pub point: &'a AttachPoint,
    /// The parts behind the provider, parameters replaced.
    pub parts: Vec<String>,
    pub info: &'a dyn KernelInfo,
    pub environment: &'a Environment,
    /// The process to trace, if only one is.
    pub pid: Option<u32>,
}

/// One probe that an attach point stands for.
pub struct Expanded {
    pub attach: Attach,
    pub context: ProbeContext,
    pub span: Span,
}

/// What a program may know of the probe it is lowered for.
#[derive(Clone, Debug)]
pub struct ProbeContext {
    pub kind: ProgramKind,
    /// The probe type's full name.
    pub provider: &'static str,
    /// The full name of the probe.
    pub name: String,
    /// Where untyped addresses point.
    pub address_space: AddressSpace,
    pub arguments: Arguments,
    /// What the function returns, and where in the context it lies.
    pub result: Option<(u32, Type)>,
    /// What the action prints is read from a file by others; see [`crate::plan::Attach::Iter`].
    pub prints_to_file: bool,
    /// Its program is loaded for it, and can be at no other probe.
    pub is_alone: bool,
    /// Set when lowering used a helper that takes typed pointers only.
    pub needs_types: Cell<bool>,
    /// Set when lowering used something that differs from probe to probe; otherwise all probes of
    /// an action share one program.
    pub depends: Cell<bool>,
    /// Set when lowering used a text that is the probe's own, such as its name.
    pub depends_on_name: Cell<bool>,
    /// The fields of the tracepoint's record that lowering used.
    pub depends_on_fields: RefCell<Vec<StructField>>,
    /// Set when lowering used a type of the binary that the probe is in.
    pub depends_on_binary: Cell<bool>,
}

/// What `args` and `argN` are.
#[derive(Clone, Debug, PartialEq)]
pub enum Arguments {
    None,
    Tracepoint(Arc<StructType>),
    /// One after the other in the context, each from a word of its own on.
    Words(Arc<StructType>),
    /// `ctx` is this structure, whose pointers may be NULL.
    Iterator(Arc<StructType>),
    Registers,
    /// Whatever the script says: the probe is not known here.
    Assumed,
    User(UserFunction),
    Usdt(Arc<UsdtSite>),
}

/// The user function that a probe is at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserFunction {
    pub path: PathBuf,
    /// Empty if no function is known there.
    pub symbol: String,
    /// Where the function starts; 0 if none is known.
    pub address: u64,
    /// Bytes behind the function's start.
    pub offset: u64,
    /// The function is in a 32-bit program.
    pub is_32_bit: bool,
}

/// All places of a static tracepoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsdtSite {
    pub path: PathBuf,
    pub locations: Vec<UsdtLocation>,
}

/// Lays parameters out as the context of a raw tracepoint or of `fentry` holds them: each takes as
/// many words as it needs (`btf_ctx_access` in `kernel/bpf/btf.c`). Gives the words used as well.
pub fn words(name: &str, parameters: Vec<(String, Type)>) -> (Arc<StructType>, u32) {
    let mut size = 0;
    let mut fields = Vec::with_capacity(parameters.len());
    for (name, ty) in parameters {
        let offset = size;
        size += ty.size().max(1).next_multiple_of(8);
        fields.push(StructField { name, offset, ty, bitfield: None, data_loc: false });
    }
    (Arc::new(StructType { name: name.to_owned(), size, fields }), size)
}

impl ProbeContext {
    /// Notes that lowering used a field of the tracepoint's record; each round does again.
    pub fn depend_on_field(&self, field: &StructField) {
        let mut fields = self.depends_on_fields.borrow_mut();
        if !fields.contains(field) {
            fields.push(field.clone());
        }
    }

    /// Whether a tracepoint's record has all of these fields, each in its place.
    pub fn has_fields(&self, fields: &[StructField]) -> bool {
        let own = match &self.arguments {
            Arguments::Tracepoint(info) => info.fields.as_slice(),
            _ => &[],
        };
        fields.iter().all(|field| own.contains(field))
    }

    /// Whether the probe is in a program of 32 bits, which passes arguments otherwise.
    pub fn is_32_bit(&self) -> bool {
        matches!(&self.arguments, Arguments::User(function) if function.is_32_bit)
    }

    /// The binary that the probe is in, and an address in its code; of static probes any.
    pub fn binary(&self) -> Option<(&Path, u64)> {
        match &self.arguments {
            Arguments::User(function) => Some((&function.path, function.address)),
            Arguments::Usdt(site) => Some((&site.path, site.locations.first().map_or(0, |place| place.address))),
            _ => None,
        }
    }

    pub fn new(kind: ProgramKind, provider: &'static str, name: String) -> ProbeContext {
        ProbeContext {
            kind,
            provider,
            name,
            address_space: AddressSpace::Kernel,
            arguments: Arguments::None,
            result: None,
            prints_to_file: false,
            is_alone: false,
            needs_types: Cell::new(false),
            depends: Cell::new(false),
            depends_on_name: Cell::new(false),
            depends_on_fields: RefCell::default(),
            depends_on_binary: Cell::new(false),
        }
    }
}

/// Every probe type of the language.
pub static TYPES: &[ProbeType] = &[
    special::BEGIN,
    special::END,
    signal::SELF,
    special::TEST,
    special::BENCH,
    timer::INTERVAL,
    timer::PROFILE,
    tracepoint::TRACEPOINT,
    raw_tracepoint::RAW_TRACEPOINT,
    timer::SOFTWARE,
    timer::HARDWARE,
    uprobe::UPROBE,
    uprobe::URETPROBE,
    usdt::USDT,
    kprobe::KPROBE,
    kprobe::KRETPROBE,
    fentry::FENTRY,
    fentry::FEXIT,
    iter::ITER,
    watchpoint::WATCHPOINT,
];

/// The probe type of a name, short name or old name.
pub fn find_type(name: &str) -> Option<&'static ProbeType> {
    TYPES.iter().find(|ty| ty.name == name || ty.aliases.contains(&name))
}

/// Expands an attach point to the probes it stands for.
pub fn expand(
    point: &AttachPoint,
    environment: &Environment,
    info: &dyn KernelInfo,
    pid: Option<u32>,
) -> Result<Vec<Expanded>, Box<Diagnostic>> {
    let parameter =
        |index: u32| environment.parameters.get((index as usize).wrapping_sub(1)).cloned().unwrap_or_default();
    let point = &syntax::with_parameters(point, parameter)?;
    let Some(first) = point.parts.first() else {
        return Err(Box::new(Diagnostic::error("invalid-probe", point.span, "a probe needs a type")));
    };
    let parts = point.parts.iter().skip(1).map(|part| part.text.clone()).collect();
    let request = Request { point, parts, info, environment, pid };
    if glob::is_pattern(&first.text) {
        return any_type(&request, &first.text);
    }
    let Some(ty) = find_type(&first.text) else {
        let mut diagnostic =
            Diagnostic::error("unknown-probe-type", first.span, format!("invalid probe type: {}", first.text));
        let is_category =
            || info.tracepoints().is_ok_and(|all| all.iter().any(|(category, _)| *category == first.text));
        if let Some(unseen) = first.text.chars().find(|c| c.is_whitespace() || c.is_control() || *c == BYTE_ORDER_MARK)
        {
            let number = u32::from(unseen);
            diagnostic = diagnostic.hint(format!(
                "there is a character in it that cannot be seen (U+{number:04X}); remove it, or write a plain blank"
            ));
        } else if request.parts.len() == 1 && is_category() {
            diagnostic = diagnostic.hint(format!("did you mean tracepoint:{}?", point.text));
        } else if let Some(near) = nearest(&first.text, TYPES.iter().map(|ty| ty.name)) {
            diagnostic = diagnostic.hint(format!("did you mean {near}?"));
        }
        return Err(Box::new(diagnostic));
    };
    match (ty.expand)(&request) {
        Ok(found) if found.is_empty() && environment.assume_probes => Ok(assumed::expand(&request, ty)),
        Err(error) if environment.assume_probes && assumed::is_absent(error.id) => Ok(assumed::expand(&request, ty)),
        other => other,
    }
}

/// Begins some files that were written on Windows; elsewhere it has no meaning.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// What `args` holds in the action of the first of these attach points, as far as the system knows
/// them; `header` is what stands before an action.
pub fn arguments(header: &str, info: &dyn KernelInfo) -> Option<Arc<StructType>> {
    let script = syntax::parse(&format!("{header} {{}}"), SourceId::default()).ok()?;
    let point = script.items.iter().find_map(|item| match item {
        Item::Probe(probe) => probe.attach_points.first(),
        _ => None,
    })?;
    // Of programs only the compiler says what functions take; to match them would read every file that is mapped.
    let first = point.parts.first().map(|part| part.text.as_str())?;
    let of_programs = [uprobe::UPROBE.name, uprobe::URETPROBE.name, usdt::USDT.name];
    if glob::is_pattern(first) || find_type(first).is_some_and(|ty| of_programs.contains(&ty.name)) {
        return None;
    }
    match expand(point, &Environment::default(), info, None).ok()?.into_iter().next()?.context.arguments {
        Arguments::Tracepoint(fields) | Arguments::Words(fields) => Some(fields),
        _ => None,
    }
}

/// `*:/bin/sh:*`: the probes of every type that matches and can make sense of the rest.
fn any_type(request: &Request, pattern: &str) -> Result<Vec<Expanded>, Box<Diagnostic>> {
    let types = TYPES.iter().filter(|ty| glob::matches(pattern, ty.name));
    let found = types.filter_map(|ty| (ty.expand)(request).ok());
    let found: Vec<Expanded> = found.flatten().collect();
    if found.is_empty() {
        return Err(request.error("unknown-probe", format!("No matches for {}.", request.point.text)));
    }
    request.check_limit(found.len())?;
    Ok(found)
}

impl Request<'_> {
    fn error(&self, id: &'static str, message: impl Into<String>) -> Box<Diagnostic> {
        Box::new(Diagnostic::error(id, self.point.span, message))
    }

    /// A message that the system could not answer.
    fn unavailable(&self, unavailable: Unavailable) -> Box<Diagnostic> {
        let diagnostic = Diagnostic::error("system-information", self.point.span, unavailable.reason);
        Box::new(match unavailable.remedy {
            Some(remedy) => diagnostic.hint(remedy),
            None => diagnostic,
        })
    }

    /// The wrong number of parts, with the variants that exist.
    fn wrong_form(&self, ty: &ProbeType) -> Box<Diagnostic> {
        let message = format!("{} probe type does not have this form: {}", ty.name, self.point.text);
        Box::new(
            Diagnostic::error("invalid-probe", self.point.span, message)
                .hint(format!("write {}", ty.variants.join(", "))),
        )
    }

    /// Nothing of this name; proposes the nearest.
    fn not_found<'a>(&self, what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Box<Diagnostic> {
        let diagnostic = self.error("unknown-probe", format!("{what} not found: {name}"));
        match nearest(name, known) {
            Some(near) => Box::new(diagnostic.hint(format!("did you mean {near}?"))),
            None => diagnostic,
        }
    }

    /// As [`Request::not_found`], in bpftrace's words; `shown` is what was looked for.
    fn no_match<'a>(
        &self,
        ty: &ProbeType,
        shown: &str,
        name: &str,
        known: impl Iterator<Item = &'a str>,
    ) -> Box<Diagnostic> {
        let diagnostic = self.error("unknown-probe", format!("No matches for {} {shown}.", ty.name));
        match nearest(name, known) {
            Some(near) => Box::new(diagnostic.hint(format!("did you mean {near}?"))),
            None => diagnostic,
        }
    }

    /// Refuses wildcards that match too much.
    fn check_limit(&self, count: usize) -> Result<(), Box<Diagnostic>> {
        let limit = self.environment.settings.max_probes;
        if count as u64 <= limit {
            return Ok(());
        }
        let diagnostic =
            self.error("too-many-probes", format!("{} matches {count} probes; the limit is {limit}", self.point.text));
        Err(Box::new(diagnostic.hint("narrow the wildcard, or raise the limit: config = { max_probes=… }")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::fake::FakeKernel;

    #[test]
    fn arguments_are_those_of_the_first_attach_point() {
        let format = "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\tfield:int fd;\toffset:8;\tsize:4;\tsigned:1;\n";
        let info = FakeKernel { tracepoints: vec![("a".into(), "b".into(), format.into())], ..FakeKernel::default() };
        let names = |header| {
            let fields = arguments(header, &info)?.fields.clone();
            Some(fields.into_iter().map(|field| field.name).collect::<Vec<_>>())
        };
        assert!(names("tracepoint:a:b, begin").is_some_and(|names| names.contains(&"fd".to_string())));
        assert_eq!(names("tracepoint:a:c"), None);
        assert_eq!(names("begin"), None);
        assert_eq!(names("macro f(x)"), None);
    }

    #[test]
    fn no_program_is_read_for_arguments() {
        let info = FakeKernel::default();
        for header in ["uprobe:*:*", "ur:*:main", "usdt:*:*", "U:*:a:*", "*:*:*", "u*:*:*"] {
            assert_eq!(arguments(header, &info), None);
            assert!(!info.looked_at_processes.load(std::sync::atomic::Ordering::Relaxed), "{header}");
        }
    }

    #[test]
    fn probe_types_are_found_by_every_name() {
        assert_eq!(find_type("t").map(|ty| ty.name), Some("tracepoint"));
        assert_eq!(find_type("BEGIN").map(|ty| ty.name), Some("begin"));
        assert_eq!(find_type("kfunc").map(|ty| ty.name), Some("fentry"));
    }
}
