"""Hostile bytes, forged messages, and every way to end."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from queue import Empty

import psutil
import pytest
from jupyter_client.session import Session

from client import KERNEL, Client

PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")


def is_answered(kernel):
    return kernel.run('begin { printf("alive\\n"); }').stream() == "alive\n"


def test_messages_signed_with_another_key_are_ignored(kernel):
    genuine = kernel.channels.shell_channel.session
    forger = Session(key=b"another key")
    kernel.channels.shell_channel.session = forger
    try:
        kernel.channels.shell_channel.send(forger.msg("kernel_info_request", {}))
    finally:
        kernel.channels.shell_channel.session = genuine
    with pytest.raises(Empty):
        kernel.channels.shell_channel.get_msg(timeout=0.3)
    assert is_answered(kernel)


def test_a_replayed_message_is_ignored(kernel):
    message = kernel.session.msg("kernel_info_request", {})
    frames = kernel.session.serialize(message)
    socket = kernel.channels.shell_channel.socket
    for _ in range(2):
        socket.send_multipart(frames)
    kernel.reply(message["header"]["msg_id"])
    with pytest.raises(Empty):
        kernel.channels.shell_channel.get_msg(timeout=0.3)


def test_malformed_frames_are_ignored(kernel):
    socket = kernel.channels.shell_channel.socket
    delimiter = b"<IDS|MSG>"
    for frames in (
        [b""],
        [delimiter],
        [delimiter, b"", b"{}", b"{}", b"{}", b"{}"],
        [delimiter, b"\xff" * 64, b"{}", b"{}", b"{}", b"{}"],
        [delimiter] * 20,
        [b"x" * 1000] * 100,
    ):
        socket.send_multipart(frames)

    def signed(*parts):
        return [delimiter, kernel.session.sign(parts), *parts]

    deep = b"[" * 100_000
    for parts in (
        (b"", b"", b"", b""),
        (b"[]", b"{}", b"{}", b"{}"),
        (b"{}", b"{}", b"{}", b"{}"),
        (b'{"msg_id": 1, "msg_type": 2}', b"{}", b"{}", b"{}"),
        (deep, deep, deep, deep),
        (b'{"msg_id": "a", "msg_type": "execute_request"}', b"{}", b"3", b"[1]"),
        (b'{"msg_id": "b", "msg_type": "complete_request"}', b"{}", deep, deep),
        (b'{"msg_id": "c", "msg_type": "\xff"}', b"{}", b"{}", b"{}"),
    ):
        socket.send_multipart(signed(*parts))
    time.sleep(0.2)
    kernel.flush()
    assert is_answered(kernel)


@pytest.mark.parametrize("port", PORTS)
def test_any_bytes_leave_the_kernel_alive(kernel, port):
    """Garbage at each stage of a ZeroMQ connection, and lengths nobody has memory for."""
    dice = random.Random(port)
    greeting = (b"\xff" + bytes(8) + b"\x7f\x03\x01NULL").ljust(64, b"\0")
    kind = b"SUB" if port == "iopub_port" else b"DEALER"
    body = b"\x05READY\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind
    stages = [b"", greeting, greeting + b"\x04" + bytes([len(body)]) + body]
    stages.append(stages[-1] + b"\x02\x3f" + b"\xff" * 7)
    address = ("127.0.0.1", kernel.manager.get_connection_info()[port])
    for start in stages:
        for _ in range(40):
            with socket.create_connection(address) as connection:
                try:
                    connection.sendall(start + dice.randbytes(dice.randrange(1, 3000)))
                except OSError:
                    pass
    assert is_answered(kernel)


PIECES = (
    "begin { ", "} ", "{", "}", "(", ")", "[", "]", ";", ",", '"', "\\", "/*", "*/", "//", "\n", "$x", "@m", "@",
    "= ", "== ", "1", "0xffffffffffffffff", "count()", "print(", "printf(", "%d", "é", "\u202e", "\0", "\x1b[31m",
    "%", "%%", "%run", "%opt ", "%drop @m", "#| echo", "#!", "struct A {", "#define ", "macro ", "config = {",
)  # fmt: skip


def any_cell(dice):
    """Bytes as text, pieces of scripts and magics, or a script with bytes put in."""
    noise = dice.randbytes(dice.randrange(1, 200))
    script = 'begin { $x = 1; @m[$x, comm] = count(); printf("%d\\n", $x); }'
    at = dice.randrange(len(script))
    choices = (
        noise.decode("latin-1"),
        noise.decode("utf-8", "replace"),
        "".join(dice.choices(PIECES, k=dice.randrange(1, 40))),
        script[:at] + noise[:5].decode("latin-1") + script[at:],
        script[:at] + "".join(dice.choices(PIECES, k=3)) + script[at + dice.randrange(10) :],
    )
    return dice.choice(choices)


@pytest.mark.parametrize("seed", range(6))
def test_any_cell_is_answered_and_the_session_goes_on(kernel, seed):
    dice = random.Random(seed)
    for _ in range(50):
        code = any_cell(dice)
        run = kernel.run(code)
        assert run.status in ("ok", "error"), code
        if run.status == "error":
            assert run.content["ename"] and run.content["traceback"], code
            assert len(run.of_type("error")) == 1, code
    assert is_answered(kernel)


def test_the_heartbeat_beats(kernel):
    time.sleep(1.2)
    assert kernel.channels.hb_channel.is_beating()


def test_sockets_listen_on_the_given_address_only(kernel):
    process = psutil.Process(kernel.manager.provisioner.pid)
    listening = [c.laddr for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
    info = kernel.manager.get_connection_info()
    assert {address.port for address in listening} == {info[port] for port in PORTS}
    assert {address.ip for address in listening} == {"127.0.0.1"}


def test_unix_sockets_work_and_are_removed():
    client = Client.start(transport="ipc")
    info = client.manager.get_connection_info()
    paths = [Path(f"{info['ip']}-{info[port]}") for port in PORTS]
    try:
        assert is_answered(client)
        assert all(path.is_socket() for path in paths)
    finally:
        client.stop()
    assert not any(path.exists() for path in paths)


@pytest.mark.parametrize("pair", ["()", "{}", "[]"])
@pytest.mark.parametrize("is_closed", [False, True])
def test_64_kilobytes_of_nested_brackets_are_answered_at_once(kernel, pair, is_closed):
    depth = 65_536
    nested = pair[0] * depth + pair[1] * depth * is_closed
    for code in [nested, f"begin {{ $x = {nested}; }}"]:
        begun = time.monotonic()
        run = kernel.run(code)
        assert time.monotonic() - begun < 2
        assert run.status == "error"
        assert sum(map(len, run.content["traceback"])) < 1_000_000
    assert is_answered(kernel)


def test_a_storm_of_interrupts_ends_the_cell_and_nothing_else(kernel):
    msg_id = kernel.execute("interval:ms:1 { @storm = count(); }")
    kernel.wait_for_input(msg_id)
    asked = [kernel.send("interrupt_request", {}, channel="control") for _ in range(200)]
    assert all(kernel.reply(one, channel="control")["content"]["status"] == "ok" for one in asked)
    # The second gives end and printing up.
    assert kernel.reply(msg_id)["content"]["status"] in ("ok", "error")
    assert kernel.run("begin { printf(\"on\"); }").stream() == "on"


def test_a_full_disk_leaves_the_session_alone(tmp_path):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", tmp_path]).returncode:
        pytest.skip("tmpfs cannot be mounted")
    try:
        (tmp_path / "filler").write_bytes(b"x" * 12_000)
        environment = {**os.environ, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
        client = Client.start(environment)
        run = client.run(f'%unsafe on\nbegin {{ system("head -c 99999 /dev/zero > {tmp_path}/full"); @kept = 7; }}')
        assert run.status == "ok" and "No space left" in run.stream() + run.stream("stderr")
        assert client.run("begin { printf(\"%d\", @kept); }").stream() == "7"
        client.stop()
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


@pytest.mark.parametrize("restart", [False, True])
def test_shutdown_is_answered_before_the_process_ends(fresh, restart):
    process = psutil.Process(fresh.manager.provisioner.pid)
    msg_id = fresh.send("shutdown_request", {"restart": restart}, channel="control")
    reply = fresh.reply(msg_id, channel="control")["content"]
    assert reply == {"status": "ok", "restart": restart}
    messages = fresh.until_idle(msg_id)
    assert "shutdown_reply" in [message["msg_type"] for message in messages]
    psutil.wait_procs([process], timeout=3)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_shutdown_during_a_trace_is_prompt(fresh):
    fresh.wait_for_input(fresh.execute("interval:s:1 { @ = count(); }"))
    asked = time.monotonic()
    fresh.manager.shutdown_kernel(now=False)
    assert time.monotonic() - asked < 3


def test_a_restart_begins_anew(fresh):
    fresh.run("begin { @kept = count(); }")
    fresh.manager.restart_kernel()
    fresh.channels.wait_for_ready(timeout=20)
    fresh.flush()
    run = fresh.run("begin { @kept = hist(1); }")
    assert run.status == "ok"
    assert run.content["execution_count"] == 1


def test_sigterm_ends_the_kernel_in_order(fresh):
    process = psutil.Process(fresh.manager.provisioner.pid)
    fresh.wait_for_input(fresh.execute("interval:s:1 { @ = count(); }"))
    process.send_signal(signal.SIGTERM)
    gone, _ = psutil.wait_procs([process], timeout=4)
    assert gone or process.status() == psutil.STATUS_ZOMBIE


def test_the_kernel_goes_with_the_process_that_started_it():
    """A Jupyter server that is killed leaves no kernel behind."""
    script = (
        "import time\n"
        "from jupyter_client.manager import KernelManager\n"
        f"manager = KernelManager(kernel_name={KERNEL!r})\n"
        "manager.start_kernel()\n"
        "print(manager.provisioner.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    kernel = psutil.Process(int(server.stdout.readline()))
    time.sleep(0.5)
    server.kill()
    server.wait()
    gone, _ = psutil.wait_procs([kernel], timeout=5)
    assert gone or kernel.status() == psutil.STATUS_ZOMBIE


def start_with(program, path):
    command = [program, "kernel", "--connection-file", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20)


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("missing", None, "No such file"),
        ("empty", "", "connection file"),
        ("broken", "{", "connection file"),
        ("list", "[]", "object"),
        ("incomplete", "{}", "ip"),
        ("port", json.dumps({"ip": "127.0.0.1", "shell_port": 70000}), "connection file"),
    ],
)
def test_a_bad_connection_file_is_a_clear_error(program, tmp_path, name, content, named):
    path = tmp_path / f"{name}.json"
    if content is not None:
        path.write_text(content)
    ended = start_with(program, path)
    assert ended.returncode not in (0, 101), "must fail, and not by a panic"
    assert ended.returncode > 0, "must not end by a signal"
    assert str(path) in ended.stderr
    assert named in ended.stderr


def test_a_taken_port_is_a_clear_error(program, tmp_path, kernel):
    path = tmp_path / "taken.json"
    path.write_text(json.dumps({**kernel.manager.get_connection_info(), "key": ""}))
    ended = start_with(program, path)
    assert ended.returncode not in (0, 101)
    assert "cannot bind" in ended.stderr


def test_nothing_of_a_killed_kernel_disturbs_the_next(fresh):
    fresh.wait_for_input(fresh.execute("interval:s:1 { @left = count(); }"))
    os.kill(fresh.manager.provisioner.pid, signal.SIGKILL)
    fresh.manager.restart_kernel(now=True)
    fresh.channels.wait_for_ready(timeout=20)
    assert is_answered(fresh)


GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01NULL" + bytes(16) + bytes(1) + bytes(31)


def connect(kernel, port, socket_type):
    """A raw ZMTP connection, past its handshake."""
    peer = socket.create_connection(("127.0.0.1", getattr(kernel.manager, port)), timeout=10)
    peer.sendall(GREETING)
    body = b"\x05READY\x0bSocket-Type" + len(socket_type).to_bytes(4, "big") + socket_type
    peer.sendall(b"\x04" + bytes([len(body)]) + body)
    received = b""
    while b"READY" not in received:
        some = peer.recv(4096)
        if not some:
            raise ConnectionError("turned away")
        received += some
    return peer


def frame(flags, body):
    return bytes([flags | 2]) + len(body).to_bytes(8, "big") + body


def pour(peer, data, times):
    """Sends without reading; a peer may be cut off, or kept waiting."""
    peer.settimeout(2)
    try:
        for _ in range(times):
            peer.sendall(data)
    except OSError:
        pass


@pytest.mark.parametrize("port, socket_type, data, times", [
    ("hb_port", b"DEALER", frame(0, bytes(4000)), 30_000),
    ("hb_port", b"DEALER", frame(0, bytes(1 << 20)), 120),
    ("shell_port", b"DEALER", frame(4, b"\x04PING\0\0" + bytes(1 << 20)), 120),
    ("shell_port", b"DEALER", frame(4, b"\x04PING\0\0" + bytes(16)), 500_000),
    ("iopub_port", b"SUB", frame(4, b"\x09SUBSCRIBE" + bytes(10 << 20)), 20),
    ("iopub_port", b"SUB", frame(4, b"\x09SUBSCRIBEx") + frame(4, b"\x06CANCELx"), 200_000),
])
def test_who_reads_nothing_takes_little_memory(fresh, port, socket_type, data, times):
    process = psutil.Process(fresh.manager.provisioner.pid)
    before = process.memory_info().rss
    with connect(fresh, port, socket_type) as peer:
        pour(peer, data, times)
        assert process.memory_info().rss - before < 40 << 20
    assert is_answered(fresh)


def test_unfinished_messages_take_little_memory(fresh):
    process = psutil.Process(fresh.manager.provisioner.pid)
    before = process.memory_info().rss
    peers = [connect(fresh, "shell_port", b"DEALER") for _ in range(40)]
    for peer in peers:
        pour(peer, frame(0, bytes(16 << 20))[:-1], 1)
    assert process.memory_info().rss - before < 150 << 20
    assert is_answered(fresh)
    for peer in peers:
        peer.close()


def test_connections_are_bounded(fresh):
    peers = []
    with pytest.raises(OSError):
        for _ in range(200):
            peer = connect(fresh, "control_port", b"DEALER")
            peers.append(peer)
            peer.settimeout(0.02)
            try:
                if peer.recv(1) == b"":
                    raise ConnectionError
            except TimeoutError:
                pass
    assert len(peers) < 100
    for peer in peers:
        peer.close()
    assert is_answered(fresh)
