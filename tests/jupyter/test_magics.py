"""What is wrong with a cell's magics is pointed at in the cell's own text."""

import re

import pytest


def plain(text):
    """Without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def pointed_at(cell):
    """The name of the error, and what its first carets stand under."""
    lines = plain("\n".join(cell.content["traceback"])).splitlines()
    carets = next(index for index, line in enumerate(lines) if "^" in line)
    start = lines[carets].index("^")
    length = len(lines[carets][start:].split()[0].rstrip("-"))
    return cell.content["ename"], lines[carets - 1][start : start + length]


PROBE = "interval:ms:1 { exit(); }"


@pytest.mark.parametrize(
    "code, kind, word",
    [
        (f"%%run --for never\n{PROBE}", "magic", "never"),
        (f"%%run -c /no/such/command\n{PROBE}", "command-failed", "/no/such/command"),
        (f"%%run -c '/etc/passwd x'\n{PROBE}", "command-failed", "'/etc/passwd x'"),
        (f"%%run --for 1s -p {2**22 + 1}\n{PROBE}", "no-such-process", f"{2**22 + 1}"),
        (f"%unsafe off\n%%run -p me\n{PROBE}", "magic", "me"),
        (f"%%run -c 'sleep 1\n{PROBE}", "magic", "'sleep 1"),
        ('%opt good=1 bad=2\nbegin { print(getopt("good", 0)); }', "unknown-option", "bad=2"),
        ('%opt n=many\nbegin { print(getopt("n", 1)); }', "wrong-option-value", "n=many"),
        ("%opt =1\nbegin { }", "magic", "=1"),
        ("%drop @nosuchmap", "map-failed", "@nosuchmap"),
        ("%jobs\n%wait nosuchjob", "no-such-job", "nosuchjob"),
        ("%mapz", "magic", "%mapz"),
    ],
)
def test_an_argument_is_pointed_at(kernel, code, kind, word):
    cell = kernel.run(code)
    assert cell.status == "error"
    assert pointed_at(cell) == (kind, word), plain("\n".join(cell.content["traceback"]))
    line = 1 + code[: code.index(word)].count("\n")
    number = cell.content["execution_count"]
    assert f"In [{number}]:{line}:" in plain("\n".join(cell.content["traceback"]))


def test_a_job_that_runs_already_is_pointed_at(kernel):
    assert kernel.run("%%bg twice\ninterval:s:1 { }").status == "ok"
    again = kernel.run("%%bg twice\ninterval:s:1 { }")
    kernel.run("%stop twice")
    assert pointed_at(again) == ("job-exists", "twice")


def test_places_in_the_script_count_the_lines_of_magics(kernel):
    line = 'begin { print(getopt("größe", 0)); print($x); }'
    cell = kernel.run(f"%opt größe=1\n%%run --for 1s\n{line}")
    assert pointed_at(cell) == ("undefined-variable", "$x")
    assert cell.content["evalue"].split(":")[1:3] == ["3", str(line.index("$x") + 1)]


def test_a_magic_behind_the_script_is_told_of(kernel):
    cell = kernel.run("%maps\nbegin { print(1); }\n%jobs")
    assert cell.status == "error"
    assert "magics such as %jobs stand before the script" in "\n".join(cell.content["traceback"])


def test_what_follows_two_dashes_is_the_scripts(kernel):
    cell = kernel.run('%%run -- -5 --size=10\nbegin { print(($1, getopt("size", 1))); }')
    assert cell.stream() == "(-5, 10)\n"


def test_probes_of_the_kernel_complete_without_its_name(kernel):
    code = "rawtracepoint:sched_swi"
    reply = kernel.ask("complete_request", {"code": code, "cursor_pos": len(code)})
    assert "rawtracepoint:sched_switch" in reply["matches"]
