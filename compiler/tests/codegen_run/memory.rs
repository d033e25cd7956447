//! Slots, blocks of memory, maps and atomic additions.

use probebook_compiler::ir::*;

use crate::harness::*;

const SIZES: [u32; 12] = [1, 2, 3, 7, 8, 9, 15, 16, 64, 100, 513, 1031];

fn pattern(size: u32) -> Vec<u8> {
    (0..size).map(|i| (i * 7 + 1) as u8).collect()
}

/// The first bytes of the output.
fn bytes(outcome: &Outcome, size: u32) -> Vec<u8> {
    outcome.words.iter().flat_map(|word| word.to_le_bytes()).take(size as usize).collect()
}

#[test]
fn blocks_are_written_copied_and_cleared() {
    for size in SIZES {
        for align in [1, 2, 8] {
            let mut script = Script::new();
            let (first, second) = (script.slot(size, align), script.slot(size, align));
            script.push(Stmt::Bytes { to: Expr::Slot(first), bytes: pattern(size), align });
            script.push(Stmt::Copy { to: Expr::Slot(second), from: Expr::Slot(first), size, align });
            script.push(Stmt::Zero { to: Expr::Slot(first), size, align });
            script.push(Stmt::Copy { to: output(0), from: Expr::Slot(second), size, align });
            let rest = size.next_multiple_of(8);
            script.push(Stmt::Copy { to: output(rest / 8), from: Expr::Slot(first), size, align });
            let Some(outcome) = script.run() else { return };
            let mut expected = pattern(size);
            expected.resize((rest + size) as usize, 0);
            assert_eq!(bytes(&outcome, rest + size), expected, "{size} bytes aligned to {align}");
        }
    }
}

#[test]
fn blocks_at_odd_places() {
    let mut script = Script::new();
    let slot = script.slot(40, 8);
    script.push(Stmt::Zero { to: Expr::Slot(slot), size: 40, align: 8 });
    script.push(Stmt::Bytes { to: offset(Expr::Slot(slot), 3), bytes: pattern(18), align: 1 });
    script.push(Stmt::Copy { to: output(0), from: Expr::Slot(slot), size: 40, align: 8 });
    let Some(outcome) = script.run() else { return };
    let mut expected = vec![0; 40];
    expected[3..21].copy_from_slice(&pattern(18));
    assert_eq!(bytes(&outcome, 40), expected);
}

#[test]
fn large_slots_lie_in_scratch_memory() {
    let mut script = Script::new();
    let sizes = [16u32, 200, 200, 4000];
    let slots = sizes.map(|size| script.slot(size, 8));
    for (number, (slot, size)) in slots.iter().zip(sizes).enumerate() {
        let last = offset(Expr::Slot(*slot), i64::from(size) - 8);
        script.push(Stmt::Zero { to: Expr::Slot(*slot), size, align: 8 });
        script.push(Stmt::Store { ty: Scalar::I64, address: last, value: word(number as i64 + 1) });
    }
    for (slot, size) in slots.iter().zip(sizes) {
        script.output(load(Scalar::I64, offset(Expr::Slot(*slot), i64::from(size) - 8)));
        script.output(load(Scalar::I64, Expr::Slot(*slot)));
    }
    let placed = script.module().programs[0].slots.clone();
    assert_eq!(placed.iter().filter(|slot| slot.scratch.is_some()).count(), 2);
    let Some(outcome) = script.run() else { return };
    assert_eq!(outcome.words[..8], [1, 0, 2, 0, 3, 0, 4, 0]);
}

#[test]
fn truth_values_are_bytes() {
    let mut script = Script::new();
    let slot = script.slot(8, 8);
    script.push(Stmt::Store { ty: Scalar::I64, address: Expr::Slot(slot), value: opaque(word(-1)) });
    let truth = binary(Op::Eq, opaque(word(1)), word(1));
    script.push(Stmt::Store { ty: Scalar::Bool, address: Expr::Slot(slot), value: truth });
    script.output(load(Scalar::I64, Expr::Slot(slot)));
    script.output_widened(Scalar::Bool, load(Scalar::Bool, offset(Expr::Slot(slot), 1)));
    let Some(outcome) = script.run() else { return };
    assert_eq!(outcome.words[..2], [0xffff_ffff_ffff_ff01, 1]);
}

#[test]
fn maps_are_looked_up_and_updated() {
    let mut script = Script::new();
    script.entries = vec![(5, 50)];
    let (key, value) = (script.slot(4, 4), script.slot(8, 8));
    let found = script.var(Scalar::Pointer);
    let lookup = || helper(Helper::MAP_LOOKUP_ELEM, vec![Expr::Map(HASH), Expr::Slot(key)], Scalar::Pointer);
    let is_present = || binary(Op::Ne, var(found), constant(Scalar::Pointer, 0));
    for number in [5, 6] {
        script.push(Stmt::Store { ty: Scalar::I32, address: Expr::Slot(key), value: constant(Scalar::I32, number) });
        script.push(Stmt::Set(found, lookup()));
        script.push(Stmt::If {
            condition: is_present(),
            then: vec![Stmt::AtomicAdd { ty: Scalar::I64, address: var(found), value: word(1) }],
            otherwise: vec![
                Stmt::Store { ty: Scalar::I64, address: Expr::Slot(value), value: word(60) },
                Stmt::Evaluate(helper(
                    Helper::MAP_UPDATE_ELEM,
                    vec![Expr::Map(HASH), Expr::Slot(key), Expr::Slot(value), word(0)],
                    Scalar::I64,
                )),
            ],
        });
    }
    let Some(outcome) = script.run() else { return };
    assert_eq!(outcome.entries, [(5, 51), (6, 60)]);
}

#[test]
fn atomic_additions() {
    let mut script = Script::new();
    script.output(word(40));
    script.push(Stmt::AtomicAdd { ty: Scalar::I64, address: output(0), value: opaque(word(-3)) });
    script.output(word(0xffff_ffff));
    script.push(Stmt::AtomicAdd { ty: Scalar::I32, address: output(1), value: constant(Scalar::I32, 2) });
    let Some(outcome) = script.run() else { return };
    assert_eq!(outcome.words[..2], [37, 1]);
}
