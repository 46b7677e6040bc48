"""The numpy reference agrees with llama.cpp's logits, so that it may judge what has no stored ones."""
import pytest

import fixtures
import reference_llama


@pytest.mark.parametrize("name", ["llama-dense", "qwen2-dense", "qwen3-dense"])
def test_reference_agrees(name, tmp_path):
    spec = fixtures.build(name, tmp_path / "model.gguf")
    got = reference_llama.Reference(tmp_path / "model.gguf").logits(spec["tokens"])
    assert fixtures.nmse(got, fixtures.logits(name)) <= 1e-10
