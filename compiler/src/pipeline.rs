//! The whole way from text to plan, a line a pass.

use std::path::PathBuf;
use std::sync::LazyLock;

use crate::codegen::{self, CodegenError, CodegenErrorKind, Listing};
use crate::diagnostics::{Diagnostic, Source, Sources};
use crate::ir::Module;
use crate::kernel_info::KernelInfo;
use crate::plan::{Plan, Settings};
use crate::semantics::c_sources::{self, CCode};
use crate::semantics::c_types::{self, CTypes, Surroundings};
use crate::semantics::environment::{Declaration, Environment, LiveMap};
use crate::semantics::named_parameters::{self, NamedParameter};
use crate::semantics::probe_filter::ProbeFilter;
use crate::semantics::replaced::{self, Earlier};
use crate::semantics::{self, Analysis, c_macros, functions, imports, macros};
use crate::syntax;
use crate::syntax::ast::{Macro, SourceId, Span, Subprogram};

/// A script to compile, and what surrounds it.
pub struct Request<'a> {
    pub sources: &'a Sources,
    /// Which of the sources is the script.
    pub source: SourceId,
    pub info: &'a dyn KernelInfo,
    /// The session's maps, whose types are fixed.
    pub live_maps: &'a [LiveMap],
    /// `let @name = …` of earlier cells.
    pub declarations: &'a [(String, Declaration)],
    /// Positional parameters, `$1` first.
    pub parameters: &'a [String],
    /// `--name=value`, for `getopt`.
    pub named: &'a [NamedParameter],
    /// C definitions of earlier cells.
    pub c_types: &'a CTypes,
    /// Macros of earlier cells.
    pub macros: &'a [Macro],
    /// Functions of earlier cells.
    pub functions: &'a [Subprogram],
    /// C sources that earlier cells have imported.
    pub c_code: &'a [CCode],
    /// Settings of earlier cells.
    pub settings: Settings,
    /// `BPFTRACE_…` variables, which take precedence over every `config` block.
    pub variables: &'a [(String, String)],
    /// Trace this process only.
    pub pid: Option<u32>,
    pub allow_unsafe: bool,
    /// Folders in which `#include` and imports are looked for, before the usual ones.
    pub include_dirs: &'a [PathBuf],
    /// Headers to include before the script.
    pub include_files: &'a [String],
    /// Warn when memory cannot be read or a map has no such entry (`-k`).
    pub read_warnings: bool,
    /// Only check: probes and symbols that this system does not have are taken for granted.
    pub assume_probes: bool,
    /// Probes that it does not want are left out (`--probe-filter`).
    pub probe_filter: Option<ProbeFilter>,
    /// One program may serve the entry and the return of functions, where the kernel has that.
    pub kprobe_sessions: bool,
    pub options: codegen::Options,
    /// Objects of scripts that were compiled before.
    pub cache: Option<&'a codegen::Cache>,
}

impl<'a> Request<'a> {
    /// A script by itself: after no other cells, with no parameters, under the default settings.
    pub fn new(sources: &'a Sources, source: SourceId, info: &'a dyn KernelInfo) -> Request<'a> {
        static NO_TYPES: LazyLock<CTypes> = LazyLock::new(CTypes::default);
        Request {
            sources,
            source,
            info,
            live_maps: &[],
            declarations: &[],
            parameters: &[],
            named: &[],
            c_types: &NO_TYPES,
            macros: &[],
            functions: &[],
            c_code: &[],
            settings: Settings::default(),
            variables: &[],
            pid: None,
            allow_unsafe: false,
            include_dirs: &[],
            include_files: &[],
            read_warnings: false,
            assume_probes: false,
            probe_filter: None,
            kprobe_sessions: true,
            options: codegen::Options::default(),
            cache: None,
        }
    }
}

/// A compiled script.
pub struct Compiled {
    pub plan: Plan,
    pub warnings: Vec<Diagnostic>,
    /// `let @name = …` of this script and of earlier cells.
    pub declarations: Vec<(String, Declaration)>,
    /// C definitions of this script and of earlier cells.
    pub c_types: CTypes,
    /// Macros of this script and of earlier cells.
    pub macros: Vec<Macro>,
    /// The functions that hold for later cells.
    pub functions: Vec<Subprogram>,
    /// C sources that this script and earlier cells have imported.
    pub c_code: Vec<CCode>,
    /// The typed intermediate form, for `-d ir` and snapshots.
    pub module: Module,
}

/// A script that was understood. All that is missing in its plan are the programs.
pub struct Analysed {
    pub plan: Plan,
    warnings: Vec<Diagnostic>,
    declarations: Vec<(String, Declaration)>,
    c_types: CTypes,
    macros: Vec<Macro>,
    functions: Vec<Subprogram>,
    c_code: Vec<CCode>,
    module: Module,
}

/// Compiles a script. Errors of one pass are reported together.
pub fn compile(request: &Request) -> Result<Compiled, Vec<Diagnostic>> {
    analyse(request)?.generate(request)
}

/// The passes from text to typed programs, with everything that the runtime has to prepare for them.
pub fn analyse(request: &Request) -> Result<Analysed, Vec<Diagnostic>> {
    let text = request.sources.get(request.source).map(Source::script).unwrap_or_default();
    let mut script = syntax::parse(&text, request.source)?;
    imports::include(&mut script, request.include_files);
    let sources = imports::resolve(&mut script, request.source, request.sources, request.info.files())?;
    passed(macros::expand(&mut script, request.macros))?;
    passed(named_parameters::check(&mut script, request.named))?;
    let mut environment = environment(request);
    let around = Surroundings { sources: request.sources, info: request.info, include_dirs: request.include_dirs };
    let c_warnings = c_types::read(&script.c_definitions, &mut environment.c_types, &around)?;
    let (c_code, told) = c_sources::read(&sources, request.c_code, &environment.c_types, &around)?;
    let c_warnings = [c_warnings, told].concat();
    environment.declare_c_functions(&c_code);
    passed(c_macros::expand(&mut script, &environment.c_types, request.info))?;
    let functions = functions::defined(&script, request.functions);
    functions::include(&mut script, request.functions);
    let analysis = semantics::analyse(&script, &mut environment, request.info, request.pid)?;
    let declarations = environment.declarations();
    let c_types = std::mem::take(&mut environment.c_types);
    let Analysis { mut module, mut builder, probes, mut warnings } = analysis;
    module.kernel_functions = u32::try_from(builder.kernel_functions.len()).unwrap_or(u32::MAX);
    module.c_code = c_code.iter().map(|code| code.bitcode.clone()).collect();
    warnings.splice(0..0, c_warnings);
    codegen::divide(&mut module);
    let scratch = codegen::place_slots(&mut module);
    if scratch > 0 {
        builder.scratch(&mut module, scratch, request.info.possible_cpus());
    }
    builder.finish();
    let plan = Plan {
        objects: Vec::new(),
        programs: Vec::new(),
        probes,
        maps: builder.maps,
        events: builder.events,
        time_formats: builder.time_formats,
        cgroup_filters: builder.cgroup_filters,
        kernel_functions: builder.kernel_functions,
        losses: builder.losses,
        has_c_data: false,
        bursts: codegen::bursts(&module),
        settings: environment.settings,
    };
    let earlier = Earlier {
        macros: request.macros,
        functions: request.functions,
        c_types: request.c_types,
        declarations: request.declarations,
    };
    warnings.extend(replaced::warnings(&script, &earlier, &c_types, &declarations, request.sources));
    let macros = macros::defined(&script, request.macros);
    Ok(Analysed { plan, warnings, declarations, c_types, macros, functions, c_code, module })
}

impl Analysed {
    /// What is allowed, but hardly meant.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// The last pass: typed programs to BPF.
    pub fn generate(self, request: &Request) -> Result<Compiled, Vec<Diagnostic>> {
        let Analysed { plan, warnings, declarations, c_types, macros, functions, c_code, module } = self;
        let object = match request.cache {
            Some(cache) => cache.generate(&module, request.sources, &request.options),
            None => codegen::generate(&module, request.sources, &request.options),
        };
        let object = object.map_err(|error| vec![backend_error(error, request.source, &c_code)])?;
        let kernel_functions = [plan.kernel_functions, object.needs.kernel_functions].concat();
        let has_c_data = object.needs.data;
        let plan = Plan { objects: object.files, programs: object.programs, kernel_functions, has_c_data, ..plan };
        Ok(Compiled { plan, warnings, declarations, c_types, macros, functions, c_code, module })
    }
}

/// What a pass has found wrong ends the compilation.
fn passed(errors: Vec<Diagnostic>) -> Result<(), Vec<Diagnostic>> {
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// What the script's surroundings have settled before it is looked at.
fn environment(request: &Request) -> Environment {
    let mut environment = Environment::with_live_maps(request.live_maps);
    environment.declare(request.declarations);
    environment.parameters = request.parameters.to_vec();
    environment.named = request.named.to_vec();
    environment.c_types = request.c_types.clone();
    environment.allow_unsafe = request.allow_unsafe;
    environment.pid = request.pid;
    environment.read_warnings = request.read_warnings;
    environment.assume_probes = request.assume_probes;
    environment.probe_filter.clone_from(&request.probe_filter);
    environment.kprobe_sessions = request.kprobe_sessions;
    environment.settings = request.settings.clone();
    environment.setting_variables = request.variables.to_vec();
    environment
}

/// What LLVM makes of a script that was compiled by this request, as text.
pub fn list(request: &Request, compiled: &Compiled) -> Result<Listing, Vec<Diagnostic>> {
    let listing = codegen::list(&compiled.module, request.sources, &request.options);
    listing.map_err(|error| vec![backend_error(error, request.source, &compiled.c_code)])
}

/// A fault of ours, a limit of BPF or a fault of an imported C source, shown where it arose.
fn backend_error(error: CodegenError, source: SourceId, c_code: &[CCode]) -> Diagnostic {
    if error.kind == CodegenErrorKind::CSource {
        let import = c_code.iter().map(|code| code.imported).next_back();
        return Diagnostic::error("c-source", import.unwrap_or_default(), error.message);
    }
    let span = error.span.unwrap_or(Span { source, start: 0, end: 0 });
    Diagnostic::error("code-generation", span, error.message)
        .hint("this is a limit of BPF, or a fault of probebook: a smaller action may help, and a report would")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::semantics::fake::FakeKernel;

    fn compile_text(text: &str) -> Result<Compiled, Vec<Diagnostic>> {
        compile_for(codegen::Options::default(), text)
    }

    fn compile_for(options: codegen::Options, text: &str) -> Result<Compiled, Vec<Diagnostic>> {
        let mut sources = Sources::default();
        let source = sources.add("In [1]", text);
        compile(&Request { options, ..Request::new(&sources, source, &FakeKernel::default()) })
    }

    fn id_of(text: &str) -> &'static str {
        compile_text(text).err().and_then(|errors| errors.first().map(|error| error.id)).unwrap_or("none")
    }

    #[test]
    fn each_kind_of_mistake_has_its_id() {
        assert_eq!(id_of("begin { print(1); }"), "none");
        assert_eq!(id_of("begin { print($x); }"), "undefined-variable");
        assert_eq!(id_of("begin { print(@x); }"), "undefined-map");
        assert_eq!(id_of("begin { @x = 1; @x = \"a\"; }"), "map-type-mismatch");
        assert_eq!(id_of("begin { @x[1] = 1; @x = 2; }"), "map-key-mismatch");
        assert_eq!(id_of("begin { hist(1); }"), "aggregate-outside-map");
        assert_eq!(id_of("begin { system(\"ls\"); }"), "unsafe-function");
        assert_eq!(id_of("nosuch:x { }"), "unknown-probe-type");
        assert_eq!(id_of("begin { break; }"), "outside-loop");
        assert_eq!(id_of("begin { print(1 / 0); }"), "division-by-zero");
        assert_eq!(id_of("import \"m.bt\"; begin { }"), "unknown-import");
    }

    #[test]
    fn several_errors_are_reported_together() {
        let errors = compile_text("begin { print($a); print($b); } end { prnt(1); }").err().unwrap_or_default();
        assert_eq!(errors.len(), 3);
    }

    #[test]
    fn programs_of_an_action_that_do_the_same_are_one() {
        let field = "\tfield:int fd;\toffset:8;\tsize:4;\tsigned:1;\n";
        let tracepoints = ["x", "y"].map(|name| ("a".to_string(), name.to_string(), field.to_string())).into();
        let kernel = FakeKernel { tracepoints, ..FakeKernel::default() };
        let mut sources = Sources::default();
        let text = "tracepoint:a:x, tracepoint:a:y /probe != \"\"/ { printf(\"%d\\n\", args.fd); printf(\"%d\\n\", args.fd); }";
        let source = sources.add("In [1]", text);
        let plan = compile(&Request::new(&sources, source, &kernel)).ok().unwrap().plan;
        assert_eq!((plan.programs.len(), plan.events.len()), (2, 2));
        assert_eq!(plan.programs[0].section, plan.programs[1].section);
    }

    #[test]
    fn literals_of_a_table_are_constants() {
        let text = "begin { @a[1] = \"a name of some length\"; @a[2] = \"another\"; @a[3] = \"another\"; }";
        let plan = compile_text(text).ok().unwrap().plan;
        let constants = plan.maps.iter().find_map(|map| match &map.role {
            crate::plan::MapRole::Constants { bytes } => Some((bytes.len(), map.value_size)),
            _ => None,
        });
        // Two texts of 24 bytes, and the keys that come behind the first of them.
        assert_eq!(constants, Some((64, 64)));
    }

    /// Jumps across so many instructions end LLVM, and with it the process, if nothing is done.
    #[test]
    fn a_loop_that_is_too_long_for_short_jumps_is_refused_or_given_long_ones() {
        use codegen::{Cpu, Options};
        let looped = |times| format!("begin {{ while (rand) {{ {} }} }}", "printf(\"%d\\n\", pid);".repeat(times));
        let text = looped(2500);
        let long = compile_for(Options { newest: Cpu::V4, ..Options::default() }, &text);
        assert!(long.is_ok_and(|compiled| compiled.plan.objects[0].len() > 32_000 * 8));
        let short = compile_for(Options::default(), &text).err().unwrap_or_default();
        assert_eq!(short.first().map(|error| error.id), Some("code-generation"));
        assert!(compile_for(Options::default(), &looped(500)).is_ok());
    }

    #[test]
    fn long_actions_are_divided_so_that_short_jumps_do() {
        use codegen::Options;
        let text = format!("begin {{ {} }}", "printf(\"%d\\n\", pid);".repeat(2500));
        let long = compile_for(Options::default(), &text);
        assert!(long.is_ok_and(|compiled| compiled.plan.objects[0].len() > 32_000 * 8));
    }

    /// Pieces of which scripts are made, sensible or not.
    fn piece() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "begin",
            "end",
            "interval:ms:1",
            "profile:hz:9",
            "{",
            "}",
            "(",
            ")",
            ";",
            ",",
            "$x",
            "@m",
            "@m[1]",
            "@",
            "1",
            "-1",
            "0x7f",
            "18446744073709551615",
            "\"s\"",
            "=",
            "+=",
            "==",
            "+",
            "-",
            "*",
            "/",
            "%",
            "<<",
            "&&",
            "!",
            "~",
            "++",
            "if",
            "else",
            "while",
            "for",
            "(1, \"a\")",
            ".0",
            "[0]",
            "count()",
            "hist(1)",
            "sum(-1)",
            "print",
            "printf(\"%d\", ",
            "str(",
            "buf(",
            "comm",
            "pid",
            "nsecs",
            "kstack",
            "args",
            "args.x",
            "arg0",
            "(uint8)",
            "(int64*)",
            "let",
            "$i : 0..3",
            "unroll(2)",
            "return",
            "break",
            "exit()",
            "delete(@m, 1)",
            "len(@m)",
            "strftime(\"%H\", ",
            "tseries(1, 1s, 3)",
            "sizeof(",
            "?",
            ":",
            "/",
            "\n",
        ])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Whatever is thrown at it, the compiler answers; it does not panic or hang.
        #[test]
        fn no_text_makes_the_compiler_panic(pieces in prop::collection::vec(piece(), 1..40)) {
            let _ = compile_text(&pieces.join(" "));
            let _ = compile_text(&format!("begin {{ {} }}", pieces.join(" ")));
        }

        /// Statements that make sense, in an order that may not.
        #[test]
        fn no_statements_make_the_compiler_panic(statements in prop::collection::vec(statement(), 1..12)) {
            let _ = compile_text(&format!("begin {{ {} }} interval:s:1 {{ {} }}", statements.join("; "), statements.concat()));
        }
    }

    fn statement() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "$x = 1;",
            "$x = \"abc\";",
            "$x = (1, \"a\");",
            "$x = $x + 1;",
            "$y = $x;",
            "@a = $x;",
            "@a = 1;",
            "@b[$x] = 1;",
            "@b[comm] = count();",
            "@b[1, comm] = $x;",
            "@c = hist($x);",
            "@d = avg(pid);",
            "if ($x == 1) { $y = 2; }",
            "if (@d > 3) { print(@d); }",
            "for ($k : @b) { print($k); $x = $k; }",
            "for ($i : 0..20) { $x = $i; if ($i > 3) { break; } }",
            "print($x);",
            "print(@b);",
            "printf(\"%d\\n\", $x);",
            "$p = &$x; print(*$p);",
            "$t = ($x, $x); print($t.0);",
            "$s = str($x);",
            "$z = $x == $y;",
            "delete(@b, $x);",
            "let $x: uint8 = 3;",
            "$x++;",
            "@a++;",
            "$n = (uint16)$x;",
            "$w = $x ? $y : 3;",
            "unroll(3) { $x = $x * 2; }",
            "{ let $x = 2; print($x); }",
            "return;",
            "$b = buf(\"abc\", 2); printf(\"%r\", $b);",
            "@e = @a;",
            "$f = @b[1];",
        ])
    }
}
