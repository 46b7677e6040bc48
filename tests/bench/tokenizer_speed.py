#!/usr/bin/env python3
"""Tokenizes mixed text on one thread with one tokenizer; prints {"mbs", "tokens", "digest", "bytes"} as JSON.

Every side gets the whole text in one call, with the vocabulary and the splitting rule of Llama 3, and gives the same ids, which
the digest shows. The best of a few calls counts. Arguments: ours, tiktoken, tokenizers or llama.cpp; the vocabulary (GGUF); the
text; for ours the library, for llama.cpp the folder of its libraries, for tiktoken the folder that it is installed in. Or
"text", the vocabulary and a file to make: 2.7 MB of text.
"""
import ctypes
import hashlib
import json
import os
import pathlib
import pydoc_data
import sys
import sysconfig
import time

SIZE = 2_700_000
TRIES = 4
# https://github.com/meta-llama/llama3, llama/tokenizer.py
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
           r"|\s*[\r\n]+|\s+(?!\S)|\s+")


# ---- The text: English, code and other scripts, a third each, from what the tests' environment and package hold ----

def files(folder, ending):
    return sorted(path for path in pathlib.Path(folder).rglob("*" + ending) if path.is_file())


def read_some(paths, size):
    out = bytearray()
    for path in paths:
        if len(out) >= size:
            break
        out += path.read_bytes()
    return out[:size].decode(errors="ignore")


def other_scripts(models, size):
    """The test texts of llama.cpp, then words of a vocabulary of many languages in a fixed shuffled order."""
    import gguf
    import numpy as np

    words = gguf.GGUFReader(models / "ggml-vocab-gemma-4.gguf").fields["tokenizer.ggml.tokens"].contents()
    words = [word.replace("\u2581", " ") for word in words if not word.isascii() and not word.startswith("<")]
    text = read_some(files(models, ".inp"), size // 4)
    order = np.random.default_rng(1).integers(len(words), size=size // 4)
    parts, length = [text], len(text.encode())
    for i, at in enumerate(order):
        parts.append(words[at] + ("\n" if i % 20 == 19 else ""))
        length += len(parts[-1].encode())
        if length >= size:
            break
    return "".join(parts).encode()[:size].decode(errors="ignore")


def text_of(models):
    packages = sysconfig.get_paths()["purelib"]
    english = read_some([pathlib.Path(pydoc_data.__file__).parent / "topics.py"] + files(packages, "METADATA"), SIZE // 3)
    code = read_some(files(models / "templates", ".jinja") + files(pathlib.Path(packages) / "numpy", ".py"), SIZE // 3)
    rest = SIZE - len(english.encode()) - len(code.encode())
    return english.replace("\\n", "\n") + code + other_scripts(models, rest)


# ---- The sides: each returns a function from text to ids, and what makes a list of them ----

def ours(vocabulary, library):
    os.environ["LLMCALL_LIBRARY"] = library
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bindings" / "python"))
    import llmcall
    from llmcall import _abi
    engine = llmcall.Engine(vocabulary, vocab_only=True, threads=1)

    def encode(data, ids):
        n, error = ctypes.c_size_t(), _abi.Error()
        status = _abi.lib.llmcall_tokenize(engine._handle, None, data, len(data), 0, ids, len(ids), ctypes.byref(n),
                                            ctypes.byref(error))
        assert status == 0, status
        return n.value
    return c_side(encode)


def c_side(encode):
    """encode(bytes, array) -> count, through C; nothing of the array's becoming a list is timed."""
    def make(text):
        data = text.encode()
        ids = (ctypes.c_int32 * len(data))()
        return lambda: encode(data, ids), lambda n: ids[:n]
    return make


class ModelParams(ctypes.Structure):  # llama_model_params of include/llama.h
    _fields_ = ([(f"pointer{i}", ctypes.c_void_p) for i in range(2)] + [(f"number{i}", ctypes.c_int32) for i in range(5)]
                + [(f"more{i}", ctypes.c_void_p) for i in range(4)] + [("vocab_only", ctypes.c_bool)]
                + [(f"flag{i}", ctypes.c_bool) for i in range(5)])


def llama_cpp(vocabulary, folder):
    for name in ("libggml-base.so", "libggml-cpu.so", "libggml.so"):
        ctypes.CDLL(str(pathlib.Path(folder) / name), mode=ctypes.RTLD_GLOBAL)
    lib = ctypes.CDLL(str(pathlib.Path(folder) / "libllama.so"))
    silent = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda level, line, user: None)
    llama_cpp.keep = silent
    lib.llama_log_set(silent, None)
    lib.llama_backend_init()
    lib.llama_model_default_params.restype = ModelParams
    lib.llama_model_load_from_file.restype = ctypes.c_void_p
    lib.llama_model_load_from_file.argtypes = [ctypes.c_char_p, ModelParams]
    lib.llama_model_get_vocab.restype = ctypes.c_void_p
    lib.llama_model_get_vocab.argtypes = [ctypes.c_void_p]
    lib.llama_tokenize.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.c_void_p, ctypes.c_int32,
                                   ctypes.c_bool, ctypes.c_bool]
    params = lib.llama_model_default_params()
    params.vocab_only = True
    model = lib.llama_model_load_from_file(vocabulary.encode(), params)
    assert model, "llama.cpp did not load the vocabulary"
    vocab = lib.llama_model_get_vocab(model)
    return c_side(lambda data, ids: lib.llama_tokenize(vocab, data, len(data), ids, len(ids), False, False))


def read_vocabulary(path):
    """Tokens as GGUF writes them (byte-level characters), and the merges."""
    import gguf
    fields = gguf.GGUFReader(path).fields
    kinds = fields["tokenizer.ggml.token_type"].contents()
    tokens = fields["tokenizer.ggml.tokens"].contents()
    normal = [token if kind == gguf.TokenType.NORMAL else None for token, kind in zip(tokens, kinds)]
    return normal, fields["tokenizer.ggml.merges"].contents()


def python_side(encode):
    def make(text):
        return lambda: encode(text), list
    return make


def tiktoken(vocabulary, folder):
    sys.path.insert(0, folder)
    import tiktoken as package
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]  # GPT-2's byte-level characters
    byte_of = {chr(b): b for b in plain} | {chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in plain)}
    tokens, _ = read_vocabulary(vocabulary)
    ranks = {bytes(byte_of[c] for c in token): i for i, token in enumerate(tokens) if token is not None}
    encoding = package.Encoding("llama-3", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
    return python_side(encoding.encode_ordinary)


def hf_tokenizers(vocabulary, _):
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import tokenizers as package
    tokens, merges = read_vocabulary(vocabulary)
    vocab = {token: i for i, token in enumerate(tokens) if token is not None}
    pairs = [tuple(merge.split(" ", 1)) for merge in merges]
    tokenizer = package.Tokenizer(package.models.BPE(vocab, pairs, ignore_merges=True))
    tokenizer.pre_tokenizer = package.pre_tokenizers.Sequence([
        package.pre_tokenizers.Split(package.Regex(PATTERN), "isolated"),
        package.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False)  # noqa: E731
    return lambda text: (lambda: encode(text), lambda encoding: encoding.ids)


SIDES = {"ours": ours, "tiktoken": tiktoken, "tokenizers": hf_tokenizers, "llama.cpp": llama_cpp}


def main():
    side, vocabulary, path = sys.argv[1:4]
    if side == "text":
        pathlib.Path(path).write_bytes(text_of(pathlib.Path(vocabulary).parent).encode())
        return
    text = pathlib.Path(path).read_bytes().decode()
    encode, listed = SIDES[side](vocabulary, sys.argv[4] if len(sys.argv) > 4 else None)(text)
    best = float("inf")
    for _ in range(TRIES):
        begin = time.perf_counter()
        got = encode()
        best = min(best, time.perf_counter() - begin)
    ids, size = listed(got), len(text.encode())
    digest = hashlib.sha256(repr(ids).encode()).hexdigest()[:16]
    print(json.dumps(dict(mbs=size / best / 1e6, tokens=len(ids), digest=digest, bytes=size)))


if __name__ == "__main__":
    main()
