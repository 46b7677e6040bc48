"""Every architecture's model with something wrong: it loads and computes, or the error names the key, the tensor or the option."""
import copy
import random
import zlib

import fixtures
import llmcall
import pytest
from llmcall import Error, Status

ROUNDS = 8
WHOLE = [0, 1, 2, 3, 7, 31, 64, 65, 255, 4096, 2**20, 2**31 - 1]
VALUES = {"UINT32": [*WHOLE, 2**31, 2**32 - 1], "INT32": [*WHOLE, -1, -(2**31)], "BOOL": [True, False], "STRING": ["", "x", "yarn", "a\0b"],
          "FLOAT32": [0.0, -1.0, 1e-30, 1e30, float("nan"), float("inf"), -float("inf")], "UINT64": [2**63, 2**64 - 1], "FLOAT64": [0.5]}
NAMES = ["output.weight", "output.bias", "rope_freqs.weight", "cls.weight", "cls.output.weight", "token_types.weight", "blk.7.attn_q.weight", "x"]


def change_key(spec, draw):
    """Left out, another number, or another type."""
    key = draw.choice(spec["keys"])
    how = draw.randrange(3)
    if how == 0:
        spec["keys"].remove(key)
    elif how == 1 and key[1] in VALUES:
        key[2] = draw.choice(VALUES[key[1]])
    elif how == 2:
        key[1] = draw.choice(list(VALUES))
        key[2] = draw.choice(VALUES[key[1]])


def change_tensor(spec, draw):
    """Left out, renamed, turned, longer or shorter."""
    tensors = spec["tensors"]
    tensor = draw.choice(tensors)
    how = draw.randrange(4)
    if how == 0:
        tensors.remove(tensor)
    elif how == 1:
        tensor[0] = draw.choice([name for name in NAMES if all(name != other[0] for other in tensors)])
    elif how == 2:
        tensor[1] = tensor[1][::-1]
    else:
        at = draw.randrange(len(tensor[1]))
        tensor[1] = [*tensor[1][:at], max(1, tensor[1][at] + draw.choice([-1, 1, 32, tensor[1][at]])), *tensor[1][at + 1:]]


def use(engine, tokens):
    """Whatever the model is for; it may refuse, but by name."""
    for call in (lambda: engine.score(tokens), lambda: engine.embed(tokens), lambda: engine.completions.create(prompt=tokens, max_tokens=3)):
        try:
            call()
        except Error as error:
            assert error.status in (Status.UNSUPPORTED, Status.ARGUMENT, Status.CONTEXT_LENGTH) and error.param, error


@pytest.mark.parametrize("name", [*fixtures.variants(), *fixtures.encoders()])
def test_it_loads_or_says_why(name, tmp_path):
    draw = random.Random(zlib.crc32(name.encode()))
    for _ in range(ROUNDS):
        spec = copy.deepcopy(fixtures.description(name))
        spec["keys"], spec["tensors"] = [list(key) for key in spec["keys"]], [list(tensor) for tensor in spec["tensors"]]
        for _ in range(draw.choice([1, 1, 2])):
            draw.choice([change_key, change_key, change_tensor])(spec, draw)
        fixtures.write(spec, tmp_path / "model.gguf")
        try:
            with llmcall.Engine(tmp_path / "model.gguf", threads=0, context_length=64, kv_bytes=1 << 22) as engine:
                use(engine, [token % engine.model_info().vocab_size for token in range(9)])
        except Error as error:
            assert error.status in (Status.FORMAT, Status.UNSUPPORTED, Status.ARGUMENT, Status.NO_MEMORY), error
            assert error.param, error.message
