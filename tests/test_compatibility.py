"""A part of the compatibility matrix, and the page that shows the whole of it."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import comfy.supported_models
import compatibility
import pytest
from columns import COLUMNS
from compatibility import INAPPLICABLE, PASS, SILENT, WRONG, Model, Subject, check, reg
from conftest import HOST, ROOT
from matrix import FAMILIES, ONLY_READ, PAGE, applies, in_ci, kept, rendered

from bootstrap.archive import FLOOR
from bootstrap.host import host_version
from tiny_families import FUSED_FAMILIES, GRADIENT_FAMILIES, RELATED_FAMILIES, UNCOVERED, class_of

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("inference_mode")]

VERSION = host_version(Path(str(HOST)))
CURRENT = FLOOR.version != VERSION
CELLS = kept().get(VERSION, {})


@cache
def subject(family: str) -> Subject:
    return Subject(family, FAMILIES[family])


@pytest.mark.parametrize(("family", "name"), in_ci(VERSION))
def test_cell_is_as_the_page_says(family: str, name: str) -> None:
    result = check(subject(family), COLUMNS[name])
    assert result.verdict == CELLS[family][name].verdict, result.reason


def test_page_has_every_cell_of_the_tables() -> None:
    expected = {family: {name for name in COLUMNS if applies(COLUMNS[name], family)} for family in FAMILIES}
    if not CURRENT:  # of the floor only what the tests run
        expected = {family: {name for row, name in in_ci(VERSION) if row == family} for family, _ in in_ci(VERSION)}
    assert {family: set(row) for family, row in CELLS.items()} == expected


def test_every_node_is_met_by_some_family() -> None:
    """A node that nothing applies to would be a fault of the matrix."""
    met = {name for row in CELLS.values() for name, result in row.items() if result.verdict != INAPPLICABLE}
    assert not CURRENT or met == COLUMNS.keys()


def test_page_is_written_from_the_verdicts() -> None:
    text = PAGE.read_text("utf-8")
    assert ONLY_READ in text
    if CURRENT:
        assert text == rendered(kept(), text[text.index(ONLY_READ) :])


def test_command_starts_outside_pytest() -> None:
    command = [sys.executable, str(ROOT / "tests" / "start_matrix.py"), "--help"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    result = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert "--missing" in result.stdout, result.stderr


def test_every_class_of_the_host_is_tried_or_named() -> None:
    tried = {class_of(family) for family in (*GRADIENT_FAMILIES, *FUSED_FAMILIES, *RELATED_FAMILIES)}
    classes = {kind.__name__ for kind in comfy.supported_models.models}
    assert classes <= tried | UNCOVERED.keys()
    assert not tried & UNCOVERED.keys()


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "too weak": ({"strength": 0.999}, WRONG),
    "another estimator": ({"estimator": "forward"}, WRONG),
    "another range": ({"end_percent": 0.999}, PASS),  # no step lies in the difference
    "nothing done": ({"strength": 0.0}, SILENT),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_pack_fails(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cells can fail: REG that does something else than it is asked for."""
    changed, verdict = FAULTS[fault]

    def faulty(model: Model, form: str = "row-sum", estimator: str = "reverse", **more: Any) -> Model:
        asked = {"form": form, "estimator": estimator, **more}
        return reg(model, **(asked if more else {**asked, **changed}))

    monkeypatch.setattr(compatibility, "reg", faulty)
    assert check(Subject("SD3", FAMILIES["SD3"]), COLUMNS["REG"]).verdict == verdict
