"""Music with free licences from Debian packages, unpacked into the cache, never installed."""

from __future__ import annotations

import subprocess
import tempfile
import zipfile
from pathlib import Path

from ...schemas.errors import ConfigError


def fetch_package(package: str, cache: Path) -> Path:
    """Download and unpack one package, archives inside it too; returns its folder.

    Needs apt-get and dpkg, and no rights. A folder that is there is complete: it appears by one
    rename. Raises ConfigError when the package cannot be had.
    """
    folder = cache / "debian" / package
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{package}.") as work:
        unpacked = Path(work) / "unpacked"
        unpacked.mkdir()
        _download(package, Path(work))
        (deb,) = Path(work).glob("*.deb")
        _run(["dpkg", "-x", str(deb), str(unpacked)], Path(work), package)
        for archive in unpacked.rglob("*.pk3"):  # a zip, as games of the Quake family call it
            with zipfile.ZipFile(archive) as file:
                file.extractall(archive.with_suffix(""))
        unpacked.rename(folder)
    return folder


def _download(package: str, into: Path) -> None:
    try:
        _run(["apt-get", "download", package], into, package)
    except ConfigError:  # a machine that has never looked up its package lists
        _run(["apt-get", "update"], into, package)
        _run(["apt-get", "download", package], into, package)


def _run(command: list[str], folder: Path, package: str) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", "") or str(error)
        raise ConfigError(
            f"Debian package {package} could not be had: {' '.join(command)}: {reason.strip()}; "
            "this needs Debian or Ubuntu with apt-get and dpkg"
        ) from error
