"""musicnn: from the published TensorFlow checkpoint to one safetensors file, without TensorFlow.

A TensorFlow checkpoint is an index (an uncompressed LevelDB table from variable name to a
`BundleEntryProto`: type, shape, offset, size) and a data file of raw little-endian values. Both are
read here in plain Python. What the network applies after training as fixed arithmetic (batch
normalisation) is folded into weights once, at conversion; `musicnn.py` says how each is used.

Source: musicnn 0.1.0 (ISC), Pons & Serra 2019, arXiv 1909.06654; table and proto formats:
LevelDB's table_format.md and TensorFlow's tensor_bundle.proto.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...schemas.errors import ModelError

TABLE_MAGIC = 0xDB4775248B80FB57
DT_FLOAT = 1
BATCH_NORM_EPSILON = 1e-3  # the default of tf.layers.batch_normalization, which musicnn uses

Tensors = dict[str, np.ndarray]


def read_checkpoint(index: Path, data: Path) -> Tensors:
    """Every float32 variable of a one-shard TensorFlow checkpoint, by name.

    Raises ModelError when a file is not what the format says.
    """
    raw = data.read_bytes()
    tensors = {}
    for name, entry in _table(index):
        if not name:
            continue  # the header entry: number of shards, byte order
        dtype, shape, offset, size = _bundle_entry(entry)
        if dtype != DT_FLOAT:
            continue
        if size != 4 * math.prod(shape) or offset + size > len(raw):
            raise ModelError(f"{index}: variable {name!r} does not fit its shape {shape}")
        flat = np.frombuffer(raw, "<f4", count=size // 4, offset=offset)
        tensors[name.decode()] = flat.reshape(shape).copy()
    return tensors


def convert(variables: Tensors) -> Tensors:
    """The tensors that `musicnn.Network` reads, from the variables of one checkpoint.

    Convolutions over time and frequency are turned to PyTorch's order [out, in, time, frequency].
    """
    scale, shift = _affine(variables, 0)
    made = {"input.scale": scale, "input.shift": shift}
    for i, block in enumerate(("timbral.0", "timbral.1", "temporal.0", "temporal.1", "temporal.2")):
        made |= {f"{block}.{k}": v for k, v in _front(variables, i).items()}
    for i in range(3):
        kernel, bias = _layer(variables, "conv2d", i + 5)  # [time, in, 1, out]
        scale, shift = _affine(variables, i + 6)
        made |= {
            f"mid.{i}.weight": kernel[:, :, 0].transpose(2, 1, 0),
            f"mid.{i}.bias": bias,
            f"mid.{i}.scale": scale,
            f"mid.{i}.shift": shift,
        }
    return {k: np.ascontiguousarray(v) for k, v in (made | _back(variables)).items()}


def _front(variables: Tensors, i: int) -> Tensors:
    """Front-end block i: convolution, ReLU, batch norm, then the maximum over frequency.

    The maximum is taken first here. That is exact where batch norm rises; where it falls (scale
    < 0) the maximum of its output is at the minimum of its input, so such filters are negated.
    """
    kernel, bias = _layer(variables, "conv2d", i)  # [time, frequency, 1, out]
    scale, shift = _affine(variables, i + 1)
    sign = np.where(scale < 0, -1, 1).astype(np.float32)
    return {
        "weight": kernel.transpose(3, 2, 0, 1) * sign[:, None, None, None],
        "bias": bias * sign,
        "sign": sign,
        "scale": scale,
        "shift": shift,
    }


def _back(variables: Tensors) -> Tensors:
    """The two dense layers; the batch norm in front of the first goes into its weights."""
    kernel, bias = _layer(variables, "dense", 0)  # [in, out]
    scale, shift = _affine(variables, 9)
    out, out_bias = _layer(variables, "dense", 1)
    after_scale, after_shift = _affine(variables, 10)
    return {
        "dense.weight": (kernel * scale[:, None]).T,
        "dense.bias": bias + (kernel.astype(np.float64) * shift[:, None]).sum(0).astype(np.float32),
        "dense.scale": after_scale,
        "dense.shift": after_shift,
        "out.weight": out.T,
        "out.bias": out_bias,
    }


def _layer(variables: Tensors, kind: str, i: int) -> tuple[np.ndarray, np.ndarray]:
    name = kind if i == 0 else f"{kind}_{i}"
    return variables[f"{name}/kernel"], variables[f"{name}/bias"]


def _affine(variables: Tensors, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Batch normalisation i at rest is y = scale x + shift."""
    name = "batch_normalization" if i == 0 else f"batch_normalization_{i}"
    gamma, beta, mean, variance = (
        variables[f"{name}/{part}"].astype(np.float64)
        for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    scale = gamma / np.sqrt(variance + BATCH_NORM_EPSILON)
    return scale.astype(np.float32), (beta - mean * scale).astype(np.float32)


def _table(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of a LevelDB table: a footer points at an index block, that at data blocks."""
    raw = path.read_bytes()
    if len(raw) < 48 or int.from_bytes(raw[-8:], "little") != TABLE_MAGIC:
        raise ModelError(f"{path} is not the index of a TensorFlow checkpoint")
    at = len(raw) - 48
    for _ in range(2):  # the metaindex block's offset and size: not needed
        _, at = _varint(raw, at)
    for _, handle in _block(raw, at):
        yield from _block(handle, 0, inside=raw)


def _block(handle: bytes, at: int, inside: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
    """The entries of the block whose (offset, size) stand in `handle` at byte `at`."""
    raw = handle if inside is None else inside
    offset, at = _varint(handle, at)
    size, _ = _varint(handle, at)
    if raw[offset + size] != 0:
        raise ModelError("the checkpoint's index is compressed; only plain tables are read")
    block = raw[offset : offset + size]
    restarts = int.from_bytes(block[-4:], "little")
    end, at, key = size - 4 - 4 * restarts, 0, b""
    while at < end:  # keys share a prefix with the key before them
        shared, at = _varint(block, at)
        unshared, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + unshared]
        at += unshared
        yield key, block[at : at + length]
        at += length


def _bundle_entry(raw: bytes) -> tuple[int, tuple[int, ...], int, int]:
    """(dtype, shape, offset, size) of a BundleEntryProto."""
    dtype = offset = size = 0
    shape: tuple[int, ...] = ()
    for number, value in _message(raw):
        if isinstance(value, int):
            dtype = value if number == 1 else dtype
            offset = value if number == 4 else offset
            size = value if number == 5 else size
        elif number == 2:  # TensorShapeProto: repeated Dim, whose field 1 is the size
            dims = [dict(_message(dim)) for _, dim in _message(value) if isinstance(dim, bytes)]
            shape = tuple(int(dim.get(1, 0)) for dim in dims)
    return dtype, shape, offset, size


def _message(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) of a protocol buffer message."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(raw, at)
            yield tag >> 3, value
            continue
        if wire == 2:
            length, at = _varint(raw, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ModelError(f"unknown wire type {wire} in the checkpoint's index")
        yield tag >> 3, raw[at : at + length]
        at += length


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """(value, next position) of a base-128 number."""
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
