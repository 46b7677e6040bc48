"""Python values into C fields: whatever a field cannot hold exactly is an Error that names it, never a silently wrapped number."""

import json
import math
import numbers
import operator

from ._types import Error

I32 = (-(2**31), 2**31 - 1)
U32 = (0, 2**32 - 1)
U64 = (0, 2**64 - 1)
I64 = (-(2**63), 2**63 - 1)
MAX_FLOAT = 3.4028234663852886e38


def integer(param, value, low, high):
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise Error.argument(param, f"{param} is {_short(value)}; it must be an integer.")
    value = operator.index(value)
    if not low <= value <= high:
        raise Error.argument(param, f"{param} is {_short(value)}; it must lie between {low} and {high}.")
    return value


def real(param, value, low=-MAX_FLOAT, high=MAX_FLOAT):
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise Error.argument(param, f"{param} is {_short(value)}; it must be a number.")
    if isinstance(value, int) and abs(value) > 2**1000:  # would not even become a double
        raise Error.argument(param, f"{param} is {_short(value)}; it must lie between {low:g} and {high:g}.")
    value = float(value)
    if math.isnan(value) or not low <= value <= high:
        raise Error.argument(param, f"{param} is {value:g}; it must lie between {low:g} and {high:g}.")
    return value


def flag(param, value):
    if value not in (0, 1, False, True):
        raise Error.argument(param, f"{param} is {_short(value)}; it must be True or False.")
    return int(value)


def text(param, value):
    """UTF-8 bytes, lone surrogates kept so that the library names them."""
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise Error.argument(param, f"{param} is {_short(value)}; it must be text.")
    return value.encode("utf-8", "surrogatepass")


def c_string(param, value):
    """Text for a NUL-terminated field."""
    data = text(param, value)
    if b"\0" in data:
        raise Error.argument(param, f"{param} has a NUL at byte {data.index(0)}; it must have none.")
    return data


def json_object(variables):
    """A JSON object as UTF-8 bytes. Objects with a model_dump method (a reply's message, say) become what it returns."""
    members = (f"{json.dumps(name)}: {_json(name, value)}" for name, value in variables.items())
    return f"{{{', '.join(members)}}}".encode("utf-8", "surrogatepass")


def _json(param, value):
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=lambda item: item.model_dump())
    except (TypeError, ValueError, AttributeError, RecursionError) as problem:
        raise Error.argument(param, f"{param} cannot become JSON: {problem}.") from None


def ids(param, values):
    return [integer(f"{param}[{i}]", value, *I32) for i, value in enumerate(values)]


def _short(value):
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**30:
        return f"an integer of {value.bit_length()} bits"
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
