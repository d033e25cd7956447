//! What the object looks like, and errors.

use aya::programs::ProgramError;
use probebook_compiler::codegen::{self, CodegenErrorKind, Cpu, Options};
use probebook_compiler::ir::*;
use probebook_compiler::plan::ProgramKind;
use probebook_compiler::syntax::ast::{SourceId, Span};

use crate::harness::*;

/// The instructions of the object's first executable section that is not empty, 8 bytes each.
fn instructions(elf: &[u8]) -> Vec<[u8; 8]> {
    let section = code_sections(elf).into_iter().find(|section| !section.is_empty()).unwrap();
    elf[section].chunks(8).map(|bytes| bytes.try_into().unwrap()).collect()
}

#[test]
fn maps_appear_as_indexes() {
    let mut script = Script::new();
    let key = script.slot(8, 8);
    script.push(Stmt::Store { ty: Scalar::I64, address: Expr::Slot(key), value: word(0) });
    let arguments = vec![Expr::Map(MapIndex(2)), Expr::Slot(key)];
    script.push(Stmt::Evaluate(helper(Helper::MAP_DELETE_ELEM, arguments, Scalar::I64)));
    let address = Expr::MapValue { map: MapIndex(3), offset: 0x50 };
    script.push(Stmt::Store { ty: Scalar::I64, address, value: word(1) });
    let elf = script.generate().unwrap().files[0].clone();
    let code = instructions(&elf);
    let wide: Vec<_> = code.windows(2).filter(|pair| pair[0][0] == 0x18).collect();
    let fields = |pair: &[[u8; 8]]| (pair[0][1] >> 4, pair[0][4], pair[1][4]);
    assert_eq!(wide.into_iter().map(fields).collect::<Vec<_>>(), [(1, 2, 0), (2, 3, 0)]);
    // *(u64 *)(r + 0x50) = 1
    assert!(code.iter().any(|code| matches!(code[0], 0x7a | 0x7b) && code[2] == 0x50));
}

#[test]
fn each_program_has_its_section() {
    let kinds = [
        (ProgramKind::Run, "raw_tracepoint/p0"),
        (ProgramKind::Tracepoint, "tracepoint/p1"),
        (ProgramKind::RawTracepoint, "raw_tracepoint/p2"),
        (ProgramKind::PerfEvent, "perf_event/p3"),
        (ProgramKind::Probe, "kprobe/p4"),
        (ProgramKind::Fentry, "fentry/p5"),
        (ProgramKind::Fexit, "fexit/p6"),
        (ProgramKind::Iter, "iter/p7"),
    ];
    let mut module = Script::new().module();
    let template = module.programs.remove(0);
    for (number, (kind, _)) in kinds.iter().enumerate() {
        module.programs.push(Program { symbol: format!("f{number}"), kind: *kind, ..template.clone() });
    }
    let object = codegen::generate(&module, &sources(), &Options::default()).unwrap();
    let parsed = aya_obj::Object::parse(&object.files[0]).unwrap();
    assert_eq!(parsed.programs.len(), kinds.len());
    for (plan, (kind, section)) in object.programs.iter().zip(kinds) {
        assert_eq!((plan.kind, plan.section.as_str()), (kind, section));
        assert!(parsed.programs.contains_key(&plan.symbol));
    }
    assert!(parsed.btf.is_some());
}

#[test]
fn objects_do_not_differ_from_run_to_run() {
    let mut script = Script::new();
    script.output(helper(Helper::KTIME_GET_NS, Vec::new(), Scalar::I64));
    assert_eq!(script.generate().unwrap().files[0], script.generate().unwrap().files[0]);
}

#[test]
fn too_much_stack_is_an_error_with_a_place() {
    let mut script = Script::new();
    let slot = script.slot(4096, 8);
    script.push(Stmt::Copy { to: output(0), from: Expr::Slot(slot), size: 4096, align: 8 });
    let mut module = script.module();
    module.programs[0].slots[0].scratch = None;
    let read = Stmt::Evaluate(helper(Helper::GET_CURRENT_COMM, vec![Expr::Slot(slot), word(4096)], Scalar::I64));
    module.programs[0].body.insert(1, read);
    let error = codegen::generate(&module, &sources(), &Options::default()).unwrap_err();
    assert_eq!(error.kind, CodegenErrorKind::Backend);
    assert!(error.message.contains("stack"), "{error}");
    assert_eq!(error.span, Some(Span { source: SourceId(0), start: 8, end: 12 }));
    // The next program is not affected.
    assert!(Script::new().generate().is_ok());
}

#[test]
fn contradictions_are_errors() {
    let body = |stmt: Stmt| {
        let mut script = Script::new();
        script.var(Scalar::I64);
        script.push(stmt);
        script.generate().map(|_| ()).map_err(|error| error.kind)
    };
    let narrow = || constant(Scalar::I8, 1);
    let malformed = Err(CodegenErrorKind::Malformed);
    assert_eq!(body(Stmt::Set(Var(0), narrow())), malformed);
    assert_eq!(body(Stmt::Set(Var(0), add(word(1), narrow()))), malformed);
    assert_eq!(body(Stmt::Set(Var(7), word(1))), malformed);
    assert_eq!(body(Stmt::Break), malformed);
    assert_eq!(body(when(word(1), Vec::new())), malformed);
    assert_eq!(body(Stmt::Evaluate(load(Scalar::I64, word(1)))), malformed);
    assert_eq!(body(Stmt::AtomicAdd { ty: Scalar::I8, address: output(0), value: narrow() }), malformed);
    assert_eq!(body(Stmt::Set(Var(0), word(1))), Ok(()));
}

/// Signed division is an instruction of version 4 alone: an offset of 1 in a division.
#[test]
fn version_3_has_no_signed_division() {
    for (cpu, expected) in [(Cpu::V3, false), (Cpu::V4, true)] {
        let mut script = Script::new();
        script.cpu = cpu;
        let value = |number| opaque(word(number));
        script.output(binary(Op::SDiv, value(-7), value(2)));
        let code = instructions(&script.generate().unwrap().files[0]);
        let is_signed = |code: &[u8; 8]| matches!(code[0] & 0xf7, 0x37 | 0x34) && code[2] == 1;
        assert_eq!(code.iter().any(is_signed), expected, "{cpu:?}");
    }
}

/// The verifier quotes the script's line beside the instruction that it refuses.
#[test]
fn the_verifier_names_the_line() {
    let mut script = Script::new();
    script.push(Stmt::Evaluate(load(Scalar::I64, opaque(offset(output(0), 1 << 20)))));
    script.output(load(Scalar::I64, offset(output(0), 1 << 20)));
    let Some(result) = script.try_run() else { return };
    let Err(ProgramError::LoadError { verifier_log, .. }) = result else {
        panic!("the verifier takes a read beyond the map")
    };
    let log = verifier_log.to_string();
    assert!(log.contains("; @ = count();"), "{log}");
}

/// One call for two maps would keep the kernel from inlining lookups, and from accepting
/// `bpf_for_each_map_elem`.
#[test]
fn calls_for_different_maps_are_not_merged() {
    let mut script = Script::new();
    let (key, found) = (script.slot(4, 4), script.var(Scalar::Pointer));
    script.push(Stmt::Store { ty: Scalar::I32, address: Expr::Slot(key), value: constant(Scalar::I32, 0) });
    let count = |map| {
        let lookup = helper(Helper::MAP_LOOKUP_ELEM, vec![Expr::Map(map), Expr::Slot(key)], Scalar::Pointer);
        let sum = add(load(Scalar::I64, var(found)), word(1));
        let store = Stmt::Store { ty: Scalar::I64, address: var(found), value: sum };
        let is_present = binary(Op::Ne, var(found), constant(Scalar::Pointer, 0));
        vec![Stmt::Set(found, lookup), when(is_present, vec![store])]
    };
    script.push(Stmt::If {
        condition: binary(Op::SLt, helper(Helper::KTIME_GET_NS, Vec::new(), Scalar::I64), word(1000)),
        then: count(OUTPUT),
        otherwise: count(HASH),
    });
    let code = instructions(&script.generate().unwrap().files[0]);
    let lookups = code.iter().filter(|code| code[0] == 0x85 && code[4] == 1).count();
    let stores = code.iter().filter(|code| code[0] == 0x7b).count();
    assert_eq!((lookups, stores), (2, 2));
}
