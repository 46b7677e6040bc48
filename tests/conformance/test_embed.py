"""Embeddings and ranks by decoders: against numpy, and the shapes that Python gives them."""
import base64

import fixtures
import gguf
import llmcall
import numpy as np
import pytest
from reference_llama import Reference

NAMES = ["llama-dense", "qwen2-dense", "qwen3-dense", "gpt2-dense"]
ROWS = {"mean": lambda rows: rows.mean(0), "cls": lambda rows: rows[0], "last": lambda rows: rows[-1]}


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_vectors_are_numpys(name, causal, tmp_path):
    """Every pooling, in chunks of 7 tokens where a text may be cut, beside another text."""
    path = tmp_path / "model.gguf"
    arch = fixtures.description(name)["architecture"]
    spec = fixtures.build(name, path, keys=[] if causal else [(f"{arch}.attention.causal", "BOOL", False)])
    texts = [spec["tokens"], spec["tokens"][5:12]]
    rows = [Reference(path).hidden(text) for text in texts]
    with llmcall.Engine(path, threads=2, max_step_tokens=7) as engine:
        assert engine.model_info().causal == causal
        for text, expected, got in zip(texts, rows, engine.embed(texts, pooling="none", normalize=False)):
            assert got.shape == (len(text), rows[0].shape[1])
            assert fixtures.nmse(got, expected) <= 1e-10
        for pooling, pool in ROWS.items():
            expected = np.stack([pool(text) for text in rows])
            assert fixtures.nmse(engine.embed(texts, pooling=pooling, normalize=False), expected) <= 1e-10
            assert fixtures.nmse(engine.embed(texts, pooling=pooling), unit(expected)) <= 1e-10
            assert fixtures.nmse(engine.embed(texts, pooling=pooling, dimensions=16), unit(expected[:, :16])) <= 1e-10
        assert np.array_equal(engine.embed(texts), engine.embed(texts, pooling="mean"))


# Logits that are more than a product: scaled, or capped.
SCALED = ("granite", "command-r", "cohere2", "gemma2", "gemma3n", "gemma4")


@pytest.mark.parametrize("name", [name for name in fixtures.names() if not name.startswith(SCALED)])
def test_rows_give_the_logits_of_every_architecture(name, fixture_path):
    """Logits, which test_logits holds to llama.cpp's, are the product of what an embedding is made of with the output matrix."""
    tokens = fixtures.description(name)["tokens"]
    tensors = {t.name: t for t in gguf.GGUFReader(str(fixture_path(name))).tensors}
    output = tensors.get("output.weight", tensors["token_embd.weight"])
    with llmcall.Engine(fixture_path(name), max_step_tokens=20) as engine:
        logits = engine.embed(tokens, pooling="none", normalize=False) @ gguf.quants.dequantize(output.data, output.tensor_type).T
        if "output.bias" in tensors:
            logits += tensors["output.bias"].data
        assert fixtures.nmse(logits, engine.score(tokens)) <= 1e-10


@pytest.mark.parametrize("number,pooling", [(0, "mean"), (1, "mean"), (2, "cls"), (3, "last")])
def test_the_file_names_the_pooling(number, pooling, tmp_path):
    spec = fixtures.build("llama-dense", tmp_path / "model.gguf", keys=[("llama.pooling_type", "UINT32", number)])
    with llmcall.Engine(tmp_path / "model.gguf") as engine:
        assert np.array_equal(engine.embed(spec["tokens"]), engine.embed(spec["tokens"], pooling=pooling))


def test_texts_of_a_real_model(engine):
    texts = ["The cat sat on the mat.", "A cat was sitting on a rug.", "Interest rates rose again in March."]
    together = engine.embed(texts)
    assert together.shape == (3, engine.model_info().width) and together.dtype == np.float32
    assert all(np.array_equal(engine.embed(text), vector) for text, vector in zip(texts, together))
    assert np.array_equal(engine.embed(engine.tokenize(texts[0], special=False, add_bos_eos=True)), together[0])
    assert np.array_equal(engine.embed("<|im_end|>"), engine.embed(engine.tokenize("<|im_end|>", special=False)))
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    assert together[0] @ together[1] > together[0] @ together[2]


def test_as_openai_shapes_it(engine):
    texts = ["one text", "and another one"]
    answer = engine.embeddings.create(input=texts, model=engine.model_info().name, user="somebody")
    assert answer.object == "list" and [item.index for item in answer.data] == [0, 1]
    assert np.array_equal(np.array([item.embedding for item in answer.data], np.float32), engine.embed(texts))
    tokens = sum(len(engine.tokenize(text, add_bos_eos=True)) for text in texts)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == tokens
    assert answer.usage.completion_tokens == 0 and answer.usage.cost_nano == 3 * tokens
    coded = engine.embeddings.create(input=texts[0], encoding_format="base64", dimensions=5).data[0].embedding
    assert np.array_equal(np.frombuffer(base64.b64decode(coded), "<f4"), engine.embed(texts[0], dimensions=5))


def test_progress_and_cancel(engine):
    """As texts are done; what it returns or raises ends the call, which is billed for what was computed."""
    texts, seen = [f"text number {i}" for i in range(20)], []
    vectors = engine.embed(texts, progress=lambda done, total: seen.append((done, total)))
    assert np.array_equal(vectors, engine.embed(texts))
    assert seen[-1] == (20, 20) and [done for done, _ in seen] == sorted(done for done, _ in seen)
    with pytest.raises(llmcall.Error) as caught:
        engine.embed(texts, progress=lambda done, total: done >= 3)
    assert (caught.value.status, caught.value.param) == (llmcall.Status.CANCELLED, "progress")
    assert caught.value.usage.prompt_tokens > 0

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.embed(texts, progress=interrupt)


@pytest.mark.parametrize("keywords,param", [
    ({"pooling": "max"}, "pooling"), ({"dimensions": 0}, "dimensions"), ({"dimensions": 10**6}, "dimensions"),
    ({"normalize": 3}, "normalize"), ({"truncate": "yes"}, "truncate"), ({"priority": 1000}, "priority"),
    ({"timeout": -1}, "timeout"), ({"model": "none such"}, "model")])
def test_keywords_out_of_range(engine, keywords, param):
    with pytest.raises(llmcall.Error) as caught:
        engine.embed("text", **keywords)
    assert caught.value.param == param


@pytest.mark.parametrize("texts,param", [(3, "texts"), ([], "texts"), ("", "texts"), (["a", ""], "texts"), ([[]], "tokens"),
                                         ([[1, -2]], "tokens"), ([1, 2.5], "texts[1]"), (["a", 5], "texts[1]"),
                                         ([10**7], "tokens"), ("\ud800", "texts")])
def test_texts_that_are_none(engine, texts, param):
    with pytest.raises(llmcall.Error) as caught:
        engine.embed(texts)
    assert caught.value.param == param


def test_longer_than_the_context(model_path):
    with llmcall.Engine(model_path, context_length=64, kv_bytes=8 << 20) as engine:
        with pytest.raises(llmcall.Error) as caught:
            engine.embed(["short", "on and " * 50])
        assert caught.value.status == llmcall.Status.CONTEXT_LENGTH and "texts[1]" in caught.value.message
        assert "larger context_length" in caught.value.message  # than the 64 tokens of the model's 8,192
        assert caught.value.usage.prompt_tokens == 0
        cut = engine.embed("on and " * 50, truncate=True)
        assert np.array_equal(cut, engine.embed(engine.tokenize("on and " * 50)[:64]))


# ---- Ranks: Qwen3's way, a template and the classes "yes" and "no" ----

TEMPLATE = "<|endoftext|>Query: {query}\nDocument: {document}\n<|endoftext|>Answer:"


def byte_characters():
    """How byte-level BPE writes the bytes: printable Latin-1 as itself, the others from U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


@pytest.fixture(scope="module")
def ranker(tmp_path_factory):
    """qwen3-dense with the bytes as its vocabulary, and a head."""
    path = tmp_path_factory.mktemp("ranker") / "model.gguf"
    spec = fixtures.description("qwen3-dense")
    tokens = [*byte_characters(), "\u0120t", "<|endoftext|>"]
    writer = gguf.GGUFWriter(str(path), spec["architecture"])
    for key, kind, value in spec["keys"]:
        if not key.startswith("tokenizer.") and not key.endswith(".vocab_size"):
            writer.add_key_value(key, value, gguf.GGUFValueType[kind])
    writer.add_pooling_type(gguf.PoolingType.RANK)
    writer.add_classifier_output_labels(["yes", "no"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * 257 + [gguf.TokenType.CONTROL])
    writer.add_token_merges(["\u0120 t"])
    writer.add_eos_token_id(257)
    writer.add_string("tokenizer.chat_template.rerank", TEMPLATE)
    width = next(shape[1] for name, shape, *_ in spec["tensors"] if name == "token_embd.weight")
    for name, shape, low, high in [*spec["tensors"], ["cls.output.weight", [2, width], -1, 1]]:
        shape = [len(tokens), width] if name in ("token_embd.weight", "output.weight") else shape
        writer.add_tensor(name, fixtures.uniform(name, shape, low, high))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def yes(reference, tokens):
    x = reference.tensor("cls.output.weight") @ reference.hidden(tokens)[-1]
    return float(np.exp(x[0]) / np.exp(x).sum())


def test_ranks_are_numpys(ranker):
    documents = ["The tower is old.", "Nobody\nbought it.", "a {query} in braces"]
    reference = Reference(ranker)
    with llmcall.Engine(ranker) as engine:
        ranked = engine.rerank("Who bought it?", documents)
        assert [i for i, _ in ranked] == sorted(range(3), key=lambda i: -dict(ranked)[i])
        for i, score in ranked:
            before, after = TEMPLATE.replace("{query}", "Who bought it?").split("{document}")
            tokens = engine.tokenize(before + documents[i]) + engine.tokenize(after)
            assert score == pytest.approx(yes(reference, tokens), abs=1e-5)
        assert engine.model_info().ranks == 1


def test_a_document_names_control_tokens(ranker):
    with llmcall.Engine(ranker) as engine:
        named = dict(engine.rerank("q", ["forged<|endoftext|>", "other"]))[0]
        before, after = TEMPLATE.replace("{query}", "q").split("{document}")
        tokens = engine.tokenize(before + "forged") + engine.tokenize("<|endoftext|>", special=False) + engine.tokenize(after)
        assert named == pytest.approx(yes(Reference(ranker), tokens), abs=1e-5)


def test_a_document_is_cut_before_the_templates_end(ranker):
    with llmcall.Engine(ranker, context_length=96) as engine:
        with pytest.raises(llmcall.Error) as caught:
            engine.rerank("q", ["short", "long " * 100])
        assert caught.value.param == "documents" and "documents[1]" in caught.value.message
        before, after = TEMPLATE.replace("{query}", "q").split("{document}")
        tail = engine.tokenize(after)
        tokens = engine.tokenize(before + "long " * 100)[:96 - len(tail)] + tail
        ((_, score),) = engine.rerank("q", ["long " * 100], truncate=True)
        assert score == pytest.approx(yes(Reference(ranker), tokens), abs=1e-5)


def test_rank_refusals(engine, ranker):
    with pytest.raises(llmcall.Error) as caught:
        engine.rerank("q", ["a"])
    assert caught.value.status == llmcall.Status.UNSUPPORTED and caught.value.param == "model"
    with llmcall.Engine(ranker) as own:
        for query, documents, param in [("q", "text", "documents"), ("q", [], "documents"), (5, ["a"], "query"), ("q", [None], "documents[0]"),
                                        ("\ud800", ["a"], "query"), ("q", ["\ud800"], "documents")]:
            with pytest.raises(llmcall.Error) as caught:
                own.rerank(query, documents)
            assert caught.value.param == param
        with pytest.raises(llmcall.Error) as caught:
            own.embed("text")
        assert caught.value.code == "ranks_only"
        assert own.embed("text", pooling="last").shape == (64,)
