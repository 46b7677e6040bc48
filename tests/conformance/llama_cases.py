"""The cases of llama.cpp's own template tests, read from their C++ source: string literals and nlohmann's initializer lists."""
import json
import re

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\n": "", "0": "\0"}


def _unescape(body):
    def one(match):
        escape = match.group(1)
        return chr(int(escape[1:], 16)) if escape[0] in "xu" and len(escape) > 1 else _ESCAPES.get(escape, escape)

    return re.sub(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", one, body, flags=re.S)


def _space(text, at):
    while text[at].isspace():
        at += 1
    return at


def _string(text, at):
    """The string literals that follow each other at text[at], or None; and where they end."""
    parts = []
    while True:
        at = _space(text, at)
        if text.startswith('R"', at):
            mark = text[at + 2:text.index("(", at)]
            end = text.index(f'){mark}"', at)
            parts.append(text[at + 3 + len(mark):end])
            at = end + len(mark) + 2
        elif text[at] == '"':
            end = at + 1
            while text[end] != '"':
                end += 2 if text[end] == "\\" else 1
            parts.append(_unescape(text[at + 1:end]))
            at = end + 1
        else:
            return ("".join(parts) if parts else None), at


def _list(text, at):
    items, at = [], at + 1
    while True:
        while text[at].isspace() or text[at] == ",":
            at += 1
        if text[at] == "}":
            return items, at + 1
        item, at = _value(text, at)
        items.append(item)


def _value(text, at):
    """A list of pairs that begin with text is an object."""
    at = _space(text, at)
    if text[at] in '"R':
        return _string(text, at)
    for head, empty in (("json::array(", []), ("json::object(", {}), ("json(", {})):
        if text.startswith(head, at):
            at = _space(text, at + len(head))
            if text[at] == ")":
                return empty, at + 1
            item, at = (_list if head == "json::array(" else _value)(text, at)
            return item, _space(text, at) + 1
    if text[at] == "{":
        items, at = _list(text, at)
        pairs = items and all(isinstance(item, list) and len(item) == 2 and isinstance(item[0], str) for item in items)
        return (dict(items) if pairs else items), at
    match = re.compile(r"(nullptr|true|false|-?[0-9.eE+-]+)[fLlu]*").match(text, at)
    word = match.group(1)
    return {"nullptr": None, "true": True, "false": False}[word] if word[0] in "ntf" else json.loads(word), match.end()


def jinja_cases(folder):
    """(name, template, variables) of test-jinja.cpp."""
    source = (folder / "test-jinja.cpp").read_text()
    source = "\n".join(line for line in source.split("\n") if not line.lstrip().startswith("//"))
    for match in re.finditer(r"test_template\(t, ", source):
        name, at = _string(source, match.end())
        template, at = _string(source, at + 1)
        variables, at = _value(source, at + 1)
        yield name, template, variables or {}


def chat_templates(folder):
    """(name, template) of test-chat-template.cpp."""
    source = (folder / "test-chat-template.cpp").read_text()
    for match in re.finditer(r'\.name= \*/ ("[^"]*"),\s*/\* \.template_str= \*/', source):
        template, _ = _string(source, match.end())
        if template:
            yield match.group(1), template
