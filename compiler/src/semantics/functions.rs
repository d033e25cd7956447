//! Functions of the script: their signatures, settled before anything is lowered, and that none
//! calls itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostics::Diagnostic;
use crate::ir::Function;
use crate::kernel_info::KernelInfo;
use crate::plan::ProgramKind;
use crate::semantics::environment::{Environment, Signature};
use crate::semantics::lower::Lowerer;
use crate::semantics::macros::visit::{self, Visitor};
use crate::semantics::plan_builder::PlanBuilder;
use crate::semantics::probes::ProbeContext;
use crate::stdlib;
use crate::syntax::ast::{Expr, ExprKind, Item, Script, Subprogram, TypeName, TypeNameKind, TypeOrExpr};
use crate::types::Type;

/// What probes call `provider`: entries that belong to certain probes are refused by it.
pub const PROVIDER: &str = "function";
/// BPF passes five arguments in registers.
const MOST_ARGUMENTS: usize = 5;
/// Variables are kept by program; functions come behind all programs.
const FIRST_INDEX: usize = 1 << 20;

/// The functions that a script defines, in their order.
pub fn of(script: &Script) -> impl Iterator<Item = &Subprogram> {
    script.items.iter().filter_map(|item| match item {
        Item::Subprogram(function) => Some(function),
        _ => None,
    })
}

/// The functions that hold for later cells: the script's, and those of earlier cells that it does not replace.
pub fn defined(script: &Script, earlier: &[Subprogram]) -> Vec<Subprogram> {
    let is_own = |name: &str| of(script).any(|own| own.name.name == name);
    let others = earlier.iter().filter(|function| !is_own(&function.name.name));
    of(script).chain(others).cloned().collect()
}

/// Adds those functions of earlier cells that a script calls and does not define itself, and those that these call.
pub fn include(script: &mut Script, earlier: &[Subprogram]) {
    if earlier.is_empty() {
        return;
    }
    let mut calls = Calls::default();
    visit::walk_script(&mut calls, script);
    let mut known: BTreeSet<String> = of(script).map(|function| function.name.name.clone()).collect();
    while let Some(name) = calls.names.pop_first() {
        let Some(function) = earlier.iter().find(|function| function.name.name == name) else { continue };
        if known.insert(name) {
            let mut function = function.clone();
            visit::walk_block(&mut calls, &mut function.body);
            script.items.push(Item::Subprogram(function));
        }
    }
}

/// The names that are called.
#[derive(Default)]
struct Calls {
    names: BTreeSet<String>,
}

impl Visitor for Calls {
    fn expr(&mut self, expr: &mut Expr) {
        if let ExprKind::Call { name, .. } = &expr.kind {
            self.names.insert(name.name.clone());
        }
        visit::walk_expr(self, expr);
    }
}

/// Settles what each function takes and returns.
pub fn declare(script: &Script, env: &mut Environment, info: &dyn KernelInfo, diagnostics: &mut Vec<Diagnostic>) {
    for (index, function) in of(script).enumerate() {
        let name = &function.name;
        if let Some(first) = env.functions.get(&name.name) {
            let message = format!("{}() is defined twice", name.name);
            diagnostics.push(
                Diagnostic::error("redefined-function", name.span, message).also(first.span, "first defined here"),
            );
            continue;
        }
        if let Some(first) = env.c_functions.get(&name.name) {
            let message = format!("{}() is a function of an imported C source", name.name);
            let diagnostic = Diagnostic::error("redefined-function", name.span, message);
            diagnostics.push(diagnostic.also(first.span, "defined here"));
            continue;
        }
        if stdlib::find(&name.name).is_some() {
            let message = format!("{}() is a function of the language", name.name);
            diagnostics.push(Diagnostic::error("redefined-function", name.span, message));
            continue;
        }
        if let Some(signature) = signature(function, index, env, info, diagnostics) {
            env.functions.insert(name.name.clone(), signature);
        }
    }
}

fn signature(
    function: &Subprogram,
    index: usize,
    env: &mut Environment,
    info: &dyn KernelInfo,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Signature> {
    let before = diagnostics.len();
    let named = |name: &str| function.parameters.iter().find(|(parameter, _)| parameter.name == name).map(|(_, ty)| ty);
    let mut resolve = |ty: &TypeName| {
        // `typeof($other)` stands for what the other parameter was declared as.
        let mut ty = ty;
        for _ in 0..function.parameters.len() {
            let TypeNameKind::Typeof(of) = &ty.kind else { break };
            let TypeOrExpr::Expr(Expr { kind: ExprKind::Variable(name), .. }) = &**of else { break };
            ty = named(name).unwrap_or(ty);
        }
        let context = context(&function.name.name);
        let mut builder = PlanBuilder::default();
        let mut lowerer = Lowerer::new(env, info, &mut builder, &context, FIRST_INDEX + index, diagnostics);
        let resolved = lowerer.resolve_type(ty).ok()?;
        let longest = env.settings.max_strlen;
        Some(match resolved {
            Type::String { capacity: 0 } => Type::String { capacity: longest },
            other => other,
        })
    };
    let parameters: Option<Vec<Type>> = function.parameters.iter().map(|(_, ty)| resolve(ty)).collect();
    let returns = resolve(&function.returns);
    let (parameters, returns) = (parameters?, returns?);
    let hidden = usize::from(!returns.is_scalar() && returns != Type::Void);
    if parameters.len() + hidden > MOST_ARGUMENTS {
        let message = format!("BPF passes {MOST_ARGUMENTS} arguments; a result that is not a number takes one of them");
        diagnostics.push(Diagnostic::error("too-many-parameters", function.name.span, message));
    }
    if let Some(((parameter, _), _)) =
        function.parameters.iter().zip(&parameters).find(|(_, ty)| matches!(ty, Type::Void | Type::Aggregate(_)))
    {
        let message = format!("${} cannot be of this type", parameter.name);
        diagnostics.push(Diagnostic::error("unsupported-type", parameter.span, message));
    }
    let fine = diagnostics.len() == before;
    fine.then_some(Signature { index, parameters, returns, span: function.name.span })
}

fn context(name: &str) -> ProbeContext {
    ProbeContext::new(ProgramKind::Run, PROVIDER, name.to_string())
}

/// Lowers every function.
pub fn lower(
    script: &Script,
    env: &mut Environment,
    info: &dyn KernelInfo,
    builder: &mut PlanBuilder,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Function> {
    let mut functions = Vec::new();
    for function in of(script) {
        let name = &function.name.name;
        let Some(signature) = env.functions.get(name).cloned() else { continue };
        let context = context(name);
        let lowerer = Lowerer::new(env, info, builder, &context, FIRST_INDEX + signature.index, diagnostics);
        functions.push(lowerer.function(format!("fn_{name}"), function, &signature));
    }
    functions
}

/// The kernel takes no function that may call itself.
pub fn refuse_recursion(env: &Environment, diagnostics: &mut Vec<Diagnostic>) {
    let mut callees: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (caller, callee, _) in &env.calls {
        callees.entry(*caller).or_default().insert(FIRST_INDEX + callee);
    }
    for (caller, callee, span) in &env.calls {
        if reaches(&callees, FIRST_INDEX + callee, *caller) {
            let message = "a function cannot call itself, not by way of others either";
            diagnostics.push(Diagnostic::error("recursive-function", *span, message));
        }
    }
}

fn reaches(callees: &BTreeMap<usize, BTreeSet<usize>>, from: usize, to: usize) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(one) = open.pop() {
        if one == to {
            return true;
        }
        if seen.insert(one) {
            open.extend(callees.get(&one).into_iter().flatten());
        }
    }
    false
}
