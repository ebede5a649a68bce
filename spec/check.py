#!/usr/bin/env python3
"""An independent reader of Fieldbook, written from the specification alone: it shares no code with the crates.

    check.py vectors [DIR]                          check the examples in DIR (default: vectors/ beside this file)
    check.py bundle FILE [--json] [--digest HEX]    verify a bundle and rebuild every document in it

Exit code 0: all holds. 1: refused or different, with the place and the reason. 2: wrong usage.
Needs Python 3.10 and two packages, for the two primitives: blake3 and pynacl.

Top down in the order of change-set.md (CBOR, hashes, signatures, header, body, skeleton, values, signed form, pages,
bundle), then of sync.md (frames, messages, pages in place, runs, receipts), of access.md (records, verdicts), and of
documents.md (names, lines, standings, structure, text, digests). No CRDT library: sets and maps.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import re
import struct
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import nacl.bindings as sodium
from blake3 import blake3
from nacl.exceptions import BadSignatureError

MAX_TIME_MS = (1 << 48) - 1
MAX_SEQUENCE = MAX_CLOCK = (1 << 32) - 1
MAX_FORMAT = (1 << 64) - 1
MAX_BODY_BYTES = 1 << 20
MAX_VALUE_BYTES = MAX_POINTS = 1 << 18
MAX_SKELETON_BYTES = 1 << 19
MAX_OPS = MAX_TEXT_RANGES = MAX_PAGE_ENTRIES = 4096
MAX_VALUES = MAX_OPS + 1
MAX_LINES = MAX_RUN_ENTRIES = 1024
MAX_PARENTS = 32
MAX_GROUP = 1 << 16
MAX_RUN_BYTES = 1 << 22
MAX_PAGE_BYTES = 1 << 23
MAX_BUNDLE_PAGES = 1 << 20
MAX_BUNDLES = 1 << 10
MAX_COUNTER = (1 << 31) - 1
MAX_OP_NUMBER = 1 << 31

PARTITION = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
KIND = re.compile(r"[a-z][a-z0-9_-]{0,31}")
INTENT = re.compile(r"[a-z][a-z0-9_]{0,47}")
PATH = re.compile(r"(?=.{1,255}\Z)[a-z0-9_.-]+(/[a-z0-9_.-]+){0,15}")


class Refused(Exception):
    """What the specification refuses: the reason, and the places around it, innermost first."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.places: list[str] = []

    def __str__(self) -> str:
        return ": ".join([*reversed(self.places), self.args[0]])


class at:
    """Names the place of what is refused inside."""

    def __init__(self, *place: Any):
        self.place = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: Any, error: BaseException | None, _trace: Any) -> None:
        if isinstance(error, Refused):
            error.places.append(" ".join(map(str, self.place)))


def need(holds: Any, reason: str) -> None:
    if not holds:
        raise Refused(reason)


# --- CBOR -----------------------------------------------------------------------------------------------------------
# Integers are int, byte strings bytes, text str, arrays list, null None. Floats stand only alone, in values of one type,
# and are read there; so are booleans but for messages, where they are read as members of Truth: so no item read here can
# pass for another one.

MAX_DEPTH = 8  # more than any format has: bundle 2, signed form 5, page 6


class Truth(Enum):
    FALSE = b"\xf4"
    TRUE = b"\xf5"


def cbor(item: Any) -> bytes:
    """The deterministic encoding."""
    match item:
        case None:
            return b"\xf6"
        case Truth():
            return item.value
        case int():
            return _head(0, item) if item >= 0 else _head(1, -1 - item)
        case bytes():
            return _head(2, len(item)) + item
        case str():
            text = item.encode()
            return _head(3, len(text)) + text
        case list() | tuple():
            return _head(4, len(item)) + b"".join(map(cbor, item))
    raise TypeError(type(item))


def _head(major: int, n: int) -> bytes:
    major <<= 5
    if n < 24:
        return bytes((major | n,))
    if n < 1 << 8:
        return bytes((major | 24, n))
    if n < 1 << 16:
        return struct.pack(">BH", major | 25, n)
    if n < 1 << 32:
        return struct.pack(">BI", major | 26, n)
    return struct.pack(">BQ", major | 27, n)


def decode(data: bytes, truths: bool = False) -> Any:
    """The one item that `data` encodes; refused unless it is deterministic CBOR and nothing follows."""
    try:
        item, end = _item(data, 0, 0, truths)
    except IndexError:
        raise Refused("cbor: ends early") from None
    need(end == len(data), f"cbor: {len(data) - end} bytes after the item")
    return item


def _item(data: bytes, pos: int, depth: int, truths: bool = False) -> tuple[Any, int]:
    first = data[pos]
    major, n = first >> 5, first & 31
    pos += 1
    if first == 0xF6:
        return None, pos
    if truths and first in (0xF4, 0xF5):
        return Truth(bytes((first,))), pos
    if n >= 24:
        need(n <= 27, f"cbor: reserved or indefinite head at byte {pos - 1}")
        size = 1 << n - 24
        need(pos + size <= len(data), "cbor: ends early")
        n = int.from_bytes(data[pos : pos + size], "big")
        need(n >= (24 if size == 1 else 1 << 4 * size), f"cbor: head not shortest at byte {pos - 1}")
        pos += size
    if major == 0:
        return n, pos
    if major == 1:
        need(n < 1 << 63, f"cbor: integer below -2^63 at byte {pos}")
        return -1 - n, pos
    if major == 2 or major == 3:
        need(n <= len(data) - pos, "cbor: string longer than what is left")
        raw = data[pos : pos + n]
        return (raw if major == 2 else utf8(raw)), pos + n
    need(major == 4, f"cbor: nothing of this format has the head {first:02x} at byte {pos}")
    need(n <= len(data) - pos, "cbor: array longer than what is left")
    need(depth < MAX_DEPTH, "cbor: nested deeper than any format")
    items = []
    for _ in range(n):
        item, pos = _item(data, pos, depth + 1, truths)
        items.append(item)
    return items, pos


def utf8(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("text is not UTF-8") from None


# Shapes of items. `type(x) is int` and the like are spared: `decode` makes nothing that passes for another type.


def is_uint(item: Any, most: int = MAX_FORMAT, least: int = 0) -> bool:
    return isinstance(item, int) and least <= item <= most


def is_bytes(item: Any, size: int) -> bool:
    return isinstance(item, bytes) and len(item) == size


def is_name(item: Any, pattern: re.Pattern[str]) -> bool:
    return isinstance(item, str) and pattern.fullmatch(item) is not None


# --- Hashes ---------------------------------------------------------------------------------------------------------


def derive_key(context: str, material: bytes) -> bytes:
    return blake3(material, derive_key_context=context).digest()


def keyed_hash(key: bytes, message: bytes) -> bytes:
    return blake3(message, key=key).digest()


def chain_key(workspace: bytes, partition: str, author: bytes) -> bytes:
    return derive_key("fieldbook v1 chain", cbor([workspace, partition, author[:32], author[32:]]))


def branch_name(name_of_previous: bytes, sibling: bytes) -> bytes:
    return derive_key("fieldbook v1 branch", name_of_previous + sibling)


def running_start(workspace: bytes, partition: str, incarnation: bytes) -> bytes:
    return derive_key("fieldbook v1 log", cbor([workspace, partition, incarnation]))


# --- Signatures -----------------------------------------------------------------------------------------------------
# libsodium differs by version: some take the equation with cofactor, all refuse an unreduced A. It answers alone where
# that cannot matter, which is where both A and R are canonical points of the prime-order group; honest ones always are.
# There the difference of the two sides lies in that group, so it is no small order point but the identity. All else is
# computed here, as the four rules say.

P = (1 << 255) - 19
L = (1 << 252) + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int, int, int]  # X, Y, Z, T with x = X / Z, y = Y / Z, x * y = T / Z
IDENTITY: Point = (0, 1, 1, 0)

_in_group: dict[bytes, bool] = {}


def signature_holds(key: bytes, message: bytes, signature: bytes) -> bool:
    if key not in _in_group:
        _in_group[key] = sodium.crypto_core_ed25519_is_valid_point(key)
    if _in_group[key] and sodium.crypto_core_ed25519_is_valid_point(signature[:32]):
        try:
            sodium.crypto_sign_open(signature + message, key)
        except BadSignatureError:
            return False
        return True
    return _signature_holds_exactly(key, message, signature)


def _signature_holds_exactly(key: bytes, message: bytes, signature: bytes) -> bool:
    a, r, s = _point(key), _point(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L or _is_small(a) or _is_small(r):
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    base = _point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    assert base is not None
    minus_a = (-a[0] % P, a[1], a[2], -a[3] % P)
    x, y, z, _ = _add(_times(s, base), _times(k, minus_a))
    inverse = pow(z, -1, P)
    x, y = x * inverse % P, y * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little") == signature[:32]


def _point(data: bytes) -> Point | None:
    sign_y = int.from_bytes(data, "little")
    sign, y = sign_y >> 255, (sign_y & (1 << 255) - 1) % P
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P:
        return None
    if x & 1 != sign:
        x = -x % P
    return x, y, 1, x * y % P


def _add(a: Point, b: Point) -> Point:
    e = (a[1] - a[0]) * (b[1] - b[0]) % P
    f = (a[1] + a[0]) * (b[1] + b[0]) % P
    g = 2 * a[3] * b[3] * D % P
    h = 2 * a[2] * b[2] % P
    return (f - e) * (h - g) % P, (h + g) * (f + e) % P, (h - g) * (h + g) % P, (f - e) * (f + e) % P


def _times(n: int, point: Point) -> Point:
    product = IDENTITY
    for bit in bin(n)[2:]:
        product = _add(product, product)
        if bit == "1":
            product = _add(product, point)
    return product


def _is_small(point: Point) -> bool:
    x, y, z, _ = _times(8, point)
    return x == 0 and y == z


# --- Header ---------------------------------------------------------------------------------------------------------


class Header(NamedTuple):
    format: int
    sequence: int
    previous: bytes | None
    kind: str
    document: bytes
    parents: list[bytes]
    time: int
    grant: bytes | None
    body_hash: bytes
    body_length: int


def read_header(item: Any) -> Header:
    need(isinstance(item, list) and len(item) == 10, "header: not an array of 10")
    h = Header(*item)
    need(is_uint(h.format, MAX_FORMAT, 1), "header: format")
    need(is_uint(h.sequence, MAX_SEQUENCE, 1), "header: sequence")
    need(h.previous is None or is_bytes(h.previous, 32), "header: previous")
    need((h.previous is None) == (h.sequence == 1), "header: previous is null exactly at sequence 1")
    need(is_name(h.kind, KIND), "header: kind")
    need(is_bytes(h.document, 16), "header: document")
    need(isinstance(h.parents, list) and len(h.parents) <= MAX_PARENTS, "header: parents")
    need(all(is_bytes(p, 32) for p in h.parents), "header: parents")
    need(all(a < b for a, b in pairwise(h.parents)), "header: parents not ascending")
    need(is_uint(h.time, MAX_TIME_MS), "header: time")
    need(h.grant is None or is_bytes(h.grant, 32), "header: grant")
    need(is_bytes(h.body_hash, 32), "header: body hash")
    need(is_uint(h.body_length, MAX_BODY_BYTES), "header: body length")
    return h


# --- Body -----------------------------------------------------------------------------------------------------------


class Body(NamedTuple):
    schema_version: int
    intent: str
    group: list[Any] | None
    skeleton: bytes
    salt: bytes | None
    slots: list[Any]

    def values(self) -> list[bytes | None]:
        """The values; None where one was purged."""
        if self.salt is not None:
            return self.slots
        return [slot[1] if isinstance(slot, list) else None for slot in self.slots]

    def salts(self) -> list[bytes | None]:
        """The salt of each value; None where one was purged."""
        if self.salt is not None:
            return [keyed_hash(self.salt + bytes(16), struct.pack("<I", i)) for i in range(len(self.slots))]
        return [slot[0] if isinstance(slot, list) else None for slot in self.slots]

    def commitments(self) -> list[bytes]:
        known = zip(self.salts(), self.values(), self.slots, strict=True)
        return [slot if salt is None else keyed_hash(salt, value or b"") for salt, value, slot in known]

    def hash(self) -> bytes:
        head = [self.schema_version, self.intent, self.group, self.skeleton]
        return derive_key("fieldbook v1 body", cbor([*head, self.commitments()]))

    def redacted(self, values: Sequence[int]) -> Body:
        """The purged form without these values."""
        known = enumerate(zip(self.salts(), self.values(), self.commitments(), strict=True))
        slots = [c if salt is None or i in values else [salt, value] for i, (salt, value, c) in known]
        return self._replace(salt=None, slots=slots)


def read_body(item: Any) -> Body:
    need(isinstance(item, list) and len(item) == 6, "body: not an array of 6")
    b = Body(*item)
    need(is_uint(b.schema_version, MAX_CLOCK), "body: schema version")
    need(is_name(b.intent, INTENT), "body: intent")
    match b.group:
        case None:
            pass
        case [bytes(group), int(index), int(count)]:
            need(len(group) == 16 and 1 <= index <= count <= MAX_GROUP, "body: group")
        case _:
            raise Refused("body: group")
    need(isinstance(b.skeleton, bytes) and len(b.skeleton) <= MAX_SKELETON_BYTES, "body: skeleton")
    need(isinstance(b.slots, list) and len(b.slots) <= MAX_VALUES, "body: values")
    if b.salt is None:
        for slot in b.slots:
            match slot:
                case [bytes(salt), bytes(value)]:
                    need(len(salt) == 32 and len(value) <= MAX_VALUE_BYTES, "body: slot")
                case _:
                    need(is_bytes(slot, 32), "body: slot")
        need(not all(isinstance(slot, list) for slot in b.slots), "body: purged form without a purged value")
    else:
        need(is_bytes(b.salt, 16), "body: salt")
        need(b.slots or b.salt == bytes(16), "body: a salt without values")
        need(all(isinstance(v, bytes) and len(v) <= MAX_VALUE_BYTES for v in b.slots), "body: value")
    most = MAX_BODY_BYTES + (64 * MAX_VALUES if b.salt is None else 0)
    need(len(cbor(item)) <= most, "body: too long")
    return b


def body_length(body: Body, lengths: Sequence[int]) -> int:
    """The length of the whole form, from the lengths of values that the skeleton names."""
    head = cbor([body.schema_version, body.intent, body.group, body.skeleton])
    return len(head) + 17 + len(_head(4, len(lengths))) + sum(len(_head(2, n)) + n for n in lengths)


# --- Skeleton -------------------------------------------------------------------------------------------------------

PUT, DELETE, INCREMENT, INSERT_TEXT, DELETE_TEXT = range(5)
Origin = tuple[int, int] | None  # (line number, clock)


class Op(NamedTuple):
    code: int
    path: str
    value: int = -1  # its number; -1 where the op has none
    length: int = 0
    type: int = 0
    left: Origin = None
    right: Origin = None
    points: int = 0
    ranges: Sequence[Sequence[int]] = ()


class Skeleton(NamedTuple):
    reason: int | None
    lines: list[bytes]
    ops: list[Op]
    lengths: list[int]


def read_skeleton(data: bytes) -> Skeleton:
    need(len(data) <= MAX_SKELETON_BYTES, "skeleton: too long")
    item = decode(data)
    need(isinstance(item, list) and len(item) == 3, "skeleton: not an array of 3")
    reason, lines, script = item
    need(reason is None or is_uint(reason, MAX_VALUE_BYTES), "skeleton: reason")
    need(isinstance(lines, list) and len(lines) <= MAX_LINES, "skeleton: lines")
    need(all(is_bytes(line, 32) for line in lines) and len(set(lines)) == len(lines), "skeleton: lines")
    need(isinstance(script, list) and len(script) <= MAX_OPS, "skeleton: ops")

    lengths = [] if reason is None else [reason]
    paths: dict[str, int] = {}
    numbered: list[str] = []
    ops: list[Op] = []
    used = 0  # lines named so far

    def path(item: Any) -> str:
        if isinstance(item, str):
            need(item not in paths, "skeleton: path written out twice")
            need(PATH.fullmatch(item), "skeleton: path")
            paths[item] = len(numbered)
            numbered.append(item)
            return item
        need(is_uint(item, len(numbered) - 1), "skeleton: path number")
        return numbered[item]

    def value(length: Any) -> int:
        need(is_uint(length, MAX_VALUE_BYTES), "skeleton: length of a value")
        lengths.append(length)
        return len(lengths) - 1

    def line_clock(line: Any, clock: Any) -> tuple[int, int]:
        nonlocal used
        need(is_uint(line, len(lines)) and is_uint(clock, MAX_CLOCK), "skeleton: item")
        need(line <= used + 1, "skeleton: lines not in the order of first use")
        used = max(used, line)
        return line, clock

    def origin(item: Any) -> Origin:
        match item:
            case None:
                return None
            case [line, clock]:
                return line_clock(line, clock)
        raise Refused("skeleton: origin")

    for number, op in enumerate(script):
        with at("op", number):
            match op:
                case [0, name, kind, length]:
                    need(is_uint(kind, 9), "skeleton: type")
                    ops.append(Op(PUT, path(name), value(length), length, type=kind))
                case [1, name]:
                    ops.append(Op(DELETE, path(name)))
                case [2, name, length]:
                    ops.append(Op(INCREMENT, path(name), value(length), length))
                case [3, name, left, right, length, points]:
                    need(is_uint(points, MAX_POINTS, 1), "skeleton: points")
                    name, left, right = path(name), origin(left), origin(right)
                    ops.append(Op(INSERT_TEXT, name, value(length), length, 0, left, right, points))
                    need(points <= length <= 4 * points, "skeleton: points do not fit the length")
                case [4, name, [_, *_] as ranges]:
                    need(len(ranges) <= MAX_TEXT_RANGES, "skeleton: ranges")
                    ops.append(Op(DELETE_TEXT, path(name), ranges=ranges))
                    end = (b"", -1)  # of the range before: no range starts at it, or before it on its line
                    for r in ranges:
                        need(isinstance(r, list) and len(r) == 3, "skeleton: range")
                        line, clock = line_clock(r[0], r[1])
                        need(is_uint(r[2], MAX_CLOCK - clock, 1), "skeleton: count of a range")
                        start = (lines[line - 1] if line else b"", clock)  # the own line comes first
                        need(start > end, "skeleton: ranges not ascending and apart")
                        end = (start[0], clock + r[2])
                case _:
                    raise Refused("skeleton: op")
    need(used == len(lines), "skeleton: a line that no op names")
    return Skeleton(reason, lines, ops, lengths)


# --- Values ---------------------------------------------------------------------------------------------------------

SIMPLE, INT, DECIMAL, FLOAT, STRING, BYTES, TIMESTAMP, COUNTER, REFERENCE, ATTACHMENT = range(10)
NULL = b"\xf6"


def value_fits(type: int, value: bytes) -> bool:
    """Whether the bytes decode without rest as the type."""
    if type == SIMPLE:
        return value in (b"\xf4", b"\xf5", NULL)
    if type == BYTES:
        return True
    if type == FLOAT:
        if len(value) != 9 or value[0] != 0xFB:
            return False
        number = struct.unpack(">d", value[1:])[0]
        return math.isfinite(number) and (number != 0 or value[1] == 0)
    try:
        if type == STRING:
            utf8(value)
            return True
        item = decode(value)
    except Refused:
        return False
    match type, item:
        case 1 | 6, int():
            return is_signed(item)
        case 2, [int(mantissa), int(scale)]:
            return is_signed(mantissa) and 0 <= scale <= 18
        case 7, int():
            return abs(item) <= MAX_COUNTER
        case 8, [partition, kind, document]:
            return is_name(partition, PARTITION) and is_name(kind, KIND) and is_bytes(document, 16)
        case 9, [content, length, str(media_type)]:
            return is_bytes(content, 32) and is_uint(length) and len(media_type.encode()) <= 127
    return False


def is_signed(n: int) -> bool:
    return -1 << 63 <= n < 1 << 63


# --- Signed form ----------------------------------------------------------------------------------------------------


class ChangeSet:
    """A change set as read. What stands before `__init__` is added by `fold` and `Document`."""

    name: bytes
    implied: ChangeSet | None  # parent
    generation: int
    place: int  # in the document's canonical order
    past: int  # the places of all ancestors in the document, as bits
    line: int  # the places of implied ancestors, and its own
    standing: int
    skeleton: Skeleton | None  # None if it cannot be read
    values: list[bytes | None]  # None if purged
    top: int  # the largest op number emitted in the past and here
    emitted: int  # ops
    units: list[int | None]  # of the line's text by clock, shared along the line; None: may not be named
    end: int  # of this change set in them

    def __init__(self, author: bytes, actor: bytes, header: Header, body: Body, signature: bytes | None):
        self.author, self.actor, self.header, self.body, self.signature = author, actor, header, body, signature
        self.id = keyed_hash(actor, cbor(header))

    def check_signature(self) -> None:
        assert self.signature is not None
        need(signature_holds(self.author[:32], self.id, self.signature), "signature")


def read_signed(workspace: bytes, partition: str, data: bytes) -> ChangeSet:
    match decode(data):
        case [bytes(author), bytes(signature), header, body]:
            need(len(author) == 40 and len(signature) == 64, "signed form: author or signature")
            actor = chain_key(workspace, partition, author)
            c = ChangeSet(author, actor, read_header(header), read_body(body), signature)
            need(c.body.hash() == c.header.body_hash, "body hash")
            c.check_signature()
            return c
    raise Refused("signed form: not an array of author, signature, header and body")


# --- Pages ----------------------------------------------------------------------------------------------------------


class Log:
    """The entries of one partition in the order of arrival, with what short references look up."""

    def __init__(self, workspace: bytes, partition: str, incarnation: bytes):
        self.workspace, self.partition = workspace, partition
        self.entries: list[ChangeSet] = []
        self.by_id: dict[bytes, ChangeSet] = {}
        self.lowest: dict[tuple[bytes, int], ChangeSet] = {}  # by actor prefix and sequence
        self.actors: dict[bytes, ChangeSet] = {}  # the lowest entry by actor prefix
        self.running = running_start(workspace, partition, incarnation)

    def append(self, entries: Iterable[ChangeSet]) -> None:
        for c in entries:
            need(c.id not in self.by_id, "log: an entry twice")
            self.entries.append(c)
            self.by_id[c.id] = c
            self.lowest.setdefault((c.actor[:8], c.header.sequence), c)
            self.actors.setdefault(c.actor[:8], c)
            self.running = keyed_hash(self.running, c.id)

    def read_page(self, data: bytes) -> list[ChangeSet]:
        need(len(data) <= MAX_PAGE_BYTES, "page: too long")
        page = decode(data)
        need(isinstance(page, list) and len(page) == 5, "page: not an array of 5")
        version, *tables = page
        need(version == 1, "page: version")
        need(all(isinstance(t, list) and len(t) <= MAX_PAGE_ENTRIES for t in tables), "page: table")
        actors, documents, grants, entries = tables
        writers = []
        for number, actor in enumerate(actors):
            with at("actor", number):
                need(is_bytes(actor, 40) or is_bytes(actor, 8), "page: actor")
                if len(actor) == 8:
                    need(actor in self.actors, "page: no such actor in the log")
                    known = self.actors[actor]
                    writers.append((known.author, known.actor))
                else:
                    writers.append((actor, chain_key(self.workspace, self.partition, actor)))
        for number, document in enumerate(documents):
            with at("document", number):
                need(isinstance(document, list) and len(document) == 2, "page: document")
                need(is_name(document[0], KIND) and is_bytes(document[1], 16), "page: document")
        need(all(is_bytes(grant, 32) for grant in grants), "page: grant")

        read: list[ChangeSet] = []
        ids: dict[bytes, ChangeSet] = {}
        for number, entry in enumerate(entries):
            with at("entry", number):
                c = self._read_entry(entry, read, ids, writers, documents, grants)
                need(c.id not in ids, "page: an entry twice")
                read.append(c)
                ids[c.id] = c
        check_attested(read)
        for number, c in enumerate(read):
            if c.signature is not None:
                with at("entry", number):
                    c.check_signature()
        return read

    def _read_entry(
        self,
        entry: Any,
        read: list[ChangeSet],
        ids: dict[bytes, ChangeSet],
        writers: list[tuple[bytes, bytes]],
        documents: list[Any],
        grants: list[bytes],
    ) -> ChangeSet:
        need(isinstance(entry, list) and len(entry) in (8, 10), "entry: not an array of 8 or 10")
        actor, previous, document, parents, time, grant, signature, *rest = entry
        need(is_uint(actor, len(writers) - 1), "entry: actor number")
        author, chain = writers[actor]

        def held(item: Any, what: str) -> ChangeSet:
            """The entry before this one that a reference means."""
            match item:
                case bytes() if len(item) == 32:
                    found = ids.get(item) or self.by_id.get(item)
                case int() if item >= 0:
                    found = read[item] if item < len(read) else None
                case int():
                    found = self.lowest.get((chain[:8], -item))
                case [bytes(prefix), int(sequence)] if len(prefix) == 8 and sequence >= 0:
                    found = self.lowest.get((prefix, sequence))
                case _:
                    raise Refused(f"entry: reference to {what}")
            if found is None:
                raise Refused(f"entry: {what} is not held")
            return found

        before = None
        if previous is not None:
            need(not isinstance(previous, list), "entry: previous")
            before = held(previous, "previous")
            need(before.actor == chain, "entry: previous is of another actor")

        need(isinstance(parents, list) and len(parents) <= MAX_PARENTS, "entry: parents")
        need(not any(isinstance(parent, int) and parent < 0 for parent in parents), "entry: parent")
        # A parent's id stands for itself, held or not.
        named = [parent if is_bytes(parent, 32) else held(parent, "parent").id for parent in parents]

        if is_uint(document):
            need(document < len(documents), "entry: document number")
            kind, document = documents[document]
        else:
            need(document is None or isinstance(document, int), "entry: document")
            if document is None:
                document = named[0] if named else previous
            neighbour = held(document, "document").header
            kind, document = neighbour.kind, neighbour.document

        need(is_uint(time), "entry: time")
        need(grant is None or is_uint(grant, len(grants) - 1), "entry: grant number")
        need(signature is None or is_bytes(signature, 64), "entry: signature")
        body = read_body(rest[-1])
        format, length = rest[:2] if len(rest) == 3 else (1, len(cbor(rest[0])))
        header = Header(
            format=format,
            sequence=before.header.sequence + 1 if before else 1,
            previous=before.id if before else None,
            kind=kind,
            document=document,
            parents=named,
            time=time + (before.header.time if before else 0),
            grant=None if grant is None else grants[grant],
            body_hash=body.hash(),
            body_length=length,
        )
        return ChangeSet(author, chain, read_header(list(header)), body, signature)


ZSTD = bytes.fromhex("28b52ffd")


def read_stored(data: bytes) -> bytes:
    """The page in a stored page. No zstd is opened here: no bundle has any."""
    need(0 < len(data) <= MAX_PAGE_BYTES + 1, "stored page: empty or too long")
    need(data[0] <= 1, "stored page: first byte")
    need(data[0] == 0 or data[1:5] == ZSTD, "stored page: no frame of zstd")
    need(data[0] == 0, "stored page: zstd, which is not opened here")
    return data[1:]


def check_attested(entries: list[ChangeSet]) -> None:
    """Every entry is signed, or named as previous by a later attested one, within a run of bounded length."""
    least: dict[bytes, tuple[int, int]] = {}  # of the runs of later entries, by the entry that they name as previous
    for number in reversed(range(len(entries))):
        c = entries[number]
        with at("entry", number):
            run = (1, c.header.body_length)
            if c.signature is None:
                need(c.id in least, "not attested")
                n, total = least[c.id]
                run = (n + 1, total + c.header.body_length)
            need(run[0] <= MAX_RUN_ENTRIES and (run[0] == 1 or run[1] <= MAX_RUN_BYTES), "run too long")
        if c.header.previous is not None:
            least[c.header.previous] = min(run, least.get(c.header.previous, run))


# --- Bundle ---------------------------------------------------------------------------------------------------------


class Bundle(NamedTuple):
    workspace: bytes
    partition: str
    pages: int
    entries: list[ChangeSet]
    running_hash: bytes


def read_bundle(data: bytes) -> Bundle:
    bundle, end = read_bundle_at(data, 0)
    need(end == len(data), f"bundle: {len(data) - end} bytes after it")
    return bundle


def read_bundles(data: bytes) -> list[Bundle]:
    """A file of bundles, one directly behind the other."""
    bundles: list[Bundle] = []
    end = 0
    while end < len(data) or not bundles:
        need(len(bundles) < MAX_BUNDLES, "file of bundles: too many")
        with at("bundle", len(bundles)):
            bundle, end = read_bundle_at(data, end)
        bundles.append(bundle)
    return bundles


def read_bundle_at(data: bytes, start: int) -> tuple[Bundle, int]:
    need(data[start : start + 8] == b"FBBUNDL1", "not a bundle: wrong first 8 bytes")
    try:
        item, end = _item(data, start + 8, 0)
    except IndexError:
        raise Refused("cbor: ends early") from None
    match item:
        case [bytes(workspace), str(partition), bytes(incarnation), list(pages), bytes(running_hash)]:
            pass
        case _:
            raise Refused("bundle: not an array of workspace, partition, log, pages and running hash")
    need(len(workspace) == 32 and len(incarnation) == 8 and len(running_hash) == 32, "bundle: size of an id or hash")
    need(is_name(partition, PARTITION), "bundle: partition")
    need(len(pages) <= MAX_BUNDLE_PAGES and all(isinstance(page, bytes) for page in pages), "bundle: pages")
    log = Log(workspace, partition, incarnation)
    for number, page in enumerate(pages):
        with at("page", number):
            log.append(log.read_page(page))
    need(log.running == running_hash, "running hash differs")
    return Bundle(workspace, partition, len(pages), log.entries, running_hash), end


def admit(arrived: Iterable[ChangeSet]) -> tuple[list[ChangeSet], int]:
    """The set in causal order, and how many wait for a `previous` or parent. A header fault is refused."""
    held: dict[bytes, ChangeSet] = {}
    waiting: dict[bytes, list[ChangeSet]] = defaultdict(list)

    def enter(c: ChangeSet) -> None:
        h = c.header
        if h.previous is not None:
            before = held[h.previous]
            need(before.actor == c.actor, "previous is of another actor")
            need(h.sequence == before.header.sequence + 1, "sequence does not follow that of previous")
            need(h.time >= before.header.time, "time below that of previous")
        for parent in h.parents:
            there = held[parent].header
            need((there.kind, there.document) == (h.kind, h.document), "parent of another document")
        held[c.id] = c

    for number, first in enumerate(arrived):
        ready = [first]
        while ready:
            c = ready.pop()
            if c.id in held:
                continue
            missing = next((i for i in [c.header.previous, *c.header.parents] if i is not None and i not in held), None)
            if missing is not None:
                waiting[missing].append(c)
                continue
            with at("change set", number, c.id.hex()):
                enter(c)
            ready.extend(waiting.pop(c.id, ()))
    return list(held.values()), len({c.id for others in waiting.values() for c in others})


# --- Sync -----------------------------------------------------------------------------------------------------------

MAX_POSITION = (1 << 48) - 1
MAX_TEXT_BYTES = 512
MAX_NAME_BYTES = 128
MAX_TIPS = MAX_REFUSED = 1024
MAX_KNOWN = 16
MAX_KNOCKS = 256
MAX_TIPS_BYTES = (32 << 10) + 1024
MIN_WINDOW = 64 << 10

Shape = Callable[[Any], bool]


def fixed(size: int) -> Shape:
    return lambda item: is_bytes(item, size)


def upto(most: int) -> Shape:
    return lambda item: is_uint(item, most)


def text_of(most: int) -> Shape:
    return lambda item: isinstance(item, str) and len(item.encode()) <= most


def many(most: int, shape: Shape) -> Shape:
    return lambda item: isinstance(item, list) and len(item) <= most and all(map(shape, item))


def row(*shapes: Shape) -> Shape:
    return lambda item: (
        isinstance(item, list) and len(item) == len(shapes) and all(f(i) for f, i in zip(shapes, item, strict=True))
    )


def or_null(shape: Shape) -> Shape:
    return lambda item: item is None or shape(item)


def is_truth(item: Any) -> bool:
    return isinstance(item, Truth)


def is_partition(item: Any) -> bool:
    return is_name(item, PARTITION)


is_id, is_any = fixed(32), upto(MAX_FORMAT)
is_cursor = row(fixed(8), is_any, is_id)
is_tip = row(is_id, upto(MAX_SEQUENCE), is_id)
is_want = row(is_id, many(MAX_KNOWN, is_id))
is_knock = row(is_id, text_of(MAX_NAME_BYTES), is_any)

# What follows the code.
MESSAGES: dict[int, list[Shape]] = {
    0: [is_partition, is_cursor, or_null(is_cursor), is_truth],
    1: [is_partition, or_null(is_cursor), lambda item: is_truth(item) or is_cursor(item), is_truth, is_truth],
    2: [is_partition, is_any, text_of(MAX_TEXT_BYTES)],
    3: [is_partition, lambda item: isinstance(item, bytes) and len(item) <= MAX_TIPS_BYTES],
    4: [is_partition, many(MAX_TIPS, is_id), is_truth],
    5: [is_partition, many(MAX_TIPS, is_tip), is_truth],
    6: [is_partition, many(MAX_TIPS, is_want)],
    7: [is_partition, is_any, upto(MAX_PAGE_ENTRIES)],
    8: [is_partition],
    9: [is_partition],
    10: [is_partition],
    11: [is_partition, is_any, is_any, is_id],
    12: [is_partition, many(MAX_REFUSED, row(is_id, is_any))],
    13: [is_partition, is_any],
    14: [],
    15: [],
    16: [text_of(MAX_NAME_BYTES)],
    17: [],
    18: [many(MAX_KNOCKS, is_knock)],
    19: [is_any, text_of(MAX_TEXT_BYTES)],
}


def read_message(item: Any) -> Any:
    need(isinstance(item, list) and item and is_uint(item[0]), "message: not an array that begins with a code")
    need(item[0] in MESSAGES, "message: unknown code")
    need(row(*MESSAGES[item[0]])(item[1:]), f"message {item[0]}: shape")
    return item


def read_hello(data: bytes) -> list[Any]:
    need(len(data) <= 1024 and data[:1] == b"\x10", "hello: not a hello")
    item = decode(data[1:])
    need(isinstance(item, list) and item[:1] == ["fieldbook"], "hello: the word fieldbook")
    need(len(item) > 2 and is_uint(item[1]) and is_uint(item[2]), "hello: versions")
    need(item[1] <= 1 <= item[2], "hello: no version in common")
    rest = row(is_id, is_id, is_id, upto(2), lambda window: is_uint(window, MAX_FORMAT, MIN_WINDOW))
    need(rest(item[3:]), "hello: shape")
    return item


class Session(NamedTuple):
    """What two sides share after a handshake that holds."""

    id: bytes
    caller: bytes
    answerer: bytes


def read_handshake(hello: bytes, welcome: bytes, proof: bytes) -> Session:
    caller = read_hello(hello)[4]
    need(welcome[:1] == b"\x11" and proof[:1] == b"\x12", "handshake: kinds")
    item = decode(welcome[1:])
    need(isinstance(item, list) and len(item) == 2, "welcome: not an array of 2")
    content, signature = item
    window = lambda window: is_uint(window, MAX_FORMAT, MIN_WINDOW)  # noqa: E731
    need(row(upto(1), is_id, is_id, upto(2), window)(content), "welcome: shape")
    need(is_bytes(signature, 64), "welcome: signature")
    transcript = hello + cbor(content)
    held = signature_holds(content[1], derive_key("fieldbook v1 hello", transcript), signature)
    need(held, "welcome: the signature does not hold")
    signature = decode(proof[1:])
    need(is_bytes(signature, 64), "proof: signature")
    need(signature_holds(caller, derive_key("fieldbook v1 proof", transcript), signature), "proof: does not hold")
    return Session(derive_key("fieldbook v1 session", transcript), caller, content[1])


def read_frame(session: Session, from_caller: bool, counter: int, frame: bytes) -> Any:
    """The item of a control frame or a frame of runs."""
    need(len(frame) > 65 and frame[0] in (1, 2), "frame: kind")
    bound = session.id + bytes((frame[0], 0 if from_caller else 1)) + struct.pack(">Q", counter) + frame[65:]
    key = session.caller if from_caller else session.answerer
    need(signature_holds(key, derive_key("fieldbook v1 frame", bound), frame[1:65]), "frame: signature")
    item = decode(frame[65:], truths=frame[0] == 1)
    if frame[0] == 1:
        need(isinstance(item, list) and len(item) <= 1024, "frame: messages")
        return [read_message(message) for message in item]
    page = or_null(row(is_any, upto(MAX_PAGE_ENTRIES), is_id))
    need(row(is_partition, page, lambda packed: isinstance(packed, bytes))(item), "runs: shape")
    return item


class LogPage(NamedTuple):
    partition: str
    log: bytes
    first: int
    count: int
    running_hash: bytes
    seal: bytes
    packed: bytes


def read_log_page(data: bytes) -> LogPage:
    item = decode(data)
    need(isinstance(item, list) and len(item) == 7, "page in place: not an array of 7")
    page = LogPage(*item)
    need(is_partition(page.partition) and is_bytes(page.log, 8), "page in place: log")
    need(is_uint(page.first, MAX_POSITION) and is_uint(page.count, MAX_PAGE_ENTRIES, 1), "page in place: place")
    need(is_id(page.running_hash) and is_bytes(page.seal, 64), "page in place: hash and seal")
    need(isinstance(page.packed, bytes) and len(page.packed) <= MAX_PAGE_BYTES + 1, "page in place: content")
    return page


def check_seal(workspace: bytes, page: LogPage, key: bytes) -> None:
    place = cbor([workspace, page.partition, page.log, page.first, page.count, page.running_hash])
    need(signature_holds(key, derive_key("fieldbook v1 page", place), page.seal), "page in place: seal")


def read_receipt(data: bytes) -> tuple[list[Any], bytes]:
    item = decode(data)
    content = row(is_partition, fixed(8), is_any, is_id, is_any, is_any, upto(2), is_any)
    need(row(content, fixed(64))(item), "receipt: shape")
    return item[0], item[1]


def check_receipt(workspace: bytes, data: bytes, key: bytes) -> list[Any]:
    content, signature = read_receipt(data)
    said = derive_key("fieldbook v1 receipt", cbor([workspace, content]))
    need(signature_holds(key, said, signature), "receipt: signature")
    return content


def read_runs(workspace: bytes, partition: str, data: bytes) -> list[ChangeSet]:
    """Change sets verbatim, each attested."""
    item = decode(data)
    need(isinstance(item, list) and len(item) == 3 and item[0] == 1, "runs: version")
    _, authors, rows = item
    need(many(MAX_PAGE_ENTRIES, fixed(40))(authors), "runs: actors")
    need(isinstance(rows, list) and len(rows) <= MAX_PAGE_ENTRIES, "runs: entries")
    entries = []
    for number, entry in enumerate(rows):
        with at("entry", number):
            need(isinstance(entry, list) and len(entry) == 4, "not an array of 4")
            actor, signature, header, body = entry
            need(is_uint(actor, len(authors) - 1), "actor number")
            need(signature is None or is_bytes(signature, 64), "signature")
            author = authors[actor]
            header, body = read_header(header), read_body(body)
            c = ChangeSet(author, chain_key(workspace, partition, author), header, body, signature)
            need(body.hash() == header.body_hash, "body hash")
            if signature is not None:
                c.check_signature()
            entries.append(c)
    check_attested(entries)
    return entries


# --- Names, lines, generations (rules 7 and 8) ----------------------------------------------------------------------


class Fork(NamedTuple):
    actor: bytes
    previous: bytes | None
    siblings: list[bytes]


class Partition(NamedTuple):
    documents: list[Document]
    forks: list[Fork]
    digest: bytes


def fold(
    workspace: bytes, partition: str, held: list[ChangeSet], mask: set[bytes], purges: dict[bytes, set[int]]
) -> Partition:
    """Everything that follows from a set of change sets, given in causal order, with its mask and its purges."""
    by_id = {c.id: c for c in held}
    siblings: dict[tuple[bytes, bytes | None], list[bytes]] = defaultdict(list)
    for c in held:
        siblings[c.actor, c.header.previous].append(c.id)

    grouped: dict[tuple[str, bytes], list[ChangeSet]] = defaultdict(list)
    lasts: dict[bytes, dict[tuple[str, bytes], ChangeSet]] = {}  # the last entry in each document, by the line's tip
    for c in held:
        h = c.header
        # rule 7: of siblings one keeps the name of its previous
        family = siblings[c.actor, h.previous]
        c.name = by_id[h.previous].name if h.previous else c.actor
        if len(family) > 1 and c.id != min(family, key=lambda i: (i in mask, i)):
            c.name = branch_name(c.name, c.id)
        # rule 8: the implied parent; what is known at a tip moves on with its first successor, later ones walk back
        identity = (h.kind, h.document)
        last = lasts.pop(h.previous, None) if h.previous else {}
        if last is None:
            last, step = {}, h.previous
            while step:
                before = by_id[step]
                last.setdefault((before.header.kind, before.header.document), before)
                step = before.header.previous
        c.implied = last.get(identity)
        last[identity] = c
        lasts[c.id] = last
        c.generation = 1 + max((p.generation for p in parents_of(c, by_id)), default=0)
        grouped[identity].append(c)

    documents = []
    for (kind, document), members in sorted(grouped.items()):
        members.sort(key=lambda c: (c.generation, c.id))
        documents.append(Document(kind, document, members, mask, purges))
    forks = [Fork(actor, previous, sorted(ids)) for (actor, previous), ids in siblings.items() if len(ids) > 1]
    forks.sort(key=lambda f: (f.actor, f.previous or b""))
    digests = [[d.kind, d.id, d.digest()] for d in documents]
    return Partition(documents, forks, derive_key("fieldbook v1 digest", cbor([workspace, partition, digests])))


def parents_of(c: ChangeSet, by_id: dict[bytes, ChangeSet]) -> Iterator[ChangeSet]:
    if c.implied:
        yield c.implied
    for parent in c.header.parents:
        yield by_id[parent]


# --- Documents ------------------------------------------------------------------------------------------------------

COUNTED, MASKED, INVALID, NEWER_FORMAT, VALUE_MISSING = range(5)


class Put:
    """One put of a counted change set."""

    __slots__ = ("change_set", "op", "type", "value", "sum")

    def __init__(self, change_set: ChangeSet, op: int, type: int, value: bytes | None):
        self.change_set, self.op = change_set, op
        self.type = type if value is not None or type == COUNTER else SIMPLE  # a purged value is the zero of its type
        self.value = NULL if value is None else value
        self.sum = decode(value) if type == COUNTER and value is not None else 0  # a counter's start and increments

    def bytes(self) -> bytes:
        return cbor(self.sum) if self.type == COUNTER else self.value


class Document:
    """One document rebuilt. `order` is canonical (generation, then id), hence causal; a place is a number in it."""

    def __init__(self, kind: str, id: bytes, order: list[ChangeSet], mask: set[bytes], purges: dict[bytes, set[int]]):
        self.kind, self.id, self.order, self.mask = kind, id, order, mask
        self.purges = {c.id: purges[c.id] for c in order if c.id in purges}
        self.by_id = {c.id: c for c in order}
        self.by_actor: dict[bytes, int] = defaultdict(int)  # sets of places
        self.by_name: dict[bytes, int] = defaultdict(int)  # sets of places that emitted
        self.inert: dict[bytes, list[int]] = defaultdict(list)
        self.writes: dict[str, dict[int, Put | None]] = defaultdict(dict)  # last write by place; None: a delete
        self.written: dict[str, int] = defaultdict(int)  # the places in `writes`
        self.text = Text()
        for place, c in enumerate(order):
            c.place = place
            self._judge(c)
        self.clients = self._clients()
        for c in order:
            self._apply(c)

    # Standings.

    def _judge(self, c: ChangeSet) -> None:
        c.past, c.top, c.emitted = 0, 0, 0
        c.line = 1 << c.place | (c.implied.line if c.implied else 0)
        newer = c.header.format > 1
        for parent in parents_of(c, self.by_id):
            c.past |= parent.past | 1 << parent.place
            newer |= parent.standing == NEWER_FORMAT
        c.skeleton = None if c.header.format > 1 else self._skeleton(c)
        purged = self.purges.get(c.id, set())
        values = c.body.values()
        c.values = [None if i in purged else value for i, value in enumerate(values)]
        if newer:
            c.standing = NEWER_FORMAT
        elif c.skeleton is None:
            c.standing = INVALID
        elif c.id in self.mask:
            c.standing = MASKED
        elif any(value is None and i not in purged for i, value in enumerate(values)):
            c.standing = VALUE_MISSING
        else:
            c.standing = COUNTED

    def _skeleton(self, c: ChangeSet) -> Skeleton | None:
        try:
            skeleton = read_skeleton(c.body.skeleton)
        except Refused:
            return None
        lengths = skeleton.lengths
        if len(lengths) != len(c.body.slots) or body_length(c.body, lengths) != c.header.body_length:
            return None
        return skeleton

    # Scripts.

    def _apply(self, c: ChangeSet) -> None:
        for parent in parents_of(c, self.by_id):
            c.top = max(c.top, parent.top)
        self.by_actor[c.actor] |= 1 << c.place
        c.units, c.end = [], 0
        if c.implied:
            # A line's units stand in one list that its change sets share; at a fork all but the first take a copy.
            c.units, c.end = c.implied.units, c.implied.end
            if len(c.units) > c.end:
                c.units = c.units[: c.end]
        if c.standing == NEWER_FORMAT or c.skeleton is None:
            return
        tips = [self._line(name, c.past) for name in c.skeleton.lines]
        structural = [op for op in c.skeleton.ops if op.code <= INCREMENT]
        emits = c.standing == COUNTED and c.top + len(structural) <= MAX_OP_NUMBER
        for number, op in enumerate(c.skeleton.ops):
            if op.code == INSERT_TEXT:
                acted = self._insert_text(c, op, tips)
            elif op.code == DELETE_TEXT:
                acted = self._delete_text(c, op, tips)
            elif c.standing != COUNTED:
                continue
            else:
                acted = emits and self._emit(c, op, c.top + c.emitted + 1)
                c.emitted += acted
            if not acted:
                self.inert[c.id].append(number)
        c.top += c.emitted
        c.end = len(c.units)
        if c.emitted:
            self.by_name[c.name] |= 1 << c.place

    def _value(self, c: ChangeSet, op: Op, type: int) -> bytes | None:
        """The value of an op; None if it was purged, is not there, or does not fit."""
        value = c.values[op.value]
        return value if value is not None and len(value) == op.length and value_fits(type, value) else None

    # Structure (rules 9 to 12).

    def visible(self, path: str, places: int) -> list[Put]:
        """The puts at the path among these places that no put or delete among them overwrote.

        A write overwrites all that is visible in its past, so nothing of its past is visible beside it. What remains
        are the writes that lie in no other's past, the last of each script, so far as they are puts.
        """
        found = []
        rest = self.written.get(path, 0) & places
        while rest:
            place = rest.bit_length() - 1  # in the past of none of the others: the order is causal
            put = self.writes[path][place]
            if put:
                found.append(put)
            rest &= ~(self.order[place].past | 1 << place)
        return sorted(found, key=lambda put: (put.op, put.change_set.name))

    def _emit(self, c: ChangeSet, op: Op, number: int) -> bool:
        before = self.visible(op.path, c.past | 1 << c.place)
        if op.code == INCREMENT:
            counter = next((put for put in before if put.type == COUNTER), None)
            if counter is None:
                return False
            amount = self._value(c, op, COUNTER)
            counter.sum += decode(amount) if amount else 0
            return True
        if op.code == DELETE and not before:
            return False
        put = Put(c, number, op.type, self._value(c, op, op.type)) if op.code == PUT else None
        self.writes[op.path][c.place] = put
        self.written[op.path] |= 1 << c.place
        return True

    # Text (rules 13 to 16).

    def _line(self, name: bytes, past: int) -> ChangeSet | None:
        """The change set in the past at which the line of this name ends."""
        ours = self.by_actor.get(name, 0) & past
        if ours:
            tip = self.order[ours.bit_length() - 1]
            if not ours & ~tip.line:  # one last change set: all lie on its line
                return tip
        named = self.by_id.get(name)
        return named if named and past >> named.place & 1 else None

    def _units(
        self, c: ChangeSet, tips: list[ChangeSet | None], path: str, line: int, clock: int, count: int = 1
    ) -> list[int] | None:
        """The units of the field that this names; None if one of them may not be named."""
        tip = tips[line - 1] if line else c
        if tip is None or clock + count > (tip.end if line else len(c.units)):
            return None
        units = [u for u in tip.units[clock : clock + count] if u is not None and self.text.field[u] == path]
        return units if len(units) == count else None

    def _insert_text(self, c: ChangeSet, op: Op, tips: list[ChangeSet | None]) -> bool:
        left = self._units(c, tips, op.path, *op.left) if op.left else [None]
        right = self._units(c, tips, op.path, *op.right) if op.right else [None]
        if left is None or right is None or self._turns_back(left[0], right[0]):
            c.units.extend([None] * op.points)  # inert: it consumes clock, and nothing may name it
            return False
        value = self._value(c, op, STRING) if c.standing == COUNTED else None
        text = value.decode() if value is not None else ""
        tombstone = len(text) != op.points
        text = "\0" * op.points if tombstone else text
        start = len(c.units)
        last = next((unit for unit in reversed(c.units) if unit is not None), None)
        run = self.text.run[last] if last is not None and last == left[0] else start
        inserted = self.text.insert(op.path, self.clients[c.name], left[0], right[0], text, tombstone)
        for clock, unit in enumerate(inserted, start):
            self.text.owner[unit], self.text.clock[unit], self.text.run[unit] = c, clock, run
        c.units.extend(inserted)
        return True

    def _turns_back(self, left: int | None, right: int | None) -> bool:
        """Whether the right origin is the left one, or stands before it in one run of the left one's line."""
        if left is None or right is None:
            return False
        clock = self.text.clock[right]
        line = self.text.owner[left].units
        return self.text.run[left] <= clock <= self.text.clock[left] and line[clock] == right

    def _delete_text(self, c: ChangeSet, op: Op, tips: list[ChangeSet | None]) -> bool:
        doomed: list[int] = []
        for line, clock, count in op.ranges:
            units = self._units(c, tips, op.path, line, clock, count)
            if units is None:
                return False
            doomed.extend(units)
        if c.standing == COUNTED:
            for unit in doomed:
                self.text.deleted[unit] = True
        return True

    def _clients(self) -> dict[bytes, int]:
        """Rule 16: the Yrs client id of every name that inserts."""
        names = {c.name for c in self.order if c.skeleton and any(op.code == INSERT_TEXT for op in c.skeleton.ops)}
        clients: dict[bytes, int] = {}
        taken: set[int] = set()
        for name in sorted(names):
            counter = 0
            while True:
                material = cbor([self.kind, self.id, name, counter])
                client = int.from_bytes(derive_key("fieldbook v1 yrs client", material)[:8], "big") >> 11
                if client not in taken:
                    break
                counter += 1
            taken.add(client)
            clients[name] = client
        return clients

    # What is shown, and the digest.

    def state(self) -> dict[str, list[Put]]:
        everything = (1 << len(self.order)) - 1
        seen = {path: self.visible(path, everything) for path in sorted(self.written)}
        return {path: puts for path, puts in seen.items() if puts}

    def digest(self) -> bytes:
        standings = sorted([c.id, c.standing] for c in self.order)
        purges = sorted([id, sorted(values)] for id, values in self.purges.items())
        visible = [
            [path, [[put.change_set.name, put.op, put.change_set.id, put.type, put.bytes()] for put in puts]]
            for path, puts in self.state().items()
        ]
        texts = sorted([path, text] for path, text in self.text.strings().items())
        return derive_key("fieldbook v1 digest", cbor([self.kind, self.id, standings, purges, visible, texts]))


def shown(puts: list[Put]) -> tuple[int, bytes]:
    """Type and bytes of the one value that is shown of several: last writer; counters are added."""
    last = max(puts, key=lambda put: (put.change_set.header.time, put.change_set.id))
    if last.type == COUNTER:
        return COUNTER, cbor(sum(put.sum for put in puts if put.type == COUNTER))
    return last.type, last.bytes()


class Text:
    """The text fields of one document as linked characters. A unit is a character's number in the order of arrival."""

    def __init__(self) -> None:
        self.first: dict[str, int] = {}  # by field
        self.next: list[int | None] = []
        self.left: list[int | None] = []  # origins, as they were named
        self.right: list[int | None] = []
        self.client: list[int] = []
        self.field: list[str] = []
        self.char: list[str] = []
        self.deleted: list[bool] = []
        self.owner: dict[int, ChangeSet] = {}  # who inserted it
        self.clock: dict[int, int] = {}  # on its line
        self.run: dict[int, int] = {}  # the clock at which the run that it stands in begins

    def insert(self, field: str, client: int, left: int | None, right: int | None, text: str, deleted: bool) -> range:
        """YATA, as Yjs has it. Only the first character meets conflicts: nothing names yet what the others follow."""
        place, o = left, self.first.get(field) if left is None else self.next[left]
        before: set[int] = set()
        conflicting: set[int] = set()
        while o is not None and o != right:
            before.add(o)
            conflicting.add(o)
            origin = self.left[o]
            if origin == left:
                if self.client[o] < client:
                    place = o
                    conflicting.clear()
                elif self.right[o] == right:
                    break
            elif origin is not None and origin in before:
                if origin not in conflicting:
                    place = o
                    conflicting.clear()
            else:
                break
            o = self.next[o]

        units = range(len(self.char), len(self.char) + len(text))
        after = self.first.get(field) if place is None else self.next[place]
        if place is None:
            self.first[field] = units.start
        else:
            self.next[place] = units.start
        self.next.extend([*units[1:], after])
        self.left.extend([left, *units[:-1]])
        self.right.extend([right] * len(units))
        self.client.extend([client] * len(units))
        self.field.extend([field] * len(units))
        self.char.extend(text)
        self.deleted.extend([deleted] * len(units))
        return units

    def strings(self) -> dict[str, str]:
        """The fields that are not empty."""
        strings: dict[str, str] = {}
        for field, first in self.first.items():
            chars = []
            unit: int | None = first
            while unit is not None:
                if not self.deleted[unit]:
                    chars.append(self.char[unit])
                unit = self.next[unit]
            if chars:
                strings[field] = "".join(chars)
        return strings


# --- Access ---------------------------------------------------------------------------------------------------------
# access.md: records, which of them count, and the verdicts that follow. Sets and passes over them, no index.

MAX_RECORD_BYTES = 1 << 15
MAX_ROOTS = 16
MAX_NAME_BYTES = 128
MAX_ACTIONS = MAX_NAMED_PARTITIONS = 256
MAX_KINDS = 64
AUTHORITY = "authority"
UNSHOWN = re.compile("[\u0000-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"

Record = dict[str, Any]
Verdict = tuple[str, str, bytes | None]  # the word, the reason's code, the grant
ACCEPTED: Verdict = ("accepted", "", None)


def is_shown(item: Any) -> bool:
    """A name that may stand on a screen."""
    fits = isinstance(item, str) and 0 < len(item.encode()) <= MAX_NAME_BYTES
    return fits and item == item.strip(" ") and not UNSHOWN.search(item)


def ascending(item: Any, most: int, holds: Callable[[Any], bool]) -> bool:
    fits = isinstance(item, list) and 0 < len(item) <= most and all(map(holds, item))
    return fits and all(a < b for a, b in pairwise(item))


def check_period(start: Any, end: Any) -> None:
    need(is_uint(start, MAX_TIME_MS) and is_uint(end, MAX_TIME_MS) and start <= end, "record: period")


def read_record(data: bytes) -> Record:
    need(len(data) <= MAX_RECORD_BYTES, "record: too long")
    try:
        count, pos = data[0] & 31, 1
        if count in (24, 25):
            size = 1 << count - 24
            count, pos = int.from_bytes(data[1 : 1 + size], "big"), 1 + size
            need(count >= (24 if size == 1 else 256), "record: head not shortest")
        else:
            need(count < 24, "record: head")
        need(data[0] >> 5 == 4 and 0 < count <= len(data) - pos, "record: not an array of this length")
        need(data[pos] >> 5 == 3, "record: type")
        name, _ = _item(data, pos, 1)
    except IndexError:
        raise Refused("record: ends early") from None
    need(is_name(name, KIND), "record: type")
    match name:
        case "genesis":
            return read_genesis(decode(data))
        case "delegation":
            return read_delegation(decode(data))
        case "grant":
            return read_grant(decode(data))
    return {"type": name}


def read_genesis(items: list[Any]) -> Record:
    need(len(items) == 6, "genesis: not an array of 6")
    _, name, roots, threshold, nonce, time = items
    need(is_shown(name), "genesis: name")
    need(ascending(roots, MAX_ROOTS, lambda root: is_bytes(root, 32)), "genesis: roots")
    need(is_uint(threshold, len(roots), 1), "genesis: threshold")
    need(is_bytes(nonce, 16) and is_uint(time, MAX_TIME_MS), "genesis: nonce or time")
    return {"type": "genesis", "name": name, "roots": roots, "threshold": threshold, "nonce": nonce, "time": time}


def read_delegation(items: list[Any]) -> Record:
    need(len(items) == 7, "delegation: not an array of 7")
    _, to, label, partitions, may_delegate, start, end = items
    need(is_bytes(to, 32) and is_shown(label), "delegation: key or label")
    named = partitions is None or ascending(partitions, MAX_NAMED_PARTITIONS, lambda one: is_name(one, PARTITION))
    need(named and is_uint(may_delegate, 1), "delegation: partitions or may delegate")
    check_period(start, end)
    return {
        "type": "delegation", "to": to, "label": label, "partitions": partitions,
        "may_delegate": bool(may_delegate), "not_before": start, "not_after": end,
    }  # fmt: skip


def read_grant(items: list[Any]) -> Record:
    need(len(items) == 9, "grant: not an array of 9")
    _, partition, device, person, role, kinds, actions, start, end = items
    need(is_name(partition, PARTITION) and is_bytes(device, 32), "grant: partition or device")
    need(isinstance(person, list) and len(person) == 2 and all(map(is_shown, person)), "grant: person")
    need(is_name(role, KIND), "grant: role")
    need(kinds is None or ascending(kinds, MAX_KINDS, lambda one: is_name(one, KIND)), "grant: kinds")
    need(actions is None or ascending(actions, MAX_ACTIONS, lambda one: is_name(one, INTENT)), "grant: actions")
    check_period(start, end)
    return {
        "type": "grant", "partition": partition, "device": device, "person": {"id": person[0], "name": person[1]},
        "role": role, "kinds": kinds, "actions": actions, "not_before": start, "not_after": end,
    }  # fmt: skip


def write_record(record: Record) -> bytes:
    items = [record["type"]]
    for name, item in record.items():
        if name == "person":
            item = [item["id"], item["name"]]
        if name == "may_delegate":
            item = int(item)
        items += [] if name == "type" else [item]
    return cbor(items)


class Carried:
    """A change set of kind access: its record, or why it has none."""

    def __init__(self, partition: str, c: ChangeSet):
        self.id, self.author, self.partition, self.time = c.id, c.author[:32], partition, c.header.time
        self.data, self.endorsements = b"", list[bytes]()
        self.record: Record | None = None
        self.fault: Verdict | None = None
        try:
            self._read(c)
        except Refused:
            self.fault = ("masked", "bad-record", None)

    def _read(self, c: ChangeSet) -> None:
        if c.header.format > 1:
            self.fault = ("pending", "newer-format", None)
            return
        need(not c.header.parents, "record: parents")
        try:
            skeleton = read_skeleton(c.body.skeleton)
            need(len(skeleton.lengths) == len(c.body.slots), "skeleton: values")
            need(body_length(c.body, skeleton.lengths) == c.header.body_length, "skeleton: body length")
        except Refused:
            self.fault = ("invalid", "bad-record", None)
            return
        need(skeleton.ops, "record: no ops")
        for number, op in enumerate(skeleton.ops):
            path, most = (f"endorsements/{number}", 96) if number else ("record", MAX_RECORD_BYTES)
            need(op.code == PUT and op.path == path and number <= MAX_ROOTS, f"record: {op.path}")
            need(op.type == TYPES.index("bytes") and op.length <= most, f"record: {op.path}")
        for number, op in enumerate(skeleton.ops):
            value = c.body.values()[op.value]
            if value is None:
                self.fault = ("pending", "value-missing", None)
                return
            need(len(value) == op.length, "record: length of a value")
            if number == 0:
                self.data = value
            else:
                need(len(value) == 96, "record: endorsement")
                need(not self.endorsements or self.endorsements[-1][:32] < value[:32], "record: endorsements")
                self.endorsements.append(value)
        self.record = read_record(self.data)

    def is_a(self, type: str) -> bool:
        return self.record is not None and self.record["type"] == type


def covers(partitions: list[str] | None, partition: str) -> bool:
    return partition != AUTHORITY if partitions is None else partition in partitions


def holds_at(record: Record, time: int) -> bool:
    return record["not_before"] <= time <= record["not_after"]


class Authority:
    """A set of records of one workspace, and which of them count."""

    def __init__(self, workspace: bytes, held: Iterable[Carried]):
        self.workspace = workspace
        self.held = {one.id: one for one in held}
        self.counting: dict[bytes, Carried] = {}
        while True:
            more = {id: one for id, one in sorted(self.held.items()) if self.of_record(one) == ACCEPTED}
            if len(more) == len(self.counting):
                break
            self.counting = more

    def genesis(self) -> Record | None:
        return next((one.record for one in self.counting.values() if one.is_a("genesis")), None)

    def delegations(self, key: bytes) -> list[Record]:
        """By ascending id."""
        records = [one.record for one in self.counting.values() if one.is_a("delegation")]
        return [record for record in records if record and record["to"] == key]

    def of_record(self, one: Carried) -> Verdict:
        if one.fault:
            return one.fault
        assert one.record
        type = one.record["type"]
        if type not in ("genesis", "delegation", "grant"):
            return "pending", "unknown-record", None
        if type == "grant" and one.record["partition"] != one.partition:
            return "masked", "wrong-partition", None
        if type != "grant" and one.partition != AUTHORITY:
            return "masked", "outside-authority", None
        if type == "genesis":
            own = derive_key("fieldbook v1 genesis", one.data) == self.workspace
            return ACCEPTED if own else ("masked", "other-genesis", None)
        genesis = self.genesis()
        if genesis is None:
            return "pending", "no-genesis", None
        behind = len(self.roots_behind(one, genesis["roots"]))
        if behind >= genesis["threshold"]:
            return ACCEPTED
        objections = [self.objection(from_, one.record, one.time) for from_ in self.delegations(one.author)]
        if None in objections:
            return ACCEPTED
        if behind:
            return "masked", "too-few-roots", None
        if objections:
            return "masked", str(objections[0]), None
        return "pending", "no-authority", None

    def roots_behind(self, one: Carried, roots: list[bytes]) -> set[bytes]:
        statement = derive_key("fieldbook v1 endorsement", self.workspace + one.data)
        signed = {by[:32] for by in one.endorsements if signature_holds(by[:32], statement, by[32:])}
        return (signed | {one.author}) & set(roots)

    @staticmethod
    def objection(from_: Record, wanted: Record, time: int) -> str | None:
        """What speaks against a delegation as the source of a record."""
        if wanted["type"] == "grant":
            if not covers(from_["partitions"], wanted["partition"]):
                return "delegation-elsewhere"
        else:
            names = wanted["partitions"]
            within = from_["partitions"] is None if names is None else all(covers(from_["partitions"], n) for n in names)
            if not within:
                return "delegation-elsewhere"
            if not from_["may_delegate"]:
                return "may-not-delegate"
            if wanted["not_before"] < from_["not_before"] or wanted["not_after"] > from_["not_after"]:
                return "outlasts"
        if time < from_["not_before"]:
            return "delegation-not-yet"
        return None if time <= from_["not_after"] else "delegation-expired"

    def verdict(self, claim: Any) -> Verdict:
        """`claim` as in the vectors, byte strings as such."""
        if claim["kind"] == "access":
            one = self.held.get(claim["id"])
            return self.of_record(one) if one else ("pending", "not-taken", None)
        no_grant = ("pending", "no-grant" if self.genesis() else "no-genesis", None)
        if claim["kind"] == "device":
            return ACCEPTED if self.ever_held(claim["author"], claim["partition"]) else no_grant
        if claim["grant"]:
            return self.under(claim["grant"], claim)
        unknown = False
        for one in self.counting.values():
            if one.is_a("grant"):
                objection = self.grant_objection(one, claim)
                if objection is None:
                    return "accepted", "", one.id
                unknown = unknown or objection == "intent-unknown"
        return ("pending", "intent-unknown", None) if unknown else no_grant

    def under(self, grant: bytes, claim: Any) -> Verdict:
        one = self.held.get(grant)
        if one is None:
            return "pending", "grant-not-held", None
        if not one.is_a("grant"):
            waits = self.of_record(one)[1] in ("unknown-record", "value-missing", "newer-format")
            return ("pending", "grant-waits", None) if waits else ("masked", "not-a-grant", None)
        objection = self.grant_objection(one, claim)
        if objection and objection != "intent-unknown":
            return "masked", objection, None
        match self.of_record(one)[0]:
            case "accepted":
                return ("pending", objection, None) if objection else ("accepted", "", grant)
            case "pending":
                return "pending", "grant-waits", None
        return "masked", "grant-masked", None

    @staticmethod
    def grant_objection(one: Carried, claim: Any) -> str | None:
        """What speaks against a grant for this work, whether it counts left aside."""
        grant = one.record
        assert grant
        if grant["device"] != claim["author"]:
            return "other-device"
        if grant["partition"] != claim["partition"]:
            return "other-partition"
        if grant["kinds"] is not None and claim["kind"] not in grant["kinds"]:
            return "kind-not-covered"
        unknown = grant["actions"] is not None and claim["intent"] is None
        if grant["actions"] is not None and not unknown and claim["intent"] not in grant["actions"]:
            return "action-not-covered"
        if not holds_at(grant, claim["time"]):
            return "not-yet" if claim["time"] < grant["not_before"] else "expired"
        return "intent-unknown" if unknown else None

    def ever_held(self, key: bytes, partition: str) -> bool:
        genesis = self.genesis()
        if genesis and key in genesis["roots"]:
            return True
        if any(partition == AUTHORITY or covers(from_["partitions"], partition) for from_ in self.delegations(key)):
            return True
        grants = [one.record for one in self.counting.values() if one.is_a("grant")]
        return any(grant and (grant["device"], grant["partition"]) == (key, partition) for grant in grants)


def key_text(key: bytes) -> str:
    bits = int.from_bytes(key, "big") << 4
    return "".join(ALPHABET[bits >> 5 * place & 31] for place in reversed(range(52)))


def read_key_text(text: str) -> bytes:
    plain = re.sub("[\\s\u2010-\u2015-]", "", text).lower().translate(str.maketrans("oil", "011"))
    need(len(plain) == 52 and all(c in ALPHABET for c in plain), "key: characters")
    bits = sum(ALPHABET.index(c) << 5 * place for place, c in enumerate(reversed(plain)))
    need(bits & 15 == 0, "key: spare bits")
    return (bits >> 4).to_bytes(32, "big")


def comparison_code(workspace: bytes, key: bytes, nonce: bytes) -> str:
    number = int.from_bytes(derive_key("fieldbook v1 comparison", workspace + key + nonce)[:8], "big") % 1_000_000
    return f"{number // 1000:03} {number % 1000:03}"


# --- The commands ---------------------------------------------------------------------------------------------------


def describe(document: Document) -> dict[str, Any]:
    """A rebuilt document in the form of documents.json, and which changes it emits (rule 9)."""
    state = document.state()
    shown_values = {path: shown(puts) for path, puts in state.items()}
    return {
        "kind": document.kind,
        "id": document.id.hex(),
        "digest": document.digest().hex(),
        "standings": {c.id.hex(): c.standing for c in document.order},
        "names": {c.id.hex(): c.name.hex() for c in document.order},
        "emitted": {
            c.id.hex(): {
                "sequence": 1 + (document.by_name[c.name] & c.past).bit_count(),
                "start_op": 1 + c.top - c.emitted,
            }
            for c in document.order
            if c.emitted
        },
        "visible": {path: [describe_put(put) for put in puts] for path, puts in state.items()},
        "shown": {path: {"type": type, "value": value.hex()} for path, (type, value) in shown_values.items()},
        "texts": document.text.strings(),
        "inert": {id.hex(): ops for id, ops in document.inert.items()},
    }


def describe_put(put: Put) -> dict[str, Any]:
    return {
        "name": put.change_set.name.hex(),
        "op": put.op,
        "change_set": put.change_set.id.hex(),
        "type": put.type,
        "value": put.bytes().hex(),
    }


def describe_fork(fork: Fork) -> dict[str, Any]:
    return {
        "actor": fork.actor.hex(),
        "previous": fork.previous and fork.previous.hex(),
        "siblings": [id.hex() for id in fork.siblings],
    }


def table(rows: Iterable[tuple[str, Any]]) -> str:
    rows = [(name, f"{value:,}" if isinstance(value, int) else str(value)) for name, value in rows]
    width = max(len(name) for name, _ in rows)
    numbers = max((len(value) for _, value in rows if len(value) < 32), default=0)
    return "\n".join(f"{name:<{width}}  {value:>{numbers}}" for name, value in rows)


class Tally:
    """What was compared, how often, and what differed."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.differences: list[str] = []

    def same(self, what: str, place: str, ours: Any, theirs: Any) -> None:
        self.counts[what] += 1
        if ours != theirs:
            self.differences.append(f"{place}: {what}: {brief(ours)} here, {brief(theirs)} there")

    def takes(self, what: str, place: str, read: Callable[..., Any], *arguments: Any) -> Any:
        """What `read` returns; a difference, and None, if it refuses."""
        self.counts[what] += 1
        try:
            return read(*arguments)
        except Refused as refused:
            self.differences.append(f"{place}: {what}: refused here: {refused}")
            return None

    def refuses(self, what: str, place: str, read: Callable[..., Any], *arguments: Any) -> None:
        self.counts[what] += 1
        try:
            read(*arguments)
        except Refused:
            return
        self.differences.append(f"{place}: {what}: read here, refused there")


def brief(item: Any) -> str:
    text = item.hex() if isinstance(item, bytes) else json.dumps(item, ensure_ascii=False, default=str)
    return text if len(text) <= 160 else f"{text[:160]}…"


def run_vectors(directory: Path) -> int:
    tally = Tally()
    checks = {
        "change-set.json": check_change_sets,
        "refused.json": check_refused,
        "sync.json": check_sync,
        "access.json": check_access,
        "documents.json": check_documents,
    }
    for name, check in checks.items():
        file = directory / name
        counts = dict(tally.counts)
        if file.is_file():
            check(tally, json.loads(file.read_text()))
            rows = [(what, count - counts.get(what, 0)) for what, count in tally.counts.items()]
            print(f"{name}\n{table([(f'  {what}', count) for what, count in rows if count])}")
        else:
            print(f"{name}\n  absent")
    for difference in tally.differences[:20]:
        print(f"differs: {difference}", file=sys.stderr)
    if len(tally.differences) > 20:
        print(f"differs: {len(tally.differences) - 20} more", file=sys.stderr)
    return 1 if tally.differences else 0


# change-set.json: all is derived from the inputs, then compared; and the bytes are read.


def check_change_sets(tally: Tally, vectors: Any) -> None:
    workspace, partition = bytes.fromhex(vectors["workspace"]), vectors["partition"]
    actors = {actor["name"]: actor for actor in vectors["actors"]}
    for name, actor in actors.items():
        public, _ = sodium.crypto_sign_seed_keypair(bytes.fromhex(actor["secret"]))
        tally.same("author keys", name, public.hex(), actor["public"])
        author = public + bytes.fromhex(actor["incarnation"])
        tally.same("actor ids", name, chain_key(workspace, partition, author).hex(), actor["id"])
    entries = {e["name"]: check_entry(tally, workspace, partition, actors[e["actor"]], e) for e in vectors["entries"]}

    def log_of(names: Iterable[str]) -> Log:
        log = Log(workspace, partition, bytes.fromhex(vectors["log"]))
        log.append(entries[name] for name in names)
        return log

    log = log_of(())
    tally.same("running hashes", "start", log.running.hex(), vectors["running"]["start"])
    for (name, c), running in zip(entries.items(), vectors["running"]["after"], strict=True):
        log.append([c])
        tally.same("running hashes", name, log.running.hex(), running)
    for page in vectors["pages"]:
        place = f"page {page['name']!r}"
        read = tally.takes("pages", place, log_of(page["log"]).read_page, bytes.fromhex(page["bytes"]))
        wanted = []
        for e in page["entries"]:
            c = entries[e["name"]]
            wanted.append((c.id, c.body.redacted(e["purged"]) if e["purged"] else c.body))
        tally.same("entries of pages", place, [(c.id, c.body) for c in read or ()], wanted)
    for number, stored in enumerate(vectors["stored"]):
        if stored["stored"].startswith("00"):
            page = tally.takes("stored pages", f"{number}", read_stored, bytes.fromhex(stored["stored"]))
            tally.same("stored pages", f"{number}", (page or b"").hex(), stored["page"])
    for case in vectors["signatures"]:
        key, message, signature = (bytes.fromhex(case[part]) for part in ("key", "message", "signature"))
        tally.same("signatures", case["why"], signature_holds(key, message, signature), case["holds"])
        exactly = _signature_holds_exactly(key, message, signature)
        tally.same("signatures without libsodium", case["why"], exactly, case["holds"])
    bundle = tally.takes("bundles", "bundle", read_bundle, bytes.fromhex(vectors["bundle"]))
    if bundle:
        ids = [c.id.hex() for c in bundle.entries]
        tally.same("entries of bundles", "bundle", ids, [c.id.hex() for c in entries.values()])
    held, waiting = tally.takes("sets without header faults", "entries", admit, entries.values()) or ([], 0)
    tally.same("entries that wait", "entries", waiting, 0)
    folded = fold(workspace, partition, held, set(), {})
    names = {c.id: c.name for c in held}
    forks = [
        {
            "name_of_previous": names[f.previous].hex() if f.previous else f.actor.hex(),
            "previous": f.previous and f.previous.hex(),
            "siblings": [{"id": id.hex(), "name": names[id].hex()} for id in f.siblings],
        }
        for f in folded.forks
    ]
    tally.same("lists of forks", "forks", sorted(forks, key=repr), sorted(vectors["forks"], key=repr))


def check_entry(tally: Tally, workspace: bytes, partition: str, actor: Any, entry: Any) -> ChangeSet:
    place = f"entry {entry['name']!r}"
    same = lambda what, ours, theirs: tally.same(what, place, ours, theirs)  # noqa: E731
    inputs, header = entry["body"], entry["header"]
    if inputs["script"]:
        skeleton, values = write_script(inputs["script"])
    else:
        skeleton, values = bytes.fromhex(inputs["skeleton"]), list(map(bytes.fromhex, inputs["values"]))
    group = inputs["group"]
    group = group and [bytes.fromhex(group["id"]), group["index"], group["count"]]
    salt = bytes.fromhex(inputs["salt"])
    body = Body(inputs["schema_version"], inputs["intent"], group, skeleton, salt, values)
    same("skeletons", skeleton.hex(), entry["skeleton"])
    same("values", [v.hex() for v in values], entry["values"])
    same("salts", [(salt or b"").hex() for salt in body.salts()], entry["value_salts"])
    same("commitments", [c.hex() for c in body.commitments()], entry["commitments"])
    same("bodies", cbor(body).hex(), entry["body_bytes"])
    same("bodies read", read_body(decode(bytes.fromhex(entry["body_bytes"]))), body)
    same("body hashes", body.hash().hex(), header["body_hash"])
    if entry["content"] == "plain":
        read = tally.takes("skeletons read", place, read_skeleton, skeleton)
        if read:
            same("body lengths", body_length(body, read.lengths), header["body_length"])
    elif entry["content"] == "unreadable skeleton":
        tally.refuses("skeletons refused", place, read_skeleton, skeleton)

    author = bytes.fromhex(actor["public"] + actor["incarnation"])
    fields = dict(header, body_hash=body.hash(), parents=list(map(bytes.fromhex, header["parents"])))
    for name in ("previous", "document", "grant"):
        fields[name] = header[name] and bytes.fromhex(header[name])
    c = ChangeSet(author, chain_key(workspace, partition, author), Header(**fields), body, None)
    _, secret = sodium.crypto_sign_seed_keypair(bytes.fromhex(actor["secret"]))
    c.signature = sodium.crypto_sign(c.id, secret)[:64]
    same("headers", cbor(c.header).hex(), entry["header_bytes"])
    same("headers read", read_header(decode(bytes.fromhex(entry["header_bytes"]))), c.header)
    same("ids", c.id.hex(), entry["id"])
    same("signatures made", c.signature.hex(), entry["signature"])
    forms = [(body, entry["body_bytes"], entry["signed"])]
    forms += [(body.redacted(r["purged"]), r["body_bytes"], r["signed"]) for r in entry.get("redacted", ())]
    for form, body_bytes, signed in forms:
        same("bodies whole and redacted", cbor(form).hex(), body_bytes)
        same("signed forms", cbor([author, c.signature, c.header, form]).hex(), signed)
        read = tally.takes("signed forms read", place, read_signed, workspace, partition, bytes.fromhex(signed))
        same("signed forms read", read and (read.id, read.header, read.body), (c.id, c.header, form))
    return c


def write_script(script: Any) -> tuple[bytes, list[bytes]]:
    """Skeleton and values of a script in the words of change-set.json."""
    values = [] if script["reason"] is None else [script["reason"].encode()]
    reason = len(values[0]) if values else None
    paths: list[str] = []
    lines: list[str] = []
    ops: list[Any] = []

    def item(place: Any) -> list[int]:
        if place["line"] == "own":
            return [0, place["clock"]]
        if place["line"] not in lines:
            lines.append(place["line"])
        return [1 + lines.index(place["line"]), place["clock"]]

    for edit in script["edits"]:
        path = paths.index(edit["path"]) if edit["path"] in paths else edit["path"]
        if isinstance(path, str):
            paths.append(path)
        match edit["op"]:
            case "put":
                type, value = write_value(edit["value"])
                ops.append([PUT, path, type, len(value)])
                values.append(value)
            case "delete":
                ops.append([DELETE, path])
            case "increment":
                values.append(cbor(int(edit["amount"])))
                ops.append([INCREMENT, path, len(values[-1])])
            case "insert-text":
                values.append(edit["text"].encode())
                origins = [edit[side] and item(edit[side]) for side in ("left", "right")]
                ops.append([INSERT_TEXT, path, *origins, len(values[-1]), len(edit["text"])])
            case "delete-text":
                ops.append([DELETE_TEXT, path, [[*item(r), r["length"]] for r in edit["ranges"]]])
    return cbor([reason, list(map(bytes.fromhex, lines)), ops]), values


def write_value(value: Any) -> tuple[int, bytes]:
    match value:
        case {"type": "null"}:
            return SIMPLE, NULL
        case {"type": "bool", "value": truth}:
            return SIMPLE, b"\xf5" if truth else b"\xf4"
        case {"type": "decimal", "mantissa": mantissa, "scale": scale}:
            return DECIMAL, cbor([int(mantissa), scale])
        case {"type": "float", "value": number}:
            return FLOAT, b"\xfb" + struct.pack(">d", float(number))
        case {"type": "string", "value": text}:
            return STRING, text.encode()
        case {"type": "bytes", "value": digits}:
            return BYTES, bytes.fromhex(digits)
        case {"type": "reference"}:
            return REFERENCE, cbor([value["partition"], value["kind"], bytes.fromhex(value["document"])])
        case {"type": "attachment"}:
            return ATTACHMENT, cbor([bytes.fromhex(value["hash"]), int(value["length"]), value["media_type"]])
    return {"int": INT, "timestamp": TIMESTAMP, "counter": COUNTER}[value["type"]], cbor(int(value["value"]))


# refused.json: every byte string is refused as the form that it is offered as.

TYPES = ["simple", "int", "decimal", "float", "string", "bytes", "timestamp", "counter", "reference", "attachment"]


def check_refused(tally: Tally, vectors: Any) -> None:
    workspace, partition = bytes.fromhex(vectors["workspace"]), vectors["partition"]
    whole = read_bundle(bytes.fromhex(vectors["log"]))
    log = Log(workspace, partition, bytes(8))
    log.append(whole.entries)
    readers: dict[str, Callable[[bytes], Any]] = {
        "header": lambda data: read_header(decode(data)),
        "body": lambda data: read_body(decode(data)),
        "skeleton": read_skeleton,
        "signed": lambda data: read_signed(workspace, partition, data),
        "page": log.read_page,
        "stored": read_stored,
        "bundle": read_bundle,
        "value:increment": lambda data: need(value_fits(COUNTER, data), "value"),
    }
    for type, name in enumerate(TYPES):
        readers[f"value:{name}"] = lambda data, type=type: need(value_fits(type, data), "value")  # type: ignore[misc]
    for case in vectors["refused"]:
        form, data = case["form"], bytes.fromhex(case["hex"])
        if form == "stored" and data[:5] == b"\x01" + ZSTD:
            tally.counts["stored (zstd, not opened)"] += 1
        else:
            tally.refuses(form.split(":")[0], f"{form} {case['name']!r}", readers[form], data)


# sync.json: frames are made from their inputs and keys, compared, and read back.


def item_of(item: Any) -> Any:
    """A CBOR item that stands as JSON."""
    match item:
        case bool():
            return Truth.TRUE if item else Truth.FALSE
        case str() if item.startswith("x:"):
            return bytes.fromhex(item[2:])
        case list():
            return list(map(item_of, item))
    return item


def signed_by(secret: str, context: str, material: bytes) -> bytes:
    _, key = sodium.crypto_sign_seed_keypair(bytes.fromhex(secret))
    return sodium.crypto_sign(derive_key(context, material), key)[:64]


def check_sync(tally: Tally, vectors: Any) -> None:
    workspace, partition = bytes.fromhex(vectors["workspace"]), vectors["partition"]
    hand = vectors["handshake"]
    caller, answerer = hand["caller"], hand["answerer"]
    key, nonce = bytes.fromhex(caller["public"]), bytes.fromhex(caller["nonce"])
    offer = [caller["tier"], caller["window"]]
    hello = b"\x10" + cbor(["fieldbook", hand["version"], hand["version"], workspace, key, nonce, *offer])
    tally.same("handshakes", "hello", hello.hex(), hand["hello"])
    key, nonce = bytes.fromhex(answerer["public"]), bytes.fromhex(answerer["nonce"])
    content = [hand["version"], key, nonce, answerer["tier"], answerer["window"]]
    transcript = hello + cbor(content)
    signature = signed_by(answerer["secret"], "fieldbook v1 hello", transcript)
    tally.same("handshakes", "welcome", (b"\x11" + cbor([content, signature])).hex(), hand["welcome"])
    proof = b"\x12" + cbor(signed_by(caller["secret"], "fieldbook v1 proof", transcript))
    tally.same("handshakes", "proof", proof.hex(), hand["proof"])
    frames = [bytes.fromhex(hand[name]) for name in ("hello", "welcome", "proof")]
    session = tally.takes("handshakes", "handshake", read_handshake, *frames)
    if session is None:
        return
    tally.same("handshakes", "session", session.id.hex(), hand["session"])
    for number, frame in enumerate(frames):
        broken = [*frames]
        broken[number] = frame[:-1] + bytes((frame[-1] ^ 1,))
        tally.refuses("handshakes changed", f"frame {number}", read_handshake, *broken)

    refusal = b"\x13" + cbor(item_of(vectors["refusal"]["item"]))
    tally.same("refusals", "refusal", refusal.hex(), vectors["refusal"]["frame"])

    for message in vectors["messages"]:
        item = item_of(message["item"])
        tally.same("messages", message["name"], cbor(item).hex(), message["bytes"])
        read = tally.takes("messages read", message["name"], read_message, decode(cbor(item), truths=True))
        tally.same("messages read", message["name"], read, item)
    codes = {message["item"][0] for message in vectors["messages"]}
    tally.same("messages of every code", "messages", codes, set(MESSAGES))

    def check_frame(what: str, place: str, case: Any, kind: int, item: Any) -> None:
        from_caller, counter = case["from"] == "caller", case["counter"]
        bound = session.id + bytes((kind, 0 if from_caller else 1)) + struct.pack(">Q", counter) + cbor(item)
        signature = signed_by((caller if from_caller else answerer)["secret"], "fieldbook v1 frame", bound)
        tally.same(what, place, (bytes((kind,)) + signature + cbor(item)).hex(), case["frame"])
        data = bytes.fromhex(case["frame"])
        tally.same(what, place, tally.takes(what, place, read_frame, session, from_caller, counter, data), item)
        tally.refuses(f"{what} elsewhere", place, read_frame, session, from_caller, counter + 1, data)
        tally.refuses(f"{what} elsewhere", place, read_frame, session, not from_caller, counter, data)
        tally.refuses(f"{what} elsewhere", place, read_frame, session, from_caller, counter, data[:-1] + b"\0\0")

    for case in vectors["frames"]:
        check_frame("control frames", f"frame {case['counter']}", case, 1, item_of(case["messages"]))
    for case in vectors["runs"]:
        place, packed = f"runs {case['name']!r}", bytes.fromhex(case["packed"])
        check_frame("frames of runs", place, case, 2, [partition, item_of(case["page"]), packed])
        entries = tally.takes("runs", place, read_runs, workspace, partition, read_stored(packed)) or []
        tally.same("runs", place, [c.id.hex() for c in entries], case["ids"])

    case = vectors["page"]
    log = Log(workspace, partition, bytes.fromhex(case["log"]))
    tally.same("pages in place", "running hash", log.running.hex(), case["running_hash_before"])
    packed = bytes.fromhex(case["packed"])
    log.append(tally.takes("pages in place", "content", log.read_page, read_stored(packed)) or [])
    tally.same("pages in place", "ids", [c.id.hex() for c in log.entries], case["ids"])
    place = [partition, bytes.fromhex(case["log"]), case["first"], len(log.entries), log.running]
    seal = signed_by(case["secret"], "fieldbook v1 page", cbor([workspace, *place]))
    tally.same("pages in place", "bytes", cbor([*place, seal, packed]).hex(), case["bytes"])
    read = tally.takes("pages in place", "page", read_log_page, bytes.fromhex(case["bytes"]))
    if read is not None:
        public, _ = sodium.crypto_sign_seed_keypair(bytes.fromhex(case["secret"]))
        tally.takes("seals", "page", check_seal, workspace, read, public)
        tally.refuses("seals elsewhere", "page", check_seal, workspace, read._replace(first=1), public)
        tally.refuses("seals elsewhere", "page", check_seal, bytes(32), read, public)

    case = vectors["receipt"]
    content = [partition, bytes.fromhex(case["log"]), case["position"], bytes.fromhex(case["running_hash"])]
    content += [case["held"], case["refused"], case["tier"], case["time"]]
    signature = signed_by(case["secret"], "fieldbook v1 receipt", cbor([workspace, content]))
    tally.same("receipts", "receipt", cbor([content, signature]).hex(), case["bytes"])
    public, _ = sodium.crypto_sign_seed_keypair(bytes.fromhex(case["secret"]))
    data = bytes.fromhex(case["bytes"])
    tally.same("receipts", "receipt", tally.takes("receipts", "receipt", check_receipt, workspace, data, public), content)
    tally.refuses("receipts elsewhere", "receipt", check_receipt, bytes(32), data, public)

    case = vectors["salted_tip"]
    salted = derive_key("fieldbook v1 tip", bytes.fromhex(case["session"] + case["id"]))
    tally.same("salted tips", "salted tip", salted.hex(), case["salted"])

    readers: dict[str, Callable[[bytes], Any]] = {
        "message": lambda data: read_message(decode(data, truths=True)),
        "hello": read_hello,
        "page": read_log_page,
        "receipt": read_receipt,
    }
    for case in vectors["refused"]:
        place = f"{case['form']} {case['name']!r}"
        tally.refuses(f"{case['form']}s refused", place, readers[case["form"]], bytes.fromhex(case["hex"]))


# documents.json: sets of change sets, and what follows from them.


def check_documents(tally: Tally, vectors: Any) -> None:
    for case in vectors["cases"]:
        place = f"case {case['name']!r}"
        workspace, partition = bytes.fromhex(case["workspace"]), case["partition"]
        mask = set(map(bytes.fromhex, case["mask"]))
        purges = {bytes.fromhex(purge["id"]): set(purge["values"]) for purge in case["purges"]}
        signed = list(map(bytes.fromhex, case["change_sets"]))
        arrived = [tally.takes("change sets", place, read_signed, workspace, partition, data) for data in signed]
        held, waiting = tally.takes("sets", place, admit, filter(None, arrived)) or ([], 0)
        tally.same("sets that nothing waits beside", place, waiting, 0)
        ours = fold(workspace, partition, held, mask, purges)
        identity = lambda document: (document["kind"], document["id"])  # noqa: E731
        documents = {identity(document): document for document in map(describe, ours.documents)}
        theirs = {identity(document): document for document in case["documents"]}
        tally.same("lists of documents", place, sorted(documents), sorted(theirs))
        for key in documents.keys() & theirs.keys():
            for part, value in theirs[key].items():
                if part == "conflicts":  # a view of the state for people; the state itself is compared
                    continue
                tally.same(part, f"{place}: {'/'.join(key)}", documents[key][part], value)
        forks = [describe_fork(fork) for fork in ours.forks]
        tally.same("lists of forks", place, sorted(forks, key=repr), sorted(case["forks"], key=repr))
        tally.same("digests of partitions", place, ours.digest.hex(), case["digest"])


# access.json: records both ways, and the verdicts of each set.


def check_access(tally: Tally, vectors: Any) -> None:
    for world in vectors["workspaces"]:
        workspace = bytes.fromhex(world["workspace"])
        carried: dict[str, ChangeSet] = {}
        partitions = {entry["name"]: entry["partition"] for entry in world["entries"]}
        for entry in world["entries"]:
            place = f"record {entry['name']!r}"
            data = bytes.fromhex(entry["signed"])
            c = tally.takes("records as change sets", place, read_signed, workspace, entry["partition"], data)
            if c is None:
                continue
            carried[entry["name"]] = c
            read = Carried(entry["partition"], c)
            ours = (c.id.hex(), read.author.hex(), read.time)
            tally.same("ids, authors and times", place, ours, (entry["id"], entry["author"], entry["time"]))
            tally.same("records", place, in_hex(read.record), entry["record"])
            if read.record and len(read.record) > 1:
                tally.same("bytes of records", place, write_record(read.record).hex(), entry["record_bytes"])
        for case in world["cases"]:
            held = [Carried(partitions[name], carried[name]) for name in case["held"]]
            for name in case["without_values"]:
                c = carried[name]
                purged = ChangeSet(c.author, c.actor, c.header, c.body.redacted([0]), c.signature)
                held.append(Carried(partitions[name], purged))
            authority = Authority(workspace, held)
            for number, row in enumerate(case["verdicts"]):
                claim = {
                    name: bytes.fromhex(item) if item and name in ("id", "author", "grant") else item
                    for name, item in row.items()
                }
                word, code, grant = authority.verdict(claim)
                ours = [word, code, grant and grant.hex()]
                place = f"case {case['name']!r}, verdict {number}"
                tally.same("verdicts", place, ours, [row["verdict"], row["code"], row["by"]])
    for case in vectors["refused"]:
        tally.refuses("refused records", case["why"], read_record, bytes.fromhex(case["hex"]))
    for row in vectors["joining"]["keys"]:
        tally.same("keys as text", row["key"], key_text(bytes.fromhex(row["key"])), row["text"])
        for text in [row["text"], *row["also"]]:
            read_key = tally.takes("keys as text", text, read_key_text, text)
            tally.same("keys as text", text, (read_key or b"").hex(), row["key"])
    for text in vectors["joining"]["refused"]:
        tally.refuses("keys as text", text, read_key_text, text)
    for row in vectors["joining"]["codes"]:
        code = comparison_code(*(bytes.fromhex(row[part]) for part in ("workspace", "key", "nonce")))
        tally.same("comparison codes", row["key"], code, row["code"])


def in_hex(item: Any) -> Any:
    if isinstance(item, dict):
        return {name: in_hex(inner) for name, inner in item.items()}
    if isinstance(item, list):
        return [in_hex(inner) for inner in item]
    return item.hex() if isinstance(item, bytes) else item


def judged(bundles: list[Bundle]) -> set[bytes]:
    """What of a file of bundles does not count, by its own records; nothing where the genesis is not among them."""
    carried = [Carried(b.partition, c) for b in bundles for c in b.entries if c.header.kind == "access"]
    authority = Authority(bundles[0].workspace, carried)
    mask: set[bytes] = set()
    if not authority.genesis():
        return mask
    grants: dict[bytes, bytes | None] = {}
    for bundle in bundles:
        for c in bundle.entries:
            h = c.header
            grants[c.id] = h.grant or (grants.get(h.previous) if h.previous else None)
            claim = {
                "id": c.id,
                "partition": bundle.partition,
                "author": c.author[:32],
                "kind": h.kind,
                "intent": c.body.intent,
                "time": h.time,
                "grant": grants[c.id],
            }
            if authority.verdict(claim)[0] != "accepted":
                mask.add(c.id)
    return mask


def run_bundle(file: Path, as_json: bool, digest: bytes | None) -> int:
    data = file.read_bytes()
    try:
        bundles = read_bundles(data)
        need(len({b.workspace for b in bundles}) == 1, "file of bundles: of several workspaces")
        admitted = [admit(bundle.entries) for bundle in bundles]
        mask = judged(bundles)
    except Refused as refused:
        print(f"refused: {refused}", file=sys.stderr)
        return 1
    wholes = []
    for bundle, (held, waiting) in zip(bundles, admitted):
        # A bundle brings no purges: they follow from documents of the kind `access` that are yet to come.
        partition = fold(bundle.workspace, bundle.partition, held, mask, {})
        standings = Counter(c.standing for document in partition.documents for c in document.order)
        counts = {
            "bytes": len(data),
            "pages": bundle.pages,
            "change sets": len(held),
            "waiting for others": waiting,
            "actors": len({c.actor for c in held}),
            "documents": len(partition.documents),
            "forks": len(partition.forks),
            "purged values": sum(v is None for c in held for v in c.body.values()),
            "masked": sum(c.id in mask for c in held),
            "invalid": standings[INVALID],
            "of a newer format": standings[NEWER_FORMAT],
            "with a value missing": standings[VALUE_MISSING],
            "inert ops": sum(len(ops) for d in partition.documents for ops in d.inert.values()),
        }
        if as_json:
            whole = {
                "workspace": bundle.workspace.hex(),
                "partition": bundle.partition,
                "running_hash": bundle.running_hash.hex(),
                "counts": {name.replace(" ", "_"): count for name, count in counts.items()},
                "documents": [describe(document) for document in partition.documents],
                "forks": [describe_fork(fork) for fork in partition.forks],
                "digest": partition.digest.hex(),
            }
            wholes.append(whole)
        else:
            if len(bundles) > 1:
                print(f"partition {bundle.partition}")
            print(table(counts.items()))
            print(f"digest  {partition.digest.hex()}")
    if as_json:
        # The last is what the file is for; what stands before it says what counts in it.
        print(json.dumps({**wholes[-1], "before": wholes[:-1]}, indent=2, ensure_ascii=False))
    if digest is not None and digest != partition.digest:
        print(f"refused: digest is not {digest.hex()}", file=sys.stderr)
        return 1
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    vectors = commands.add_parser("vectors", help="check the examples")
    vectors.add_argument("dir", nargs="?", type=Path, default=Path(__file__).parent / "vectors")
    bundle = commands.add_parser("bundle", help="verify a bundle and rebuild its documents")
    bundle.add_argument("file", type=Path)
    bundle.add_argument("--json", action="store_true")
    bundle.add_argument("--digest", type=bytes.fromhex)
    arguments = parser.parse_args()
    if arguments.command == "bundle":
        if not arguments.file.is_file():
            parser.error(f"no such file: {arguments.file}")
        return run_bundle(arguments.file, arguments.json, arguments.digest)
    if not arguments.dir.is_dir():
        parser.error(f"no such directory: {arguments.dir}")
    return run_vectors(arguments.dir)


if __name__ == "__main__":
    sys.exit(main())
