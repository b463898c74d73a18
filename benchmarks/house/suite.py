"""What the test suite says, from the JUnit files that pytest writes (`--junitxml`)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from ...recipes.common.figures import Figure, figure

OLD_FOLDERS = "test_old_folders"


def isa_figures(files: Sequence[Path], command: str) -> dict[str, Figure]:
    """isa_failures: tests that failed in runs of the suite, a file an instruction set."""
    suites = [suite for file in files for suite in _suites(file)]
    failed = sum(int(s.get("failures", 0)) + int(s.get("errors", 0)) for s in suites)
    tests = sum(int(s.get("tests", 0)) for s in suites)
    return {"isa_failures": figure(failed, tests, f"tests, in {len(files)} runs", command)}


def suite_figures(file: Path, command: str) -> dict[str, Figure]:
    """test_minutes, and old_folders_read: the share of the tests on old folders that passed.

    The second is left out where the run had no such test.
    """
    suites = _suites(file)
    minutes = sum(float(s.get("time", 0)) for s in suites) / 60
    tests = sum(int(s.get("tests", 0)) for s in suites)
    out = {"test_minutes": figure(minutes, tests, "minutes by the clock", command)}
    old = [case for s in suites for case in s.iter("testcase")
           if OLD_FOLDERS in case.get("classname", "")]  # fmt: skip
    if old:
        passed = sum(all(case.find(k) is None for k in ("failure", "error", "skipped"))
                     for case in old)  # fmt: skip
        unit = "share of the tests on folders of an earlier version"
        out["old_folders_read"] = figure(passed / len(old), len(old), unit, command)
    return out


def _suites(file: Path) -> list[ET.Element]:
    return list(ET.parse(file).getroot().iter("testsuite"))
