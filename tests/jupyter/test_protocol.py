"""What Jupyter's conformance suite leaves out."""

import time
from queue import Empty

import pytest

ERROR = "begin { no_such_function(); }"
ENDLESS = "interval:s:1 { @ = count(); }"


def test_every_request_is_bracketed_and_output_comes_before_idle(kernel):
    run = kernel.run('begin { printf("a\\n"); printf("b\\n"); }')
    assert run.status == "ok"
    types = run.types()
    assert types[:2] == ["busy", "execute_input"]
    assert types[-1] == "idle"
    assert run.stream() == "a\nb\n"


def test_kernel_info_is_answered_on_shell_and_control(kernel):
    shell = kernel.ask("kernel_info_request", {})
    control = kernel.ask("kernel_info_request", {}, channel="control")
    assert shell == control
    assert shell["protocol_version"] == "5.5"
    assert shell["language_info"]["name"] == "bpftrace"
    assert shell["help_links"]


def test_starting_is_said_once(fresh):
    other = fresh.another()
    fresh.run("begin { }")
    states = []
    while True:
        try:
            states.append(fresh.broadcast(timeout=0.3)["content"].get("execution_state"))
        except Empty:
            break
    # wait_for_ready has taken it already; it must not come again.
    assert "starting" not in states
    other.channels.stop_channels()


def test_counting_follows_store_history(kernel):
    first = kernel.run("begin { }").content["execution_count"]
    silent = kernel.run('begin { printf("x\\n"); }', silent=True, store_history=False)
    assert silent.types() == ["busy", "idle"]
    unstored = kernel.run('begin { printf("x\\n"); }', store_history=False)
    assert unstored.stream() == "x\n"
    assert kernel.run("begin { }").content["execution_count"] == first + 1


def test_an_error_has_a_place_and_is_broadcast(kernel):
    run = kernel.run("begin {\n  no_such_function();\n}")
    assert run.status == "error"
    (error,) = run.of_type("error")
    for name in ("ename", "evalue", "traceback"):
        assert error[name] == run.content[name]
    count = run.content["execution_count"]
    assert f"In [{count}]:2:" in "\n".join(error["traceback"])


def test_an_error_aborts_the_queue(kernel):
    # The first cell keeps the others queued until all of them have arrived.
    codes = ["interval:ms:300 { exit(); }", ERROR, "begin { }", "begin { }"]
    first, failing, *rest = [kernel.execute(code) for code in codes]
    assert kernel.reply(first)["content"]["status"] == "ok"
    assert kernel.reply(failing)["content"]["status"] == "error"
    for msg_id in rest:
        assert kernel.reply(msg_id)["content"]["status"] == "aborted"
    kernel.flush()
    assert kernel.run("begin { }").status == "ok"


def test_an_error_at_once_aborts_what_was_sent_with_its_cell(kernel):
    for _ in range(5):
        sent = []
        for code in (ERROR, "begin { }", "begin { }"):
            sent.append(kernel.execute(code))
            # As they come by way of a server.
            time.sleep(0.005)
        statuses = [kernel.reply(msg_id)["content"]["status"] for msg_id in sent]
        assert statuses == ["error", "aborted", "aborted"]
    kernel.flush()


def test_a_cell_sent_after_an_error_was_seen_runs(kernel):
    for _ in range(20):
        failing = kernel.execute(ERROR)
        assert kernel.reply(failing)["content"]["status"] == "error"
        assert kernel.reply(kernel.execute("begin { }"))["content"]["status"] == "ok"


def test_an_error_does_not_abort_if_told_so(kernel):
    first = kernel.execute("interval:ms:200 { exit(); }")
    failing = kernel.execute(ERROR, stop_on_error=False)
    last = kernel.execute("begin { }")
    statuses = [kernel.reply(msg_id)["content"]["status"] for msg_id in (first, failing, last)]
    assert statuses == ["ok", "error", "ok"]


def test_user_expressions_are_evaluated_one_by_one(kernel):
    expressions = {"bad": "@no_such_map_at_all", "worse": ")("}
    run = kernel.run("begin { }", user_expressions=expressions)
    assert run.status == "ok"
    results = run.content["user_expressions"]
    assert set(results) == set(expressions)
    for result in results.values():
        assert result["status"] == "error"
        assert result["ename"] and result["evalue"]
    failed = kernel.run(ERROR, user_expressions=expressions)
    assert failed.content["user_expressions"] == {}


def test_an_interrupt_ends_the_cell_and_prints_its_maps(kernel):
    msg_id = kernel.execute("interval:ms:100 { @interrupted = count(); }")
    kernel.wait_for_input(msg_id)
    time.sleep(1)
    asked = time.monotonic()
    assert kernel.interrupt()["status"] == "ok"
    messages = kernel.until_idle(msg_id)
    assert kernel.reply(msg_id)["content"]["status"] == "ok"
    assert time.monotonic() - asked < 2
    shown = [m["content"]["data"]["text/plain"] for m in messages if m["msg_type"] == "display_data"]
    assert any(text.startswith("@interrupted: ") for text in shown)


def test_an_interrupt_between_cells_does_nothing(kernel):
    assert kernel.interrupt()["status"] == "ok"
    assert kernel.run('begin { printf("here\\n"); }').stream() == "here\n"


def test_everything_else_is_answered_while_a_cell_runs(kernel):
    cell = kernel.execute(ENDLESS)
    kernel.wait_for_input(cell)
    requests = [
        ("complete_request", {"code": "begin { print", "cursor_pos": 13}),
        ("inspect_request", {"code": "printf", "cursor_pos": 3, "detail_level": 0}),
        ("is_complete_request", {"code": "begin {"}),
        ("history_request", {"hist_access_type": "tail", "n": 1, "output": False, "raw": True}),
        ("comm_info_request", {}),
        ("kernel_info_request", {}),
    ]
    for msg_type, content in requests:
        asked = time.monotonic()
        reply = kernel.ask(msg_type, content, timeout=2)
        assert reply["status"] in ("ok", "incomplete"), msg_type
        assert time.monotonic() - asked < 0.5, msg_type
    with pytest.raises(Empty):
        kernel.reply(cell, timeout=0.1)
    kernel.interrupt()
    assert kernel.reply(cell)["content"]["status"] == "ok"


def test_cursors_count_code_points(kernel):
    code = 'begin { printf("😀é"); strfti'
    reply = kernel.ask("complete_request", {"code": code, "cursor_pos": len(code)})
    assert "strftime" in reply["matches"]
    assert reply["cursor_start"] == len(code) - len("strfti")
    assert reply["cursor_end"] == len(code)
    types = reply["metadata"]["_jupyter_types_experimental"]
    assert [entry["text"] for entry in types] == reply["matches"]
    beyond = kernel.ask("complete_request", {"code": "pri", "cursor_pos": 1000})
    assert beyond["cursor_end"] <= 3


def test_inspection_tells_signature_example_and_requirements(kernel):
    code = "uprobe:/bin/bash:readline { signal"
    reply = kernel.ask("inspect_request", {"code": code, "cursor_pos": len(code), "detail_level": 0})
    text = reply["data"]["text/plain"]
    for part in ("void signal(const string sig)", "Example:", "Unsafe: needs %unsafe on", "Works in: kprobe"):
        assert part in text, text


def test_a_map_printed_again_and_again_updates_its_display(kernel):
    code = "interval:ms:50 { @ticks = count(); print(@ticks); } interval:ms:600 { exit(); }"
    run = kernel.run(code)
    assert run.status == "ok"
    shown = [message for message in run.messages if "data" in message["content"]]
    first, *updates = [m for m in shown if m["content"]["transient"].get("display_id")]
    display = first["content"]["transient"]["display_id"]
    same = [m for m in updates if m["content"]["transient"]["display_id"] == display]
    assert first["msg_type"] == "display_data"
    assert same and all(message["msg_type"] == "update_display_data" for message in same)
    # At most four a second, and the last state.
    assert len(same) <= 5
    final = int(same[-1]["content"]["data"]["text/plain"].split(":")[1])
    assert final >= 8


def test_what_two_statements_print_of_a_map_is_shown_twice(kernel):
    cell = kernel.run("begin { @twice[1] = 1; print(@twice); clear(@twice); print(@twice); @twice[2] = 2; }")
    shown = [message["msg_type"] for message in cell.messages if "display" in message["msg_type"]]
    assert shown == ["display_data", "display_data"]
    assert cell.of_type("display_data")[0]["data"]["text/plain"] == "@twice[1]: 1\n@twice[2]: 2\n"


def test_background_output_goes_to_the_cell_that_started_it(kernel):
    started = kernel.execute('%%bg ticks\ninterval:ms:50 { printf("tick\\n"); }')
    assert kernel.reply(started)["content"]["status"] == "ok"
    assert kernel.run('begin { printf("other\\n"); }').stream() == "other\n"
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        message = kernel.broadcast()
        if message["msg_type"] == "stream" and "tick" in message["content"]["text"]:
            assert message["parent_header"]["msg_id"] == started
            break
    else:
        pytest.fail("no output from the background")
    assert kernel.run("%stop ticks").status == "ok"


def test_a_cell_that_is_run_again_may_change_its_map(kernel):
    mine = {"cellId": "the-cell"}
    assert kernel.run("begin { @rerun = count(); }", metadata=mine).status == "ok"
    assert kernel.run("begin { @rerun = hist(1); }", metadata=mine).status == "ok"
    other = kernel.run("begin { @rerun = count(); }", metadata={"cellId": "another"})
    assert other.status == "error"
    assert "%drop @rerun" in "\n".join(other.content["traceback"])


def test_history_is_kept(fresh):
    codes = ["begin { }", 'begin { printf("h\\n"); }', "begin { }"]
    for code in codes:
        fresh.run(code)
    fresh.run("begin { exit(); }", store_history=False)

    def history(**access):
        request = {"output": False, "raw": True, **access}
        return fresh.ask("history_request", request)["history"]

    tail = history(hist_access_type="tail", n=2)
    assert [entry[2] for entry in tail] == codes[1:]
    session, line, _ = tail[0]
    ranged = history(hist_access_type="range", session=session, start=line, stop=line + 1)
    assert ranged == [[session, line, codes[1]]]
    found = history(hist_access_type="search", pattern="begin { *", unique=True)
    assert [entry[2] for entry in found] == codes[1:]
    found = history(hist_access_type="search", pattern="*printf*", n=5)
    assert [entry[2] for entry in found] == [codes[1]]
    with_output = history(hist_access_type="tail", n=1, output=True)
    assert with_output[0][2] == [codes[2], None]


def test_comms_are_refused(kernel):
    content = {"comm_id": "c1", "target_name": "jupyter.widget", "data": {}}
    opened = kernel.send("comm_open", content)
    messages = kernel.until_idle(opened)
    assert [m["msg_type"] for m in messages] == ["status", "comm_close", "status"]
    assert messages[1]["content"]["comm_id"] == "c1"
    for msg_type in ("comm_msg", "comm_close"):
        sent = kernel.send(msg_type, {"comm_id": "c1", "data": {}})
        assert len(kernel.until_idle(sent)) == 2
    assert kernel.ask("comm_info_request", {})["comms"] == {}


def test_input_is_never_asked_for_and_ignored_if_it_comes(kernel):
    kernel.send("input_reply", {"value": "x", "status": "ok"}, channel="stdin")
    assert kernel.run('begin { printf("%d\\n", 1); }', allow_stdin=True).status == "ok"
    with pytest.raises(Empty):
        kernel.channels.stdin_channel.get_msg(timeout=0.2)


def test_unknown_requests_are_bracketed_and_malformed_ones_answered(kernel):
    for channel in ("shell", "control"):
        sent = kernel.send("no_such_request", {}, channel=channel)
        assert len(kernel.until_idle(sent)) == 2
    sent = kernel.send("debug_request", {"type": "request"}, channel="control")
    assert len(kernel.until_idle(sent)) == 2
    for msg_type in ("complete_request", "inspect_request", "execute_request"):
        assert kernel.ask(msg_type, {})["status"] == "error"


def test_two_clients_see_the_same_output_and_each_its_own_replies(kernel):
    other = kernel.another()
    try:
        msg_id = kernel.execute('begin { printf("shared\\n"); }')
        assert kernel.reply(msg_id)["content"]["status"] == "ok"
        seen = [m["content"].get("text") for m in other.until_idle(msg_id)]
        assert "shared\n" in seen
        with pytest.raises(Empty):
            other.channels.shell_channel.get_msg(timeout=0.2)
    finally:
        other.channels.stop_channels()
