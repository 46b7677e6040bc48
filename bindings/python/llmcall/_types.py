"""Errors and answers as Python objects."""

import ctypes
import enum


class Status(enum.IntEnum):
    """LLMCALL_OK and LLMCALL_E_*."""

    OK = 0
    ARGUMENT = 1
    UNSUPPORTED = 2
    NO_MEMORY = 3
    IO = 4
    FORMAT = 5
    NOT_FOUND = 6
    CONTEXT_LENGTH = 7
    UTF8 = 8
    TEMPLATE = 9
    RATE_LIMIT = 10
    QUEUE_FULL = 11
    UNAUTHENTICATED = 12
    FORBIDDEN = 13
    QUOTA = 14
    CANCELLED = 15
    DEADLINE = 16
    TIMEOUT = 17
    END = 18
    BUFFER = 19
    BACKEND = 20
    CLOSED = 21
    INTERNAL = 22


class Error(Exception):
    """A call into the library failed. status is a Status, code a stable name, param the field at fault (or None)."""

    def __init__(self, status, code, param, message, http_status=0, retry_after_ms=0):
        super().__init__(message)
        self.status = Status(status) if status in Status._value2member_map_ else status
        self.code = code
        self.param = param or None
        self.message = message
        self.http_status = http_status
        self.retry_after_ms = retry_after_ms
        self.usage = None  # the bill, where a call had begun

    @classmethod
    def from_c(cls, error, status=None):
        return cls(status if status is not None else error.status, error.code.decode("utf-8", "replace"),
                   error.param.decode("utf-8", "replace"), error.message.decode("utf-8", "replace"), error.http_status,
                   error.retry_after_ms)

    @classmethod
    def unsupported(cls, param, message):
        return cls(Status.UNSUPPORTED, "unsupported", param, message, 400)

    @classmethod
    def argument(cls, param, message):
        return cls(Status.ARGUMENT, "invalid_argument", param, message, 400)


class Record:
    """An answer: fields as attributes, model_dump() for a plain dict, as in the openai package."""

    def __init__(self, **fields):
        self.__dict__.update(fields)

    def model_dump(self):
        return {key: _plain(value) for key, value in self.__dict__.items() if not key.startswith("_")}

    def __getitem__(self, key):
        return self.__dict__[key]

    def __eq__(self, other):
        return isinstance(other, Record) and self.__dict__ == other.__dict__

    def __repr__(self):
        return f"Record({', '.join(f'{k}={v!r}' for k, v in self.__dict__.items())})"


def _plain(value):
    if isinstance(value, Record):
        return value.model_dump()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def check(status, error):
    """Raises what the library reported."""
    if status:
        raise Error.from_c(error, status)


def record(struct):
    """A C struct as a Record."""
    fields = {}
    for name, _ in struct._fields_:
        if name == "struct_size" or name.startswith("reserved"):
            continue
        value = getattr(struct, name)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        fields[name] = record(value) if isinstance(value, ctypes.Structure) else value
    return Record(**fields)
