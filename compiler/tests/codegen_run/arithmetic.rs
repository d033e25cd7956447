//! Operators, conversions, choices and helper calls.

use probebook_compiler::codegen::Cpu;
use probebook_compiler::ir::*;

use crate::harness::*;

const INTEGERS: [Scalar; 4] = [Scalar::I8, Scalar::I16, Scalar::I32, Scalar::I64];
const OPERATORS: [Op; 19] = [
    Op::Add,
    Op::Sub,
    Op::Mul,
    Op::UDiv,
    Op::SDiv,
    Op::URem,
    Op::SRem,
    Op::And,
    Op::Or,
    Op::Xor,
    Op::Shl,
    Op::LShr,
    Op::AShr,
    Op::Eq,
    Op::Ne,
    Op::ULt,
    Op::ULe,
    Op::SLt,
    Op::SLe,
];

/// What an operator gives on the low bits of two numbers, zero-extended.
fn expected(op: Op, ty: Scalar, left: i64, right: i64) -> u64 {
    let bits = ty.size() * 8;
    let mask = u64::MAX >> (64 - bits);
    let (a, b) = (left as u64 & mask, right as u64 & mask);
    let signed = |value: u64| (value << (64 - bits)) as i64 >> (64 - bits);
    let (sa, sb) = (signed(a), signed(b));
    let amount = (b % u64::from(bits)) as u32;
    let result = match op {
        Op::Add => a.wrapping_add(b),
        Op::Sub => a.wrapping_sub(b),
        Op::Mul => a.wrapping_mul(b),
        Op::UDiv => a.checked_div(b).unwrap_or(0),
        Op::URem => a.checked_rem(b).unwrap_or(a),
        Op::SDiv if sb == 0 => 0,
        Op::SDiv => sa.wrapping_div(sb) as u64,
        Op::SRem if sb == 0 => a,
        Op::SRem => sa.wrapping_rem(sb) as u64,
        Op::And => a & b,
        Op::Or => a | b,
        Op::Xor => a ^ b,
        Op::Shl => a << amount,
        Op::LShr => a >> amount,
        Op::AShr => (sa >> amount) as u64,
        Op::Eq => (a == b).into(),
        Op::Ne => (a != b).into(),
        Op::ULt => (a < b).into(),
        Op::ULe => (a <= b).into(),
        Op::SLt => (sa < sb).into(),
        Op::SLe => (sa <= sb).into(),
    };
    result & mask
}

/// All operators on all pairs; `hide` says which operands LLVM may not know.
fn check_operators(cpu: Cpu, ty: Scalar, hide: (bool, bool)) {
    let low = i64::MIN >> (64 - ty.size() * 8);
    let pairs = [
        (7, 3),
        (-7, 3),
        (7, -3),
        (-7, -3),
        (low, -1),
        (low, 0),
        (-1, 0),
        (5, 0),
        (0, 5),
        (-1, 1),
        (low, 2),
        (100, 65),
        (-128, 8),
    ];
    let mut script = Script::new();
    script.cpu = cpu;
    let mut cases = Vec::new();
    for op in OPERATORS {
        for (left, right) in pairs {
            let operand = |value, hidden| {
                let value = constant(ty, value);
                if hidden { opaque(value) } else { value }
            };
            let result = binary(op, operand(left, hide.0), operand(right, hide.1));
            let is_truth = matches!(op, Op::Eq | Op::Ne | Op::ULt | Op::ULe | Op::SLt | Op::SLe);
            script.output_widened(if is_truth { Scalar::Bool } else { ty }, result);
            cases.push((op, left, right));
        }
    }
    let Some(outcome) = script.run() else { return };
    for ((op, left, right), word) in cases.into_iter().zip(outcome.words) {
        assert_eq!(word, expected(op, ty, left, right), "{left} {op:?} {right}, {ty:?}, {cpu:?}, hidden: {hide:?}");
    }
}

#[test]
fn operators_at_run_time() {
    for ty in INTEGERS {
        check_operators(Cpu::V4, ty, (true, true));
        check_operators(Cpu::V3, ty, (true, true));
    }
}

#[test]
fn operators_with_a_constant() {
    for ty in INTEGERS {
        check_operators(Cpu::V4, ty, (true, false));
        check_operators(Cpu::V3, ty, (true, false));
        check_operators(Cpu::V4, ty, (false, true));
    }
}

#[test]
fn operators_folded_by_llvm() {
    for ty in INTEGERS {
        check_operators(Cpu::V4, ty, (false, false));
        check_operators(Cpu::V3, ty, (false, false));
    }
}

#[test]
fn conversions() {
    let mut script = Script::new();
    let narrow = |ty, value| opaque(constant(ty, value));
    script.output(convert(Conversion::SignExtend, Scalar::I64, narrow(Scalar::I8, -2)));
    script.output(convert(Conversion::ZeroExtend, Scalar::I64, narrow(Scalar::I8, -2)));
    script.output(convert(Conversion::SignExtend, Scalar::I64, narrow(Scalar::I32, -3)));
    script.output(convert(Conversion::ZeroExtend, Scalar::I64, narrow(Scalar::I32, -3)));
    let truncated = convert(Conversion::Truncate, Scalar::I16, narrow(Scalar::I64, 0x1_2345));
    script.output(convert(Conversion::ZeroExtend, Scalar::I64, truncated));
    let truth = binary(Op::SLt, narrow(Scalar::I64, -1), word(0));
    script.output(convert(Conversion::SignExtend, Scalar::I64, truth));
    let Some(outcome) = script.run() else { return };
    let expected = [-2i64 as u64, 0xfe, -3i64 as u64, 0xffff_fffd, 0x2345, 1];
    assert_eq!(outcome.words[..6], expected);
}

#[test]
fn byte_swaps() {
    for cpu in [Cpu::V3, Cpu::V4] {
        let mut script = Script::new();
        script.cpu = cpu;
        for ty in INTEGERS {
            let swapped = Expr::Swap(Box::new(opaque(constant(ty, 0x0102_0304_0506_0788))));
            script.output_widened(ty, swapped);
        }
        let Some(outcome) = script.run() else { return };
        assert_eq!(outcome.words[..4], [0x88, 0x8807, 0x8807_0605, 0x8807_0605_0403_0201]);
    }
}

#[test]
fn choices_evaluate_one_arm() {
    let mut script = Script::new();
    let count = script.slot(8, 8);
    let update = helper(
        Helper::MAP_UPDATE_ELEM,
        vec![Expr::Map(HASH), Expr::Slot(count), Expr::Slot(count), word(0)],
        Scalar::I64,
    );
    script.push(Stmt::Store { ty: Scalar::I64, address: Expr::Slot(count), value: word(9) });
    let choose = |condition: bool, then: Expr, otherwise: Expr| Expr::Select {
        condition: Box::new(opaque(constant(Scalar::Bool, condition.into()))),
        then: Box::new(then),
        otherwise: Box::new(otherwise),
    };
    script.output(choose(true, word(5), word(6)));
    script.output(choose(false, word(5), word(6)));
    script.output(choose(false, update.clone(), word(7)));
    let Some(outcome) = script.run() else { return };
    assert_eq!(outcome.words[..3], [5, 6, 7]);
    assert_eq!(outcome.entries, []);
    script.output(choose(true, update, word(7)));
    let outcome = script.run().unwrap();
    assert_eq!((outcome.words[3], outcome.entries), (0, vec![(9, 9)]));
}

#[test]
fn helpers_give_values_of_the_type_asked_for() {
    let mut script = Script::new();
    script.output(helper(Helper::GET_CURRENT_PID_TGID, Vec::new(), Scalar::I64));
    let low = helper(Helper::GET_CURRENT_PID_TGID, Vec::new(), Scalar::I32);
    script.output_widened(Scalar::I32, low);
    script.output_widened(Scalar::Bool, helper(Helper::GET_CURRENT_PID_TGID, Vec::new(), Scalar::Bool));
    let Some(outcome) = script.run() else { return };
    // SAFETY: `gettid` has no preconditions.
    let tid = unsafe { libc::gettid() } as u64;
    assert_eq!(outcome.words[..3], [u64::from(std::process::id()) << 32 | tid, tid, 1]);
}

#[test]
fn the_context_is_read_as_asked() {
    let mut script = Script::new();
    script.output(load(Scalar::I64, offset(Expr::Context, 16)));
    let high = load(Scalar::I64, Expr::Context);
    script.output(binary(Op::LShr, high, word(32)));
    let Some(outcome) = script.run() else { return };
    assert_eq!(outcome.words[..2], [102, 0]);
}

#[test]
fn return_values() {
    let mut script = Script::new();
    script.program.default_return = -3;
    let Some(outcome) = script.run() else { return };
    assert_eq!(outcome.returned, -3);
    script.push(Stmt::Return(Some(word(-42))));
    script.push(Stmt::Return(None));
    assert_eq!(script.run().unwrap().returned, -42);
}
