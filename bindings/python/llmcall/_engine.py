"""The engine handle: opening, loading, text and tokens, scores, metrics."""

import ctypes as c
import os
import threading

from . import _abi, _embeddings, _values
from ._abi import lib
from ._completions import Chat, Completions
from ._hooks import make_hooks, make_progress
from ._messages import make_messages
from ._types import Error, Status, check, record

_MODEL_NUMBERS = {"context_length": _values.U32, "kv_bytes": _values.U64, "max_memory": _values.U64, "price_prompt": _values.I64,
                  "price_cached": _values.I64, "price_completion": _values.I64}
_KV_TYPES = {None: 0, "f16": 1, "q8_0": 2, "f32": 3}
_ENGINE_NUMBERS = {"max_step_tokens": _values.U32, "max_sequences": _values.U32, "max_queue": _values.U32,
                   "max_choices": _values.U32}
_ENGINE_KEYS = (*_ENGINE_NUMBERS, "prefix_cache", "inexact", "pin_threads")


def version():
    return lib.llmcall_version().decode()


def _kv_type(name):
    if not isinstance(name, (str, type(None))) or name not in _KV_TYPES:
        raise Error.argument("kv_type", f'kv_type is {name!r}; it must be None, "f16", "q8_0" or "f32".')
    return _KV_TYPES[name]


def _model_options(path, *, vocab_only=False, name=None, chat_template=None, kv_type=None, progress=None, failure=None,
                   **numbers):
    options = _abi.ModelOptions()
    lib.llmcall_model_options_defaults(c.byref(options))
    options.path = _values.c_string("path", os.fsencode(path))
    options.vocab_only = _values.flag("vocab_only", vocab_only)
    options.name = _values.c_string("name", name) if name else None
    options.chat_template = _values.c_string("chat_template", chat_template) if chat_template is not None else None
    options.kv_type = _kv_type(kv_type)
    for key, value in numbers.items():
        if key not in _MODEL_NUMBERS:
            raise TypeError(f"unexpected keyword argument '{key}'")
        setattr(options, key, _values.integer(key, value, *_MODEL_NUMBERS[key]))
    if progress:
        options.progress = make_progress(progress, failure if failure is not None else [])
    return options


def _engine_options(*, threads=2, prefix_cache=True, inexact=False, pin_threads=False, **numbers):
    options = _abi.EngineOptions()
    lib.llmcall_engine_options_defaults(c.byref(options))
    options.threads = _values.integer("threads", threads, *_values.I32)
    options.disable_prefix_cache = 1 - _values.flag("prefix_cache", prefix_cache)
    options.inexact = _values.flag("inexact", inexact)
    options.pin_threads = _values.flag("pin_threads", pin_threads)
    for key, value in numbers.items():
        setattr(options, key, _values.integer(key, value, *_ENGINE_NUMBERS[key]))
    return options


def estimate(path, *, threads=2, **options):
    """Bytes that Engine(path, ...) would take, from the file's header alone."""
    engine = _engine_options(threads=threads, **{k: options.pop(k) for k in _ENGINE_KEYS if k in options})
    memory, error = _abi.Memory(), _abi.Error()
    check(lib.llmcall_estimate(c.byref(engine), c.byref(_model_options(path, **options)), c.byref(memory), c.byref(error)), error)
    return record(memory)


def render_template(template, messages, tools=None, add_generation_prompt=True, bos_token="", eos_token="", **variables):
    """What a chat template (Jinja, as transformers runs it) makes of messages; no model takes part."""
    source = _values.text("template", template)
    data = _values.json_object({"messages": messages, "tools": tools, "add_generation_prompt": add_generation_prompt,
                                "bos_token": bos_token, "eos_token": eos_token, **variables})
    return _sized(lambda *out: lib.llmcall_render_template(source, len(source), data, len(data), *out)).decode()


class Grammar:
    """Not served by this version."""

    def __init__(self, *, json_schema=None, regex=None, gbnf=None):
        name = "json_schema" if json_schema is not None else "regex" if regex is not None else "gbnf"
        raise Error.unsupported(name, f"{name} is not served by this version.")


class Engine:
    """One engine with the model at path. threads=0: nothing runs until step() is called or somebody waits for an answer;
    threads=-1: one a core.

    Keywords: vocab_only, context_length, kv_bytes, kv_type (what the KV cache holds: "f16", "q8_0", "f32"; None: f16, or f32
    for a file of F32 matrices), max_memory, name, chat_template, price_* (1e-9 of the currency a million tokens), progress(done, total) -> true to stop; max_step_tokens, max_sequences, max_queue,
    max_choices, prefix_cache, inexact, pin_threads;
    and the hooks admit, route, moderate, usage, span (see _hooks.py), which must not call the engine. Any thread may use an
    engine.
    """

    def __init__(self, path, threads=2, *, admit=None, route=None, moderate=None, usage=None, span=None, log=None, **options):
        self._handle = c.c_void_p()
        self._stepping = threading.Lock()
        engine = _engine_options(threads=threads, **{k: options.pop(k) for k in _ENGINE_KEYS if k in options})
        self.threads = engine.threads
        self._hooks = make_hooks(admit=admit, route=route, moderate=moderate, usage=usage, span=span)
        if self._hooks:
            engine.hooks = c.pointer(self._hooks)
        if log:
            engine.log = self._log = _abi.LogFn(lambda user, level, message: log(level, message.decode("utf-8", "replace")))
        error = _abi.Error()
        check(lib.llmcall_engine_open(c.byref(engine), c.byref(self._handle), c.byref(error)), error)
        try:
            self.load(path, **options)
        except BaseException:
            self.close()
            raise

    # Made anew each time: kept ones would be a reference cycle, and the engine would be freed at some later moment.
    @property
    def chat(self):
        return Chat(self)

    @property
    def completions(self):
        return Completions(self)

    @property
    def embeddings(self):
        return _embeddings.Embeddings(self)

    def load(self, path, **options):
        """Adds a model. Beside calls that run: they wait."""
        error, failure = _abi.Error(), []
        model = _model_options(path, failure=failure, **options)
        status = lib.llmcall_engine_load(self._handle, c.byref(model), c.byref(error))
        if failure:
            raise failure[0]
        check(status, error)

    def load_adapter(self, path, name=None, *, model=None, max_memory=0):
        """Adds a LoRA adapter (GGUF) to a model; requests choose it by name (none: the file's general.name)."""
        options, error = _abi.AdapterOptions(), _abi.Error()
        lib.llmcall_adapter_options_defaults(c.byref(options))
        options.path = _values.c_string("path", os.fsencode(path))
        options.name = _values.c_string("name", name) if name else None
        options.model = _name(model)
        options.max_memory = _values.integer("max_memory", max_memory, *_values.U64)
        check(lib.llmcall_engine_load_adapter(self._handle, c.byref(options), c.byref(error)), error)

    def unload_adapter(self, name, *, model=None):
        """Forgets an adapter; calls that use it go on."""
        error = _abi.Error()
        check(lib.llmcall_engine_unload_adapter(self._handle, _name(model), _values.c_string("name", name), c.byref(error)), error)

    def close(self):
        """Ends what still runs. Not from a hook."""
        if self._handle:
            lib.llmcall_engine_close(c.byref(self._handle))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def __del__(self):
        if getattr(self, "_handle", None):
            self.close()

    def step(self):
        """One step of an engine with threads=0; true while there is more to do."""
        busy, error = c.c_int32(), _abi.Error()
        with self._stepping:
            check(lib.llmcall_engine_step(self._handle, c.byref(busy), c.byref(error)), error)
        return bool(busy.value)

    def tokenize(self, text, special=True, *, add_bos_eos=False, model=None):
        """Token ids. special: control tokens written in the text become those tokens (text must then be trusted)."""
        data, flags = _values.text("text", text), (1 if special else 0) | (2 if add_bos_eos else 0)
        n, error, name = c.c_size_t(), _abi.Error(), _name(model)
        room = len(data) + 8
        while True:
            ids = (c.c_int32 * room)()
            status = lib.llmcall_tokenize(self._handle, name, data, len(data), flags, ids, room, c.byref(n), c.byref(error))
            if status != Status.BUFFER:
                check(status, error)
                return list(ids[: n.value])
            room = n.value

    def detokenize(self, ids, *, special=False, model=None):
        """The bytes of the ids, which need not be whole characters."""
        tokens = make_tokens(ids)
        return _sized(lambda *out: lib.llmcall_detokenize(self._handle, _name(model), tokens, len(tokens), int(bool(special)), *out))

    def apply_template(self, messages, tools=None, add_generation_prompt=True, *, model=None, **variables):
        """The prompt that the model's chat template makes of whole messages: tool_calls, reasoning_content, content lists.
        variables: whatever else the template speaks of (documents, enable_thinking)."""
        data = _values.json_object({"messages": messages, "tools": tools, "add_generation_prompt": add_generation_prompt,
                                    **variables})
        return _sized(lambda *out: lib.llmcall_apply_template_json(self._handle, _name(model), data, len(data), *out)).decode()

    def count_tokens(self, messages, *, model=None):
        """Prompt tokens that a chat completion of these messages would be billed for."""
        n, error, array = c.c_size_t(), _abi.Error(), make_messages(messages)
        check(lib.llmcall_count_tokens(self._handle, _name(model), array, len(array), c.byref(n), c.byref(error)), error)
        return n.value

    def score(self, tokens, *, model=None):
        """Logits after each token: a numpy array (len(tokens), vocabulary), float32."""
        import numpy

        ids, error = make_tokens(tokens), _abi.Error()
        logits = numpy.empty((len(ids), self.model_info(model).vocab_size), numpy.float32)
        pointer = logits.ctypes.data_as(c.POINTER(c.c_float))
        check(lib.llmcall_score(self._handle, _name(model), ids, len(ids), pointer, logits.size, c.byref(error)), error)
        return logits

    def embed(self, texts, *, pooling=None, normalize=True, truncate=False, dimensions=None, model=None, priority=0, timeout=None,
              caller=None, adapter=None, adapter_scale=None, progress=None):
        """Vectors as a numpy array: (width,) for one text, (n, width) for a list. Token ids serve as well as text.

        pooling: "mean", "cls", "last", None: the model's own; "none": a vector a token, (tokens, width), of a list a list of
        such. normalize: length 1. truncate: the beginning of what is longer than the context. dimensions: only the first so
        many. adapter, adapter_scale: as in completions. progress(texts done, texts) -> true to stop. All texts are one call,
        computed together.
        """
        return _embeddings.embed(self, texts, model, pooling, normalize, truncate, dimensions, priority, timeout, caller,
                                 adapter, adapter_scale, progress)

    def rerank(self, query, documents, *, truncate=False, model=None, priority=0, timeout=None, caller=None, progress=None):
        """[(index, score)] of the documents, the one that answers the query best first, by a model with a head for it."""
        return _embeddings.rerank(self, query, documents, model, truncate, priority, timeout, caller, progress)

    def model_info(self, model=None):
        """pooling: LLMCALL_POOLING_*: 0 unnamed, 1 mean, 2 cls, 3 last."""
        return self._info(lib.llmcall_model_info, _abi.ModelInfo(), _name(model))

    def device_info(self):
        return self._info(lib.llmcall_device_info, _abi.DeviceInfo())

    def metrics(self):
        return self._info(lib.llmcall_metrics, _abi.Metrics())

    def _info(self, function, struct, *arguments):
        error = _abi.Error()
        check(function(self._handle, *arguments, c.byref(struct), c.byref(error)), error)
        return record(struct)


def _sized(function):
    """Calls function(buffer, capacity, size, error), again with room enough if the first try had too little."""
    capacity = 4096
    while True:
        out, size, error = c.create_string_buffer(capacity), c.c_size_t(), _abi.Error()
        status = function(out, capacity, c.byref(size), c.byref(error))
        if status != Status.BUFFER or size.value <= capacity:
            check(status, error)
            return out.raw[: size.value]
        capacity = size.value


def _name(model):
    return _values.c_string("model", model) if model else None


def make_tokens(tokens):
    """A ctypes array of ids."""
    tokens = _values.ids("tokens", tokens)
    return (c.c_int32 * len(tokens))(*tokens)
