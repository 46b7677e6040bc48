#!/usr/bin/env python3
"""Tokenizer files of other formats as vocabulary GGUFs, written as llama.cpp's converters write them.

vocab_gguf.py tokenizer.json PRE OUT   byte-level BPE, WordPiece or Unigram of the tokenizers package
vocab_gguf.py FILE.tiktoken PRE OUT    tiktoken's ranks: lines of base64 and rank
vocab_gguf.py tekken.json PRE OUT      Mistral's ranks
vocab_gguf.py tokenizer.model - OUT    SentencePiece: BPE or Unigram
"""
import base64
import json
import pathlib
import struct
import sys

import gguf

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
SPACE = "\u2581"


def byte_letters():
    """GPT-2's alphabet: byte to character."""
    printing = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printing]
    return {byte: chr(byte) for byte in printing} | {byte: chr(256 + i) for i, byte in enumerate(others)}


LETTERS = byte_letters()


def in_letters(data):
    return "".join(LETTERS[byte] for byte in data)


def write(path, model, tokens, types, *, pre=None, scores=None, merges=None, charsmap=None, ids=None, switches=None):
    """ids: {"bos": 1}; switches: {"add_bos_token": True}, of the keys tokenizer.ggml.*."""
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_tokenizer_model(model)
    if pre:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if scores is not None:
        writer.add_token_scores(scores)
    if merges is not None:
        writer.add_token_merges(merges)
    if charsmap:
        writer.add_precompiled_charsmap(charsmap)
    for name, value in (ids or {}).items():
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", value)
    for name, value in (switches or {}).items():
        writer.add_bool(f"tokenizer.ggml.{name}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def from_ranks(ranks, specials, pre, path, **kw):
    """ranks: {bytes: id}; specials: {text: id}. The merges are every way in which two tokens make a third, which is what tiktoken
    merges by, in the order of the third's rank."""
    merges = []
    for token in sorted(ranks, key=ranks.get):
        ways = [(token[:i], token[i:]) for i in range(1, len(token)) if token[:i] in ranks and token[i:] in ranks]
        merges += sorted(ways, key=lambda way: (ranks[way[0]], ranks[way[1]]))
    n = max([*ranks.values(), *specials.values()]) + 1
    tokens, types = [f"[PAD{i}]" for i in range(n)], [UNUSED] * n
    for token, i in ranks.items():
        tokens[i], types[i] = in_letters(token), NORMAL
    for token, i in specials.items():
        tokens[i], types[i] = token, CONTROL
    write(path, "gpt2", tokens, types, pre=pre, merges=[f"{in_letters(a)} {in_letters(b)}" for a, b in merges], **kw)


def read_tiktoken(path):
    return {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, pathlib.Path(path).read_bytes().splitlines())}


def read_tekken(path):
    """The ranks in use, as mistral-common counts them: without what the special tokens leave no room for."""
    content = json.loads(pathlib.Path(path).read_bytes())
    used = content["config"]["default_vocab_size"] - content["config"]["default_num_special_tokens"]
    return {base64.b64decode(item["token_bytes"]): item["rank"] for item in content["vocab"][:used]}, content["config"]["pattern"]


def from_tokenizer_json(source, pre, path, **kw):
    content = json.loads(pathlib.Path(source).read_bytes())
    model = content["model"]
    if model["type"] == "Unigram":
        return from_unigram_json(content, path, **kw)
    by_id = {i: (token, NORMAL) for token, i in model["vocab"].items()}
    for token in content["added_tokens"]:
        by_id[token["id"]] = token["content"], CONTROL if token["special"] else USER_DEFINED
    pairs = [by_id.get(i, (f"[PAD{i}]", UNUSED)) for i in range(max(by_id) + 1)]
    tokens, types = [token for token, _ in pairs], [kind for _, kind in pairs]
    if model["type"] == "BPE":
        merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
        return write(path, "gpt2", tokens, types, pre=pre, merges=merges, **kw)
    assert model["type"] == "WordPiece"
    tokens = [token if kind != NORMAL else token[2:] if token.startswith("##") else SPACE + token for token, kind in pairs]
    ids = {"unknown": "[UNK]", "cls": "[CLS]", "seperator": "[SEP]", "padding": "[PAD]"}
    return write(path, "bert", tokens, types, pre=pre, ids={name: model["vocab"][token] for name, token in ids.items()}, **kw)


def from_unigram_json(content, path, **kw):
    """With a Precompiled normalizer or none; spaces as the Metaspace pre-tokenizer has them by default."""
    vocab, unknown = content["model"]["vocab"], content["model"]["unk_id"]
    types = [UNKNOWN if i == unknown else NORMAL for i in range(len(vocab))]
    for token in content["added_tokens"]:
        if token["special"] and token["id"] != unknown:
            types[token["id"]] = CONTROL
    normalizer = content.get("normalizer") or {}
    charsmap = base64.b64decode(normalizer["precompiled_charsmap"]) if normalizer.get("type") == "Precompiled" else None
    write(path, "t5", [token for token, _ in vocab], types, scores=[score for _, score in vocab], charsmap=charsmap,
          ids={"unknown": unknown}, **kw)


def wire_fields(data):
    """The fields of a protocol buffer message: (number, value), where a value is an int, four bytes or a length's bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while at < len(data):
        tag = varint()
        if tag & 7 == 0:
            yield tag >> 3, varint()
        else:
            size = varint() if tag & 7 == 2 else {1: 8, 5: 4}[tag & 7]
            yield tag >> 3, data[at:at + size]
            at += size


def wire_message(fields):
    """The opposite of wire_fields; a float is four bytes."""
    def varint(value):
        data = bytearray()
        while value > 127:
            data.append(value & 127 | 128)
            value >>= 7
        return bytes([*data, value])

    out = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        elif isinstance(value, float):
            out += varint(number << 3 | 5) + struct.pack("<f", value)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return bytes(out)


def read_value(data, key):
    """A string or an array of a GGUF file's bytes. The gguf package takes half a minute for 250,000 strings."""
    at = data.index(struct.pack("<Q", len(key)) + key.encode()) + 8 + len(key)
    value_kind, kind, count = struct.unpack_from("<IIQ", data, at)
    if value_kind == 8:
        size = struct.unpack_from("<Q", data, at + 4)[0]
        return data[at + 12:at + 12 + size]
    at += 16
    assert value_kind == 9
    if kind != 8:
        return list(struct.unpack_from("<%d%s" % (count, {0: "B", 1: "b", 5: "i", 6: "f"}[kind]), data, at))
    items = []
    for _ in range(count):
        size = struct.unpack_from("<Q", data, at)[0]
        items.append(data[at + 8:at + 8 + size])
        at += 8 + size
    return items


def to_sentencepiece(source, path, unknown):
    """A Unigram vocabulary GGUF as a model of the sentencepiece package."""
    data = pathlib.Path(source).read_bytes()
    tokens, scores, types, charsmap = (read_value(data, f"tokenizer.ggml.{name}") for name in ("tokens", "scores", "token_type",
                                                                                               "precompiled_charsmap"))
    pieces = [(1, wire_message([(1, token), (2, score), (3, kind)])) for token, score, kind in zip(tokens, scores, types)]
    trainer = wire_message([(3, 1), (40, unknown)])
    normalizer = wire_message([(2, bytes(byte & 255 for byte in charsmap)), (3, 1), (4, 1), (5, 1)])
    pathlib.Path(path).write_bytes(wire_message([*pieces, (2, trainer), (3, normalizer)]))


def from_sentencepiece(source, path, **kw):
    """A trained model: BPE as "llama", Unigram as "t5"."""
    fields = list(wire_fields(pathlib.Path(source).read_bytes()))
    pieces = [dict(wire_fields(value)) for number, value in fields if number == 1]
    trainer, normalizer = (dict(wire_fields(value)) for wanted in (2, 3) for number, value in fields if number == wanted)
    kind = {1: "t5", 2: "llama"}[trainer.get(3, 1)]
    tokens = [piece[1].decode() for piece in pieces]
    types = [piece.get(3, NORMAL) for piece in pieces]  # the same numbers
    defaults = {"unknown": (40, 0), "bos": (41, 1), "eos": (42, 2)}
    ids = {name: trainer.get(number, usual) for name, (number, usual) in defaults.items()}
    write(path, kind, tokens, types, scores=[struct.unpack("<f", piece.get(2, bytes(4)))[0] for piece in pieces],
          charsmap=normalizer.get(2) if kind == "t5" else None, ids={name: i for name, i in ids.items() if i < len(tokens)},
          switches={"add_space_prefix": bool(normalizer.get(3, 1)), "remove_extra_whitespaces": bool(normalizer.get(4, 1))}, **kw)


def main(source, pre, path):
    if source.endswith(".tiktoken"):
        from_ranks(read_tiktoken(source), {}, pre, path)
    elif pathlib.Path(source).name.startswith("tekken"):
        from_ranks(read_tekken(source)[0], {}, pre, path)
    elif source.endswith(".json"):
        from_tokenizer_json(source, pre, path)
    else:
        from_sentencepiece(source, path)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
