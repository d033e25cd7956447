//! Maps that outlive their traces, and the limits on them.

use probebook_compiler::plan::{EventPlan, MapKind};
use probebook_compiler::types::{Aggregate, Type};
use probebook_runtime::maps::MapError;
use probebook_runtime::value::Value;
use probebook_runtime::{Session, SessionOptions, StartError, StartOptions};

use crate::script::*;
use crate::sink::Recorder;

/// Counts under some keys and gives what was printed.
fn count(session: &Session, keys: &[i64]) -> Recorder {
    let mut script = Script::new();
    let map = script.user_map("seen", MapKind::PerCpuHash, Some(Type::U64), Type::Aggregate(Aggregate::Count));
    let mut begin = Body::new();
    for key in keys {
        begin.count(map, word(*key));
    }
    script.begin(begin);
    let mut sink = Recorder::default();
    let mut trace = session.start(script.plan(), StartOptions::default()).unwrap();
    trace.run_begin(&mut sink).unwrap();
    trace.stop(&mut sink);
    trace.print_maps(&mut sink).unwrap();
    assert_eq!(trace.finish(&mut sink).touched_maps, ["seen"]);
    sink
}

fn numbers(entries: &[(Value, Value)]) -> Vec<(u64, u64)> {
    let number = |value: &Value| match value {
        Value::Unsigned(number) => *number,
        other => panic!("{other:?}"),
    };
    entries.iter().map(|(key, value)| (number(key), number(value))).collect()
}

#[test]
fn a_map_lives_from_trace_to_trace() {
    let Some(session) = session() else { return };
    count(&session, &[1, 1, 2]);
    let sink = count(&session, &[1, 3]);
    assert_eq!(numbers(&sink.maps[0].snapshot.entries), [(2, 1), (3, 1), (1, 3)]);

    let listed = session.maps().unwrap();
    assert_eq!((listed[0].name.as_str(), listed[0].entries), ("seen", 3));
    session.zero_map("seen").unwrap();
    assert_eq!(numbers(&session.snapshot("seen").unwrap().entries), [(1, 0), (2, 0), (3, 0)]);
    session.clear_map("seen").unwrap();
    assert!(session.snapshot("seen").unwrap().entries.is_empty());
    session.drop_map("seen").unwrap();
    assert!(matches!(session.snapshot("seen"), Err(MapError::Unknown(_))));
    assert_eq!(session.map_memory().0, 0);
}

#[test]
fn another_type_under_the_same_name_is_refused() {
    let Some(session) = session() else { return };
    count(&session, &[1]);
    let mut script = Script::new();
    script.user_map("seen", MapKind::Hash, Some(Type::U64), Type::U64);
    script.begin(Body::new());
    match session.start(script.plan(), StartOptions::default()) {
        Err(StartError::Maps(error @ MapError::TypeChanged { .. })) => {
            assert_eq!(error.to_string(), "@seen was count_t keyed by uint64 and cannot become uint64 keyed by uint64");
        }
        other => panic!("{:?}", other.err()),
    }
}

#[test]
fn memory_is_bounded_before_a_map_is_made() {
    let Some(session) = session_with(SessionOptions { map_memory: Some(16 << 20), ..SessionOptions::default() }) else {
        return;
    };
    let mut script = Script::new();
    let map = script.user_map("h", MapKind::PerCpuHash, Some(Type::U64), Type::Aggregate(Aggregate::Hist { k: 5 }));
    script.plan.maps[map.0 as usize].max_entries = 1_000_000;
    script.begin(Body::new());
    match session.start(script.plan(), StartOptions::default()) {
        Err(StartError::Maps(MapError::TooLarge { map, needed, .. })) => {
            assert_eq!(map, "@h");
            assert!(needed.ends_with("GiB"), "{needed}");
        }
        other => panic!("{:?}", other.err()),
    }
    assert!(session.maps().unwrap().is_empty());
}

#[test]
fn a_scalar_is_there_once_it_was_assigned() {
    let Some(session) = session() else { return };
    let mut script = Script::new();
    let map = script.user_map("x", MapKind::Array, None, Type::U32);
    let print = script.event(EventPlan::PrintMap { map: map.0 as usize, top: 0, div: 0 });
    let mut begin = Body::new();
    begin.send(print, vec![]);
    let address = |offset| probebook_compiler::ir::Expr::MapValue { map, offset };
    begin.store(address(0), word(99));
    begin.store(address(8), word(1));
    script.begin(begin);
    let plan = script.plan();
    let mut sink = Recorder::default();
    let mut trace = session.start(plan, StartOptions::default()).unwrap();
    assert!(trace.snapshot("x").unwrap().unwrap().entries.is_empty());
    trace.run_begin(&mut sink).unwrap();
    // It becomes the session's once it is known that the script can run.
    assert!(session.snapshot("x").is_err());
    trace.attach(&mut sink).unwrap();
    assert_eq!(session.snapshot("x").unwrap().entries, [(Value::Null, Value::Unsigned(99))]);
    assert_eq!(sink.maps.len(), 1);
    session.zero_map("x").unwrap();
    assert_eq!(session.snapshot("x").unwrap().entries, [(Value::Null, Value::Unsigned(0))]);
    session.clear_map("x").unwrap();
    assert!(session.snapshot("x").unwrap().entries.is_empty());
}
