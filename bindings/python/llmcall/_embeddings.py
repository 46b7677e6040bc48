"""Embeddings and ranks: embeddings.create shaped as the openai package's, and Engine.embed and Engine.rerank as numpy arrays."""

import base64
import ctypes as c

from . import _abi, _values
from ._abi import lib
from ._call import usage_record
from ._completions import deadline_ms, real, set_caller
from ._hooks import make_progress
from ._types import Error, Record, Status, check

_POOLINGS = {None: 0, "mean": 1, "cls": 2, "last": 3, "none": 4}
_NONE = _POOLINGS["none"]


class Embeddings:
    """engine.embeddings"""

    def __init__(self, engine):
        self._engine = engine

    def create(self, *, input, model=None, dimensions=None, encoding_format="float", user=None, pooling=None, normalize=True,
               truncate=False, priority=0, timeout=None, caller=None, adapter=None, adapter_scale=None):
        """One vector for each of input: a text, a list of texts, a list of token ids, or a list of such lists.

        As in openai: model, dimensions, encoding_format ("float" or "base64"), user (goes nowhere), timeout (seconds); beyond it
        pooling, normalize, truncate as in Engine.embed, priority, caller, adapter, adapter_scale.
        """
        if encoding_format not in ("float", "base64"):
            raise Error.argument("encoding_format", f'encoding_format is {encoding_format!r}; it must be "float" or "base64".')
        if pooling == "none":
            raise Error.argument("pooling", 'pooling is "none": a vector a token; Engine.embed gives them.')
        _, vectors, _, usage = _embed(self._engine, input, "input", model, pooling, normalize, truncate, dimensions, priority, timeout,
                                      caller, adapter, adapter_scale)
        data = [Record(object="embedding", index=i, embedding=_encoded(vector, encoding_format)) for i, vector in enumerate(vectors)]
        return Record(object="list", data=data, model=usage.model, usage=usage)


def embed(engine, texts, model, pooling, normalize, truncate, dimensions, priority, timeout, caller, adapter, adapter_scale, progress):
    single, vectors, rows, _ = _embed(engine, texts, "texts", model, pooling, normalize, truncate, dimensions, priority, timeout, caller,
                                      adapter, adapter_scale, progress)
    if _POOLINGS[pooling] != _NONE:
        return vectors[0] if single else vectors
    parts, first = [], 0
    for n in rows:
        parts.append(vectors[first:first + n])
        first += n
    return parts[0] if single else parts


def rerank(engine, query, documents, model, truncate, priority, timeout, caller, progress):
    """(index, score) of the documents, best first; of equal ones the earlier."""
    if isinstance(documents, (str, bytes)) or not hasattr(documents, "__iter__"):
        raise Error.argument("documents", f"documents is a {type(documents).__name__}; it must be a list of texts.")
    documents = [_values.text(f"documents[{i}]", document) for i, document in enumerate(documents)]
    request, query = _abi.RerankRequest(), _values.text("query", query)
    _set_common(request, model, truncate, priority, timeout, caller)
    request.query, request.query_size = query, len(query)
    request.documents, request.document_sizes = _texts(documents)
    request.n_documents = len(documents)
    scores, usage, error = (c.c_float * len(documents))(), _abi.UsageRecord(), _abi.Error()
    failure = _set_progress(request, progress)
    status = lib.llmcall_rerank(engine._handle, c.byref(request), scores, c.byref(usage), c.byref(error))
    if failure:
        raise failure[0]
    _checked(status, error, usage)
    return sorted(((i, float(score)) for i, score in enumerate(scores)), key=lambda pair: (-pair[1], pair[0]))


def _checked(status, error, usage):
    try:
        check(status, error)
    except Error as failure:
        if usage.call_id:
            failure.usage = usage_record(usage)
        raise


def _set_progress(request, progress):
    """The list of what it will have raised."""
    failure = []
    if progress:
        request.progress = make_progress(progress, failure)
    return failure


def _set_common(request, model, truncate, priority, timeout, caller):
    request.model = _values.c_string("model", model) if model else None
    request.truncate = _values.flag("truncate", truncate)
    request.priority = _values.integer("priority", priority, *_values.I32)
    request.deadline_ms = deadline_ms(timeout)
    set_caller(request, caller)


def _texts(texts):
    return (c.c_char_p * len(texts))(*texts), (c.c_int64 * len(texts))(*map(len, texts))


def _is_ids(value):
    return hasattr(value, "__iter__") and not isinstance(value, (str, bytes, dict))


def _split(given, param):
    """(it was one text, the texts as bytes, or the texts as ids)"""
    if isinstance(given, (str, bytes)):
        return True, [_values.text(param, given)], None
    if not _is_ids(given):
        raise Error.argument(param, f"{param} is a {type(given).__name__}; it must be text, token ids, or a list of either.")
    given = list(given)
    if given and hasattr(given[0], "__index__"):
        return True, None, [_values.ids(param, given)]
    if given and _is_ids(given[0]):
        return False, None, [_values.ids(f"{param}[{i}]", ids) for i, ids in enumerate(given)]
    return False, [_values.text(f"{param}[{i}]", text) for i, text in enumerate(given)], None


def _set_input(request, texts, tokens):
    request.n_texts = len(tokens if texts is None else texts)
    if texts is not None:
        request.texts, request.text_sizes = _texts(texts)
        return
    arrays = [(c.c_int32 * len(ids))(*ids) for ids in tokens]
    request.tokens = (c.POINTER(c.c_int32) * len(arrays))(*(c.cast(array, c.POINTER(c.c_int32)) for array in arrays))
    request.token_counts = (c.c_size_t * len(tokens))(*map(len, tokens))


def _embed(engine, given, param, model, pooling, normalize, truncate, dimensions, priority, timeout, caller, adapter, adapter_scale,
           progress=None):
    """(it was one text, vectors (n, width), how many each text has, usage)"""
    if not isinstance(pooling, (str, type(None))) or pooling not in _POOLINGS:
        raise Error.argument("pooling", f'pooling is {pooling!r}; it must be None, "mean", "cls", "last" or "none".')
    single, texts, tokens = _split(given, param)
    request = _abi.EmbedRequest()
    _set_common(request, model, truncate, priority, timeout, caller)
    _set_input(request, texts, tokens)
    if adapter is not None:
        request.adapter = _values.c_string("adapter", adapter)
    if adapter_scale is not None:
        request.adapter_scale = real("adapter_scale", adapter_scale)
    request.pooling = _POOLINGS[pooling]
    request.no_normalize = 1 - _values.flag("normalize", normalize)
    request.dimensions = 0 if dimensions is None else _values.integer("dimensions", dimensions, 1, _values.U32[1])
    rows = (c.c_uint32 * request.n_texts)()
    request.rows = rows
    vectors, n_vectors, usage = _run(engine, request, texts if texts is not None else tokens, progress)
    vectors = vectors[:n_vectors * (request.dimensions or engine.model_info(usage.model).width)].reshape(n_vectors, -1)
    return single, vectors.copy() if request.pooling == _NONE else vectors, list(rows), usage


def _run(engine, request, texts, progress):
    """Twice where another model is chosen than the first one loaded, or a text has more tokens than bytes."""
    import numpy

    failure = _set_progress(request, progress)
    name = request.model.decode() if request.model else None
    for attempt in range(2):
        # Room that is not used takes no memory: a text has no more tokens than the context.
        info = engine.model_info(name)
        if attempt == 0:
            n = sum(min(len(text) + 8, info.context_length) for text in texts) if request.pooling == _NONE else len(texts)
        vectors = numpy.empty(n * info.width, numpy.float32)
        n_vectors, usage, error = c.c_size_t(), _abi.UsageRecord(), _abi.Error()
        status = lib.llmcall_embed_texts(engine._handle, c.byref(request), vectors.ctypes.data_as(c.POINTER(c.c_float)), vectors.size,
                                         c.byref(n_vectors), c.byref(usage), c.byref(error))
        if status != Status.BUFFER:
            break
        n, name = n_vectors.value, usage.model.decode("utf-8", "replace")
    if failure:
        raise failure[0]
    _checked(status, error, usage)
    return vectors, n_vectors.value, usage_record(usage)


def _encoded(vector, encoding_format):
    if encoding_format == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return [float(number) for number in vector]
