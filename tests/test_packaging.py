"""What is installed is what is in the tree: packages listed, data files included."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOT_SHIPPED = ("tests", "recipes", "benchmarks", "docs", "examples")


def _packages() -> list[str]:
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages: list[str] = content["tool"]["setuptools"]["packages"]
    return packages


def _tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [Path(line) for line in done.stdout.splitlines()]


def _shipped() -> list[Path]:
    return [p for p in _tracked() if p.parts[0] not in NOT_SHIPPED]


def test_every_folder_with_python_is_listed() -> None:
    found = {p.parent for p in _shipped() if p.suffix == ".py"}
    named = {Path(*name.split(".")[1:]) for name in _packages()}
    assert found == named


def test_the_wheel_holds_every_module_and_data_file(tmp_path: Path) -> None:
    copy = tmp_path / "src"
    for path in _tracked():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).write_bytes((ROOT / path).read_bytes())
    build = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "-o",
        str(tmp_path),
        str(copy),
    ]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    folders = {Path(*name.split(".")[1:]) for name in _packages()}
    wanted = {
        f"qamdt/{p}"
        for p in _shipped()
        if p.suffix in (".py", ".j2", ".toml") or p.parent.name in ("weights", "prompts")
        if p.parent in folders or p.parent.parent in folders
    }
    wanted -= {"qamdt/pyproject.toml"}
    assert wanted <= inside, wanted - inside
    assert not [name for name in inside if name.startswith(("qamdt/recipes", "qamdt/benchmarks"))]


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = ("torch", "ray", "transformers", "matplotlib")
    commands = "qamdt.curate.cli, qamdt.evaluate.cli"
    code = f"import {commands}, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
