//! Attaching, one test a kind of probe.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use probebook_compiler::ir::Helper;
use probebook_compiler::plan::*;
use probebook_compiler::types::Type;
use probebook_runtime::attach::Reason;
use probebook_runtime::loader::feature;
use probebook_runtime::{Session, StartOptions, Status, TraceError};

use crate::script::*;
use crate::sink::Recorder;

/// A trace with one probe that prints the number of the process.
fn printing_pid(kind: ProgramKind, attach: Attach) -> Plan {
    let mut script = Script::new();
    let line = script.printf("%d\n", vec![Type::U64]);
    let mut body = Body::new();
    body.send(
        line,
        vec![binary(probebook_compiler::ir::Op::LShr, helper(Helper::GET_CURRENT_PID_TGID, vec![]), word(32))],
    );
    script.probe("the probe", kind, attach, body);
    script.plan()
}

/// Runs a plan for a while, or until enough was printed, doing something meanwhile.
fn run(
    session: &Session,
    plan: Plan,
    options: StartOptions,
    is_enough: impl Fn(&Recorder) -> bool,
    mut stir: impl FnMut(),
) -> Recorder {
    let mut sink = Recorder::default();
    let mut trace = session.start(plan, options).unwrap();
    trace.run_begin(&mut sink).unwrap();
    trace.attach(&mut sink).unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while !is_enough(&sink) && Instant::now() < deadline {
        stir();
        if trace.poll(&mut sink, Duration::from_millis(5)) != Status::Running {
            break;
        }
    }
    trace.stop(&mut sink);
    trace.finish(&mut sink);
    sink
}

/// So many lines, whoever caused them.
fn printed(lines: usize) -> impl Fn(&Recorder) -> bool {
    move |sink| sink.texts >= lines
}

/// Other processes may do what ours does.
fn three_are_ours(sink: &Recorder) -> bool {
    our_lines(sink) >= 3
}

fn our_lines(sink: &Recorder) -> usize {
    let pid = std::process::id().to_string();
    sink.text.lines().filter(|line| *line == pid).count()
}

#[test]
fn tracepoint() {
    let Some(session) = session() else { return };
    let attach = Attach::Tracepoint { category: "syscalls".into(), name: "sys_enter_getppid".into() };
    let sink =
        run(&session, printing_pid(ProgramKind::Tracepoint, attach), StartOptions::default(), three_are_ours, || {
            let _ = std::os::unix::process::parent_id();
        });
    assert!(our_lines(&sink) >= 3, "{}", sink.text);
}

#[test]
fn raw_tracepoint() {
    let Some(session) = session() else { return };
    let attach = Attach::RawTracepoint { name: "sys_enter".into() };
    let plan = printing_pid(ProgramKind::RawTracepoint, attach);
    let sink = run(&session, plan, StartOptions::default(), printed(1000), || {
        let _ = std::os::unix::process::parent_id();
    });
    assert!(our_lines(&sink) > 0);
}

#[test]
fn interval_fires_first_after_one_period_and_then_steadily() {
    let Some(session) = session() else { return };
    let plan = printing_pid(ProgramKind::PerfEvent, Attach::Interval { period_ns: 50_000_000 });
    let mut sink = Recorder::default();
    let mut trace = session.start(plan, StartOptions::default()).unwrap();
    trace.run_begin(&mut sink).unwrap();
    let start = Instant::now();
    trace.attach(&mut sink).unwrap();
    for (lines, least) in [(1, 45), (4, 190)] {
        while sink.texts < lines && start.elapsed() < Duration::from_secs(5) {
            trace.poll(&mut sink, Duration::from_millis(1));
        }
        assert!(sink.texts >= lines);
        assert!(start.elapsed() >= Duration::from_millis(least), "{lines} after {:?}", start.elapsed());
    }
}

#[test]
fn short_intervals_work() {
    let Some(session) = session() else { return };
    let plan = printing_pid(ProgramKind::PerfEvent, Attach::Interval { period_ns: 100_000 });
    let start = Instant::now();
    let sink = run(&session, plan, StartOptions::default(), printed(200), || {});
    assert!(sink.texts >= 200 && start.elapsed() < Duration::from_secs(2), "{} in {:?}", sink.texts, start.elapsed());
}

#[test]
fn profile_samples_every_cpu() {
    let Some(session) = session() else { return };
    let mut script = Script::new();
    let line = script.printf("%d\n", vec![Type::U64]);
    let mut body = Body::new();
    body.send(line, vec![helper(Helper::GET_SMP_PROCESSOR_ID, vec![])]);
    let attach = Attach::Profile { rate: ProfileRate::Hertz(999) };
    script.probe("profile:hz:999", ProgramKind::PerfEvent, attach, body);
    let sink = run(&session, script.plan(), StartOptions::default(), printed(200), || {});
    for cpu in session.system().online_cpus() {
        assert!(sink.text.lines().any(|line| line == cpu.to_string()), "CPU {cpu} was not sampled");
    }
}

#[test]
fn profile_of_one_process_sees_only_it() {
    let Some(session) = session() else { return };
    let plan = printing_pid(ProgramKind::PerfEvent, Attach::Profile { rate: ProfileRate::PeriodNs(1_000_000) });
    let options = StartOptions { pid: Some(std::process::id()), ..StartOptions::default() };
    // Threads that start later are seen too.
    let spin = || {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(5) {}
    };
    let sink = run(&session, plan, options, printed(20), || std::thread::spawn(spin).join().unwrap());
    assert!(sink.texts >= 20);
    assert_eq!(our_lines(&sink), sink.text.lines().count());
}

#[test]
fn software() {
    let Some(session) = session() else { return };
    // PERF_COUNT_SW_CONTEXT_SWITCHES
    let event = SoftwareEvent { name: "context-switches", config: 3, default_period: 1000 };
    let plan = printing_pid(ProgramKind::PerfEvent, Attach::Software { event, period: 1 });
    let sink =
        run(&session, plan, StartOptions::default(), printed(5), || std::thread::sleep(Duration::from_millis(1)));
    assert!(sink.texts >= 5);
}

#[test]
fn hardware_counters_that_are_missing_are_said_to_be() {
    let Some(session) = session() else { return };
    let event = HardwareEvent { name: "cpu-cycles", config: 0, default_period: 1_000_000 };
    let plan = printing_pid(ProgramKind::PerfEvent, Attach::Hardware { event, period: 0 });
    let mut sink = Recorder::default();
    let mut trace = session.start(plan, StartOptions::default()).unwrap();
    match trace.attach(&mut sink) {
        Ok(probes) => assert_eq!(probes, 1),
        Err(TraceError::Attach(error)) => {
            assert!(matches!(error.reason, Reason::NoKernelSupport { .. }), "{error}");
            assert_eq!(error.probe, "the probe");
        }
        Err(other) => panic!("{other}"),
    }
}

/// The C library and where a function of it lies in its file.
fn libc_function(session: &Session, name: &str) -> Option<(String, u64)> {
    use probebook_compiler::user_info::UserInfo;
    let path = session.system().resolve_binary("libc", None).unwrap().into_iter().next()?;
    let binary = session.system().user_binary(&path).unwrap();
    let symbol = binary.symbols.iter().find(|symbol| symbol.name == name)?;
    Some((path.display().to_string(), symbol.file_offset))
}

#[test]
fn uprobe_and_uretprobe() {
    let Some(session) = session() else { return };
    let (path, offset) = libc_function(&session, "getppid").unwrap();
    for returns in [false, true] {
        let attach = Attach::Uprobe { path: path.clone(), symbol: "getppid".into(), offset, returns };
        let sink =
            run(&session, printing_pid(ProgramKind::Probe, attach), StartOptions::default(), three_are_ours, || {
                let _ = std::os::unix::process::parent_id();
            });
        assert!(our_lines(&sink) >= 3, "{}", sink.text);
    }
}

/// Both probes come from one attach point, as with a wildcard over files.
#[test]
fn a_file_that_goes_away_keeps_none_of_the_others_from_being_traced() {
    let Some(session) = session() else { return };
    let (path, offset) = libc_function(&session, "getppid").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("gone").display().to_string();
    let at = |path: &str| Attach::Uprobe { path: path.into(), symbol: "getppid".into(), offset, returns: false };
    let mut plan = printing_pid(ProgramKind::Probe, at(&path));
    plan.probes.push(ProbePlan { attach: at(&gone), ..plan.probes[0].clone() });
    let sink = run(&session, plan, StartOptions::default(), three_are_ours, || {
        let _ = std::os::unix::process::parent_id();
    });
    assert!(our_lines(&sink) >= 3, "{}", sink.text);
    let alone = printing_pid(ProgramKind::Probe, at(&gone));
    match session.start(alone, StartOptions::default()).unwrap().attach(&mut Recorder::default()) {
        Err(TraceError::Attach(error)) => assert_eq!(error.reason.to_string(), format!("there is no file {gone}")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn kprobe_and_kretprobe_or_the_reason_why_not() {
    let Some(session) = session() else { return };
    for returns in [false, true] {
        let plan = || {
            let attach = Attach::Kprobe { module: None, symbol: "vfs_read".into(), offset: 0, returns };
            printing_pid(ProgramKind::Probe, attach)
        };
        let mut sink = Recorder::default();
        match session.start(plan(), StartOptions::default()).unwrap().attach(&mut sink) {
            Ok(_) => {
                let sink = run(&session, plan(), StartOptions::default(), three_are_ours, || {
                    let _ = std::fs::read("/proc/self/stat");
                });
                assert!(our_lines(&sink) > 0, "{}", sink.text);
            }
            Err(TraceError::Attach(error)) => {
                assert!(matches!(error.reason, Reason::NoKernelSupport { .. }), "{error}");
                println!("skipped: needs kprobe");
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_missing_tracepoint_fails_or_is_skipped_as_configured() {
    let Some(session) = session() else { return };
    let plan = |how| {
        let attach = Attach::Tracepoint { category: "syscalls".into(), name: "no_such_thing".into() };
        let mut plan = printing_pid(ProgramKind::Tracepoint, attach);
        plan.settings.missing_probes = how;
        plan
    };
    let mut sink = Recorder::default();
    let mut trace = session.start(plan(MissingProbes::Error), StartOptions::default()).unwrap();
    let error = trace.attach(&mut sink).unwrap_err();
    assert_eq!(error.to_string(), "Unable to attach probe: the probe: there is no tracepoint syscalls:no_such_thing");
    let mut trace = session.start(plan(MissingProbes::Warn), StartOptions::default()).unwrap();
    // There is a warning, and then nothing left to wait for.
    assert!(matches!(trace.attach(&mut sink), Err(TraceError::NothingAttached)));
    assert_eq!(sink.messages.len(), 1);
}

#[test]
fn an_interrupt_from_another_thread_ends_a_poll() {
    let Some(session) = session() else { return };
    let plan = printing_pid(ProgramKind::PerfEvent, Attach::Interval { period_ns: 1_000_000_000 });
    let mut sink = Recorder::default();
    let mut trace = session.start(plan, StartOptions::default()).unwrap();
    trace.attach(&mut sink).unwrap();
    let handle = trace.handle();
    let interrupter = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        handle.interrupt();
    });
    let start = Instant::now();
    assert_eq!(trace.poll(&mut sink, Duration::from_secs(30)), Status::Interrupted);
    assert!(start.elapsed() < Duration::from_secs(5));
    interrupter.join().unwrap();
}

#[test]
fn a_command_is_traced_from_its_start_to_its_end() {
    let Some(session) = session() else { return };
    let attach = Attach::Tracepoint { category: "sched".into(), name: "sched_process_exec".into() };
    let plan = printing_pid(ProgramKind::Tracepoint, attach);
    let options = StartOptions {
        child: Some("sh -c 'echo out; exit 3'".into()),
        capture_child_output: true,
        ..StartOptions::default()
    };
    let mut sink = Recorder::default();
    let mut trace = session.start(plan, options).unwrap();
    let pid = trace.pid().unwrap();
    trace.run_begin(&mut sink).unwrap();
    trace.attach(&mut sink).unwrap();
    let status = trace.poll(&mut sink, Duration::from_secs(10));
    assert_eq!(status, Status::ChildExited { code: Some(3) });
    trace.stop(&mut sink);
    assert!(sink.text.lines().any(|line| line == pid.to_string()), "{}", sink.text);
    assert!(sink.text.contains("out\n"), "{}", sink.text);
}

/// Fails on a kernel that has the links if their names are not looked at as expected.
#[test]
fn the_quick_check_for_links_of_many_kprobes_says_what_attaching_one_says() {
    if session().is_none() {
        return;
    }
    for with_return in [false, true] {
        let attached = feature::kprobe_multi(with_return);
        assert_eq!(feature::reads_names_of_kprobes(with_return), attached.is_ok(), "{attached:?}");
    }
}

#[test]
fn nothing_is_left_behind() {
    let Some(session) = session() else { return };
    let count = || {
        let output = Command::new("bpftool").args(["link", "list"]).stderr(Stdio::null()).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).matches("pids live").count())
    };
    let Some(_) = count() else { return println!("skipped: needs bpftool") };
    let plan = printing_pid(ProgramKind::RawTracepoint, Attach::RawTracepoint { name: "sys_enter".into() });
    run(&session, plan, StartOptions::default(), printed(1), || {});
    drop(session);
    let fds = std::fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(fds < 200, "{fds}");
}
