"""How records lie in the file: in batches, by columns, compressed, since neighbours resemble each other."""

import zlib
from collections.abc import Sequence
from itertools import count, repeat
from typing import NamedTuple

import cramjam
import msgspec

from shared.log import Record, TopicPartition

Headers = tuple[tuple[str, bytes], ...]

COMPRESS_FROM = 1024
"""Bodies of fewer bytes stay as they are. One event of this size already halves."""

LEVEL = 1
"""Of zstd. On events as JSON, levels up to 5 save nothing more and take up to three times as long."""

ZSTD = b"\x28\xb5\x2f\xfd"
"""How a zstd frame begins. A plain body never does: its first byte says `array`, 0x90 or above."""


class Row(NamedTuple):
    """A record before it has an offset. `key` None is a mark."""

    key: str | None
    value: bytes | None
    headers: Headers


class _Columns(msgspec.Struct, frozen=True, array_like=True):
    """`headers` are the different ones of the batch; `which` says whose they are, empty when all share one."""

    keys: tuple[str | None, ...]
    values: tuple[bytes | None, ...]
    headers: tuple[Headers, ...]
    which: tuple[int, ...] = ()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Columns)


def partition_of(key: str, partitions: int) -> int:
    """The partition in which every record of a key lies: CRC-32 of its UTF-8, modulo their number."""
    return zlib.crc32(key.encode()) % partitions


def pack(rows: Sequence[Row]) -> bytes:
    """The body of a batch."""
    keys, values, headers = zip(*rows, strict=True)
    different = {one: number for number, one in enumerate(dict.fromkeys(headers))}
    which = tuple(different[one] for one in headers) if len(different) > 1 else ()
    body = _encoder.encode(_Columns(keys, values, tuple(different), which))
    return bytes(cramjam.zstd.compress(body, level=LEVEL)) if len(body) >= COMPRESS_FROM else body


def unpack(place: TopicPartition, base: int, appended_at: int, body: bytes) -> list[Record]:
    """The records of a batch whose first has the offset `base`."""
    columns: _Columns = _decoder.decode(cramjam.zstd.decompress(body) if body.startswith(ZSTD) else body)
    headers = [columns.headers[i] for i in columns.which] if columns.which else repeat(columns.headers[0])
    topics, partitions, times = repeat(place.topic), repeat(place.partition), repeat(appended_at)
    return list(map(Record, topics, partitions, count(base), times, columns.keys, columns.values, headers))
