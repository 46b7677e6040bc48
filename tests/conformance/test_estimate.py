"""What llmcall.estimate says from the header, against what loading takes: as the library counts it, and as the system does."""
import llmcall
import pytest
from isolated import run_python

OPTIONS = [{}, {"context_length": 1024}, {"context_length": 2048, "kv_bytes": 128 << 20}, {"context_length": 512, "max_step_tokens": 64},
           {"context_length": 1024, "kv_type": "q8_0"}]

# Resident memory before and after: a prompt as long as the whole cache touches every page and the scratch of a full step.
GROWTH = """
import sys, numpy, llmcall
def resident():
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmRSS"))
path, context, kv = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
before = resident()
engine = llmcall.Engine(path, threads=1, context_length=context, kv_bytes=kv)
engine.completions.create(prompt=list(range(100, 100 + context - 8)), max_tokens=8, ignore_eos=True)
print(resident() - before)
"""


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_estimate_is_what_the_engine_takes(model_path, options):
    said = llmcall.estimate(model_path, **options)
    with llmcall.Engine(model_path, threads=1, **options) as engine:
        taken = engine.model_info().memory
    for part in ("weights_bytes", "kv_bytes", "compute_bytes", "tokenizer_bytes", "total_bytes"):
        assert getattr(said, part) == pytest.approx(getattr(taken, part), rel=0.05), part
    assert said.total_bytes == said.weights_bytes + said.kv_bytes + said.compute_bytes + said.tokenizer_bytes
    assert said.kv_bytes_per_token == taken.kv_bytes_per_token and said.parameters == taken.parameters


def test_estimate_of_a_float_model(fixture_path):
    path = fixture_path("qwen3-dense")
    said = llmcall.estimate(path, threads=1)
    with llmcall.Engine(path, threads=1) as engine:
        assert said.total_bytes == pytest.approx(engine.model_info().memory.total_bytes, rel=0.05)


def test_estimate_is_what_the_system_gives(model_path):
    context = 768
    kv = context * llmcall.estimate(model_path).kv_bytes_per_token
    said = llmcall.estimate(model_path, threads=1, context_length=context, kv_bytes=kv)
    grown = int(run_python(GROWTH, model_path, context, kv))
    assert grown == pytest.approx(said.total_bytes, rel=0.1)


def test_estimate_refuses_what_load_refuses(tmp_path):
    (tmp_path / "no.gguf").write_bytes(b"not a model")
    with pytest.raises(llmcall.Error) as caught:
        llmcall.estimate(tmp_path / "no.gguf")
    assert caught.value.status == llmcall.Status.FORMAT
