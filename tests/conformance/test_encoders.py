"""Encoders: all-MiniLM-L6-v2 against plain numpy, and what is its own kind of model in the engine."""
import json
import math
import pathlib

import fixtures
import gguf
import llmcall
import minilm
import numpy as np
import pytest
import tokenizers

TEXTS = ["A cat sat on the mat.", "a kitten was sitting on a rug", "The central bank left interest rates as they were.", "x",
         "Ein Überblick: 東京 café naïve 😀, it's 3.14159!", "Interest rates rose. " * 20]
# What llama.cpp says of models with random weights (xllamacpp 2026.10.11549, CPU, no flash attention).
STORED = json.loads((pathlib.Path(__file__).resolve().parent.parent / "data" / "encoders.json").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("minilm")


@pytest.fixture(scope="module")
def bert():
    return minilm.Bert()


@pytest.fixture(scope="module")
def encoder(folder):
    minilm.convert(folder / "f32.gguf")
    with llmcall.Engine(folder / "f32.gguf", threads=2) as engine:
        yield engine


@pytest.fixture(scope="module")
def rows(encoder, bert):
    """numpy's hidden rows of each text."""
    return [bert.hidden(encoder.tokenize(text, special=False, add_bos_eos=True)) for text in TEXTS]


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def cosines(got, expected):
    return (got * unit(expected)).sum(-1)


def test_tokens_are_the_tokenizers_packages(encoder):
    theirs = tokenizers.Tokenizer.from_file(str(minilm.folder() / "tokenizer.json"))
    theirs.no_padding(), theirs.no_truncation()
    for text in TEXTS:
        assert encoder.tokenize(text, special=False, add_bos_eos=True) == theirs.encode(text).ids


def test_vectors_are_numpys(encoder, rows):
    """Mean, which the file names, and the other poolings."""
    pooled = {"mean": np.stack([text.mean(0) for text in rows]), "cls": np.stack([text[0] for text in rows]),
              "last": np.stack([text[-1] for text in rows])}
    for pooling, expected in pooled.items():
        got = encoder.embed(TEXTS, pooling=pooling)
        assert cosines(got, expected).min() >= 0.99999
        assert np.abs(got - unit(expected)).max() <= 1e-5
        assert fixtures.nmse(encoder.embed(TEXTS, pooling=pooling, normalize=False), expected) <= 1e-9
    assert np.array_equal(encoder.embed(TEXTS), encoder.embed(TEXTS, pooling="mean"))
    for got, expected in zip(encoder.embed(TEXTS, pooling="none", normalize=False), rows):
        assert fixtures.nmse(got, expected) <= 1e-9


@pytest.mark.parametrize("kind,least", [("F16", 0.99999), ("Q8_0", 0.998)])
def test_smaller_weights(kind, least, folder, rows):
    minilm.convert(folder / f"{kind}.gguf", kind)
    with llmcall.Engine(folder / f"{kind}.gguf") as engine:
        assert engine.model_info().quantization == kind
        assert cosines(engine.embed(TEXTS), np.stack([text.mean(0) for text in rows])).min() >= least


def test_the_same_bits(encoder, folder):
    """Alone, together, in any order, with other threads and steps; and what it says is sensible."""
    together = encoder.embed(TEXTS)
    assert all(np.array_equal(encoder.embed(text), vector) for text, vector in zip(TEXTS, together))
    assert np.array_equal(encoder.embed(TEXTS[::-1] * 12), np.tile(together[::-1], (12, 1)))
    for threads, max_step_tokens in [(1, 512), (3, 600), (0, 16)]:
        with llmcall.Engine(folder / "f32.gguf", threads=threads, max_step_tokens=max_step_tokens) as other:
            assert np.array_equal(other.embed(TEXTS), together)
    cat, kitten, rates = together[:3]
    assert cat @ kitten > 0.5 > 0.2 > cat @ rates


def test_longer_than_the_context(encoder):
    long = "over and out " * 300
    with pytest.raises(llmcall.Error) as caught:
        encoder.embed(["short", long])
    assert caught.value.status == llmcall.Status.CONTEXT_LENGTH and "texts[1] has 902 tokens; the context holds 512" in caught.value.message
    ids = encoder.tokenize(long, add_bos_eos=True)
    cut = [*ids[:511], ids[-1]]  # [SEP] stays
    assert np.array_equal(encoder.embed(long, truncate=True), encoder.embed(cut))


def test_an_encoder_gives_no_text(encoder):
    for use in (lambda: encoder.completions.create(prompt="text"), lambda: encoder.completions.create(prompt="t", model="all-MiniLM-L6-v2"),
                lambda: encoder.score([101, 102])):
        with pytest.raises(llmcall.Error) as caught:
            use()
        assert caught.value.status == llmcall.Status.UNSUPPORTED and caught.value.code == "no_text_model"
    info = encoder.model_info()
    assert (info.causal, info.pooling, info.ranks, info.architecture) == (0, 1, 0, "bert")


def test_beside_a_model_that_chats(model_path, folder, encoder):
    """Without a name, vectors come from the model made for them, and text from the other."""
    with llmcall.Engine(model_path, kv_bytes=8 << 20, context_length=256) as engine:
        engine.load(folder / "f32.gguf")
        assert np.array_equal(engine.embed(TEXTS), encoder.embed(TEXTS))
        assert engine.embeddings.create(input="x").model == "all-MiniLM-L6-v2"
        assert engine.completions.create(prompt="One, two,", max_tokens=2).usage.completion_tokens == 2
        assert engine.embed("x", model=engine.model_info().name).shape == (576,)


def test_a_head_ranks_pairs(folder, encoder, bert):
    """A cross-encoder's head with random weights: [CLS] query [SEP] document [SEP], the document of type 1."""
    width = bert.c["hidden_size"]
    shapes = {"cls.weight": (width, width), "cls.bias": (width,), "cls.output.weight": (2, width), "cls.output.bias": (2,)}
    head = {name: fixtures.uniform(name, shape, -0.2, 0.2) for name, shape in shapes.items()}
    minilm.convert(folder / "ranks.gguf", pooling=gguf.PoolingType.RANK, tensors=head)
    query, documents = "Where did the cat sit?", [*TEXTS[:5], "mat " * 600]
    expected = {}
    for i, document in enumerate(documents[:5]):
        first = encoder.tokenize(query, add_bos_eos=True)
        second = encoder.tokenize(document, special=False, add_bos_eos=True)[1:]
        x = bert.hidden(first + second, [0] * len(first) + [1] * len(second))[0]
        x = np.tanh(head["cls.weight"] @ x + head["cls.bias"])
        expected[i] = float(head["cls.output.weight"][0] @ x + head["cls.output.bias"][0])
    with llmcall.Engine(folder / "ranks.gguf") as engine:
        ranked = engine.rerank(query, documents[:5])
        assert ranked == sorted(ranked, key=lambda pair: -pair[1])
        assert dict(ranked) == pytest.approx(expected, abs=1e-4)
        with pytest.raises(llmcall.Error) as caught:
            engine.rerank(query, documents)
        assert caught.value.status == llmcall.Status.CONTEXT_LENGTH and "documents[5]" in caught.value.message
        assert len(engine.rerank(query, documents, truncate=True)) == 6
        with pytest.raises(llmcall.Error) as caught:
            engine.embed("text")
        assert caught.value.code == "ranks_only"
        assert np.array_equal(engine.embed(TEXTS, pooling="mean"), encoder.embed(TEXTS))


# ---- Others against llama.cpp ----

# It computes GELU by a table of half precision, and where a model was trained with the exact one, by its approximation.
GELU = {"gemma-embedding": 2e-7, "gemma-embedding-dense": 2e-7, "modern-bert": 1e-6, "jina-bert-v2": 1e-6, "jina-bert-v2-fused": 1e-6, "jina-bert-v2-code": 1e-6, "jina-bert-v3": 1e-6,
        "nomic-bert-moe": 1e-6}


@pytest.mark.parametrize("name", fixtures.encoders())
def test_rows_are_llama_cpps(name, tmp_path):
    tokens = fixtures.build(name, tmp_path / "model.gguf")["tokens"]
    long = [(i * 37 + i * i) % 128 for i in range(200)]  # several groups of positions, and windows
    with llmcall.Engine(tmp_path / "model.gguf", threads=2) as engine:
        rows = lambda tokens: np.asarray(engine.embed([tokens], pooling="none", normalize=False)[0])
        assert fixtures.nmse(rows(tokens), fixtures.logits(name)) <= GELU.get(name, 1e-8)
        expected, vectors = rows(long), engine.embed([long, tokens, long[:70]], pooling="mean")
    with llmcall.Engine(tmp_path / "model.gguf", threads=1) as engine:
        assert np.array_equal(rows(long), expected)
        assert np.array_equal(engine.embed([long[:70], long, tokens], pooling="mean"), vectors[[2, 0, 1]])


@pytest.mark.parametrize("name,key,kind,value,code", [
    ("modern-bert", "hidden_activation", "STRING", "relu", "UNSUPPORTED"), ("modern-bert", "attention.causal", "BOOL", True, "UNSUPPORTED"),
    ("gemma-embedding", "attention.causal", "BOOL", True, "UNSUPPORTED"),
    ("modern-bert", "attention.sliding_window_pattern", "ARRAY", [1], "FORMAT")])
def test_a_setting_that_is_not_served_is_named(name, key, kind, value, code, tmp_path):
    spec = fixtures.description(name)
    own = f"{spec['architecture']}.{key}"
    spec["keys"] = [entry for entry in spec["keys"] if entry[0] != own] + [[own, kind, value]]
    fixtures.write(spec, tmp_path / "model.gguf")
    with pytest.raises(llmcall.Error) as caught:
        llmcall.Engine(tmp_path / "model.gguf")
    assert caught.value.status == llmcall.Status[code] and caught.value.param == own and key.split(".")[-1] in str(caught.value)


def build_nomic(path, n_types=2, without=None, small=False):
    """small: 128 tokens without texts."""
    width, n_ff, n_layers = 64, 96, 2
    writer = gguf.GGUFWriter(str(path), "nomic-bert")
    writer.add_context_length(512)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(n_ff)
    writer.add_block_count(n_layers)
    writer.add_head_count(4)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_token_type_count(n_types)
    writer.add_rope_freq_base(1000.0)
    if small:
        writer.add_tokenizer_model("no_vocab")
        writer.add_vocab_size(128)
    else:
        minilm.copy_vocabulary(writer)
    shapes = {"token_embd.weight": (128 if small else 30522, width), "token_types.weight": (2, width), "token_embd_norm.weight": (width,),
              "token_embd_norm.bias": (width,)}
    for i in range(n_layers):
        shapes |= {f"blk.{i}.attn_qkv.weight": (3 * width, width), f"blk.{i}.attn_output.weight": (width, width),
                   f"blk.{i}.ffn_up.weight": (n_ff, width), f"blk.{i}.ffn_gate.weight": (n_ff, width),
                   f"blk.{i}.ffn_down.weight": (width, n_ff)}
        shapes |= {f"blk.{i}.{norm}.{kind}": (width,) for norm in ("attn_output_norm", "layer_output_norm") for kind in ("weight", "bias")}
    for name, shape in shapes.items():
        low, high = (0.5, 1.5) if name.endswith("norm.weight") else (-0.3, 0.3) if name.endswith("bias") else (-0.35, 0.35)
        if name.startswith("token_") and len(shape) == 2:
            low, high = -1, 1
        if name != without:
            writer.add_tensor(name, fixtures.uniform(name, shape, low, high))
    write(writer)


def write(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def build_eurobert(path):
    """llama's block, seen from both sides."""
    spec = fixtures.description("llama-dense")
    writer = gguf.GGUFWriter(str(path), "eurobert")
    for key, kind, value in spec["keys"]:
        if key.startswith("llama.") and not key.endswith("vocab_size"):
            writer.add_key_value(key.replace("llama", "eurobert"), value, gguf.GGUFValueType[kind])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    minilm.copy_vocabulary(writer)
    for name, shape, low, high in spec["tensors"]:
        if name not in ("output.weight", "rope_freqs.weight"):
            writer.add_tensor(name, fixtures.uniform(name, [30522, shape[1]] if name == "token_embd.weight" else shape, low, high))
    write(writer)


def build_modern_bert(path):
    """With BERT's vocabulary, which has what a pair of texts needs, and a head."""
    spec = fixtures.description("modern-bert")
    writer = gguf.GGUFWriter(str(path), "modern-bert")
    for key, kind, value in spec["keys"]:
        if key.startswith("modern-bert.") and not key.endswith("vocab_size"):
            writer.add_key_value(key, value, gguf.GGUFValueType[kind])
    minilm.copy_vocabulary(writer)
    tensors = spec["tensors"] + [["cls.weight", [64, 64], -0.35, 0.35], ["cls.norm.weight", [64], 0.5, 1.5], ["cls.output.weight", [1, 64], -1, 1],
                                 ["cls.output.bias", [1], -0.3, 0.3]]
    data = {name: fixtures.uniform(name, [30522, 64] if name == "token_embd.weight" else shape, low, high) for name, shape, low, high in tensors}
    for name, values in data.items():
        writer.add_tensor(name, values)
    write(writer)
    return data


def test_a_head_of_modern_bert(tmp_path):
    """The mean of the rows, GELU, a layer norm: as transformers' ModernBertForSequenceClassification."""
    data = build_modern_bert(tmp_path / "model.gguf")
    query, documents = "Where did the cat sit?", TEXTS[:4]
    with llmcall.Engine(tmp_path / "model.gguf") as engine:
        got = dict(engine.rerank(query, documents))
        for i, document in enumerate(documents):
            tokens = engine.tokenize(query, add_bos_eos=True) + engine.tokenize(document, special=False, add_bos_eos=True)[1:]
            x = data["cls.weight"].astype(float) @ engine.embed([tokens], pooling="mean", normalize=False)[0]
            x = np.array([0.5 * v * math.erfc(-v / math.sqrt(2)) for v in x])
            x = (x - x.mean()) / np.sqrt(x.var() + 1e-5) * data["cls.norm.weight"]
            assert got[i] == pytest.approx(data["cls.output.weight"][0] @ x + data["cls.output.bias"][0], abs=1e-4)


def build_xlm_roberta(path):
    """BERT's block with Unigram's vocabulary, one type, two separators in a pair, and a head."""
    width, n_ff = 32, 64
    writer = gguf.GGUFWriter(str(path), "bert")
    ends, letters = ["<s>", "<pad>", "</s>", "<unk>"], [*"abcdefghijklmnopqrstuvwxyzNTW.?"]
    words = ["\u2581", "\u2581Who", "\u2581bought", "\u2581it", "\u2581The", "\u2581tower", "\u2581is", "\u2581No", "body"]
    tokens = [*ends, *words, *letters]
    writer.add_tokenizer_model("t5")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * 4 + [-2.0 - i / 8 for i in range(len(words))] + [-6.0 - i / 8 for i in range(len(letters))])
    writer.add_token_types([3, 3, 3, 2] + [1] * (len(tokens) - 4))
    for name, i in [("bos", 0), ("padding", 1), ("eos", 2), ("seperator", 2), ("unknown", 3)]:
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", i)
    for name in ("add_bos_token", "add_eos_token", "add_sep_token", "add_space_prefix", "remove_extra_whitespaces"):
        writer.add_bool(f"tokenizer.ggml.{name}", True)
    writer.add_token_type_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(n_ff)
    writer.add_block_count(2)
    writer.add_head_count(2)
    writer.add_layer_norm_eps(1e-5)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.RANK)
    shapes = {"token_embd.weight": (len(tokens), width), "position_embd.weight": (128, width),
              "token_types.weight": (1, width), "token_embd_norm.weight": (width,), "token_embd_norm.bias": (width,),
              "cls.weight": (width, width), "cls.bias": (width,), "cls.output.weight": (1, width), "cls.output.bias": (1,)}
    for i in range(2):
        for name, rows, cols in [*((f"attn_{part}", width, width) for part in ("q", "k", "v", "output")), ("ffn_up", n_ff, width),
                                 ("ffn_down", width, n_ff)]:
            shapes |= {f"blk.{i}.{name}.weight": (rows, cols), f"blk.{i}.{name}.bias": (rows,)}
        shapes |= {f"blk.{i}.{norm}.{kind}": (width,) for norm in ("attn_output_norm", "layer_output_norm") for kind in ("weight", "bias")}
    for name, shape in shapes.items():
        low, high = (0.5, 1.5) if name.endswith("norm.weight") else (-0.3, 0.3) if name.endswith("bias") else (-0.35, 0.35)
        if name.startswith(("token_", "position_", "cls.output")) and len(shape) == 2:
            low, high = -1, 1
        writer.add_tensor(name, fixtures.uniform(name, shape, low, high))
    write(writer)


@pytest.mark.parametrize("name,build", [("nomic-bert", build_nomic), ("eurobert", build_eurobert)])
def test_vectors_are_llama_cpps(name, build, tmp_path):
    build(tmp_path / "model.gguf")
    with llmcall.Engine(tmp_path / "model.gguf") as engine:
        assert np.abs(engine.embed(STORED["texts"]) - np.array(STORED[name])).max() <= 2e-6


def test_ranks_are_llama_cpps(tmp_path):
    """llama.cpp's GELU is an approximation; a missing separator moves the scores by 0.3."""
    build_xlm_roberta(tmp_path / "model.gguf")
    stored = STORED["xlm-roberta"]
    with llmcall.Engine(tmp_path / "model.gguf") as engine:
        assert dict(engine.rerank(stored["query"], stored["documents"])) == pytest.approx(dict(enumerate(stored["scores"])), abs=2e-3)


def test_no_more_positions_than_were_learned(encoder, folder):
    with pytest.raises(llmcall.Error) as caught:
        llmcall.Engine(folder / "f32.gguf", context_length=513)
    assert caught.value.status == llmcall.Status.ARGUMENT and caught.value.param == "context_length"


@pytest.mark.parametrize("change,param", [
    ({"n_types": 0}, "tokenizer.ggml.token_type_count"), ({"n_types": 257}, "tokenizer.ggml.token_type_count"),
    ({"n_types": 3}, "token_types.weight"), ({"without": "token_embd_norm.bias"}, "token_embd_norm.bias"),
    ({"without": "blk.1.layer_output_norm.weight"}, "blk.1.layer_output_norm.weight"), ({"without": "blk.0.attn_qkv.weight"}, "blk.0.attn_q.weight")])
def test_a_broken_encoder(change, param, tmp_path):
    build_nomic(tmp_path / "nomic.gguf", small=True, **change)
    with pytest.raises(llmcall.Error) as caught:
        llmcall.Engine(tmp_path / "nomic.gguf")
    assert caught.value.status == llmcall.Status.FORMAT and caught.value.param == param


def test_types_may_be_absent(tmp_path):
    build_nomic(tmp_path / "nomic.gguf", small=True, without="token_types.weight")
    with llmcall.Engine(tmp_path / "nomic.gguf") as engine:
        assert engine.embed([1, 2, 3]).shape == (64,)
        with pytest.raises(llmcall.Error) as caught:
            engine.embed("text")
        assert caught.value.code == "no_vocabulary"
