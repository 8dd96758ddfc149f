"""`ke2nt app` through the entry point, until it would listen."""

from __future__ import annotations

import socket

import pytest
import torch
from command_line import run_ke2nt

from ke2nt.banks.text_bank import TextBank
from ke2nt.models.ke2nt import KE2NT


def ke2nt_lab(*words, cwd):
    return run_ke2nt("app", "--no-browser", *words, cwd=cwd, env={"NO_PROXY": "*"})


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    bank = TextBank.build("simple")
    KE2NT(bank, "mobilenetv3_small_050", 32).save_pretrained(tmp_path / "model")
    return tmp_path


def test_missing_model(tmp_path):
    done = ke2nt_lab("no/such/run", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def test_port_in_use(folder):
    pytest.importorskip("gradio", reason="the extra lab is not installed")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = ke2nt_lab("model", f"--port={port}", cwd=folder)
    assert done.returncode == 2
    assert done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: the app cannot listen on 127.0.0.1, port {port}")
    assert "--port" in last
    assert "Traceback" not in done.stderr


def test_without_gradio(folder):
    """Without its package, the command prints how to install it."""
    (folder / "gradio.py").write_text("raise ModuleNotFoundError('no', name='gradio')\n")
    done = ke2nt_lab("model", cwd=folder)
    assert done.returncode == 2
    assert "pip install 'ke2nt[app]'" in done.stderr.splitlines()[-1]
