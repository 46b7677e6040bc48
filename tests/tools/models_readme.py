#!/usr/bin/env python3
"""Writes src/model/README.md from what the library's own tables say: models_readme.py build/tests/model_table [--check]

The table of architectures also says which reference logits a row was checked against (tests/data/archs). --check writes nothing and
exits with 1 if the page is not what would be written.
"""
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ARCHS = ROOT / "tests" / "data" / "archs"
ENCODERS = ARCHS.parent / "encoders"
OTHER_CHECKS = {"bert": "all-MiniLM-L6-v2 against plain numpy (`test_encoders.py`)",
                "nomic-bert": "llama.cpp's vectors of a small one (`test_encoders.py`)",
                "eurobert": "llama.cpp's vectors of a small one (`test_encoders.py`)",
                "lfm2moe": "its recurrent layer against numpy, NMSE 1e-10",
                "qwen35moe": "`qwen3next-moe` in its own form: both are Qwen3.5's layers and Qwen3-Next's feed-forward"}

INTRO = """# Models

<!-- Written by tests/tools/models_readme.py from the library's tables; change those, or the script. -->
A GGUF file becomes a model here: `gguf*.c` read the file, `arch.c` is the table of architectures, `hparams*.c` the numbers of a
model, `tensor_table.c` its tensors, `weights.c` their way to the backend, `forward.c` the operations of a step, and `experts.c`,
`latent.c`, `layer_inputs.c`, `streams.c` and `mixer_*.c` what is not plain attention and a plain feed-forward. Recurrent layers
have a state for every sequence (`recurrent.h` says how large, `src/kv/README.md` when it is kept).

## Architectures
{n_archs} are served. The last column names what each was checked against: models of width 64 or 128 in `tests/data/archs` with
llama.cpp's logits, F32 throughout. `tests/conformance/test_archs.py` holds them to an NMSE of 1e-8; where llama.cpp itself rounds,
through its table of GELU in half precision, the bound is 2e-7, and two of those models are held to numpy at 1e-11 instead. The same
test cuts, batches, caches and threads each model's prompt and wants the same bits, and with Q8_0 weights the same on every tier;
`test_states.py` does more of that with recurrent layers, and holds other shapes of them to numpy at 1e-10.

| architecture | models of it | what it is made of | checked against |
|---|---|---|---|
"""

TYPES = """
## Tensor types
Served: {served}.

`tests/conformance/test_dequantize.py` compares each bit for bit with the Python `gguf` package. Known by name, so that an error says
which tensor has it, but not served: {named}.

## Pre-tokenizers
{n_pre} names of `tokenizer.ggml.pre` for byte-level BPE: {pre}. Other models (`tokenizer.ggml.model`):
`gemma4` (BPE over characters), `llama` (SentencePiece BPE), `bert` (WordPiece), `t5` (Unigram), `rwkv` and `plamo2`. What they were
checked against is in `tests/conformance/test_tokens.py` and `test_tokenizers.py`.

## Adding an architecture
A row in `arch.c`; a field in `llmc_arch` and one place that reads it where the row needs something that no other has; a file of its
own where a layer is truly different. Then reference logits in `tests/data/archs`: the tests find them by themselves, and this page is
written again (`tests/tools/models_readme.py build/tests/model_table`).
"""


def checks():
    """architecture -> names of its reference logits"""
    found = {}
    for path in sorted(ARCHS.glob("*.json")) + sorted(ENCODERS.glob("*.json")):
        found.setdefault(json.loads(path.read_text())["architecture"], []).append(path.stem)
    return found


def page(table):
    rows = [line.split("\t") for line in table.splitlines()]
    archs = [row[1:] for row in rows if row[0] == "arch"]
    types = [row[1:] for row in rows if row[0] == "type"]
    pres = [f"`{row[1]}`" for row in rows if row[0] == "pre"]
    checked = checks()
    text = INTRO.format(n_archs=len(archs))
    for name, models, features in archs:
        against = ", ".join(f"`{stem}`" for stem in checked.get(name, [])) or OTHER_CHECKS.get(name, "nothing of its own: a sibling's row with another name")
        text += f"| {name} | {models} | {features} | {against} |\n"
    served = ", ".join(name for name, supported in types if supported == "1")
    named = ", ".join(name for name, supported in types if supported == "0")
    return text + TYPES.format(served=served, named=named, n_pre=len(pres), pre=", ".join(pres))


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    text = page(subprocess.run([sys.argv[1]], check=True, capture_output=True, text=True).stdout)
    readme = ROOT / "src" / "model" / "README.md"
    if sys.argv[2:] == ["--check"]:
        sys.exit(0 if readme.exists() and readme.read_text() == text else "src/model/README.md is out of date: run tests/tools/models_readme.py.")
    readme.write_text(text)


if __name__ == "__main__":
    main()
