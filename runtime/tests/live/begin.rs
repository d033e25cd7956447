//! `begin` and `end`, printing, and ending by `exit()`.

use std::time::Duration;

use probebook_compiler::ir::{Expr, Helper, Scalar, Stmt};
use probebook_compiler::plan::{Attach, EventPlan, Origin, ProgramKind, Stream};
use probebook_compiler::syntax::ast::Span;
use probebook_compiler::types::Type;
use probebook_runtime::events::{LossKind, Severity};
use probebook_runtime::loader::program::LoadError;
use probebook_runtime::{StartError, StartOptions, Status};

use crate::script::*;
use crate::sink::Recorder;

#[test]
fn begin_prints_and_end_prints_after_it() {
    let Some(session) = session() else { return };
    let mut script = Script::new();
    let hello = script.printf("hello %d\n", vec![Type::I64]);
    let goodbye = script.printf("goodbye\n", vec![]);
    let mut begin = Body::new();
    begin.send(hello, vec![word(-42)]);
    script.begin(begin);
    let mut end = Body::new();
    end.send(goodbye, vec![]);
    script.probe("end", ProgramKind::Run, Attach::End, end);

    let mut sink = Recorder::default();
    let mut trace = session.start(script.plan(), StartOptions::default()).unwrap();
    assert_eq!(trace.run_begin(&mut sink).unwrap(), Status::Running);
    assert_eq!(sink.text, "hello -42\n");
    assert!(!trace.has_probes());
    trace.stop(&mut sink);
    trace.run_end(&mut sink).unwrap();
    assert_eq!(sink.text, "hello -42\ngoodbye\n");
    let summary = trace.finish(&mut sink);
    assert_eq!(summary.events, 2);
    assert!(summary.losses.is_empty(), "{:?}", summary.losses);
}

#[test]
fn exit_gives_its_code_and_closes_the_gate() {
    let Some(session) = session() else { return };
    let mut script = Script::new();
    let line = script.printf("before\n", vec![]);
    let mut begin = Body::new();
    begin.send(line, vec![]);
    begin.exit(7);
    script.begin(begin);
    let mut again = Body::new();
    again.send(line, vec![]);
    script.begin(again);

    let mut sink = Recorder::default();
    let mut trace = session.start(script.plan(), StartOptions::default()).unwrap();
    let status = trace.run_begin(&mut sink).unwrap();
    assert!(matches!(status, Status::Exited(request) if request.code == 7 && !request.failed), "{status:?}");
    assert_eq!(sink.text, "before\n");
    assert_eq!(trace.poll(&mut sink, Duration::from_secs(10)), status);
}

#[test]
fn every_lost_event_is_counted() {
    let Some(session) = session() else { return };
    let mut script = Script::new();
    script.plan.settings.ring_buffer_pages = Some(1);
    let line = script.printf("%d\n", vec![Type::I64]);
    let mut begin = Body::new();
    // An event of 16 bytes takes 24 in the buffer; 400 of them do not fit into 4096.
    let index = begin.var(Scalar::I64);
    let before = begin.statements.len();
    begin.send(line, vec![Expr::Var(index)]);
    let body = begin.statements.split_off(before);
    begin.statements.push(Stmt::Range { index, start: word(0), end: word(400), body });
    script.begin(begin);

    let mut sink = Recorder::default();
    let mut trace = session.start(script.plan(), StartOptions::default()).unwrap();
    trace.run_begin(&mut sink).unwrap();
    let summary = trace.finish(&mut sink);
    let lost = sink.losses.iter().map(|report| report.new).sum::<u64>();
    assert!(lost > 200, "{lost}");
    assert_eq!(summary.events + lost, 400);
    assert_eq!((&summary.losses[0].kind, summary.losses[0].total), (&LossKind::Events, lost));
}

#[test]
fn actions_are_done_in_order() {
    let Some(session) = session() else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "in the file\n").unwrap();
    let path = file.path().display().to_string();
    let mut script = Script::new();
    let events = [
        EventPlan::Cat { format: path, arguments: vec![] },
        EventPlan::System { format: "echo shell %d".into(), arguments: vec![Type::I64] },
        EventPlan::Print { value: Type::I64 },
        EventPlan::Time { format: "%Y\n".into() },
        EventPlan::Printf { format: "careful\n".into(), arguments: vec![], stream: Stream::Warning(Origin::default()) },
        EventPlan::RuntimeError {
            message: "delete".into(),
            helper: Some(Helper::MAP_DELETE_ELEM),
            origin: Origin { calls: vec![Span::default()], ..Origin::default() },
        },
    ];
    let mut begin = Body::new();
    for event in events {
        let event = script.event(event);
        begin.send(event, vec![word(-5)]);
    }
    script.begin(begin);

    let mut sink = Recorder::default();
    let options = StartOptions { allow_unsafe: true, ..StartOptions::default() };
    let mut trace = session.start(script.plan(), options).unwrap();
    trace.run_begin(&mut sink).unwrap();
    let rest = sink.text.strip_prefix("in the file\nshell -5\n").unwrap();
    assert!(rest.trim().parse::<u32>().unwrap() >= 2024, "{rest}");
    assert_eq!(sink.values.len(), 1);
    let warnings: Vec<&str> = sink.messages.iter().map(|(_, text)| text.as_str()).collect();
    let deletion = "delete\nAdditional Info - helper: map_delete_elem, retcode: -5";
    assert_eq!(warnings, ["careful\n", deletion, "expanded from"]);
}

#[test]
fn system_is_refused_in_safe_mode() {
    let Some(session) = session() else { return };
    let mut script = Script::new();
    let event = script.event(EventPlan::System { format: "echo no".into(), arguments: vec![] });
    let mut begin = Body::new();
    begin.send(event, vec![]);
    script.begin(begin);
    let mut sink = Recorder::default();
    let mut trace = session.start(script.plan(), StartOptions::default()).unwrap();
    trace.run_begin(&mut sink).unwrap();
    assert_eq!(sink.text, "");
    assert!(matches!(&sink.messages[..], [(Severity::Error, text)] if text.contains("--unsafe")));
}

#[test]
fn a_rejection_names_its_reason() {
    let Some(session) = session() else { return };
    let mut script = Script::new();
    let mut begin = Body::new();
    // The helper wants a map where there is a number.
    begin.evaluate(helper(Helper::MAP_LOOKUP_ELEM, vec![word(1), word(2)]));
    script.begin(begin);
    match session.start(script.plan(), StartOptions::default()) {
        Err(StartError::Load(LoadError::Rejected { program: 0, message, log, .. })) => {
            assert!(message.contains("R1"), "{message}");
            assert!(log.contains(&message));
        }
        other => panic!("{:?}", other.err()),
    }
}

#[test]
fn a_long_log_has_the_reason_after_one_try() {
    let Some(session) = session() else { return };
    let mut script = Script::new();
    script.plan.settings.log_size = 4096;
    let mut begin = Body::new();
    for _ in 0..500 {
        begin.evaluate(helper(Helper::KTIME_GET_NS, vec![]));
    }
    begin.evaluate(helper(Helper::MAP_LOOKUP_ELEM, vec![word(1), word(2)]));
    script.begin(begin);
    match session.start(script.plan(), StartOptions::default()) {
        Err(StartError::Load(LoadError::Rejected { message, log, .. })) => {
            assert!(message.contains("R1"), "{message}");
            // Older kernels keep the beginning; then a longer log is asked for.
            let keeps_the_end = session.system().release() >= (6, 4);
            assert_eq!(log.len() <= 4096, keeps_the_end, "{} bytes", log.len());
        }
        other => panic!("{:?}", other.err()),
    }
}

#[test]
fn an_interrupt_before_the_start_keeps_programs_from_being_loaded() {
    let Some(session) = session() else { return };
    let mut script = Script::new();
    script.begin(Body::new());
    let plan = script.plan();
    let options = StartOptions::default();
    options.handle.interrupt();
    let started = session.start(plan.clone(), options);
    assert!(matches!(started, Err(StartError::Load(LoadError::Interrupted))), "{:?}", started.err());
    assert!(session.start(plan, StartOptions::default()).is_ok());
}
