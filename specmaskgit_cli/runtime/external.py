"""What an ONNX graph would read from elsewhere, found in its file before ONNX Runtime opens it.

A tensor of a graph may say that its data lie in another file, at a path of its choice: `external_data` of onnx.proto. A
checkpoint may come from anyone, so that its graphs could have files of this computer read into the sounds they make;
older versions of ONNX Runtime even take an address in memory for a path. The graphs of a checkpoint have no use for
that: the only tensors outside them are those that are handed over with the session, marked by the location EXTERNAL.

The package onnx is none that this program needs to run. So the file is walked as what it is, protobuf messages: fields
of a number, a wire type and a value each, which may be a message again. Those that can hold a tensor are entered, all
others passed over. What protobuf itself would not read is refused, as are things that it has but ONNX never uses.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Collection, Iterator

from ..errors import SmgError

EXTERNAL = "safetensors"  # the location that marks an initialiser as handed over with the session
MAX_DEPTH = 100  # of messages in each other, which is protobuf's own limit
MAX_FIELDS = 1 << 20  # in all; the shipped graphs have some ten thousand at most
MAX_TEXT = 1 << 16  # bytes of a name or a location

# Message -> number of a field -> the message it is, of those that lead to tensors; numbers are those of onnx.proto.
_FIELDS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "tensor": {13: "entry"},
    "entry": {},
}
_INITIALISER = 2  # the depth of a tensor that can be handed over: model, graph, tensor. None else lies as high
_NAME, _ENTRIES, _LOCATION = 8, 13, 14  # fields of a tensor
_KEY, _VALUE = 1, 2  # of an entry
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


def check_external(path: str | os.PathLike, supplied: Collection[str] = ()) -> None:
    """Refuse a file with an ONNX graph that would read any other file, or memory.

    Args:
        supplied: names of the initialisers that are handed over with the session. These alone may lie outside, and
            have to have the location EXTERNAL.

    Raises:
        SmgError: it would, it is no protobuf file, or it has more, deeper or longer parts than the limits above.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise SmgError(f"{path}: not an ONNX graph (it is empty); pull or pack the model again")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                wrong = next(_Walk(data, supplied).wrong("model", 0, 0, len(data)), None)
            except _NoProtobuf as error:
                raise SmgError(f"{path}: not an ONNX graph ({error}); pull or pack the model again") from None
    if wrong:
        raise SmgError(f"{path}: {wrong}; smg reads no other file for a graph, so use another model")


class _NoProtobuf(Exception):
    """What is wrong with the file."""


class _Walk:
    """A walk through the messages of a file, of which it tells what must not be there."""

    def __init__(self, data: mmap.mmap, supplied: Collection[str]):
        self._data, self._supplied, self._left = data, supplied, MAX_FIELDS

    def wrong(self, message: str, depth: int, start: int, end: int) -> Iterator[str]:
        """A line for every unlawful tensor in the message between two positions."""
        if depth > MAX_DEPTH:
            raise _NoProtobuf("it goes too deep")
        if message == "tensor":
            if line := self._tensor(depth, start, end):
                yield line
            return
        inner = _FIELDS[message]
        for number, kind, first, last in self._fields(start, end):
            if kind == _BYTES and number in inner:
                yield from self.wrong(inner[number], depth + 1, first, last)

    def _tensor(self, depth: int, start: int, end: int) -> str | None:
        """What is wrong with a tensor; None where it lies in the file, or is handed over.

        Where a field comes twice, readers may differ in which they take; so all have to be lawful.
        """
        names, places, outside = [], [], False
        for number, kind, first, last in self._fields(start, end):
            if number == _NAME and kind == _BYTES:
                names.append(self._text(first, last))
            elif number == _LOCATION and kind == _VARINT:
                outside |= first != 0
            elif number == _ENTRIES and kind == _BYTES:
                outside = True
                places += self._places(first, last)
        if not outside:
            return None
        if strange := [place for place in places if place != EXTERNAL]:
            return f"a tensor has its data in {strange[0][:100]!r}"
        if depth > _INITIALISER or not names or any(name not in self._supplied for name in names):
            return f"tensor {(names or [''])[0][:100]!r} has its data in another file"
        return None

    def _places(self, start: int, end: int) -> list[str]:
        """The values of an entry that is a location; one that has none counts as empty."""
        texts = [(number, self._text(a, b)) for number, kind, a, b in self._fields(start, end) if kind == _BYTES]
        if (_KEY, "location") not in texts:
            return []
        return [text for number, text in texts if number == _VALUE] or [""]

    def _text(self, first: int, last: int) -> str:
        if last - first > MAX_TEXT:
            raise _NoProtobuf("a name is too long")
        return self._data[first:last].decode("utf-8", "backslashreplace")

    def _fields(self, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """The fields of the message between two positions: number, wire type, and first and last position of a value
        in bytes; of a varint instead the value, twice.

        Raises:
            _NoProtobuf: a field that ends outside, has a number or a wire type there is none of, or is one too many.
        """
        at = start
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise _NoProtobuf("it has too many parts")
            tag, at = self._varint(at, end)
            number, kind = tag >> 3, tag & 7
            if not 0 < number < 1 << 29:
                raise _NoProtobuf("a part has no number")
            if kind == _VARINT:
                value, at = self._varint(at, end)
                yield number, kind, value, value
                continue
            if kind == _BYTES:
                size, at = self._varint(at, end)
            elif kind in (_FIXED32, _FIXED64):
                size = 4 if kind == _FIXED32 else 8
            else:  # groups, which ONNX never had
                raise _NoProtobuf(f"a part is of kind {kind}")
            if size > end - at:
                raise _NoProtobuf("a part goes on after the end")
            yield number, kind, at, at + size
            at += size

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        """A whole number of 7 bits a byte, the lowest first, and the position after it."""
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                raise _NoProtobuf("it ends in the middle of a number")
            byte = self._data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, at
        raise _NoProtobuf("a number has too many bytes")
