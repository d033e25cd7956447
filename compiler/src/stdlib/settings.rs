//! The settings that are in force, as a record.

use crate::ir::Expr as Ir;
use crate::plan::MissingProbes;
use crate::semantics::lower::{Lowered, Lowerer, Operand, text_literal};
use crate::syntax::ast::{Ident, Span};
use crate::types::{StackMode, Type};

use super::{CallSite, Entry, Lower, Mode};

pub const ENTRIES: &[Entry] = &[Entry {
    name: "config",
    signatures: &["record config()", "record config"],
    documentation: "The settings that are in force: `config.max_strlen`.",
    example: "begin { printf(\"%d %s\\n\", config.max_strlen, config.stack_mode); }",
    mode: Mode::CompileTime,
    lower: Lower::Value(config),
    ..Entry::BASE
}];

/// Every setting with its value, in the order in which they are printed.
fn values(lowerer: &Lowerer, span: Span) -> Vec<(&'static str, Operand)> {
    let settings = &lowerer.env.settings;
    let truth = |value: bool| Operand::scalar(Type::Bool, Ir::int(i64::from(value)), span);
    let number = |value: u64| Operand::scalar(Type::U64, Ir::int(value as i64), span);
    let text = |value: &str| text_literal(value.to_string(), span);
    let missing = match settings.missing_probes {
        MissingProbes::Error => "error",
        MissingProbes::Warn => "warn",
        MissingProbes::Ignore => "ignore",
    };
    let mode = match settings.stack_mode {
        StackMode::Bpftrace => "bpftrace",
        StackMode::Perf => "perf",
        StackMode::Raw => "raw",
        StackMode::BuildId => "build_id",
    };
    vec![
        ("cpp_demangle", truth(settings.cpp_demangle)),
        ("lazy_symbolication", truth(settings.lazy_symbolication)),
        ("print_maps_on_exit", truth(settings.print_maps_on_exit)),
        ("use_blazesym", truth(true)),
        ("show_debug_info", truth(settings.show_debug_info)),
        ("log_size", number(settings.log_size.into())),
        ("max_bpf_progs", number(settings.max_bpf_progs)),
        ("max_cat_bytes", number(settings.max_cat_bytes)),
        ("max_map_keys", number(settings.max_map_keys.into())),
        ("max_probes", number(settings.max_probes)),
        ("max_strlen", number(settings.max_strlen.into())),
        ("on_stack_limit", number(settings.on_stack_limit.into())),
        ("perf_rb_pages", number(settings.ring_buffer_pages.unwrap_or(0).into())),
        ("str_trunc_trailer", text(&settings.str_trunc_trailer)),
        ("unstable_import_statement", text(settings.unstable.import_statement.name())),
        ("unstable_tseries", text(settings.unstable.tseries.name())),
        ("unstable_typeinfo", text(settings.unstable.typeinfo.name())),
        ("unstable_dw_ustack", text(settings.unstable.dw_ustack.name())),
        ("missing_probes", text(missing)),
        ("stack_mode", text(mode)),
        ("license", text(&settings.license)),
    ]
}

fn config(lowerer: &mut Lowerer, call: &CallSite) -> Lowered<Operand> {
    let values = values(lowerer, call.span);
    let fields = values.iter().map(|(name, value)| ((*name).to_string(), value.ty.clone()));
    let ty = Type::Record(fields.collect::<Vec<_>>().into());
    let slot = Ir::Slot(lowerer.slot_for(&ty));
    let operands: Vec<Operand> = values.into_iter().map(|(_, value)| value).collect();
    lowerer.build(slot.clone(), &ty, &operands)?;
    Ok(Operand::memory(ty, slot, call.span))
}

/// `config.name`: a constant.
pub fn setting(lowerer: &mut Lowerer, field: &Ident, span: Span) -> Lowered<Operand> {
    let mut values = values(lowerer, span);
    match values.iter().position(|(name, _)| *name == field.name) {
        Some(index) => Ok(values.swap_remove(index).1),
        None => {
            let message = format!("there is no setting {}", field.name);
            Err(lowerer.error("no-such-field", field.span, message))
        }
    }
}
