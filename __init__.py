"""Quality-aware data curation, training and evaluation for text-to-music."""

from .schemas.version import __version__

__all__ = ["__version__"]
