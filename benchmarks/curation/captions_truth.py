"""What is true of the demo's pieces in the words of captions, and what a caption names wrongly."""

from __future__ import annotations

import re

from ...curate.demo.pieces import PIECES
from ...curate.guards.instruments import instruments_in

_KEY = re.compile(r"\b[A-G](-flat|-sharp)? (major|minor)\b")
# What an instrument of the demo may be called, beside the words of its own name.
_ALSO: dict[str, str] = {
    "violin": "string", "viola": "string", "cello": "string", "string orchestra": "string orchestra",
    "pizzicato strings": "string violin viola cello", "double bass": "string bass",
    "contrabass": "string bass", "picked bass": "guitar bass", "slap bass": "guitar bass",
    "electric bass": "guitar bass", "synth bass": "synthesizer bass keyboard",
    "synth brass": "synthesizer brass keyboard", "synth pad": "synthesizer keyboard",
    "warm pad": "synthesizer keyboard", "bowed pad": "synthesizer keyboard string",
    "square-wave synth": "synthesizer keyboard", "sawtooth synth": "synthesizer keyboard",
    "electric piano": "keyboard", "piano": "keyboard", "harpsichord": "keyboard",
    "church organ": "keyboard", "rock organ": "keyboard", "trumpet": "brass", "trombone": "brass",
    "tuba": "brass", "french horn": "brass", "brass section": "brass trumpet trombone",
    "flute": "woodwind", "oboe": "woodwind", "clarinet": "woodwind", "bassoon": "woodwind",
    "drums": "drum percussion cymbal", "marimba": "percussion xylophone", "vibraphone": "percussion",
    "glockenspiel": "percussion bell", "choir": "vocal", "music box": "bell",
}  # fmt: skip


def plays(piece: str) -> set[str]:
    """The instruments of a piece, as `instruments_in` names them, families included."""
    (own,) = [p for p in PIECES if p.name == piece]
    true = instruments_in(own.sound)  # as its own caption: an orchestra, an organ
    for name in own.instruments:
        true |= instruments_in(f"{name} {_ALSO.get(name, '')}")
    return true


def named(caption: str, piece: str) -> tuple[set[str], set[str]]:
    """(instruments that a caption names, those of them that the piece does not have)."""
    instruments = instruments_in(caption)
    return instruments, instruments - plays(piece)


def key_is_right(caption: str, piece: str) -> bool | None:
    """Whether the key that a caption names is one of the piece's; None where it names none."""
    (own,) = [p for p in PIECES if p.name == piece]
    key = _KEY.search(caption)
    return key.group(0).lower() in {k.lower() for k in own.keys} if key else None
