//! Tests of decoding.

use super::*;
use crate::value::{Frame, FrameSymbol, Tseries};
use probebook_compiler::types::{AddressSpace, Combine, EnumType, StructField, StructType, hist_buckets};

struct Fake;

impl Resolve for Fake {
    fn kernel_symbol(&self, address: u64) -> String {
        format!("k{address}")
    }
    fn user_symbol(&self, address: u64, pid: u32) -> String {
        format!("u{address}@{pid}")
    }
    fn stack(&self, _user: bool, _limit: u32, _build_ids: bool, id: i64, _pid: u32) -> Arc<Vec<Frame>> {
        let symbol =
            FrameSymbol { name: "f".into(), offset: 1, module: String::new(), location: None, inlined: Vec::new() };
        let frame = |address| Frame { address, symbol: Some(symbol.clone()) };
        Arc::new((0..id.cast_unsigned()).map(frame).collect())
    }
    fn time(&self, nanoseconds: u64, format: u32) -> String {
        format!("{nanoseconds}/{format}")
    }
    fn cgroup_path(&self, id: u64, _filter: u32) -> String {
        format!("unified:/{id}")
    }
    fn username(&self, uid: u64) -> String {
        format!("user{uid}")
    }
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn aggregated(aggregate: &Aggregate, copies: &[Vec<u8>]) -> Value {
    decode_aggregate(aggregate, copies.iter().map(Vec::as_slice))
}

#[test]
fn integers_take_their_width_and_sign() {
    let integer = |bits, signed| decode(&Type::Integer { bits, signed }, &[0xff; 8], &Fake);
    assert_eq!(integer(8, true), Value::Signed(-1));
    assert_eq!(integer(16, false), Value::Unsigned(0xffff));
    assert_eq!(integer(32, false), Value::Unsigned(0xffff_ffff));
    assert_eq!(integer(64, true), Value::Signed(-1));
}

#[test]
fn short_input_is_null_for_every_type() {
    let types = [
        Type::Bool,
        Type::U64,
        Type::String { capacity: 4 },
        Type::pointer(Type::U8, AddressSpace::Kernel),
        Type::Array { element: Arc::new(Type::U32), length: 2 },
        Type::tuple(vec![Type::U8, Type::U64]),
        Type::Stack { user: true, mode: StackMode::Perf, limit: 9 },
        Type::KernelSymbol,
        Type::UserSymbol,
        Type::Inet,
        Type::Mac,
        Type::Timestamp { format: 0 },
        Type::Username,
    ];
    for ty in types {
        let bytes = vec![0; ty.size() as usize / 2];
        assert_eq!(decode(&ty, &bytes, &Fake), Value::Null, "{ty}");
        assert_ne!(decode(&ty, &vec![0; ty.size() as usize], &Fake), Value::Null, "{ty}");
    }
}

#[test]
fn strings_end_at_nul_or_are_truncated() {
    let ty = Type::String { capacity: 4 };
    let string = |bytes: &[u8], truncated| Value::String { bytes: bytes.to_vec(), truncated };
    assert_eq!(decode(&ty, b"ab\0z", &Fake), string(b"ab", false));
    assert_eq!(decode(&ty, b"abc\0", &Fake), string(b"abc", false));
    assert_eq!(decode(&ty, b"abcd", &Fake), string(b"abcd", true));
}

#[test]
fn a_buffer_never_claims_more_than_its_capacity() {
    let ty = Type::Buffer { capacity: 2 };
    assert_eq!(decode(&ty, &[9, 0, 0, 0, 1, 2], &Fake), Value::Buffer(vec![1, 2]));
    assert_eq!(decode(&ty, &[1, 0, 0, 0, 1, 2], &Fake), Value::Buffer(vec![1]));
}

#[test]
fn tuples_skip_padding() {
    let ty = Type::tuple(vec![Type::I8, Type::U32, Type::String { capacity: 2 }]);
    let value = decode(&ty, &[0xff, 9, 9, 9, 7, 0, 0, 0, b'x', 0, 9, 9], &Fake);
    assert_eq!(value, Value::Tuple(vec![Value::Signed(-1), Value::Unsigned(7), Value::text("x")]));
}

#[test]
fn bitfields_are_cut_out_without_sign() {
    let field = |name: &str, ty, bitfield| StructField {
        name: name.into(),
        offset: 0,
        ty,
        bitfield: Some(bitfield),
        data_loc: false,
    };
    let fields = vec![field("a", Type::U32, (0, 4)), field("b", Type::I32, (4, 3)), field("c", Type::U32, (7, 2))];
    let ty = Type::Struct(Arc::new(StructType { name: "struct s".into(), size: 4, fields }));
    let Value::Record(fields) = decode(&ty, &0x1f5u32.to_ne_bytes(), &Fake) else { panic!() };
    let values: Vec<Value> = fields.into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, [Value::Unsigned(5), Value::Signed(7), Value::Unsigned(3)]);
}

#[test]
fn dynamic_tracepoint_fields_are_read_if_they_were_copied() {
    let field = StructField { name: "s".into(), offset: 0, ty: Type::U32, bitfield: None, data_loc: true };
    let ty = |size| {
        let fields = vec![field.clone()];
        Type::Struct(Arc::new(StructType { name: "t".into(), size, fields }))
    };
    let mut bytes = (3u32 << 16 | 4).to_ne_bytes().to_vec();
    bytes.extend(b"hi\0");
    let record = |value| Value::Record(vec![("s".into(), value)]);
    assert_eq!(decode(&ty(7), &bytes, &Fake), record(Value::text("hi")));
    assert_eq!(decode(&ty(4), &bytes, &Fake), record(Value::Unsigned(3 << 16 | 4)));
}

#[test]
fn enums_errors_and_addresses_have_names() {
    let variants = vec![("ONE".into(), 1), ("MINUS".into(), -1)];
    let info = Arc::new(EnumType { name: "e".into(), bits: 32, signed: true, variants });
    let ty = Type::Enum { info };
    let named = |text: &str, number| Value::Named { text: text.into(), number };
    assert_eq!(decode(&ty, &1u32.to_ne_bytes(), &Fake), named("ONE", 1));
    assert_eq!(decode(&ty, &u32::MAX.to_ne_bytes(), &Fake), named("MINUS", -1));
    assert_eq!(decode(&ty, &7u32.to_ne_bytes(), &Fake), named("7", 7));
    assert_eq!(decode(&Type::ErrorName, &words(&[7]), &Fake), Value::text("Argument list too long"));
    assert_eq!(decode(&Type::KernelSymbol, &words(&[5]), &Fake), Value::text("k5"));
    assert_eq!(decode(&Type::UserSymbol, &words(&[5, 6]), &Fake), Value::text("u5@6"));
}

#[test]
fn addresses_of_both_families() {
    let mut bytes = 4u32.to_ne_bytes().to_vec();
    bytes.extend([127, 0, 0, 1]);
    bytes.resize(20, 0);
    assert_eq!(decode(&Type::Inet, &bytes, &Fake), Value::Inet([127, 0, 0, 1].into()));
    bytes[0] = 16;
    assert!(matches!(decode(&Type::Inet, &bytes, &Fake), Value::Inet(IpAddr::V6(_))));
}

#[test]
fn stacks_are_looked_up_and_cut() {
    let ty = Type::Stack { user: false, mode: StackMode::Bpftrace, limit: 5 };
    let length = |id: i64, frames: u32| {
        let mut bytes = id.to_ne_bytes().to_vec();
        bytes.extend(0u32.to_ne_bytes());
        bytes.extend(frames.to_ne_bytes());
        let Value::Stack(stack) = decode(&ty, &bytes, &Fake) else { panic!() };
        stack.frames.len()
    };
    assert_eq!([length(3, 3), length(5, 2), length(5, 0), length(-14, 3)], [3, 2, 5, 0]);
}

#[test]
fn counters_are_added_over_cpus() {
    let copies = [words(&[6, 1]), words(&[0u64.wrapping_sub(20), 3])];
    assert_eq!(aggregated(&Aggregate::Count, &[words(&[2]), words(&[3])]), Value::Unsigned(5));
    assert_eq!(aggregated(&Aggregate::Sum { signed: true }, &copies), Value::Signed(-14));
    assert_eq!(aggregated(&Aggregate::Avg { signed: true }, &copies), Value::Signed(-3));
    let stats = aggregated(&Aggregate::Stats { signed: true }, &copies);
    let Value::Stats { count, average, total } = stats else { panic!() };
    assert_eq!((count, *average, *total), (4, Value::Signed(-3), Value::Signed(-14)));
    assert_eq!(aggregated(&Aggregate::Avg { signed: false }, &[]), Value::Unsigned(0));
}

#[test]
fn extremes_skip_cpus_that_saw_nothing() {
    let minus_two = 0u64.wrapping_sub(2);
    let copies = [words(&[0, 0]), words(&[minus_two, 1]), words(&[4, 1])];
    assert_eq!(aggregated(&Aggregate::Min { signed: true }, &copies), Value::Signed(-2));
    assert_eq!(aggregated(&Aggregate::Max { signed: true }, &copies), Value::Signed(4));
    assert_eq!(aggregated(&Aggregate::Min { signed: false }, &copies), Value::Unsigned(4));
    assert_eq!(aggregated(&Aggregate::Max { signed: false }, &copies), Value::Unsigned(minus_two));
}

#[test]
fn histograms_are_added_bucket_by_bucket() {
    let mut copy = vec![0; hist_buckets(0) as usize];
    copy[3] = 2;
    let hist = aggregated(&Aggregate::Hist { k: 0 }, &[words(&copy), words(&copy)]);
    let Value::Hist(hist) = hist else { panic!() };
    assert_eq!((hist.buckets.len(), hist.buckets[3]), (hist_buckets(0) as usize, 4));
    let lhist = Aggregate::Lhist { min: 0, max: 10, step: 5 };
    let Value::Lhist(lhist) = aggregated(&lhist, &[words(&[1, 2, 3, 4])]) else { panic!() };
    assert_eq!(lhist.buckets, [1, 2, 3, 4]);
}

fn series(combine: Combine, copies: &[Vec<u8>]) -> Vec<(u64, Value)> {
    let aggregate = Aggregate::Tseries { interval_ns: 10, intervals: 3, combine, signed: true };
    let Value::Tseries(Tseries { points, .. }) = aggregated(&aggregate, copies) else { panic!() };
    points
}

#[test]
fn time_series_combine_the_slots_of_one_interval() {
    // Slots hold the epoch plus 1.
    let copies = [words(&[7, 100, 7, 4, 1, 8, 0, 0, 0]), words(&[9, 90, 7, 0, 0, 0, 1, 1, 3])];
    let values = |combine| series(combine, &copies);
    let point = |epoch: u64, value| (epoch * 10, Value::Signed(value));
    assert_eq!(values(Combine::Last), [point(6, 7), point(7, 4)], "the newest, epoch 2 too old");
    assert_eq!(values(Combine::Sum)[0], point(6, 16));
    assert_eq!(values(Combine::Min)[0], point(6, 7));
    assert_eq!(values(Combine::Max)[0], point(6, 9));
    let averages = [words(&[7, 2, 7]), words(&[9, 6, 7])];
    assert_eq!(series(Combine::Avg, &averages), [point(6, 2)]);
    assert_eq!(series(Combine::Last, &[words(&[5, 0, 1])]), [point(0, 5)], "the first epoch of all");
}

#[test]
fn an_average_computed_in_the_program_is_a_number() {
    let ty = Type::Aggregate(Aggregate::Avg { signed: true });
    assert_eq!(decode(&ty, &words(&[8]), &Fake), Value::Signed(8));
    assert_eq!(decode(&ty, &words(&[8, 2]), &Fake), Value::Signed(4));
}
