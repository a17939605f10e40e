"""`shrinklm serve` as a process, of an exported student: asked to stop, it answers what it took."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from shrinklm import Run


def test_a_stop_of_the_process_loses_no_answer(deployed: Run, tmp_path: Path) -> None:
    student = deployed.student("multitask")
    student.student.save(tmp_path)
    student.answering.write(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "shrinklm", "serve", str(tmp_path), "--host", "0.0.0.0"]
    command += ["--port", str(port), "--batch", "1", "--cell", "multitask"]
    server = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "SHRINKLM_API_KEYS": "very-secret"},
    )
    try:
        assert server.stdout is not None
        said = ""
        while "Stop with Ctrl-C" not in said:
            line = server.stdout.readline()
            assert line, server.communicate()
            said += line
        client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"authorization": "Bearer very-secret"}, trust_env=False,
            timeout=60,
        )  # fmt: skip
        asked = {"question": "Where do fish swim?", "choices": ["in the sea", "in the sky"]}
        with client, ThreadPoolExecutor(12) as pool:
            taken = [pool.submit(client.post, "/v1/answer", json=asked) for _ in range(12)]
            while "shrinklm_requests_live 13" not in client.get("/metrics").text:  # this request is one
                assert not any(one.done() for one in taken), "asked before the first is answered"
                time.sleep(0.01)
            server.send_signal(signal.SIGTERM)
            replies = [one.result() for one in taken]
        assert [reply.status_code for reply in replies] == [200] * 12
        assert {reply.json()["raw"] for reply in replies} == {student.predict([asked])[0].raw}
        out, err = server.communicate(timeout=30)
    finally:
        server.kill()
        server.wait()
    assert server.returncode == 0, err
    assert "Every question that was taken is answered" in out
    assert "multitask--tiny--s0 answers:" in said
    assert "warning: 0.0.0.0 can be reached from other machines, and nothing is encrypted" in err
    assert "very-secret" not in said + out + err
