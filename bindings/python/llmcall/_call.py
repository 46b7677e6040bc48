"""One call while it runs: its handle, its events as Python objects, and what is left of it when it is over."""

import codecs
import ctypes as c
import threading

from . import _abi
from ._abi import lib
from ._types import Error, Record, Status, check, record

POLL_MS = 100  # between two looks for a KeyboardInterrupt
TEXT, FINISH, USAGE, ERROR = 1, 4, 5, 6
FINISH_ERROR = 6


class Call:
    """Started by the constructor. Belongs to one thread at a time, but cancel() may come from any."""

    def __init__(self, engine, request):
        self._handle = c.c_void_p()
        self._lock = threading.RLock()  # of the handle: cancel() against close()
        self.engine = engine
        self.usage = None
        self._timeline = []
        error = _abi.Error()
        check(lib.llmcall_start(engine._handle, c.byref(request), c.byref(self._handle), c.byref(error)), error)
        started = _abi.UsageRecord()
        check(lib.llmcall_usage(self._handle, c.byref(started), c.byref(error)), error)
        self.id = started.call_id.decode()
        self.model = started.model.decode("utf-8", "replace")
        self.created = started.created_unix_ms // 1000

    def _next(self, event):
        """1 event, or None after the last. Without threads in the engine the steps are made here."""
        while self._handle:
            status = lib.llmcall_next(self._handle, c.byref(event), POLL_MS)
            if status == Status.OK:
                return event
            if status == Status.TIMEOUT:
                if self.engine.threads == 0:
                    self.engine.step()
                continue
            if status != Status.END:
                raise Error(status, "call_failed", None, f"The call's events could not be read: {Status(status).name}.")
            break
        return None

    def events(self):
        """(choice, text, token log-probabilities, finish reason) as they come. Raises the call's error, if it failed, when its
        bill is known. However it ends, the handle is closed after it."""
        failure = None
        try:
            event = _abi.Event()
            while self._next(event):
                if event.type == TEXT:
                    tokens = [_token(event.logprobs[i]) for i in range(event.n_tokens)] if event.logprobs else []
                    yield event.choice, event.text[: event.text_size].decode(), tokens, None
                elif event.type == FINISH and event.finish_reason != FINISH_ERROR:
                    yield event.choice, "", [], lib.llmcall_finish_name(event.finish_reason).decode()
                elif event.type == USAGE:
                    self.usage = usage_record(event.usage.contents)
                elif event.type == ERROR:
                    failure = Error.from_c(event.error.contents)
        finally:
            self.close()
        if failure:
            failure.usage = self.usage
            raise failure

    def timeline(self):
        """Spans so far, in stage order: stage, name, start_ns, end_ns, busy_ns, tokens, cost_nano."""
        with self._lock:
            if self._handle:
                self._timeline = _timeline(self._handle)
        return self._timeline

    def cancel(self):
        with self._lock:
            lib.llmcall_cancel(self._handle)

    def close(self):
        """Cancels the call if it still runs."""
        with self._lock:
            if self._handle:
                self._timeline = _timeline(self._handle)
                lib.llmcall_close(c.byref(self._handle))

    def __del__(self):
        if getattr(self, "_lock", None):
            self.close()


def _timeline(handle):
    spans, n, error = (_abi.Span * 14)(), c.c_size_t(), _abi.Error()
    for span in spans:
        span.struct_size = c.sizeof(_abi.Span)
    check(lib.llmcall_timeline(handle, spans, len(spans), c.byref(n), c.byref(error)), error)
    result = []
    for span in spans[: n.value]:
        fields = record(span)
        fields.name = lib.llmcall_stage_name(span.stage).decode()
        result.append(fields)
    return result


# Fields of a usage record that stand elsewhere in the usage that Python shows.
_DETAILS = ("prompt_tokens", "completion_tokens", "cached_tokens", "draft_tokens", "accepted_tokens")


def usage_record(struct):
    """The bill, with OpenAI's fields first."""
    own = record(struct)
    own.finish_reason = lib.llmcall_finish_name(struct.finish_reason).decode()
    return Record(prompt_tokens=own.prompt_tokens, completion_tokens=own.completion_tokens,
                  total_tokens=own.prompt_tokens + own.completion_tokens,
                  prompt_tokens_details=Record(cached_tokens=own.cached_tokens),
                  completion_tokens_details=Record(accepted_prediction_tokens=own.accepted_tokens,
                                                   rejected_prediction_tokens=own.draft_tokens - own.accepted_tokens),
                  **{k: v for k, v in own.__dict__.items() if k not in _DETAILS})


def _one_token(logprob):
    data = logprob.bytes[: logprob.size] if logprob.size else b""
    return {"id": logprob.token, "token": data.decode("utf-8", "replace"), "bytes": list(data), "logprob": logprob.logprob}


def _token(token):
    return Record(**_one_token(token.chosen), top_logprobs=[Record(**_one_token(token.top[i])) for i in range(token.n_top)])


class LegacyLogprobs:
    """Log-probabilities of one choice in the shape of OpenAI's older API; text_offset counts characters of the answer."""

    def __init__(self):
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._offset = 0

    def shape(self, tokens, with_top):
        offsets = []
        for token in tokens:
            offsets.append(self._offset)
            self._offset += len(self._decoder.decode(bytes(token.bytes)))
        top = [{t.token: t.logprob for t in token.top_logprobs} for token in tokens] if with_top else None
        return Record(tokens=[t.token for t in tokens], token_logprobs=[t.logprob for t in tokens], top_logprobs=top,
                      text_offset=offsets)
