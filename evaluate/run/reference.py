"""Statistics of a reference set, through the same feature cache as an evaluation."""

from __future__ import annotations

from pathlib import Path

from ...schemas.errors import ConfigError, MetricError
from ..config import Config
from ..data.sets import open_set
from ..features.extractors import EmbedderExtractor
from ..metrics.fad import sample
from ..metrics.reference_stats import Stats, stats_of
from .inputs_and_features import Call, Inputs, extract
from .results_builder import front_end


def reference_stats(source: Path, config: Config, call: Call) -> Stats:
    """Statistics of a set under the configuration's embedder, in order of content.

    Raises ConfigError for more than one embedder, or for clips that could not be read: a reference
    must be complete, so they are named.
    """
    if len(config.models.embedder) != 1:
        raise ConfigError("statistics are of one embedder: give --embedder once")
    ref = config.models.embedder[0]
    extractor = EmbedderExtractor(ref, config.models.device, config.metrics.protocol)
    clips = open_set(source, call.limit, config.metrics.seconds)
    inputs = Inputs(clips, None, None, None, {}, {"embed": extractor})
    extract(inputs, config, call)
    bad = [(i, e) for i in clips.items if (e := inputs.features("embed", i).error) is not None]
    if bad:
        listed = "\n  ".join(f"{item.path}: {why}" for item, why in bad[:20])
        raise ConfigError(f"{len(bad)} clips of {source} could not be read:\n  {listed}")
    once = {item.content: f for item, f in inputs.ok("embed", clips.items)}
    if len(once) < 2:
        raise MetricError(f"{source} holds {len(once)} different clips: needs 2")
    contents = sorted(once)
    rows = [f.rows for c in contents if (f := once[c]).rows is not None]
    about = {**front_end(extractor), "seconds": config.metrics.seconds}
    return stats_of(sample(rows), about, contents)
