from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from common.training.wandb_run import experiment_logger, has_key, why_offline

SERVER = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("WANDB") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_BASE_URL", SERVER)
    yield
    os.environ.clear()
    os.environ.update(before)


def test_without_a_key_the_run_is_offline_and_one_line_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment_logger(tmp_path / "run", "mine")
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Weights & Biases: offline (no account")
    assert os.environ["WANDB_MODE"] == "offline"
    places = {os.environ[f"WANDB_{kind}"] for kind in ("DIR", "DATA_DIR", "CACHE_DIR", "CONFIG_DIR", "ARTIFACT_DIR")}
    assert all(place.startswith(str(tmp_path / "run")) for place in places)


def test_a_mode_that_is_set_is_obeyed_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    experiment_logger(tmp_path, "mine")
    assert (os.environ["WANDB_MODE"], capsys.readouterr().out) == ("disabled", "")


def test_a_key_is_found_in_the_environment_and_in_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not has_key("https://api.wandb.ai")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine api.wandb.ai login user password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert has_key("https://api.wandb.ai")
    assert not has_key("https://wandb.example.org")
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert has_key("https://wandb.example.org")


def test_a_key_without_network_does_not_make_one_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    with socket.socket() as deaf:  # accepts, and never says a word
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        began = time.monotonic()
        assert why_offline(patience=0.3) is not None
        assert time.monotonic() - began < 2


def test_any_answer_of_the_server_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forbidding(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(403)

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("WANDB_API_KEY", "secret")
    with HTTPServer(("127.0.0.1", 0), Forbidding) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
        assert why_offline() is None
        server.shutdown()
