"""What a notebook offers while a cell is being written: completion and inspection."""

import pytest


def completions(kernel, code):
    reply = kernel.ask("complete_request", {"code": code, "cursor_pos": len(code)})
    assert reply["status"] == "ok"
    return reply["matches"]


def inspected(kernel, code, cursor=None):
    cursor = len(code) if cursor is None else cursor
    reply = kernel.ask("inspect_request", {"code": code, "cursor_pos": cursor, "detail_level": 0})
    assert reply["status"] == "ok"
    return reply["data"].get("text/plain") if reply["found"] else None


@pytest.mark.parametrize(
    "code",
    [
        "tracepoint:sched:sched_switch { printf(args.next_p",
        "tracepoint:sched:sched_switch { printf(args->next_p",
        "tracepoint:sched:sched_switch /args.next_p",
        '%%run --for 5s -c "echo {"\ntracepoint:sched:sched_switch /pid/ { @[args.next_p',
    ],
)
def test_arguments_of_the_probe_are_completed(kernel, code):
    assert completions(kernel, code) == ["next_pid", "next_prio"]


def test_members_of_anything_else_are_not_completed_as_functions(kernel):
    assert completions(kernel, "begin { $x.pri") == []
    assert completions(kernel, 'begin { printf("pri') == []


def test_predicates_are_code(kernel):
    assert completions(kernel, "tracepoint:sched:sched_switch /com") == ["comm"]


def test_inspection_of_a_probe_tells_its_arguments(kernel):
    text = inspected(kernel, "tracepoint:sched:sched_switch { }", 15)
    assert "tracepoint:sched:sched_switch\n" in text
    assert "pid_t next_pid" in text
    assert "tracepoint:category:event" in text
    many = inspected(kernel, "tracepoint:syscalls:sys_enter_*")
    assert many.count("tracepoint:syscalls:sys_enter_") == 5
    assert " more" in many


def test_inspection_within_parentheses_tells_of_the_function(kernel):
    assert "strftime(" in inspected(kernel, 'begin { printf("%s", strftime(')
    assert "void printf(" in inspected(kernel, "begin { printf(")
    assert "nsecs" in inspected(kernel, 'begin { printf("%d", nsecs')


def test_inspection_of_an_argument_tells_its_type(kernel):
    text = inspected(kernel, "tracepoint:sched:sched_switch { print(args.next_pid")
    assert text.startswith("args.next_pid: int32")
