"""The app in a browser: upload a face, change the words, see the bars change."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from browser_driver import open_browser

from ke2nt.datasets.catalog import get_reader
from ke2nt.plots.figure import encode_png

pytest.importorskip("gradio", reason="the extra app is not installed")
pytestmark = pytest.mark.timeout(600)
_PATIENCE = 120  # seconds; a busy machine is slow


@pytest.fixture
def face(tmp_path):
    split = get_reader("drawn", count=40, size=96).load("test")
    path = tmp_path / "face.png"
    path.write_bytes(encode_png(split.samples[0].source))
    return path


@pytest.fixture
def server(model, tmp_path):
    """A starting app on a free port, and its temporary folder."""
    model.save_pretrained(tmp_path / "model")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-m", "ke2nt", "app", str(tmp_path / "model"), "--no-browser"]
    command += [f"--port={_free_port()}", "--option=count=120", "--option=size=32", "--split=test"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(scratch), "NO_PROXY": "*"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, scratch
    finally:
        process.kill()
        process.communicate()


def test_app_in_a_browser(server, face, tmp_path):
    process, scratch = server
    with open_browser(tmp_path / "profile") as browser:
        driver = browser.driver
        line = process.stdout.readline()
        url = re.search(r"http://127\.0\.0\.1:\S+", line)
        assert url, f"{line}\n{process.stderr.read()}"

        def see(selector, check=bool):
            """Elements of a selector, once they satisfy a check."""
            end = time.monotonic() + _PATIENCE
            while time.monotonic() < end:
                script = "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText)"
                texts = driver.execute_script(script, selector)
                if check(texts):
                    return texts
                time.sleep(0.2)
            raise AssertionError(f"{selector}: {texts}")

        def find(selector):
            see(selector)
            return driver.find_element("css selector", selector)

        def widths():
            script = "[...document.querySelectorAll('.ke-bar span')].map(e => e.style.width)"
            return browser.run(script)

        def fits_phones(name):
            for width in (375, 320):
                browser.size(width, 800)
                end = time.monotonic() + 10
                while browser.sideways() > 0 and time.monotonic() < end:  # laid out anew
                    time.sleep(0.2)
                browser.screenshot(tmp_path / f"{name}-{width}.png")
                assert browser.sideways() <= 0, f"{name}, {width} px"
            browser.size(1280, 900)

        browser.open(url.group(), width=1280, height=900)
        assert "camera" in see("#answer .ke-note")[0]
        find("#find input").click()
        see("#find input:not(:checked)", lambda found: len(found) == 1)
        find("#picture input[type=file]").send_keys(str(face))
        assert len(see("#answer .ke-bars tbody th", lambda names: len(names) == 8)) == 8
        assert browser.run("document.querySelectorAll('.ke-pictures img').length") == 2
        before = widths()
        browser.screenshot(tmp_path / "face.png")

        words = find("#words textarea")
        words.send_keys("\nbored\n<b>in pain</b>")
        names = see("#answer .ke-bars tbody th", lambda names: len(names) == 10)
        assert names[-2:] == ["bored", "<b>in pain</b>"]
        assert "never tested" in see("#answer .ke-warning")[0]
        assert widths()[:8] != before
        assert sum(float(w.rstrip("%")) for w in widths()) == pytest.approx(100, abs=0.1)

        # text that no key typed: pasted, or from a phone's keyboard
        words.click()
        driver.execute_cdp_cmd("Input.insertText", {"text": "\nsleepy"})
        names = see("#answer .ke-bars tbody th", lambda names: len(names) == 11)
        assert names[-1] == "sleepy" or "sleepy" in " ".join(names)

        find("#templates textarea").send_keys("\n{class")
        assert "{class}" in see("#answer .ke-error")[0]
        find("#reset").click()
        see("#answer .ke-bars tbody th", lambda names: len(names) == 8)
        assert widths() == before

        # a broken file is one sentence, and the next one works
        broken = tmp_path / "broken.png"
        broken.write_bytes(b"no image")
        find("#picture .icon-button-wrapper button").click()
        see("#answer .ke-note", lambda notes: any("camera" in note for note in notes))
        find("#picture input[type=file]").send_keys(str(broken))
        notes = see("#answer .ke-error", lambda notes: len(notes) == 1)
        assert "cannot be read as an image" in notes[0]
        browser.screenshot(tmp_path / "note.png")
        find("#picture .icon-button-wrapper button").click()
        see("#answer .ke-note", lambda notes: any("camera" in note for note in notes))
        find("#picture input[type=file]").send_keys(str(face))
        see("#answer .ke-bars tbody th", lambda names: len(names) == 8)

        fits_phones("face")
        find("button[role=tab]:nth-of-type(2)").click()
        find("#compare").click()
        assert len(see("#trial .ke-map table", lambda maps: len(maps) == 2)) == 2
        assert {"WAR", "UAR"} <= set(see("#trial .ke-scores thead th"))
        browser.screenshot(tmp_path / "sets.png")
        fits_phones("sets")
        assert browser.errors() == []
        assert browser.hosts() == {"127.0.0.1"}
    assert any(path.suffix == ".png" for path in scratch.rglob("*"))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=_PATIENCE) == 0
    assert not list(scratch.iterdir())
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept <= {"model", "scratch", "profile", "ke2nt-cache", *_images(tmp_path)}


def _images(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.png")}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
