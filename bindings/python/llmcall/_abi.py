"""The C ABI in ctypes: structs, functions and where the library is found. One class a struct of llmcall.h, field for field;
tests/conformance/test_abi.py compares every size and offset with the compiler's."""

import ctypes as c
import ctypes.util
import os
from pathlib import Path

Status = c.c_int32
AllocateFn = c.CFUNCTYPE(c.c_void_p, c.c_void_p, c.c_void_p, c.c_size_t, c.c_size_t)
LogFn = c.CFUNCTYPE(None, c.c_void_p, c.c_int32, c.c_char_p)
ClockFn = c.CFUNCTYPE(c.c_int64, c.c_void_p)
ProgressFn = c.CFUNCTYPE(c.c_int32, c.c_void_p, c.c_uint64, c.c_uint64)
ReadFn = c.CFUNCTYPE(c.c_int32, c.c_void_p, c.c_uint64, c.c_void_p, c.c_size_t)


class Struct(c.Structure):
    """A struct that says its own size, as every one that crosses the boundary does."""

    def __init__(self, **fields):
        super().__init__(**fields)
        self.struct_size = c.sizeof(self)


class Error(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("status", c.c_int32), ("http_status", c.c_int32), ("reserved", c.c_int32),
                ("retry_after_ms", c.c_int64), ("code", c.c_char * 48), ("param", c.c_char * 112), ("message", c.c_char * 512)]


class Span(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("stage", c.c_int32), ("start_ns", c.c_int64), ("end_ns", c.c_int64),
                ("busy_ns", c.c_int64), ("tokens", c.c_int64), ("cost_nano", c.c_int64)]


class Reader(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("reserved", c.c_uint32), ("user", c.c_void_p), ("size", c.c_uint64), ("read", ReadFn)]


class Caller(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("reserved", c.c_uint32), ("credential", c.c_char_p), ("credential_size", c.c_int64),
                ("region", c.c_char_p), ("region_size", c.c_int64), ("trace_id", c.c_char_p), ("trace_id_size", c.c_int64),
                ("distance_km", c.c_double), ("http_ns", c.c_int64)]


class AdmitRequest(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("reserved", c.c_uint32), ("caller", c.POINTER(Caller)), ("model", c.c_char_p),
                ("now_ns", c.c_int64), ("running", c.c_uint64)]


class Admission(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("priority", c.c_int32), ("tenant", c.c_char * 64), ("cache_salt", c.c_uint64),
                ("max_tokens_limit", c.c_int64)]


class Candidate(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("index", c.c_int32), ("model", c.c_char_p), ("waiting", c.c_uint64),
                ("running", c.c_uint64), ("kv_free_tokens", c.c_uint64), ("context_length", c.c_uint32), ("reserved", c.c_uint32),
                ("price_prompt", c.c_int64), ("price_completion", c.c_int64), ("network_ns", c.c_int64)]


class RouteRequest(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("n_candidates", c.c_uint32), ("candidates", c.POINTER(Candidate)),
                ("model", c.c_char_p), ("caller", c.POINTER(Caller)), ("priority", c.c_int32), ("reserved", c.c_int32)]


class ModerationRequest(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("choice", c.c_int32), ("call_id", c.c_char_p), ("text", c.POINTER(c.c_char)),
                ("size", c.c_size_t), ("final", c.c_int32), ("reserved", c.c_int32)]


class Moderation(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("action", c.c_int32), ("replacement", c.c_char_p), ("replacement_size", c.c_size_t)]


class UsageRecord(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("status", c.c_int32), ("call_id", c.c_char * 40), ("tenant", c.c_char * 64),
                ("model", c.c_char * 64), ("trace_id", c.c_char * 40), ("prompt_tokens", c.c_uint64), ("cached_tokens", c.c_uint64),
                ("completion_tokens", c.c_uint64), ("cost_prompt_nano", c.c_int64), ("cost_cached_nano", c.c_int64),
                ("cost_completion_nano", c.c_int64), ("cost_nano", c.c_int64), ("created_unix_ms", c.c_int64),
                ("queue_ns", c.c_int64), ("first_token_ns", c.c_int64), ("total_ns", c.c_int64), ("finish_reason", c.c_int32),
                ("attempt", c.c_int32), ("draft_tokens", c.c_uint64), ("accepted_tokens", c.c_uint64), ("adapter", c.c_char * 64)]


AdmitFn = c.CFUNCTYPE(Status, c.c_void_p, c.POINTER(AdmitRequest), c.POINTER(Admission), c.POINTER(Error))
RouteFn = c.CFUNCTYPE(Status, c.c_void_p, c.POINTER(RouteRequest), c.POINTER(c.c_int32), c.POINTER(Error))
ModerateFn = c.CFUNCTYPE(Status, c.c_void_p, c.POINTER(ModerationRequest), c.POINTER(Moderation))
UsageFn = c.CFUNCTYPE(Status, c.c_void_p, c.POINTER(UsageRecord))
SpanFn = c.CFUNCTYPE(None, c.c_void_p, c.c_char_p, c.c_char_p, c.POINTER(Span))


class Hooks(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("reserved", c.c_uint32), ("user", c.c_void_p), ("admit", AdmitFn), ("route", RouteFn),
                ("moderate", ModerateFn), ("usage", UsageFn), ("span", SpanFn)]


class EngineOptions(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("device", c.c_int32), ("threads", c.c_int32), ("max_step_tokens", c.c_uint32),
                ("max_sequences", c.c_uint32), ("max_queue", c.c_uint32), ("max_choices", c.c_uint32),
                ("disable_prefix_cache", c.c_uint32), ("reserved", c.c_uint64), ("allocate", AllocateFn),
                ("allocate_user", c.c_void_p), ("log", LogFn), ("log_user", c.c_void_p), ("clock", ClockFn),
                ("clock_user", c.c_void_p), ("hooks", c.POINTER(Hooks)), ("inexact", c.c_uint32), ("pin_threads", c.c_uint32)]


class ModelOptions(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("vocab_only", c.c_uint32), ("path", c.c_char_p), ("readers", c.POINTER(Reader)),
                ("n_readers", c.c_size_t), ("name", c.c_char_p), ("context_length", c.c_uint32), ("reserved", c.c_uint32),
                ("kv_bytes", c.c_uint64), ("max_memory", c.c_uint64), ("chat_template", c.c_char_p), ("price_prompt", c.c_int64),
                ("price_cached", c.c_int64), ("price_completion", c.c_int64), ("progress", ProgressFn),
                ("progress_user", c.c_void_p), ("kv_type", c.c_int32), ("reserved2", c.c_uint32)]


class AdapterOptions(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("reserved", c.c_uint32), ("model", c.c_char_p), ("name", c.c_char_p),
                ("path", c.c_char_p), ("readers", c.POINTER(Reader)), ("n_readers", c.c_size_t), ("max_memory", c.c_uint64)]


class Memory(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("state_kib", c.c_uint32), ("weights_bytes", c.c_uint64), ("kv_bytes", c.c_uint64),
                ("compute_bytes", c.c_uint64), ("tokenizer_bytes", c.c_uint64), ("total_bytes", c.c_uint64),
                ("available_bytes", c.c_uint64), ("kv_bytes_per_token", c.c_uint64), ("parameters", c.c_uint64)]


class ModelInfo(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("vocab_size", c.c_uint32), ("context_length", c.c_uint32), ("n_layers", c.c_uint32),
                ("width", c.c_uint32), ("n_heads", c.c_uint32), ("n_kv_heads", c.c_uint32), ("head_dim", c.c_uint32),
                ("bos_token", c.c_int32), ("eos_token", c.c_int32), ("name", c.c_char * 64), ("architecture", c.c_char * 32),
                ("memory", Memory), ("quantization", c.c_char * 32), ("pooling", c.c_int32), ("causal", c.c_uint32),
                ("ranks", c.c_uint32), ("reserved2", c.c_uint32), ("adapter_bytes", c.c_uint64),
                ("n_adapters", c.c_uint32), ("reserved3", c.c_uint32)]


class DeviceInfo(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("device", c.c_int32), ("threads", c.c_int32), ("reserved", c.c_uint32),
                ("name", c.c_char * 64), ("tier", c.c_char * 16)]


class Message(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("reserved", c.c_uint32), ("role", c.c_char_p), ("content", c.c_char_p),
                ("content_size", c.c_int64)]


class Logprob(c.Structure):
    _fields_ = [("token", c.c_int32), ("logprob", c.c_float), ("bytes", c.POINTER(c.c_char)), ("size", c.c_size_t)]


class TokenLogprobs(c.Structure):
    _fields_ = [("chosen", Logprob), ("top", c.POINTER(Logprob)), ("n_top", c.c_size_t)]


class Event(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("type", c.c_int32), ("choice", c.c_int32), ("finish_reason", c.c_int32),
                ("text", c.POINTER(c.c_char)), ("text_size", c.c_size_t), ("tokens", c.POINTER(c.c_int32)), ("n_tokens", c.c_size_t),
                ("logprobs", c.POINTER(TokenLogprobs)), ("usage", c.POINTER(UsageRecord)), ("error", c.POINTER(Error))]


EventFn = c.CFUNCTYPE(None, c.c_void_p, c.POINTER(Event))


class LogitBias(c.Structure):
    _fields_ = [("token", c.c_int32), ("bias", c.c_float)]


class Request(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("n", c.c_uint32), ("model", c.c_char_p), ("messages", c.POINTER(Message)),
                ("n_messages", c.c_size_t), ("prompt", c.c_char_p), ("prompt_size", c.c_int64), ("tokens", c.POINTER(c.c_int32)),
                ("n_tokens", c.c_size_t), ("prompt_special", c.c_uint32), ("ignore_eos", c.c_uint32), ("max_tokens", c.c_int64),
                ("temperature", c.c_float), ("top_p", c.c_float), ("min_p", c.c_float), ("top_k", c.c_int32),
                ("presence_penalty", c.c_float), ("frequency_penalty", c.c_float), ("repetition_penalty", c.c_float),
                ("logprobs", c.c_int32), ("top_logprobs", c.c_int32), ("has_seed", c.c_int32), ("seed", c.c_uint64),
                ("logit_bias", c.POINTER(LogitBias)), ("n_logit_bias", c.c_size_t), ("stop", c.POINTER(c.c_char_p)),
                ("n_stop", c.c_size_t), ("response_format", c.c_int32), ("priority", c.c_int32), ("response_schema", c.c_char_p),
                ("tools_json", c.c_char_p), ("tool_choice", c.c_char_p), ("deadline_ms", c.c_int64), ("caller", c.POINTER(Caller)),
                ("on_event", EventFn), ("on_event_user", c.c_void_p), ("speculate", c.c_uint32), ("reserved", c.c_uint32),
                ("adapter", c.c_char_p), ("adapter_scale", c.c_float), ("reserved2", c.c_uint32)]


class EmbedRequest(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("pooling", c.c_int32), ("model", c.c_char_p), ("texts", c.POINTER(c.c_char_p)),
                ("text_sizes", c.POINTER(c.c_int64)), ("tokens", c.POINTER(c.POINTER(c.c_int32))),
                ("token_counts", c.POINTER(c.c_size_t)), ("n_texts", c.c_size_t), ("no_normalize", c.c_uint32),
                ("truncate", c.c_uint32), ("dimensions", c.c_uint32), ("priority", c.c_int32), ("deadline_ms", c.c_int64),
                ("caller", c.POINTER(Caller)), ("rows", c.POINTER(c.c_uint32)), ("adapter", c.c_char_p), ("adapter_scale", c.c_float),
                ("reserved", c.c_uint32), ("progress", ProgressFn), ("progress_user", c.c_void_p)]


class RerankRequest(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("truncate", c.c_uint32), ("model", c.c_char_p), ("query", c.c_char_p),
                ("query_size", c.c_int64), ("documents", c.POINTER(c.c_char_p)), ("document_sizes", c.POINTER(c.c_int64)),
                ("n_documents", c.c_size_t), ("priority", c.c_int32), ("reserved", c.c_uint32), ("deadline_ms", c.c_int64),
                ("caller", c.POINTER(Caller)), ("progress", ProgressFn), ("progress_user", c.c_void_p)]


class Metrics(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("reserved", c.c_uint32), ("calls_started", c.c_uint64), ("calls_finished", c.c_uint64),
                ("calls_failed", c.c_uint64), ("calls_cancelled", c.c_uint64), ("running", c.c_uint64), ("waiting", c.c_uint64),
                ("steps", c.c_uint64), ("prompt_tokens", c.c_uint64), ("cached_tokens", c.c_uint64),
                ("completion_tokens", c.c_uint64), ("kv_pages", c.c_uint64), ("kv_pages_used", c.c_uint64),
                ("kv_pages_cached", c.c_uint64), ("usage_pending", c.c_uint64), ("preemptions", c.c_uint64), ("busy_ns", c.c_int64),
                ("draft_tokens", c.c_uint64), ("accepted_tokens", c.c_uint64), ("states", c.c_uint64),
                ("states_used", c.c_uint64), ("states_cached", c.c_uint64)]


# Python class of each C struct, for the test that compares them.
STRUCTS = {
    "llmcall_error": Error, "llmcall_span": Span, "llmcall_reader": Reader, "llmcall_caller": Caller,
    "llmcall_admit_request": AdmitRequest, "llmcall_admission": Admission, "llmcall_candidate": Candidate,
    "llmcall_route_request": RouteRequest, "llmcall_moderation_request": ModerationRequest, "llmcall_moderation": Moderation,
    "llmcall_usage_record": UsageRecord, "llmcall_hooks": Hooks, "llmcall_engine_options": EngineOptions,
    "llmcall_model_options": ModelOptions, "llmcall_adapter_options": AdapterOptions, "llmcall_memory": Memory, "llmcall_model_info_record": ModelInfo,
    "llmcall_device_info_record": DeviceInfo, "llmcall_message": Message, "llmcall_logprob": Logprob,
    "llmcall_token_logprobs": TokenLogprobs, "llmcall_event": Event, "llmcall_logit_bias": LogitBias, "llmcall_request": Request,
    "llmcall_embed_request": EmbedRequest, "llmcall_rerank_request": RerankRequest, "llmcall_metrics_snapshot": Metrics,
}

_P = c.c_void_p
_ERR = c.POINTER(Error)
_SIZE = c.POINTER(c.c_size_t)
_I32 = c.POINTER(c.c_int32)
_PROTOTYPES = {
    "llmcall_version": (c.c_char_p, []),
    "llmcall_status_name": (c.c_char_p, [Status]),
    "llmcall_stage_name": (c.c_char_p, [c.c_int32]),
    "llmcall_finish_name": (c.c_char_p, [c.c_int32]),
    "llmcall_engine_options_defaults": (None, [c.POINTER(EngineOptions)]),
    "llmcall_model_options_defaults": (None, [c.POINTER(ModelOptions)]),
    "llmcall_adapter_options_defaults": (None, [c.POINTER(AdapterOptions)]),
    "llmcall_request_defaults": (None, [c.POINTER(Request)]),
    "llmcall_engine_open": (Status, [c.POINTER(EngineOptions), c.POINTER(_P), _ERR]),
    "llmcall_engine_close": (None, [c.POINTER(_P)]),
    "llmcall_engine_load": (Status, [_P, c.POINTER(ModelOptions), _ERR]),
    "llmcall_engine_load_adapter": (Status, [_P, c.POINTER(AdapterOptions), _ERR]),
    "llmcall_engine_unload_adapter": (Status, [_P, c.c_char_p, c.c_char_p, _ERR]),
    "llmcall_estimate": (Status, [c.POINTER(EngineOptions), c.POINTER(ModelOptions), c.POINTER(Memory), _ERR]),
    "llmcall_model_info": (Status, [_P, c.c_char_p, c.POINTER(ModelInfo), _ERR]),
    "llmcall_device_info": (Status, [_P, c.POINTER(DeviceInfo), _ERR]),
    "llmcall_tokenize": (Status, [_P, c.c_char_p, c.c_char_p, c.c_int64, c.c_uint32, _I32, c.c_size_t, _SIZE, _ERR]),
    "llmcall_detokenize": (Status, [_P, c.c_char_p, _I32, c.c_size_t, c.c_uint32, c.c_char_p, c.c_size_t, _SIZE, _ERR]),
    "llmcall_apply_template": (Status, [_P, c.c_char_p, c.POINTER(Message), c.c_size_t, c.c_int32, c.c_char_p, c.c_size_t, _SIZE,
                                        _ERR]),
    "llmcall_apply_template_json": (Status, [_P, c.c_char_p, c.c_char_p, c.c_int64, c.c_char_p, c.c_size_t, _SIZE, _ERR]),
    "llmcall_render_template": (Status, [c.c_char_p, c.c_int64, c.c_char_p, c.c_int64, c.c_char_p, c.c_size_t, _SIZE, _ERR]),
    "llmcall_count_tokens": (Status, [_P, c.c_char_p, c.POINTER(Message), c.c_size_t, _SIZE, _ERR]),
    "llmcall_score": (Status, [_P, c.c_char_p, _I32, c.c_size_t, c.POINTER(c.c_float), c.c_size_t, _ERR]),
    "llmcall_embed_texts": (Status, [_P, c.POINTER(EmbedRequest), c.POINTER(c.c_float), c.c_size_t, _SIZE, c.POINTER(UsageRecord),
                                     _ERR]),
    "llmcall_rerank": (Status, [_P, c.POINTER(RerankRequest), c.POINTER(c.c_float), c.POINTER(UsageRecord), _ERR]),
    "llmcall_start": (Status, [_P, c.POINTER(Request), c.POINTER(_P), _ERR]),
    "llmcall_next": (Status, [_P, c.POINTER(Event), c.c_int32]),
    "llmcall_cancel": (None, [_P]),
    "llmcall_usage": (Status, [_P, c.POINTER(UsageRecord), _ERR]),
    "llmcall_timeline": (Status, [_P, c.POINTER(Span), c.c_size_t, _SIZE, _ERR]),
    "llmcall_close": (None, [c.POINTER(_P)]),
    "llmcall_engine_step": (Status, [_P, _I32, _ERR]),
    "llmcall_metrics": (Status, [_P, c.POINTER(Metrics), _ERR]),
}


def _find():
    """LLMCALL_LIBRARY, else beside the package (or in the build folder of a source tree), else the system's."""
    named = os.environ.get("LLMCALL_LIBRARY")
    if named:
        return named
    here = Path(__file__).resolve().parent
    for folder in (here, here.parent, here.parents[2] / "build"):
        for name in ("libllmcall.so.0", "libllmcall.so"):
            if (folder / name).exists():
                return str(folder / name)
    return ctypes.util.find_library("llmcall") or "libllmcall.so.0"


def _load():
    library = c.CDLL(_find())
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


lib = _load()
