//! `uprobe` and `uretprobe`: functions, addresses and source lines of user programs and libraries.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostics::Diagnostic;
use crate::plan::{Attach, ProgramKind};
use crate::types::AddressSpace;
use crate::user_info::{Boundary, UserBinary, UserSymbol};

use super::function::{parse_number, split_offset};
use super::{Arguments, Expanded, ProbeContext, ProbeType, Request, UserFunction, glob};

pub const UPROBE: ProbeType = ProbeType {
    name: "uprobe",
    aliases: &["u"],
    variants: &[
        "uprobe:binary:function",
        "uprobe:binary:function+offset",
        "uprobe:binary:address",
        "uprobe:binary@file:line[:column]",
        "uprobe:binary:cpp:function",
    ],
    documentation: "Fires when a function of a program or library is entered, or a line is reached; its arguments are \
                    in `arg0` …, and with debug information in `args`.",
    expand: |request| expand(request, &UPROBE, false),
};

pub const URETPROBE: ProbeType = ProbeType {
    name: "uretprobe",
    aliases: &["ur"],
    variants: &["uretprobe:binary:function", "uretprobe:binary:cpp:function"],
    documentation: "Fires when a function of a program or library returns; `retval` is what it returned.",
    expand: |request| expand(request, &URETPROBE, true),
};

/// Languages whose names can be written as they are in the source.
const LANGUAGES: [&str; 2] = ["cpp", "rust"];
const UNSAFE_HINT: &str =
    "Use --unsafe to force attachment. WARNING: This option could lead to data corruption in the target process.";

const NO_SYMBOLS: &str = "this file has no symbols of functions: they were stripped off, or it is packed; install its \
                          debug symbols, or give an address with --unsafe";

type Outcome = Result<Vec<Expanded>, Box<Diagnostic>>;

/// What an attach point says, taken apart.
struct Point<'a> {
    binary: &'a str,
    language: Option<&'a str>,
    place: Place<'a>,
}

enum Place<'a> {
    Function { name: &'a str, offset: u64 },
    Address(u64),
    Line { file: &'a str, line: u64, column: u64 },
}

/// The attach point, and what is known of the file that it is being looked up in.
struct Lookup<'a> {
    request: &'a Request<'a>,
    ty: &'static ProbeType,
    returns: bool,
    language: Option<&'a str>,
    binary: Arc<UserBinary>,
}

fn expand(request: &Request, ty: &'static ProbeType, returns: bool) -> Outcome {
    let point = take_apart(request, ty, returns)?;
    let paths = binaries(request, ty, point.binary)?;
    let several = paths.len() > 1 || glob::is_pattern(point.binary);
    let mut result = Vec::new();
    for path in &paths {
        match in_binary(request, ty, path, &point, returns) {
            Ok(found) => result.extend(found),
            // Among many files some may not be readable, or not be programs.
            Err(diagnostic) if several && diagnostic.id != "too-many-probes" => {}
            Err(diagnostic) => return Err(diagnostic),
        }
        request.check_limit(result.len())?;
    }
    Ok(result)
}

fn take_apart<'a>(request: &'a Request, ty: &'static ProbeType, returns: bool) -> Result<Point<'a>, Box<Diagnostic>> {
    let parts: Vec<&str> = request.parts.iter().map(String::as_str).collect();
    if let Some(point) = source_line(request, &parts) {
        if returns {
            return Err(request.error("invalid-probe", "Source code location not allowed"));
        }
        return Ok(point);
    }
    let has_pid = request.pid.is_some();
    let (binary, language, function) = match parts.as_slice() {
        [function] if has_pid => ("", None, *function),
        [language, function] if has_pid && LANGUAGES.contains(language) => ("", Some(*language), *function),
        [binary, function] => (*binary, None, *function),
        [binary, language, function] => (*binary, Some(*language), *function),
        _ => return Err(request.wrong_form(ty)),
    };
    if let Some(other) = language.filter(|language| !LANGUAGES.contains(language)) {
        let diagnostic = request.error("invalid-probe", format!("unsupported language type: {other}"));
        return Err(Box::new(diagnostic.hint(format!("the languages are {}", LANGUAGES.join(" and ")))));
    }
    if let Some(address) = parse_number(function) {
        if glob::is_pattern(binary) {
            return Err(request.error("invalid-probe", "Cannot use wildcards with absolute address"));
        }
        return Ok(Point { binary, language, place: Place::Address(address) });
    }
    // Names of C++ may have a `+` of their own (`operator+`).
    let (name, offset) = match split_offset(function) {
        Some(split) => split,
        None if language.is_some() => (function, 0),
        None => return Err(request.wrong_form(ty)),
    };
    if returns && offset > 0 {
        return Err(request.error("invalid-probe", "uretprobes can not be attached to a function offset"));
    }
    Ok(Point { binary, language, place: Place::Function { name, offset } })
}

/// `program@file.c:12` or `program@file.c:12:5`, unless there is a file with `@` in its name.
fn source_line<'a>(request: &Request, parts: &[&'a str]) -> Option<Point<'a>> {
    let (first, numbers) = parts.split_first()?;
    let (binary, file) = first.rsplit_once('@')?;
    let number = |text: &&str| text.parse::<u64>().ok();
    let (line, column) = match numbers {
        [line] => (number(line)?, 0),
        [line, column] => (number(line)?, number(column)?),
        _ => return None,
    };
    let exists = request.info.resolve_binary(first, request.pid).is_ok_and(|paths| !paths.is_empty());
    (!exists && !file.is_empty()).then_some(Point { binary, language: None, place: Place::Line { file, line, column } })
}

/// The files that the first part of a user probe stands for.
pub(super) fn binaries(request: &Request, ty: &ProbeType, binary: &str) -> Result<Vec<PathBuf>, Box<Diagnostic>> {
    if binary == "*" {
        return Ok(request.info.mapped_binaries(request.pid));
    }
    if binary.is_empty() && request.pid.is_none() {
        return Err(request.error("invalid-probe", format!("{} should have a target", ty.name)));
    }
    let paths = request.info.resolve_binary(binary, request.pid).map_err(|error| request.unavailable(error))?;
    if paths.is_empty() && !glob::is_pattern(binary) {
        let message = format!("{} target file '{binary}' does not exist or is not executable", ty.name);
        return Err(request.error("unknown-binary", message));
    }
    Ok(paths)
}

fn in_binary(request: &Request, ty: &'static ProbeType, path: &Path, point: &Point, returns: bool) -> Outcome {
    let allow_unsafe = request.environment.allow_unsafe;
    let binary = match (request.info.user_binary(path), &point.place) {
        (Ok(binary), _) => binary,
        // Any file may hold code that somebody runs.
        (Err(_), Place::Address(_)) if allow_unsafe => {
            Arc::new(UserBinary { path: path.into(), file: path.into(), ..UserBinary::default() })
        }
        (Err(error), _) => return Err(request.unavailable(error)),
    };
    let lookup = Lookup { request, ty, returns, language: point.language, binary };
    match point.place {
        Place::Function { name, offset } => lookup.functions(name, offset),
        Place::Address(address) => lookup.address(address, None),
        Place::Line { file, line, column } => {
            let found = request.info.line_address(path, file, line, column);
            let address = found.map_err(|error| request.unavailable(error))?;
            lookup.address(address, Some(format!("{}@{file}:{line}", path.display())))
        }
    }
}

impl Lookup<'_> {
    fn all(&self) -> impl Iterator<Item = &UserSymbol> {
        self.binary.symbols.iter().filter(|symbol| symbol.is_function)
    }

    fn functions(&self, name: &str, offset: u64) -> Outcome {
        let is_pattern = glob::is_pattern(name);
        let matching = if is_pattern || self.language.is_some() { self.matching(name) } else { self.named(name) };
        if matching.is_empty() && !is_pattern {
            let names: Vec<String> = match self.language {
                Some(_) => self.all().filter_map(|symbol| self.request.info.demangled(&symbol.name)).collect(),
                None => self.all().map(|symbol| symbol.name.clone()).collect(),
            };
            let error = self.request.no_match(self.ty, &self.shown(name), name, names.iter().map(String::as_str));
            return Err(if names.is_empty() && self.language.is_none() {
                Box::new(error.hint(NO_SYMBOLS))
            } else {
                error
            });
        }
        self.request.check_limit(matching.len())?;
        let mut result = Vec::new();
        for symbol in matching {
            if is_pattern && symbol.size == 0 && !self.request.environment.allow_unsafe {
                continue;
            }
            self.check(symbol, offset)?;
            result.push(self.at_symbol(symbol, offset));
        }
        Ok(result)
    }

    fn named(&self, name: &str) -> Vec<&UserSymbol> {
        let start = self.binary.symbols.partition_point(|symbol| symbol.name.as_str() < name);
        let behind = self.binary.symbols.get(start..).unwrap_or_default().iter();
        behind.take_while(|symbol| symbol.name == name).filter(|symbol| symbol.is_function).take(1).collect()
    }

    /// Those that match a pattern, each place once. The parts into which compilers split functions
    /// (`.part.0`) are no functions.
    fn matching(&self, pattern: &str) -> Vec<&UserSymbol> {
        let mut found: Vec<&UserSymbol> = self
            .all()
            .filter(|symbol| glob::matches(pattern, &symbol.name) || self.matches_demangled(pattern, &symbol.name))
            .filter(|symbol| !symbol.name.contains(".part."))
            .collect();
        found.dedup_by(|a, b| a.name == b.name);
        found
    }

    /// Whether the name as its language writes it matches; without its parameters, unless the
    /// pattern has some.
    fn matches_demangled(&self, pattern: &str, symbol: &str) -> bool {
        if self.language.is_none() {
            return false;
        }
        let Some(name) = self.request.info.demangled(symbol) else { return false };
        glob::matches(pattern, if pattern.contains('(') { &name } else { without_parameters(&name) })
    }

    fn address(&self, address: u64, shown: Option<String>) -> Outcome {
        let contains = |symbol: &&UserSymbol| symbol.address <= address && address - symbol.address < symbol.size;
        let path = self.binary.path.display();
        match self.all().find(contains) {
            Some(symbol) => {
                let inside = address - symbol.address;
                if self.returns && inside > 0 {
                    let message = format!(
                        "uretprobes cannot be attached at function offset. (address resolved to: {}+{inside})",
                        symbol.name
                    );
                    return Err(self.request.error("missing-target", message));
                }
                self.check(symbol, inside)?;
                let mut expanded = self.at_symbol(symbol, inside);
                if let Some(shown) = shown {
                    expanded.context.name = format!("{}:{shown}", self.ty.name);
                }
                Ok(vec![expanded])
            }
            None if self.request.environment.allow_unsafe => {
                let name = format!("{}:{path}:{address}", self.ty.name);
                let nowhere = UserFunction { path: self.binary.path.clone(), ..UserFunction::default() };
                Ok(vec![self.expanded(name, nowhere, address)])
            }
            None => {
                let message = format!("Could not resolve address: {path}:{address:#x}");
                Err(Box::new(self.request.error("unknown-address", message).hint(UNSAFE_HINT)))
            }
        }
    }

    /// Refuses places where a breakpoint would change what the program does.
    fn check(&self, symbol: &UserSymbol, offset: u64) -> Result<(), Box<Diagnostic>> {
        let request = self.request;
        let (name, size) = (&symbol.name, symbol.size);
        let is_unsafe = request.environment.allow_unsafe;
        if offset == 0 {
            if size == 0 && !is_unsafe {
                let message = format!("Could not determine boundary for {name} (symbol has size 0).\n{UNSAFE_HINT}");
                return Err(request.error("unknown-boundary", message));
            }
            return Ok(());
        }
        if offset >= size {
            let message = format!("Offset outside the function bounds ('{name}' size is {size})");
            return Err(request.error("invalid-probe", message));
        }
        let place = format!("{}:{name}+{offset}", self.binary.path.display());
        let message = match request.info.boundary(&self.binary.path, symbol, offset) {
            Boundary::Start => return Ok(()),
            _ if is_unsafe => return Ok(()),
            Boundary::Inside => format!("Could not add {} into middle of instruction: {place}", self.ty.name),
            Boundary::Unknown => format!("Failed to check if {} is in proper place: {place}", self.ty.name),
        };
        Err(request.error("inside-instruction", format!("{message}\n{UNSAFE_HINT}")))
    }

    fn at_symbol(&self, symbol: &UserSymbol, offset: u64) -> Expanded {
        let suffix = if offset > 0 { format!("+{offset}") } else { String::new() };
        let name = format!("{}:{}{suffix}", self.ty.name, self.shown(&symbol.name));
        let function = UserFunction {
            path: self.binary.path.clone(),
            symbol: symbol.name.clone(),
            address: symbol.address,
            offset,
            is_32_bit: self.binary.is_32_bit,
        };
        self.expanded(name, function, symbol.file_offset + offset)
    }

    /// `path:function`, `path:cpp:function`.
    fn shown(&self, function: &str) -> String {
        let language = self.language.map(|language| format!("{language}:")).unwrap_or_default();
        format!("{}:{language}{function}", self.binary.path.display())
    }

    fn expanded(&self, name: String, function: UserFunction, offset: u64) -> Expanded {
        let mut context = ProbeContext::new(ProgramKind::Probe, self.ty.name, name);
        context.address_space = AddressSpace::User;
        let symbol = function.symbol.clone();
        context.arguments = Arguments::User(function);
        let path = self.binary.file.display().to_string();
        let attach = Attach::Uprobe { path, symbol, offset, returns: self.returns };
        Expanded { attach, context, span: self.request.point.span }
    }
}

/// `ns::f<T>(int) const` as `ns::f<T>`: up to the parenthesis that belongs to no template argument.
fn without_parameters(name: &str) -> &str {
    let mut depth = 0i32;
    let mut previous = ' ';
    let operator = name.rfind("operator").map_or(usize::MAX, |at| at + "operator".len());
    for (at, character) in name.char_indices() {
        match character {
            '<' if at < operator => depth += 1,
            '>' if at < operator && previous != '-' => depth -= 1,
            // `operator()(int)`: the first pair is its name.
            '(' if depth <= 0 && at > 0 && at != operator => {
                if name.get(at..).is_some_and(|rest| rest.starts_with("(anonymous namespace)")) {
                    previous = character;
                    continue;
                }
                return name.get(..at).unwrap_or(name);
            }
            _ => {}
        }
        previous = character;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::environment::Environment;
    use crate::semantics::fake::FakeKernel;
    use crate::syntax::ast::Item;

    fn symbol(name: &str, address: u64, size: u64) -> UserSymbol {
        UserSymbol { name: name.into(), file_offset: address - 0x1000, address, size, is_function: true }
    }

    fn kernel() -> FakeKernel {
        let symbols = vec![
            symbol("_Zadd", 0x1200, 16),
            symbol("_init", 0x1000, 0),
            symbol("add", 0x1100, 32),
            symbol("adds", 0x1150, 8),
        ];
        FakeKernel { symbols, ..FakeKernel::default() }
    }

    fn expand_with(text: &str, environment: &Environment) -> Result<Vec<String>, String> {
        let script = crate::syntax::parse(&format!("{text} {{}}"), crate::syntax::ast::SourceId(0)).unwrap();
        let Item::Probe(probe) = &script.items[0] else { panic!("no probe") };
        let found = super::super::expand(&probe.attach_points[0], environment, &kernel(), None);
        let offset = |expanded: &Expanded| match &expanded.attach {
            Attach::Uprobe { offset, .. } => *offset,
            other => panic!("{other:?}"),
        };
        found
            .map(|all| all.iter().map(|one| format!("{} {:#x}", one.context.name, offset(one))).collect())
            .map_err(|diagnostic| diagnostic.message)
    }

    fn expanded(text: &str) -> Result<Vec<String>, String> {
        expand_with(text, &Environment::default())
    }

    #[test]
    fn functions_addresses_and_lines() {
        let one = |text: &str| expanded(text).unwrap().join(", ");
        assert_eq!(one("uprobe:/b:add"), "uprobe:/b:add 0x100");
        assert_eq!(one("u:/b:add+8"), "uprobe:/b:add+8 0x108");
        assert_eq!(one("u:/b:\"add\"+0x4"), "uprobe:/b:add+4 0x104");
        assert_eq!(one("u:/b:0x1110"), "uprobe:/b:add+16 0x110");
        assert_eq!(one("ur:/b:add*"), "uretprobe:/b:add 0x100, uretprobe:/b:adds 0x150");
        assert_eq!(one("u:/b:cpp:add"), "uprobe:/b:cpp:_Zadd 0x200, uprobe:/b:cpp:add 0x100");
        assert_eq!(one("u:/b:cpp:\"add(int)\""), "uprobe:/b:cpp:_Zadd 0x200");
        assert_eq!(one("u:*:adds"), "uprobe:/bin/mapped:adds 0x150");
    }

    #[test]
    fn what_would_harm_the_program_is_refused_unless_told_otherwise() {
        let refused = |text: &str| expanded(text).unwrap_err();
        assert!(refused("u:/b:add+3").starts_with("Could not add uprobe into middle of instruction: /b:add+3"));
        assert_eq!(refused("u:/b:add+99"), "Offset outside the function bounds ('add' size is 32)");
        assert_eq!(refused("u:/b:10"), "Could not resolve address: /b:0xa");
        assert_eq!(refused("ur:/b:add+4"), "uretprobes can not be attached to a function offset");
        assert!(refused("u:/b:_init").starts_with("Could not determine boundary for _init (symbol has size 0).\nUse"));
        assert_eq!(refused("u:/b:go:add"), "unsupported language type: go");
        assert_eq!(refused("u:/b:ad"), "No matches for uprobe /b:ad.");
        let mut environment = Environment::default();
        environment.allow_unsafe = true;
        for text in ["u:/b:add+3", "u:/b:10", "u:/b:_init"] {
            assert_eq!(expand_with(text, &environment).map(|found| found.len()), Ok(1), "{text}");
        }
    }

    /// Not even where other files of the wildcard match less.
    #[test]
    fn too_many_matches_in_one_file_are_refused() {
        let mut environment = Environment::default();
        environment.settings.max_probes = 1;
        for text in ["u:*:add*", "u:/b:add*"] {
            let refused = expand_with(text, &environment).unwrap_err();
            assert_eq!(refused, format!("{text} matches 2 probes; the limit is 1"));
        }
        environment.settings.max_probes = 2;
        assert_eq!(expand_with("u:*:add*", &environment).map(|found| found.len()), Ok(2));
    }

    #[test]
    fn parameters_are_cut_off_names() {
        assert_eq!(without_parameters("ns::f<int (*)(int)>(int) const"), "ns::f<int (*)(int)>");
        assert_eq!(without_parameters("A::operator()(int)"), "A::operator()");
        assert_eq!(without_parameters("(anonymous namespace)::f(int)"), "(anonymous namespace)::f");
        assert_eq!(without_parameters("operator<<(A&, int)"), "operator<<");
        assert_eq!(without_parameters("main"), "main");
    }
}
