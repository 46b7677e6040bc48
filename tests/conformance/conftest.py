"""What the conformance tests share: the library by its Python bindings, one engine with the small real model, the fixtures."""
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bindings" / "python"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import fixtures  # noqa: E402
import llmcall  # noqa: E402
import packages  # noqa: E402

# Prices of the shared engine: so that a token of each kind costs a different whole number.
PRICES = {"price_prompt": 3_000_000, "price_cached": 1_000_000, "price_completion": 7_000_000}
KV_BYTES = 64 << 20  # about 2,900 tokens: enough for every test, and quick to get


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than a few seconds on two cores")


@pytest.fixture(scope="session")
def model_path():
    return packages.model()


@pytest.fixture(scope="session")
def model_header(model_path):
    """The start of the small real model's file, for vocab_gguf.read_value."""
    with model_path.open("rb") as file:
        return file.read(16 << 20)


@pytest.fixture(scope="session")
def engine(model_path):
    """Two threads, prefix cache on."""
    with llmcall.Engine(model_path, threads=2, context_length=2048, kv_bytes=KV_BYTES, **PRICES) as shared:
        yield shared


@pytest.fixture(scope="session")
def vocabularies():
    return packages.llama_models()


@pytest.fixture(scope="session")
def fixture_path(tmp_path_factory):
    """fixture_path("llama-dense"): its GGUF, built once."""
    folder, built = tmp_path_factory.mktemp("archs"), {}

    def path(name):
        if name not in built:
            built[name] = folder / f"{name}.gguf"
            fixtures.build(name, built[name])
        return built[name]

    return path
