//! Plain loops, ranges and for-each loops: jumps, nesting, and what their bodies share with the
//! program.

use probebook_compiler::ir::*;

use crate::harness::*;

fn range(index: Var, start: Expr, end: Expr, body: Vec<Stmt>) -> Stmt {
    Stmt::Range { index, start, end, body }
}

fn increment(target: Var, by: Expr) -> Stmt {
    Stmt::Set(target, add(var(target), by))
}

fn is(op: Op, left: Var, right: i64) -> Expr {
    binary(op, var(left), word(right))
}

/// A script with `count` integer variables that are 0.
fn script_with_vars<const N: usize>() -> (Script, [Var; N]) {
    let mut script = Script::new();
    let vars = [(); N].map(|()| script.var(Scalar::I64));
    for var in vars {
        script.push(Stmt::Set(var, word(0)));
    }
    (script, vars)
}

#[test]
fn plain_loops_end_at_break() {
    let (mut script, [i, sum]) = script_with_vars();
    script.push(Stmt::Loop {
        body: vec![
            increment(i, word(1)),
            when(is(Op::Eq, i, 3), vec![Stmt::Continue]),
            when(is(Op::SLt, i, 10), vec![increment(sum, var(i)), Stmt::Continue]),
            Stmt::Break,
        ],
    });
    script.output(var(sum));
    let Some(outcome) = script.run() else { return };
    assert_eq!(outcome.words[0], (1..10).sum::<u64>() - 3);
}

/// Ranges that are unrolled and ranges that call back behave alike.
#[test]
fn ranges_visit_each_index_once() {
    for (start, end) in [(0, 5), (-3, 4), (5, 5), (7, 2), (-5, 100), (1000, 3000), (i64::MAX - 2, i64::MAX)] {
        for hidden in [false, true] {
            let (mut script, [i, sum, count]) = script_with_vars();
            let bound = |value| if hidden { opaque(word(value)) } else { word(value) };
            script.push(range(
                i,
                bound(start),
                bound(end),
                vec![Stmt::Set(sum, add(binary(Op::Mul, var(sum), word(3)), var(i))), increment(count, word(1))],
            ));
            script.output(var(sum));
            script.output(var(count));
            let Some(outcome) = script.run() else { return };
            let sum = (start..end).fold(0i64, |sum, i| sum.wrapping_mul(3).wrapping_add(i));
            assert_eq!(outcome.words[..2], [sum as u64, (end - start).max(0) as u64], "{start}..{end}, {hidden}");
        }
    }
}

#[test]
fn ranges_are_capped() {
    let (mut script, [i, count]) = script_with_vars();
    script.push(range(i, opaque(word(i64::MIN)), opaque(word(i64::MAX)), vec![increment(count, word(1))]));
    script.output(var(count));
    let Some(outcome) = script.run() else { return };
    assert_eq!(outcome.words[0], 8_388_608);
}

#[test]
fn break_and_continue_in_ranges() {
    for end in [12, 1000] {
        let (mut script, [i, sum]) = script_with_vars();
        script.push(range(
            i,
            word(0),
            word(end),
            vec![
                when(is(Op::Eq, i, 3), vec![Stmt::Continue]),
                when(is(Op::SLe, Var(0), 8), vec![increment(sum, var(i))]),
                when(is(Op::Eq, i, 10), vec![Stmt::Break]),
                when(is(Op::SLt, i, 9), vec![Stmt::Continue]),
                increment(sum, word(1000)),
            ],
        ));
        script.output(var(sum));
        let Some(outcome) = script.run() else { return };
        assert_eq!(outcome.words[0], (0..=8).sum::<u64>() - 3 + 1000);
    }
}

/// Inner loops break without ending outer ones; plain loops inside callbacks keep their jumps.
#[test]
fn nested_loops() {
    let (mut script, [i, j, k, rounds, inner]) = script_with_vars();
    script.push(range(
        i,
        word(0),
        opaque(word(20)),
        vec![
            increment(rounds, word(1)),
            range(
                j,
                var(i),
                word(1000),
                vec![
                    when(binary(Op::Eq, var(j), add(var(i), word(5))), vec![Stmt::Break]),
                    Stmt::Set(k, word(0)),
                    Stmt::Loop {
                        body: vec![increment(k, word(1)), when(is(Op::SLt, k, 3), vec![Stmt::Continue]), Stmt::Break],
                    },
                    when(is(Op::Eq, j, 2), vec![Stmt::Continue]),
                    increment(inner, var(k)),
                ],
            ),
        ],
    ));
    for value in [i, j, rounds, inner] {
        script.output(var(value));
    }
    let Some(outcome) = script.run() else { return };
    // Each round adds 3 for five indexes; index 2 is skipped in rounds 0, 1 and 2.
    assert_eq!(outcome.words[..4], [19, 24, 20, 3 * (20 * 5 - 3)]);
}

#[test]
fn return_leaves_all_loops_and_the_program() {
    for depth in [1, 2, 3] {
        let (mut script, [i, j, k, steps]) = script_with_vars();
        let leave = when(is(Op::Eq, steps, 7), vec![Stmt::Return(Some(word(-70)))]);
        let mut body = vec![
            increment(steps, word(1)),
            leave,
            Stmt::Store { ty: Scalar::I64, address: output(1), value: var(steps) },
        ];
        for index in [i, j, k].into_iter().take(depth) {
            body = vec![
                range(index, word(0), opaque(word(100)), body),
                Stmt::AtomicAdd { ty: Scalar::I64, address: output(2), value: word(1) },
            ];
        }
        script.program.body.extend(body);
        script.output(word(1));
        let Some(outcome) = script.run() else { return };
        assert_eq!(outcome.returned, -70, "depth {depth}");
        assert_eq!(outcome.words[..3], [0, 6, 0], "depth {depth}");
    }
}

#[test]
fn return_without_a_value_gives_the_default() {
    let (mut script, [i]) = script_with_vars();
    script.program.default_return = 9;
    script.push(range(i, word(0), word(1000), vec![when(is(Op::Eq, i, 5), vec![Stmt::Return(None)])]));
    script.output(word(1));
    let Some(outcome) = script.run() else { return };
    assert_eq!((outcome.returned, outcome.words[0]), (9, 0));
}

/// Variables of every type, slots on the stack and in scratch memory, and the context.
#[test]
fn callbacks_share_what_they_use() {
    let (mut script, [i, wide]) = script_with_vars();
    let narrow = script.var(Scalar::I8);
    let truth = script.var(Scalar::Bool);
    let place = script.var(Scalar::Pointer);
    let (small, large) = (script.slot(12, 4), script.slot(2000, 8));
    script.push(Stmt::Set(narrow, constant(Scalar::I8, -100)));
    script.push(Stmt::Set(truth, constant(Scalar::Bool, 0)));
    script.push(Stmt::Set(place, output(20)));
    script.push(Stmt::Zero { to: Expr::Slot(small), size: 12, align: 4 });
    script.push(Stmt::Zero { to: Expr::Slot(large), size: 2000, align: 8 });
    let in_small = || offset(Expr::Slot(small), 4);
    let in_large = || offset(Expr::Slot(large), 1992);
    script.push(range(
        i,
        word(0),
        word(200),
        vec![
            Stmt::Set(narrow, add(var(narrow), constant(Scalar::I8, -1))),
            Stmt::Set(truth, binary(Op::Xor, var(truth), constant(Scalar::Bool, 1))),
            Stmt::Store { ty: Scalar::I64, address: var(place), value: var(i) },
            Stmt::Store {
                ty: Scalar::I32,
                address: in_small(),
                value: add(load(Scalar::I32, in_small()), constant(Scalar::I32, 2)),
            },
            Stmt::Store { ty: Scalar::I64, address: in_large(), value: add(load(Scalar::I64, in_large()), word(3)) },
            increment(wide, load(Scalar::I64, Expr::Context)),
            when(is(Op::Eq, i, 150), vec![Stmt::Break]),
        ],
    ));
    script.output_widened(Scalar::I8, var(narrow));
    script.output_widened(Scalar::Bool, var(truth));
    script.output_widened(Scalar::I32, load(Scalar::I32, in_small()));
    script.output(load(Scalar::I64, in_large()));
    script.output(var(wide));
    let Some(outcome) = script.run() else { return };
    let narrow = (-100i64 - 151) as u8;
    assert_eq!(outcome.words[..5], [u64::from(narrow), 1, 302, 453, 15100]);
    assert_eq!(outcome.words[20], 150);
}

#[test]
fn a_value_survives_from_one_iteration_to_the_next() {
    let (mut script, [i, last, changes]) = script_with_vars();
    script.program.body.clear();
    script.push(Stmt::Set(changes, word(0)));
    script.push(range(
        i,
        word(0),
        word(100),
        vec![
            when(is(Op::Eq, i, 0), vec![Stmt::Set(last, word(-1))]),
            when(binary(Op::Ne, var(last), binary(Op::SDiv, var(i), word(10))), vec![increment(changes, word(1))]),
            Stmt::Set(last, binary(Op::SDiv, var(i), word(10))),
        ],
    ));
    script.output(var(changes));
    let Some(outcome) = script.run() else { return };
    assert_eq!(outcome.words[0], 10);
}

#[test]
fn for_each_visits_every_element() {
    let (mut script, [sum_keys, sum_values]) = script_with_vars();
    script.entries = (1..=10).map(|key| (key, u64::from(key) * 100)).collect();
    let (key, value) = (script.var(Scalar::Pointer), script.var(Scalar::Pointer));
    let the_key = || convert(Conversion::ZeroExtend, Scalar::I64, load(Scalar::I32, var(key)));
    script.push(Stmt::ForEach {
        map: HASH,
        key,
        value,
        body: vec![
            when(binary(Op::Eq, the_key(), word(4)), vec![Stmt::Continue]),
            increment(sum_keys, the_key()),
            increment(sum_values, load(Scalar::I64, var(value))),
            Stmt::Store { ty: Scalar::I64, address: var(value), value: word(7) },
        ],
    });
    script.output(var(sum_keys));
    script.output(var(sum_values));
    let Some(outcome) = script.run() else { return };
    assert_eq!(outcome.words[..2], [51, 5100]);
    assert_eq!(outcome.entries.iter().filter(|(_, value)| *value == 7).count(), 9);
}

#[test]
fn for_each_stops_at_break_and_return() {
    for leave in [Stmt::Break, Stmt::Return(Some(word(3)))] {
        let (mut script, [count]) = script_with_vars();
        script.entries = (1..=10).map(|key| (key, 1)).collect();
        let (key, value) = (script.var(Scalar::Pointer), script.var(Scalar::Pointer));
        let returns = matches!(leave, Stmt::Return(_));
        script.push(Stmt::ForEach {
            map: HASH,
            key,
            value,
            body: vec![
                increment(count, word(1)),
                Stmt::Store { ty: Scalar::I64, address: output(5), value: var(count) },
                when(is(Op::Eq, count, 4), vec![leave]),
            ],
        });
        script.output(word(1));
        let Some(outcome) = script.run() else { return };
        assert_eq!((outcome.words[5], outcome.words[0]), (4, u64::from(!returns)));
        assert_eq!(outcome.returned, if returns { 3 } else { 0 });
    }
}

#[test]
fn loops_of_both_kinds_nest() {
    let (mut script, [i, total]) = script_with_vars();
    script.entries = (1..=3).map(|key| (key, u64::from(key))).collect();
    let (key, value) = (script.var(Scalar::Pointer), script.var(Scalar::Pointer));
    script.push(Stmt::ForEach {
        map: HASH,
        key,
        value,
        body: vec![range(
            i,
            word(0),
            load(Scalar::I64, var(value)),
            vec![increment(total, load(Scalar::I64, var(value)))],
        )],
    });
    script.output(var(total));
    let Some(outcome) = script.run() else { return };
    assert_eq!(outcome.words[0], 1 + 4 + 9);
}
