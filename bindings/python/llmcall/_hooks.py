"""Hooks as Python functions.

admit(request) -> None, or a dict with tenant, cache_salt, priority, max_tokens_limit; raise Error to refuse.
route(candidates, model) -> index of one of the candidates (dicts); raise Error to refuse.
moderate(text, choice, final) -> None to pass, a str to send instead, False to stop.
usage(record) -> False to have it offered again; anything else accepts.
span(call_id, trace_id, span)

Any other exception counts as a refusal; in span it is dropped. Nothing may leave a function that C called: ctypes would print
it and report success.
"""

from . import _abi, _values
from ._types import Error, Record, Status

_ADMISSION = {"priority": _values.I32, "cache_salt": _values.U64, "max_tokens_limit": _values.I64}


def _fields(struct):
    result = {}
    for name, _ in struct._fields_:
        value = getattr(struct, name)
        if name not in ("struct_size", "reserved", "caller") and not name.endswith("_size"):
            result[name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return result


def _refuse(refusal, error):
    """A refusal's own words, cut to what the fields hold."""
    to = error.contents
    for name in ("code", "param", "message"):
        room = getattr(_abi.Error, name).size - 1
        cut = str(getattr(refusal, name) or "").encode("utf-8", "replace")[:room]
        setattr(to, name, cut.decode("utf-8", "ignore").encode())
    to.http_status, to.retry_after_ms = refusal.http_status, refusal.retry_after_ms
    return int(refusal.status) or int(Status.INTERNAL)


def _guarded(hook, error=None):
    try:
        return hook() or 0
    except Error as refusal:
        try:
            return _refuse(refusal, error) if error else int(refusal.status) or int(Status.INTERNAL)
        except Exception:
            return int(Status.INTERNAL)
    except BaseException:
        return int(Status.INTERNAL)


def _admit(function):
    def hook(user, request, decision, error):
        def run():
            caller = request.contents.caller
            given = _fields(caller.contents) if caller else {}
            model = (request.contents.model or b"").decode("utf-8", "replace")
            for key, value in (function(Record(model=model, **given)) or {}).items():
                if key == "tenant":
                    decision.contents.tenant = value.encode()
                else:
                    setattr(decision.contents, key, _values.integer(key, value, *_ADMISSION[key]))

        return _guarded(run, error)

    return _abi.AdmitFn(hook)


def _route(function):
    def hook(user, request, index, error):
        def run():
            candidates = [_fields(request.contents.candidates[i]) for i in range(request.contents.n_candidates)]
            index[0] = _values.integer("index", function(candidates, (request.contents.model or b"").decode()), *_values.I32)

        return _guarded(run, error)

    return _abi.RouteFn(hook)


def _moderate(function):
    kept = []  # the last replacement must outlive the hook

    def hook(user, request, verdict):
        def run():
            r = request.contents
            answer = function(r.text[: r.size].decode() if r.size else "", r.choice, bool(r.final))
            if answer is False:
                verdict.contents.action = 2
            elif answer is not None and answer is not True:
                kept[:] = [_values.text("replacement", answer)]
                verdict.contents.action = 1
                verdict.contents.replacement, verdict.contents.replacement_size = kept[0], len(kept[0])

        return _guarded(run)

    return _abi.ModerateFn(hook)


def _usage(function):
    def hook(user, record):
        return _guarded(lambda: Status.INTERNAL if function(Record(**_fields(record.contents))) is False else 0)

    return _abi.UsageFn(hook)


def _span(function):
    def hook(user, call_id, trace_id, span):
        _guarded(lambda: function((call_id or b"").decode(), (trace_id or b"").decode(), Record(**_fields(span.contents))) and 0)

    return _abi.SpanFn(hook)


def make_hooks(**functions):
    """The struct, which must outlive the engine; None if there is no hook at all."""
    makers = {"admit": _admit, "route": _route, "moderate": _moderate, "usage": _usage, "span": _span}
    if not any(functions.values()):
        return None
    hooks = _abi.Hooks()
    for name, function in functions.items():
        if function:
            setattr(hooks, name, makers[name](function))
    return hooks


def make_progress(function, failure):
    """A progress callback; what it raises stops the work, and goes to the list failure to be raised again."""
    def call(user, done, total):
        try:
            return 1 if function(done, total) else 0
        except BaseException as problem:
            failure.append(problem)
            return 1

    return _abi.ProgressFn(call)
