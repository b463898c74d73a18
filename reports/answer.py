"""An answer: an Arrow table that shows itself, in a program and in a notebook."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SHOWN = 20  # rows of a notebook's table


@dataclass(frozen=True, eq=False)
class Answer:
    """Rows of a question. table: the Arrow table; everything else is a view of it."""

    table: pa.Table

    def arrow(self) -> pa.Table:
        """The Arrow table."""
        return self.table

    def df(self) -> pd.DataFrame:
        """A pandas data frame."""
        return self.table.to_pandas()

    def rows(self) -> list[dict[str, Any]]:
        """A dict a row."""
        rows: list[dict[str, Any]] = self.table.to_pylist()
        return rows

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        names: list[str] = self.table.column_names
        return names

    def show(self, rows: int = SHOWN) -> None:
        """Print the first `rows` rows."""
        print(self.table.slice(0, rows).to_pandas().to_string())

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self.table.to_batches(max_chunksize=1024):
            yield from batch.to_pylist()

    def __repr__(self) -> str:
        return f"Answer({len(self)} rows: {', '.join(self.columns)})"

    def _repr_html_(self) -> str:
        """A notebook's table; pandas escapes what the cells hold."""
        shown: str = self.table.slice(0, SHOWN).to_pandas().to_html()
        more = len(self) - SHOWN
        return shown + (f"<p>and {more} more rows</p>" if more > 0 else "")
