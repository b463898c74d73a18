"""Curation from a program: what the commands of `qamdt-curate` do, in as few words.

    ds = curate("music/", "out/mine")          # the whole line; the same call goes on
    ds.sql("select quality_level, count(*) from clips_full group by 1").df()
    ds.filter(where=["bandwidth_hz > 12000"])  # decides again; runs no model
    ds.export()

Nothing is printed unless `progress=True` is given. Errors are those of `schemas.errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..reports.answer import Answer
from ..schemas.errors import ConfigError
from ..schemas.settings import configured
from .config import Config, from_toml

if TYPE_CHECKING:
    from ..pipeline.dataset import Dataset as Store
    from ..pipeline.runner import Summary
    from .report.funnel import Funnel

Configuration = Config | str | Path | Sequence[str | Path] | None


@dataclass(frozen=True)
class Status:
    """Where a dataset stands.

    funnel: counts and hours. tables: a dict each of table, fingerprint, fresh, stale_because, model.
    """

    funnel: Funnel
    tables: tuple[dict[str, Any], ...]

    def df(self) -> Any:
        """The tables as a pandas data frame."""
        import pandas as pd

        return pd.DataFrame(list(self.tables))


@dataclass(frozen=True)
class Report:
    """The report of a dataset: `html` is one self-contained file, `json` its numbers."""

    html: Path
    json: Path

    def _repr_html_(self) -> str:
        from markupsafe import escape

        page = escape(self.html.read_text(encoding="utf-8"))
        return f'<iframe srcdoc="{page}" width="100%" height="800" frameborder="0"></iframe>'


class Dataset:
    """A dataset folder.

    root: the folder; it is made when something is written. config: a Config, the name of a profile
    (`"paper"`), a TOML file, or several, the last one wins. settings: single settings by name
    (`min_level=2`) or by section (`filter={"min_level": 2}`). progress: print what the stations
    say, and show their bars. Raises ConfigError.
    """

    def __init__(
        self,
        root: str | Path,
        config: Configuration = None,
        *,
        progress: bool = False,
        log: Callable[[str], None] | None = None,
        plugins: Sequence[str | Path] = (),
        **settings: Any,
    ) -> None:
        self.root = Path(root)
        self.config = configuration(config, settings, plugins)
        self._progress = progress
        self._log = log or (print if progress else _silent)

    def __repr__(self) -> str:
        return f"qamdt.Dataset({str(self.root)!r})"

    def run(
        self, source: str | Path, *, limit: int | None = None, retry_errors: bool = False
    ) -> Dataset:
        """The whole line, from files to shards and report; goes on where it was stopped.

        source: a folder of audio or a manifest. limit: at most so many files. retry_errors: try
        error rows again. Raises ConfigError, StoreError, WeightsMissing, DatasetBusy.
        """
        from . import stations

        with self._store.lock():
            stations.run_all(
                self._store, Path(source), self.config, self._call(limit, retry_errors)
            )
        return self

    def ingest(self, source: str | Path, **settings: Any) -> Summary:
        """Files become clips."""
        return self._station("ingest", settings, Path(source))

    def score(self, **settings: Any) -> Summary:
        """Every clip is decoded once for all listeners."""
        return self._station("score", settings)

    def quantize(self, **settings: Any) -> Summary:
        """p-MOS becomes levels 1..5 (5 is best) and prefixes."""
        return self._station("quantize", settings)

    def caption(self, **settings: Any) -> Summary:
        """Facts, and a generated caption."""
        return self._station("caption", settings)

    def refine(self, **settings: Any) -> Summary:
        """Captions are repaired; `caption` runs first where it is missing."""
        self._station("caption", settings)
        return self._station("refine", settings)

    def filter(self, **settings: Any) -> Summary:
        """Kept or not, with every reason; runs no model.

        settings: those of the section `filter`, such as `where=["bandwidth_hz > 12000"]`.
        """
        return self._station("filter_clips", settings)

    def export(self, **settings: Any) -> Summary:
        """Kept clips become Parquet shards with audio, and a dataset card."""
        return self._station("export", settings)

    def report(self) -> Report:
        """Write the report. Shows itself in a notebook."""
        from .report.page import build_report

        return Report(*build_report(self.root))

    def sql(self, query: str) -> Answer:
        """One SELECT over the views (DuckDB), such as `clips_full`. Raises StoreError."""
        from ..pipeline.views import query as query_views

        return Answer(query_views(self.root, query))

    def table(self, name: str) -> Answer:
        """A whole view. Raises ConfigError for a name that is none."""
        from ..pipeline.views import connect

        with connect(self._store) as con:
            views = {row[0] for row in con.execute("SHOW TABLES").fetchall()}
            if name not in views:
                raise ConfigError(
                    f"table {name!r}: no such view; there are {', '.join(sorted(views))}"
                )
            return Answer(con.table(name).to_arrow_table())

    def status(self) -> Status:
        """The funnel, and the state of every table."""
        from .report.funnel import funnel

        store, rows = self._store, []
        for name in store.tables():
            state, stale = store.current(name), store.stale_parent(name)
            about = state.about if state else {}
            rows.append(
                {
                    "table": name,
                    "fingerprint": state.fingerprint if state else None,
                    "fresh": stale is None,
                    "stale_because": stale,
                    "model": about.get("model_id") or None,
                }
            )
        return Status(funnel(store), tuple(rows))

    def search(
        self,
        text: str | None = None,
        n: int = 10,
        *,
        audio: str | Path | None = None,
        like: str | None = None,
        where: str | None = None,
        kept_only: bool = False,
        per_file: int | None = None,
    ) -> Answer:
        """The `n` clips nearest to a text, a sound or another clip, by the stored embeddings.

        where: a condition on `clips_full`. per_file: at most so many of one file. Columns: rank,
        similarity (cosine, -1..1), clip_id, path, start_s, duration_s, pmos, level, kept, caption.
        Raises ConfigError, StoreError.
        """
        import pyarrow as pa

        from .search import embed_sound, embed_text, embedding_of
        from .search import search as nearest

        if sum(given is not None for given in (text, audio, like)) != 1:
            raise ConfigError("give one thing to ask by: a text, audio=FILE or like=CLIP_ID")
        if text is not None:
            query = embed_text(self._store, text, self.config.models)
        elif audio is not None:
            query = embed_sound(self._store, Path(audio), self.config.models)
        else:
            query = embedding_of(self._store, str(like))
        hits = nearest(self._store, query, n, where, kept_only, per_file).hits
        return Answer(pa.Table.from_pylist([asdict(hit) for hit in hits]))

    @property
    def _store(self) -> Store:
        from ..pipeline.dataset import Dataset as Store

        return Store(self.root)

    def _call(self, limit: int | None = None, retry_errors: bool = False) -> Any:
        from ..pipeline.stage import Call

        return Call(limit, False, retry_errors, not self._progress, self._log)

    def _station(self, name: str, settings: Mapping[str, Any], *arguments: Any) -> Summary:
        """One station; what is given for it holds for the stations after it as well."""
        from . import stations

        section = {"filter_clips": "filter"}.get(name, name)
        own = set(vars(getattr(self.config, section)))
        inside = {k: v for k, v in settings.items() if k in own}
        rest = {k: v for k, v in settings.items() if k not in own}
        self.config = configured(configured(self.config, {section: inside}), rest)
        with self._store.lock():
            summary: Summary = getattr(stations, name)(
                self._store, *arguments, self.config, self._call()
            )
        return summary


def curate(
    source: str | Path,
    out: str | Path,
    config: Configuration = None,
    *,
    limit: int | None = None,
    retry_errors: bool = False,
    progress: bool = False,
    log: Callable[[str], None] | None = None,
    plugins: Sequence[str | Path] = (),
    **settings: Any,
) -> Dataset:
    """Curate a folder of music or a manifest into the dataset folder `out`, and return it.

    ingest, score, quantize, caption, refine, filter, export, report; the same call goes on where
    one was stopped. Arguments as of `Dataset` and `Dataset.run`.
    """
    dataset = Dataset(out, config, progress=progress, log=log, plugins=plugins, **settings)
    return dataset.run(source, limit=limit, retry_errors=retry_errors)


def quantize(dataset: Dataset | str | Path, **settings: Any) -> Summary:
    """`Dataset.quantize` of a dataset or its folder."""
    return _opened(dataset).quantize(**settings)


def filter(dataset: Dataset | str | Path, **settings: Any) -> Summary:
    """`Dataset.filter` of a dataset or its folder."""
    return _opened(dataset).filter(**settings)


def configuration(
    config: Configuration, settings: Mapping[str, Any], plugins: Sequence[str | Path] = ()
) -> Config:
    """A Config, profile, TOML file or several of them, with settings over it. Raises ConfigError."""
    if plugins:
        from ..schemas.plugins import load

        load([Path(p) for p in plugins])
    if isinstance(config, Config):
        base = config
    else:
        base = Config()
        files = [config] if isinstance(config, str | Path) else config or []
        for file in files:
            base = from_toml(Path(file), base)
    return configured(base, settings)


def _opened(dataset: Dataset | str | Path) -> Dataset:
    return dataset if isinstance(dataset, Dataset) else Dataset(dataset)


def _silent(line: str) -> None:
    """Takes a line and says nothing."""
