"""chat.completions.create and completions.create, shaped as the openai package's: keywords into a request, events into answers."""

import ctypes as c
import math

from . import _abi, _values
from ._abi import lib
from ._call import Call, LegacyLogprobs
from ._messages import make_messages
from ._types import Error, Record

# Keyword to C field: how to check it. Ranges here are those of the C type, or narrower where C reads zero as "the default";
# everything else is the library's to judge.
_NUMBERS = {
    "n": ("n", 1, _values.U32[1]),
    "max_tokens": ("max_tokens", 1, _values.I64[1]),
    "max_completion_tokens": ("max_tokens", 1, _values.I64[1]),
    "top_k": ("top_k", *_values.I32),
    "top_logprobs": ("top_logprobs", *_values.I32),
    "seed": ("seed", *_values.U64),
    "priority": ("priority", *_values.I32),
    "speculate": ("speculate", *_values.U32),
}
_REALS = ("temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty", "adapter_scale")
_NOT_ZERO = ("top_p", "repetition_penalty", "adapter_scale")
_CALLER_TEXTS = ("credential", "region", "trace_id")

# Keywords of the openai package whose feature comes later, with the values that ask for nothing.
_LATER = {"tools": (), "tool_choice": (), "functions": (), "function_call": (), "parallel_tool_calls": (), "audio": (),
          "modalities": (["text"],), "prediction": (), "reasoning_effort": (), "web_search_options": (), "verbosity": (),
          "response_format": ({"type": "text"},), "suffix": (), "echo": (False,), "best_of": (1,)}

_COMMON = {"model", "stop", "logit_bias", "stream", "stream_options", "user", "timeout", "ignore_eos", "caller", "adapter", *_NUMBERS,
           *_REALS}
_CHAT_ONLY = {"messages", "logprobs", "tools", "tool_choice", "functions", "function_call", "parallel_tool_calls", "audio", "modalities",
              "prediction", "reasoning_effort", "web_search_options", "verbosity", "response_format"}
_COMPLETION_ONLY = {"prompt", "logprobs", "special", "suffix", "echo", "best_of"}


class Chat:
    """engine.chat"""

    def __init__(self, engine):
        self.completions = ChatCompletions(engine)


class ChatCompletions:
    """engine.chat.completions"""

    def __init__(self, engine):
        self._engine = engine

    def create(self, **given):
        """A ChatCompletion, or with stream=True a ChatStream of its chunks.

        messages, model, max_tokens or max_completion_tokens (none: to the context's end), temperature, top_p, n, stop, seed,
        presence_penalty, frequency_penalty, logit_bias {token id: bias}, logprobs (bool), top_logprobs, stream,
        stream_options {"include_usage": bool}, user (goes nowhere), timeout (seconds); beyond openai: top_k, min_p,
        repetition_penalty, ignore_eos, priority, caller (dict: credential, region, trace_id, distance_km, http_ns), speculate
        (0 to 15: longest draft by look-up in the prompt; the same answer, sooner where it repeats its prompt), adapter (name of a
        LoRA adapter, see Engine.load_adapter) and adapter_scale (1 unless given).
        """
        given = _known(given, _COMMON | _CHAT_ONLY, "messages")
        request = _request(given)
        messages = make_messages(given["messages"])
        request.messages, request.n_messages = messages, len(messages)
        request.logprobs = _values.flag("logprobs", given.get("logprobs", False))
        return _run(self._engine, request, given, _ChatShape(request))


class Completions:
    """engine.completions"""

    def __init__(self, engine):
        self._engine = engine

    def create(self, **given):
        """A Completion, or with stream=True a ChatStream of its chunks.

        As in chat.completions, with prompt (text, or a list of token ids) for messages, max_tokens 16 unless said otherwise,
        logprobs a count of likeliest tokens, and special=True to parse control tokens in a prompt that is trusted.
        """
        given = _known(given, _COMMON - {"top_logprobs", "max_completion_tokens"} | _COMPLETION_ONLY, "prompt")
        given.setdefault("max_tokens", 16)
        request = _request(given)
        _set_prompt(request, given["prompt"], given.get("special", False))
        if "logprobs" in given:
            request.logprobs, request.top_logprobs = 1, _values.integer("logprobs", given["logprobs"], *_values.I32)
        return _run(self._engine, request, given, _CompletionShape(request))


# ---- Keywords into a request ----


def _known(given, names, required):
    """Without the Nones; what is unknown, missing or of a later version is refused."""
    for name in given:
        if name not in names:
            raise TypeError(f"create() got an unexpected keyword argument '{name}'")
    given = {name: value for name, value in given.items() if value is not None}
    if required not in given:
        raise TypeError(f"create() needs '{required}'")
    for name, nothing in _LATER.items():
        if name in given and not any(type(given[name]) is type(value) and given[name] == value for value in nothing):
            raise Error.unsupported(name, f"{name} is not served by this version.")
    return given


def _request(given):
    request = _abi.Request()
    lib.llmcall_request_defaults(c.byref(request))
    request.struct_size = c.sizeof(request)
    if "max_tokens" in given and "max_completion_tokens" in given:
        raise Error.argument("max_tokens", "max_tokens and max_completion_tokens are both given; they mean the same.")
    for name, (field, low, high) in _NUMBERS.items():
        if name in given:
            setattr(request, field, _values.integer(name, given[name], low, high))
    for name in _REALS:
        if name in given:
            setattr(request, name, real(name, given[name]))
    request.has_seed = int("seed" in given)
    request.ignore_eos = _values.flag("ignore_eos", given.get("ignore_eos", False))
    if "model" in given:
        request.model = _values.c_string("model", given["model"])
    if "adapter" in given:
        request.adapter = _values.c_string("adapter", given["adapter"])
    _set_stop(request, given.get("stop"))
    _set_bias(request, given.get("logit_bias"))
    set_caller(request, given.get("caller"))
    request.deadline_ms = deadline_ms(given.get("timeout"))
    return request


def real(name, value):
    value = _values.real(name, value)
    if name in _NOT_ZERO and c.c_float(value).value == 0:
        raise Error.argument(name, f"{name} is {value:g}; it must not be 0.")
    return value


def deadline_ms(timeout):
    """Of a timeout in seconds; None: 0, which is none."""
    return 0 if timeout is None else math.ceil(_positive("timeout", timeout, 2.0**40 / 1000) * 1000)


def _positive(name, value, high):
    value = _values.real(name, value)
    if not 0 < value <= high:
        raise Error.argument(name, f"{name} is {value:g}; it must be above 0 and at most {high:g}.")
    return value


def _set_stop(request, stop):
    if stop is None:
        return
    stops = [stop] if isinstance(stop, (str, bytes)) else stop
    if not isinstance(stops, (list, tuple)):
        raise Error.argument("stop", f"stop is a {type(stop).__name__}; it must be text or a list of texts.")
    strings = [_values.c_string("stop", text) for text in stops]
    request.stop, request.n_stop = (c.c_char_p * len(strings))(*strings), len(strings)


def _set_bias(request, bias):
    if bias is None:
        return
    if not isinstance(bias, dict):
        raise Error.argument("logit_bias", f"logit_bias is a {type(bias).__name__}; it must be a dict of token ids.")
    array = (_abi.LogitBias * len(bias))()
    for entry, (token, value) in zip(array, bias.items()):
        if isinstance(token, str) and token.isascii() and token.isdigit() and len(token) < 11:
            token = int(token)
        entry.token = _values.integer("logit_bias", token, *_values.I32)
        entry.bias = _values.real("logit_bias", value)
    request.logit_bias, request.n_logit_bias = array, len(array)


def set_caller(request, given):
    if given is None:
        return
    if not isinstance(given, dict):
        raise Error.argument("caller", f"caller is a {type(given).__name__}; it must be a dict.")
    caller = _abi.Caller()
    for key, value in given.items():
        name = f"caller.{key}"
        if value is None:
            continue
        if key in _CALLER_TEXTS:
            data = _values.text(name, value)
            setattr(caller, key, data)
            setattr(caller, f"{key}_size", len(data))
        elif key == "distance_km":
            caller.distance_km = _values.real(name, value, 0)
        elif key == "http_ns":
            caller.http_ns = _values.integer(name, value, 0, _values.I64[1])
        else:
            raise Error.argument(name, f"{name} is not a field of a caller.")
    request.caller = c.pointer(caller)


def _set_prompt(request, prompt, special):
    request.prompt_special = _values.flag("special", special)
    if isinstance(prompt, (str, bytes)):
        data = _values.text("prompt", prompt)
        request.prompt, request.prompt_size = data, len(data)
        return
    if not hasattr(prompt, "__iter__"):
        raise Error.argument("prompt", f"prompt is a {type(prompt).__name__}; it must be text or a list of token ids.")
    prompt = list(prompt)
    if prompt and not hasattr(prompt[0], "__index__"):
        raise Error.unsupported("prompt", "prompt is a list of prompts; one prompt a call is served by this version.")
    ids = _values.ids("prompt", prompt)
    request.tokens, request.n_tokens = (c.c_int32 * len(ids))(*ids), len(ids)


# ---- Events into answers ----


class _ChatShape:
    """What a chat completion's parts look like."""

    prefix, whole, chunk = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def __init__(self, request):
        self.with_logprobs = bool(request.logprobs)
        self.n = request.n

    def logprobs(self, choice, tokens):
        return Record(content=tokens) if self.with_logprobs else None

    def choice(self, index, text, logprobs, finish_reason):
        return Record(index=index, message=Record(role="assistant", content=text), finish_reason=finish_reason, logprobs=logprobs)

    def first_delta(self, index):
        return Record(index=index, delta=Record(role="assistant", content=""), finish_reason=None, logprobs=None)

    def delta(self, index, text, logprobs, finish_reason):
        delta = Record(role=None, content=None if finish_reason else text)
        return Record(index=index, delta=delta, finish_reason=finish_reason, logprobs=logprobs)


class _CompletionShape:
    """What a text completion's parts look like; a chunk looks like the whole."""

    prefix, whole, chunk = "cmpl", "text_completion", "text_completion"

    def __init__(self, request):
        self.with_logprobs = bool(request.logprobs)
        self.with_top = request.top_logprobs > 0
        self.n = request.n
        self._legacy = {}

    def logprobs(self, choice, tokens):
        return self._legacy.setdefault(choice, LegacyLogprobs()).shape(tokens, self.with_top) if self.with_logprobs else None

    def choice(self, index, text, logprobs, finish_reason):
        return Record(index=index, text=text, finish_reason=finish_reason, logprobs=logprobs)

    def first_delta(self, index):
        return None

    def delta(self, index, text, logprobs, finish_reason):
        return self.choice(index, text, logprobs, finish_reason)


class Completion(Record):
    """A whole answer: a Record that also knows the call's spans."""

    def timeline(self):
        return self._timeline


class ChatStream:
    """Chunks of an answer as they come. Closing or dropping it cancels the call; cancel() may come from any thread, and then
    the stream ends with finish_reason "cancelled". usage is known at the end."""

    def __init__(self, call, shape, include_usage):
        self._call = call
        self._chunks = _chunks(call, shape, include_usage)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._chunks)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        self._chunks.close()
        self._call.close()

    def cancel(self):
        self._call.cancel()

    @property
    def usage(self):
        return self._call.usage

    def timeline(self):
        return self._call.timeline()


def _run(engine, request, given, shape):
    include_usage = _stream_options(given)
    stream = _values.flag("stream", given.get("stream", False))
    call = Call(engine, request)
    return ChatStream(call, shape, include_usage) if stream else _whole(call, shape)


def _stream_options(given):
    options = given.get("stream_options")
    if options is None:
        return False
    if not given.get("stream"):
        raise Error.argument("stream_options", "stream_options is given, but stream is not set.")
    if not isinstance(options, dict):
        raise Error.argument("stream_options", f"stream_options is a {type(options).__name__}; it must be a dict.")
    for name, value in options.items():
        if name != "include_usage" and value is not None:
            raise Error.unsupported(f"stream_options.{name}", f"stream_options.{name} is not served by this version.")
    return bool(_values.flag("stream_options.include_usage", options.get("include_usage") or False))


def _header(call, shape, kind):
    return {"id": f"{shape.prefix}-{call.id.removeprefix('call_')}", "object": kind, "created": call.created, "model": call.model}


def _whole(call, shape):
    texts, tokens, reasons = [[] for _ in range(shape.n)], [[] for _ in range(shape.n)], [None] * shape.n
    for index, text, logprobs, reason in call.events():
        texts[index].append(text)
        tokens[index] += logprobs
        reasons[index] = reason or reasons[index]
    choices = [shape.choice(i, "".join(texts[i]), shape.logprobs(i, tokens[i]), reasons[i]) for i in range(shape.n)]
    return Completion(**_header(call, shape, shape.whole), choices=choices, usage=call.usage, _timeline=call.timeline())


def _chunks(call, shape, include_usage):
    begun = set()
    header = _header(call, shape, shape.chunk)
    for index, text, tokens, reason in call.events():
        if index not in begun:
            begun.add(index)
            first = shape.first_delta(index)
            if first:
                yield Record(**header, choices=[first], usage=None)
        if text or reason or (tokens and shape.with_logprobs):
            logprobs = shape.logprobs(index, tokens) if tokens else None
            yield Record(**header, choices=[shape.delta(index, text, logprobs, reason)], usage=None)
    if include_usage:
        yield Record(**header, choices=[], usage=call.usage)
