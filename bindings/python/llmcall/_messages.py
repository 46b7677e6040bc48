"""Messages as the C array: text parts are joined, anything else in a message is refused by name."""

import ctypes as c

from . import _abi, _values
from ._types import Error


def make_messages(messages):
    if isinstance(messages, (str, bytes, dict)) or not hasattr(messages, "__iter__"):
        raise Error.argument("messages", f"messages is a {type(messages).__name__}; it must be a list of messages.")
    messages = list(messages)
    array = (_abi.Message * len(messages))()
    for i, message in enumerate(messages):
        where = f"messages[{i}]"
        if not isinstance(message, dict):
            raise Error.argument(where, f"{where} is a {type(message).__name__}; it must be a dict with role and content.")
        for key, value in message.items():
            if key not in ("role", "content") and value is not None:
                raise Error.unsupported(f"{where}.{key}", f"{where}.{key} is not served by this version.")
        content = _content(where, message.get("content"))
        array[i].struct_size = c.sizeof(_abi.Message)
        array[i].role = _values.c_string(f"{where}.role", message.get("role"))
        array[i].content, array[i].content_size = content, len(content)
    return array


def _content(where, content):
    if isinstance(content, list):
        return b"".join(_part(f"{where}.content[{i}]", part) for i, part in enumerate(content))
    return _values.text(f"{where}.content", content)


def _part(where, part):
    if isinstance(part, dict) and part.get("type") == "text":
        return _values.text(f"{where}.text", part.get("text"))
    raise Error.unsupported(where, f"{where} is not text; only text is served by this version.")
