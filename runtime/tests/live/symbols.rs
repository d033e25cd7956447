//! Stacks and symbols, of this process and of one that has ended.

use std::time::{Duration, Instant};

use probebook_compiler::ir::*;
use probebook_compiler::plan::*;
use probebook_compiler::types::{Aggregate, StackMode, Type};
use probebook_runtime::value::{MapSnapshot, Stack, Value};
use probebook_runtime::{Session, StartOptions, Status};

use crate::script::*;
use crate::sink::Recorder;

/// `BPF_F_USER_STACK`
const USER_STACK: i64 = 1 << 8;
const FRAMES: u32 = 32;

/// `tracepoint:CATEGORY:NAME { @[kstack or ustack] = count() }`
fn stacks_at(category: &str, name: &str, user: bool) -> Plan {
    let mut script = Script::new();
    let role = MapRole::Stacks { user, limit: FRAMES, build_ids: false };
    let stacks =
        script.map(MapPlan { role, kind: MapKind::StackTrace, key_size: 4, value_size: 8 * FRAMES, max_entries: 4096 });
    let key = Type::Stack { user, mode: StackMode::Bpftrace, limit: FRAMES };
    let map = script.user_map("stacks", MapKind::PerCpuHash, Some(key), Type::Aggregate(Aggregate::Count));
    let mut body = Body::new();
    let (key, one) = (body.slot(16), body.slot(8));
    let flags = if user { USER_STACK } else { 0 };
    body.store(Expr::Slot(key), helper(Helper::GET_STACKID, vec![Expr::Context, Expr::Map(stacks), word(flags)]));
    let pid = binary(Op::LShr, helper(Helper::GET_CURRENT_PID_TGID, vec![]), word(32));
    body.store(offset(Expr::Slot(key), 8), if user { pid } else { word(0) });
    body.store(Expr::Slot(one), word(1));
    body.evaluate(helper(Helper::MAP_UPDATE_ELEM, vec![Expr::Map(map), Expr::Slot(key), Expr::Slot(one), word(0)]));
    let attach = Attach::Tracepoint { category: category.into(), name: name.into() };
    script.probe(name, ProgramKind::Tracepoint, attach, body);
    script.plan()
}

fn collect(session: &Session, plan: Plan, options: StartOptions, mut stir: impl FnMut()) -> MapSnapshot {
    let mut sink = Recorder::default();
    let mut trace = session.start(plan, options).unwrap();
    trace.run_begin(&mut sink).unwrap();
    trace.attach(&mut sink).unwrap();
    let deadline = Instant::now() + Duration::from_millis(1500);
    while Instant::now() < deadline {
        stir();
        if trace.poll(&mut sink, Duration::from_millis(100)) != Status::Running {
            break;
        }
    }
    trace.stop(&mut sink);
    trace.snapshot("stacks").unwrap().unwrap()
}

/// The names of each stack's frames.
fn names(snapshot: &MapSnapshot) -> Vec<Vec<String>> {
    let stacks = snapshot.entries.iter().map(|(key, _)| match key {
        Value::Stack(Stack { frames, .. }) => {
            frames.iter().filter_map(|frame| frame.symbol.as_ref()).map(|symbol| symbol.name.clone()).collect()
        }
        other => panic!("{other:?}"),
    });
    stacks.collect()
}

#[test]
fn kernel_stacks_have_names() {
    let Some(session) = session() else { return };
    // Not a system call's tracepoint: kernels before 6.12 have no kernel stack there.
    let plan = stacks_at("sched", "sched_switch", false);
    let snapshot = collect(&session, plan, StartOptions::default(), || std::thread::sleep(Duration::from_millis(1)));
    let names = names(&snapshot);
    assert!(names.iter().flatten().any(|name| name.contains("schedule")), "{names:?}");
}

#[test]
fn user_stacks_have_names() {
    let Some(session) = session() else { return };
    let plan = stacks_at("syscalls", "sys_enter_getppid", true);
    let snapshot = collect(&session, plan, StartOptions::default(), || {
        let _ = std::os::unix::process::parent_id();
    });
    let names = names(&snapshot);
    assert!(names.iter().flatten().any(|name| name.contains("getppid")), "{names:?}");
}

#[test]
fn stacks_of_a_process_that_has_ended_have_names() {
    let Some(session) = session() else { return };
    let plan = stacks_at("syscalls", "sys_enter_clock_nanosleep", true);
    let options = StartOptions { child: Some("sleep 0.3".into()), ..StartOptions::default() };
    let snapshot = collect(&session, plan, options, || {});
    let names = names(&snapshot);
    assert!(names.iter().flatten().any(|name| name.contains("nanosleep")), "{names:?}");
}

/// Waits until the session holds stacks, or none; the reaper works in the background.
fn wait_for_stacks(session: &Session, some: bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while (session.recorded_stacks().unwrap() > 0) != some {
        assert!(Instant::now() < deadline, "{} stacks", session.recorded_stacks().unwrap());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn stacks_stay_as_long_as_a_map_refers_to_them() {
    let Some(session) = session() else { return };
    let plan = stacks_at("sched", "sched_switch", false);
    let before = collect(&session, plan.clone(), StartOptions::default(), || {});
    assert!(!before.entries.is_empty());
    // A second trace ends, and with it a sweep comes; what the map names is still there.
    collect(&session, plan.clone(), StartOptions::default(), || {});
    std::thread::sleep(Duration::from_millis(300));
    wait_for_stacks(&session, true);
    let names_now = names(&session.snapshot("stacks").unwrap());
    // One key stands for all stacks that could not be stored.
    assert!(names_now.iter().filter(|names| names.is_empty()).count() <= 1, "{} stacks", names_now.len());
    session.drop_map("stacks").unwrap();
    // The next trace's own map refers to its own stacks only; without it nothing is left.
    collect(&session, plan, StartOptions::default(), || {});
    session.drop_map("stacks").unwrap();
    drop(session.start(stacks_at("sched", "sched_switch", false), StartOptions::default()).unwrap());
    wait_for_stacks(&session, false);
}
