"""The report page in a real browser: no script error, no request, and it fits a phone."""

from __future__ import annotations

import numpy as np
import pytest
from browser_driver import open_browser

from ke2nt.evaluation.coverage import coverage_risk
from ke2nt.evaluation.metrics import classification_report
from ke2nt.labels import CANONICAL
from ke2nt.pages.faces import FaceGroup, FacePrediction
from ke2nt.pages.render import write_report
from ke2nt.pages.run_report import PromptMap, RunReport


@pytest.fixture
def page(tmp_path):
    """A report with every part, long names and long prompts among them."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 8, 600)
    p = rng.dirichlet(np.full(8, 0.4), 600) + 0.7 * np.eye(8)[y]
    p /= p.sum(axis=1, keepdims=True)
    metrics = classification_report(p, y, CANONICAL, bootstrap=50)
    faces = tuple(
        FacePrediction(
            rng.integers(0, 256, (48, 48, 3), dtype=np.uint8),
            CANONICAL[i % 8],
            CANONICAL[(i + 1) % 8],
            0.99 - i / 100,
            f"test/a_rather_long_folder/{i:07d}.png",
        )
        for i in range(12)
    )
    sentence = "a photo of a person who is making a {} facial expression in a dim room."
    report = RunReport(
        title="runs/a_rather_long_name_of_a_run_on_real_faces on ferplus test",
        data="ferplus test (rule majority): 600 images",
        metrics=metrics,
        uncalibrated=metrics,
        coverage=coverage_risk(p, y),
        min_confidence=0.5,
        faces=(FaceGroup("The most confident mistakes", faces),),
        failed=(("test/" + "x" * 60 + ".png", "an empty file"),),
        records=[
            {"epoch": e, "loss": {"total": 3 / e}, "val": {"accuracy": 0.1 * e, "uar": 0.09 * e}}
            for e in range(1, 9)
        ],
        text=PromptMap(
            CANONICAL,
            rng.standard_normal((8, 16)),
            prompts={name: [sentence.format(name)] for name in CANONICAL},
            encoder="open_clip:ViT-B-16/openai",
        ),
        config={"optim": {"lr": 0.1}, "out": "/a/long/path" * 8},
        provenance={"revision": "0" * 40, "versions": {"torch": "2.11"}},
        command="ke2nt evaluate runs/a_rather_long_name --dataset ferplus --split test " * 2,
        warnings=("The epoch was chosen on this split.",),
        notes=("A note.",),
    )
    return write_report(tmp_path / "report.html", report)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_in_a_browser(page, tmp_path, scheme):
    with open_browser(tmp_path / "profile") as browser:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.open(page.as_uri(), width=1280, height=900)
        assert browser.run("document.title").startswith("runs/a_rather_long")
        broken = "[...document.images].filter(i => !i.complete || !i.naturalWidth).length"
        assert browser.run("document.images.length") > 12
        assert browser.run(broken) == 0
        dark = browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(17, 21, 27)"
        assert dark == (scheme == "dark")
        browser.screenshot(tmp_path / f"report-{scheme}.png")
        for width in (768, 375, 320):
            browser.size(width, 800)
            assert browser.sideways() <= 0, width
            browser.screenshot(tmp_path / f"report-{scheme}-{width}.png")
        text = "[...document.querySelectorAll('p, td, li, figcaption')].filter(e => e.innerText)"
        small = f"{text}.filter(e => parseFloat(getComputedStyle(e).fontSize) < 12).length"
        assert browser.run(small) == 0
        assert browser.errors() == []
        assert browser.hosts() == set()
