"""Python's jinja2 set up as Hugging Face transformers does for chat templates, as its documentation and results say."""
import datetime
import json

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox


class Generation(jinja2.ext.Extension):
    """{% generation %}: transformers notes where its text lies; the text itself is as without the tag."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

    def _same(self, caller):
        return caller()


def _raise(message):
    raise jinja2.exceptions.TemplateError(message)


def _tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                       extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = _tojson
    env.globals["raise_exception"] = _raise
    env.globals["strftime_now"] = lambda form: datetime.datetime.now(datetime.timezone.utc).strftime(form)
    return env


ENVIRONMENT = environment()


def compiled(source):
    """render(**variables) -> (text, None) or (None, why it raised)."""
    try:
        template = ENVIRONMENT.from_string(source)
    except Exception as problem:
        failure = f"{type(problem).__name__}: {problem}"
        return lambda **variables: (None, failure)

    def render(**variables):
        try:
            return template.render(**variables), None
        except Exception as problem:
            return None, f"{type(problem).__name__}: {problem}"

    return render
