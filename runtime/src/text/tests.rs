//! Tests of the text of maps, values and formats, against what bpftrace prints.

use std::sync::Arc;

use probebook_compiler::types::{Aggregate, Combine, StackMode, Type, hist_buckets};

use super::*;
use crate::value::{Frame, FrameSymbol, Hist, Lhist, MapSnapshot, Stack, Tseries, Value};

fn options() -> TextOptions {
    TextOptions { time_zone: TimeZone::UTC, ..TextOptions::default() }
}

fn snapshot(key: Option<Type>, value: Type, entries: Vec<(Value, Value)>) -> MapSnapshot {
    MapSnapshot { name: "x".into(), key, value, entries, lost_keys: 0 }
}

fn scalar(ty: Type, value: Value) -> String {
    map(&snapshot(None, ty, vec![(Value::Null, value)]), 0, 0, &options())
}

fn keyed(key: Value, value: Value) -> String {
    map(&snapshot(Some(Type::U64), Type::U64, vec![(key, value)]), 0, 0, &options())
}

#[test]
fn scalars_and_keys() {
    assert_eq!(scalar(Type::U64, Value::Unsigned(5)), "@x: 5\n");
    assert_eq!(keyed(Value::Signed(-1), Value::Bool(true)), "@x[-1]: true\n");
    let tuple = Value::Tuple(vec![
        Value::Signed(1),
        Value::text("foo"),
        Value::Tuple(vec![Value::Signed(2), Value::text("(bar)")]),
    ]);
    assert_eq!(keyed(tuple.clone(), tuple), "@x[1, foo, (2, (bar))]: (1, foo, (2, (bar)))\n");
    assert_eq!(keyed(Value::text("(a)"), Value::Null), "@x[(a)]: null\n");
}

#[test]
fn an_empty_scalar_prints_as_zero_but_an_empty_chart_as_nothing() {
    let empty = |key, ty| map(&snapshot(key, ty, vec![]), 0, 0, &options());
    assert_eq!(empty(None, Type::U64), "@x: 0\n");
    let stats = Type::Aggregate(Aggregate::Stats { signed: true });
    assert_eq!(empty(None, stats), "@x: { .count = 0, .average = 0, .total = 0 }\n");
    let nested = Type::tuple(vec![Type::U8, Type::String { capacity: 3 }]);
    let record = Type::Record(vec![("a".into(), Type::U8), ("b".into(), nested)].into());
    assert_eq!(empty(None, record), "@x: { .a = 0, .b = (0, ) }\n");
    assert_eq!(empty(None, Type::Aggregate(Aggregate::Hist { k: 0 })), "");
    assert_eq!(empty(Some(Type::U64), Type::U64), "");
}

#[test]
fn compound_values() {
    let numbers = |numbers: &[i64]| Value::Array(numbers.iter().map(|n| Value::Signed(*n)).collect());
    let text = |shown: &Value| value(shown, &options());
    assert_eq!(text(&Value::Array(vec![numbers(&[5, 6]), numbers(&[7, 8])])), "[[5,6],[7,8]]");
    let record = Value::Record(vec![
        ("m".into(), Value::Signed(2)),
        ("p".into(), Value::pointer(0xffff_0010)),
        ("in".into(), Value::Record(vec![])),
    ]);
    assert_eq!(text(&record), "{ .m = 2, .p = 0xffff0010, .in = {} }");
    let stats = Value::Stats { count: 3, average: Box::new(Value::Signed(2)), total: Box::new(Value::Signed(6)) };
    assert_eq!(print(&stats, &options()), "{ .count = 3, .average = 2, .total = 6 }\n");
    assert_eq!(text(&Value::Buffer(b"ok_\x00\x1b".to_vec())), "ok_\\x00\\x1b");
    assert_eq!(text(&Value::Mac([5, 4, 3, 2, 0xab, 0xff])), "05:04:03:02:AB:FF");
    assert_eq!(text(&Value::Inet([127, 0, 0, 1].into())), "127.0.0.1");
}

#[test]
fn a_cut_string_ends_in_the_trailer_and_control_characters_are_shown() {
    let cut = Value::String { bytes: b"/usr\x1b".to_vec(), truncated: true };
    assert_eq!(value(&cut, &options()), "/usr\\x1b..");
    let options = TextOptions { truncation_trailer: "_xxx".into(), ..options() };
    assert_eq!(value(&cut, &options), "/usr\\x1b_xxx");
}

fn hist(values: &[(usize, u64)]) -> Value {
    let mut buckets = vec![0; hist_buckets(0) as usize];
    for (index, count) in values {
        buckets[*index] = *count;
    }
    Value::Hist(Hist { k: 0, buckets })
}

const HIST: Type = Type::Aggregate(Aggregate::Hist { k: 0 });

#[test]
fn log2_histogram() {
    // hist(-1), hist(2), hist(3), hist(7), hist(20)
    let expected = "\
@x:
(..., 0)               1 |@@@@@@@@@@@@@@@@@@@@@@@@@@                          |
[0]                    0 |                                                    |
[1]                    0 |                                                    |
[2, 4)                 2 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|
[4, 8)                 1 |@@@@@@@@@@@@@@@@@@@@@@@@@@                          |
[8, 16)                0 |                                                    |
[16, 32)               1 |@@@@@@@@@@@@@@@@@@@@@@@@@@                          |

";
    assert_eq!(scalar(HIST, hist(&[(0, 1), (3, 2), (4, 1), (6, 1)])), expected);
    assert_eq!(scalar(HIST, hist(&[])), "@x:\n\n", "after zero(@x)");
}

#[test]
fn histograms_by_key_with_top_and_div() {
    let entries = vec![(Value::Signed(1), hist(&[(5, 10)])), (Value::Signed(2), hist(&[(6, 20)]))];
    let printed = map(&snapshot(Some(Type::U64), HIST, entries), 1, 10, &options());
    let bar = "@".repeat(52);
    assert_eq!(printed, format!("@x[2]:\n[16, 32)               2 |{bar}|\n\n"));
}

#[test]
fn linear_histogram() {
    // 2, 3, 7, -1 and 11 in lhist(n, 0, 10, 2)
    let lhist = Lhist { min: 0, max: 10, step: 2, buckets: vec![1, 0, 2, 0, 1, 0, 1] };
    let expected = "\
@x:
(..., 0)               1 |@@@@@@@@@@@@@@@@@@@@@@@@@@                          |
[0, 2)                 0 |                                                    |
[2, 4)                 2 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|
[4, 6)                 0 |                                                    |
[6, 8)                 1 |@@@@@@@@@@@@@@@@@@@@@@@@@@                          |
[8, 10)                0 |                                                    |
[10, ...)              1 |@@@@@@@@@@@@@@@@@@@@@@@@@@                          |

";
    assert_eq!(scalar(HIST, Value::Lhist(lhist)), expected);
}

fn series(points: &[(u64, i64)], signed: bool) -> Value {
    let value = |n: i64| {
        if signed { Value::Signed(n) } else { Value::Unsigned(n as u64) }
    };
    Value::Tseries(Tseries {
        interval_ns: 100_000_000,
        intervals: 20,
        combine: Combine::Last,
        signed,
        points: points.iter().map(|(epoch, n)| (epoch * 100_000_000, value(*n))).collect(),
    })
}

const SERIES: Type = Type::Aggregate(Aggregate::Tseries {
    interval_ns: 100_000_000,
    intervals: 20,
    combine: Combine::Last,
    signed: true,
});

#[test]
fn time_series_around_zero() {
    let expected = "\
@x:
             -5                                                  5
hh:mm:ss.ms  |___________________________________________________|
00:00:00.100 *                         .                         | -5
00:00:00.200 |    *                    .                         | -4
00:00:00.300 |                         *                         | 0
00:00:00.400 |                         .                         | -
00:00:00.500 |                         .                         * 5
             v___________________________________________________v
             -5                                                  5

";
    let points = [(1, -5), (2, -4), (3, 0), (5, 5)];
    assert_eq!(scalar(SERIES, series(&points, true)), expected);
}

#[test]
fn time_series_of_one_value_and_of_none() {
    let expected = "\
@x:
             8                                                  10
hh:mm:ss.ms  |___________________________________________________|
00:00:00.500 |                         *                         | 9
00:00:00.600 |                         *                         | 9
             v___________________________________________________v
             8                                                  10

";
    assert_eq!(scalar(SERIES, series(&[(5, 9), (6, 9)], true)), expected);
    assert_eq!(scalar(SERIES, series(&[], true)), "@x:\n<no data>\n");
    let zero = scalar(SERIES, series(&[(5, 0), (6, 0)], false));
    assert!(zero.contains("\n00:00:00.500 *        "), "unsigned values have no room below: {zero}");
    let single = scalar(SERIES, series(&[(5, 9)], true));
    assert!(single.contains("\nhh:mm:ss.ns        |_") && single.contains("\n00:00:00.500000000 |"));
}

#[test]
fn time_series_by_key_end_at_the_same_interval() {
    let entries =
        vec![(Value::text("one"), series(&[(0, 0), (1, 5)], true)), (Value::text("two"), series(&[(3, 4)], true))];
    let printed = map(&snapshot(Some(Type::U64), SERIES, entries), 0, 0, &options());
    let one = "\
@x[one]:
             0                                                   5
hh:mm:ss.ms  |___________________________________________________|
00:00:00.000 *                                                   | 0
00:00:00.100 |                                                   * 5
00:00:00.200 |                                                   | -
00:00:00.300 |                                                   | -
             v___________________________________________________v
             0                                                   5

@x[two]:
";
    assert!(printed.starts_with(one), "{printed}");
}

fn stack(mode: StackMode, user: bool) -> Value {
    let symbol = |name: &str, offset, inlined: &[&str]| {
        Some(FrameSymbol {
            name: name.into(),
            offset,
            module: "/bin/a".into(),
            location: inlined.first().map(|_| "src/a.c:7".to_owned()),
            inlined: inlined.iter().map(|name| (*name).to_owned()).collect(),
        })
    };
    let frames = Arc::new(vec![
        Frame { address: 0x10, symbol: symbol("f", 1, &["g@src/a.c:3"]) },
        Frame { address: 0x20, symbol: symbol("main\x1b", 300, &[]) },
        Frame { address: 0x30, symbol: None },
    ]);
    Value::Stack(Stack { mode, user, frames })
}

#[test]
fn stacks_span_lines() {
    let text = |mode, user| value(&stack(mode, user), &options());
    assert_eq!(
        keyed(stack(StackMode::Bpftrace, false), Value::Unsigned(3)),
        "@x[
        [inlined] g@src/a.c:3
        f+1@src/a.c:7
        main\\x1b+300
        0x30
]: 3\n"
    );
    assert_eq!(
        text(StackMode::Perf, true),
        "\n\t10 g (inlined)\n\t10 f+1 (/bin/a)\n\t20 main\\x1b+300 (/bin/a)\n\t30 0x30 ([unknown])\n"
    );
    assert_eq!(text(StackMode::Raw, false), "\n10\n20\n30\n");
    let lost = Frame { address: u64::MAX, symbol: None };
    let frames = Arc::new(vec![lost.clone(), lost]);
    let lost = Value::Stack(Stack { mode: StackMode::Bpftrace, user: true, frames });
    assert_eq!(value(&lost, &options()), "\n        <unwind failure>\n");
}

fn printf(format: &str, values: &[Value]) -> String {
    let mut out = String::new();
    Format::parse(format).unwrap().render(values, &options(), &mut out);
    out
}

#[test]
fn length_modifiers_cut_integers() {
    let x = Value::Signed(0x0012_3456_78ab_cdef);
    let values = [x.clone(), x.clone(), x.clone(), x];
    assert_eq!(printf("%hhx %hx %x %jx", &values), "ef cdef 78abcdef 12345678abcdef");
    let minus = Value::Signed(-2);
    let values = [minus.clone(), minus.clone(), minus.clone(), minus];
    assert_eq!(printf("%d %u %hhu %llu", &values), "-2 4294967294 254 18446744073709551614");
    assert_eq!(printf("%ld %zu", &[Value::Unsigned(1 << 40), Value::Unsigned(1 << 41)]), "1099511627776 2199023255552");
    assert_eq!(printf("%hhd", &[Value::Unsigned(200)]), "-56");
}

#[test]
fn flags_width_and_precision() {
    let n = Value::Signed(-42);
    let p = Value::Signed(42);
    assert_eq!(printf("[%6d][%-6d][%06d]", &[n.clone(), n.clone(), n.clone()]), "[   -42][-42   ][-00042]");
    assert_eq!(printf("[%+d][% d][%.4d][%6.3d]", &[p.clone(), p.clone(), p.clone(), n]), "[+42][ 42][0042][  -042]");
    assert_eq!(
        printf("[%#x][%#06X][%#o][%04x]", &[p.clone(), p.clone(), p, Value::Signed(2)]),
        "[0x2a][0X002A][052][0002]"
    );
    assert_eq!(
        printf("%5s|%-5s|%.2s|%04x", &[Value::text("ba"), Value::text("ba"), Value::text("bad"), Value::Signed(2)]),
        "   ba|ba   |ba|0002"
    );
    assert_eq!(printf("%#x", &[Value::Signed(0)]), "0");
}

#[test]
fn every_kind_of_value_has_its_conversion() {
    let two = Value::Named { text: "TWO".into(), number: 2 };
    assert_eq!(printf("%d %s %-5s|%5s", &[two.clone(), two.clone(), two.clone(), two]), "2 TWO TWO  |  TWO");
    assert_eq!(printf("%c%c%c", &[Value::Signed(0x41), Value::Signed(0x1b), Value::Signed(10)]), "A\\x1b\n");
    assert_eq!(printf("%p %p %s", &[Value::pointer(0xff), Value::Unsigned(0), Value::pointer(0)]), "0xff 0 0x0");
    let hello = || Value::Buffer(b"Hello\0".to_vec());
    assert_eq!(
        printf("%r|%rx|%rh|%s", &[hello(), hello(), hello(), hello()]),
        "Hello\\x00|\\x48\\x65\\x6c\\x6c\\x6f\\x00|48 65 6c 6c 6f 00|Hello\\x00"
    );
    assert_eq!(printf("%gr %d %s", &[Value::Unsigned(1), Value::Bool(true), Value::Bool(true)]), "GFP_DMA 1 true");
    let tuple = Value::Tuple(vec![Value::Signed(1), Value::text("a")]);
    assert_eq!(printf("%s", &[tuple]), "(1, a)");
}

#[test]
fn text_of_the_script_passes_untouched() {
    assert_eq!(printf("\x1b[31m100%\n%%d 5%!", &[]), "\x1b[31m100%\n%d 5%!");
    assert_eq!(printf("%d ms100", &[Value::Signed(100)]), "100 ms100");
    assert_eq!(Format::parse("%d %% %s %r").unwrap().arguments(), 3);
}

#[test]
fn values_that_do_not_fit_are_named() {
    assert_eq!(printf("%d", &[Value::text("a")]), "!{invalid integer conversion: a}");
    assert_eq!(printf("%d", &[]), "!{missing argument}");
    assert_eq!(
        Format::parse("%99999999999d").unwrap_err().to_string(),
        "a width or precision of 99999999999 in a format; at most 65536 is possible"
    );
}

struct Unresolved;

impl crate::value::Resolve for Unresolved {
    fn kernel_symbol(&self, _: u64) -> String {
        String::new()
    }
    fn user_symbol(&self, _: u64, _: u32) -> String {
        String::new()
    }
    fn stack(&self, _: bool, _: u32, _: bool, _: i64, _: u32) -> Arc<Vec<Frame>> {
        Arc::default()
    }
    fn time(&self, _: u64, _: u32) -> String {
        String::new()
    }
    fn cgroup_path(&self, _: u64, _: u32) -> String {
        String::new()
    }
    fn username(&self, _: u64) -> String {
        String::new()
    }
}

#[test]
fn events_are_formatted_from_their_bytes() {
    let types = [Type::I32, Type::String { capacity: 4 }, Type::U64];
    let format = EventFormat::new("%d %s|%-5s|%llu\n", &[&types[..2], &types[1..]].concat()).unwrap();
    let mut bytes = (-7i32).to_ne_bytes().to_vec();
    bytes.extend(b"ab\0\0wxyz\0\0\0\0");
    bytes.extend(u64::MAX.to_ne_bytes());
    let mut out = String::new();
    format.render(&bytes, &Unresolved, &options(), &mut out);
    assert_eq!(out, "-7 ab|wxyz..|18446744073709551615\n");
    out.clear();
    format.render(&bytes[..6], &Unresolved, &options(), &mut out);
    assert_eq!(out, "-7 null|null |!{invalid integer conversion: null}\n");
}
