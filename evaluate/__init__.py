"""Evaluation: FAD, KAD, KL, IS, CLAP score and p-MOS, each with its protocol and its interval.

The package can be called: `qamdt.evaluate("generated/", reference="music/")` is
`evaluate.api.evaluate`.
"""

from ..schemas.callable_package import make_callable

make_callable(__name__, "api", "evaluate")
