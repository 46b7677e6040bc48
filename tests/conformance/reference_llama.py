#!/usr/bin/env python3
"""A decoder in plain numpy, as a second opinion on llama, qwen2, qwen3, gemma and gpt2 models: Reference(path).logits(tokens),
and .hidden(tokens), of which an embedding is made.

Weights are dequantized to float32 and nothing else is rounded below that: no KV in half precision, no quantized activations.
So its logits are what a quantized model's computation is measured against (`mean_kl`).
"""
import gguf
import numpy as np

ROPE_HALVES = {"qwen2", "qwen3", "gemma"}  # pairs (i, i + n/2); the others turn pairs (2i, 2i + 1)


def rms_norm(x, weight, eps):
    return x / np.sqrt((x.astype(np.float64) ** 2).mean(-1, keepdims=True) + eps).astype(np.float32) * weight


def layer_norm(x, weight, bias, eps):
    x64 = x.astype(np.float64)
    centred = x64 - x64.mean(-1, keepdims=True)
    return (centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)).astype(np.float32) * weight + bias


def gelu(x, rounded):
    """By tanh. rounded: argument and result in half precision, as a table of 65,536 entries has it."""
    y = x.astype(np.float16).astype(np.float64) if rounded else x.astype(np.float64)
    y = 0.5 * y * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))
    return (y.astype(np.float16) if rounded else y).astype(np.float32)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def log_softmax(x):
    x = x.astype(np.float64)
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def mean_kl(reference, other):
    """Mean over rows of KL(softmax(reference) || softmax(other)), in nats."""
    p, q = log_softmax(reference), log_softmax(other)
    return float((np.exp(p) * (p - q)).sum(-1).mean())


class Reference:
    def __init__(self, path, gelu_rounded=False):
        self.gelu_rounded = gelu_rounded
        reader = gguf.GGUFReader(str(path))
        self.fields = reader.fields
        self.tensors = {t.name: t for t in reader.tensors}
        self.arch = self.key("general.architecture")
        own = lambda name, default=None: self.key(f"{self.arch}.{name}", default)
        self.n_layers = own("block_count")
        self.width = own("embedding_length")
        self.n_heads = own("attention.head_count")
        self.n_kv_heads = own("attention.head_count_kv", self.n_heads)
        self.head_dim = own("attention.key_length", self.width // self.n_heads)
        self.causal = own("attention.causal", True)
        self.eps = own("attention.layer_norm_rms_epsilon", own("attention.layer_norm_epsilon"))
        n_rot = own("rope.dimension_count", self.head_dim)
        self.inv_freq = own("rope.freq_base", 10000.0) ** (-2.0 * np.arange(n_rot // 2) / n_rot)
        if "rope_freqs.weight" in self.tensors:
            self.inv_freq = self.inv_freq / self.tensor("rope_freqs.weight")
        if own("rope.scaling.type", "linear") not in ("none", "linear"):
            raise ValueError("only linear RoPE scaling is stated here")
        if own("rope.scaling.type", "linear") == "linear":
            self.inv_freq = self.inv_freq / (own("rope.scaling.factor", 1.0) or 1.0)

    def key(self, name, default=None):
        field = self.fields.get(name)
        return default if field is None else field.contents()

    def tensor(self, name):
        t = self.tensors[name]
        return gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32)

    def linear(self, x, prefix):
        y = x @ self.tensor(f"{prefix}.weight").T
        return y + self.tensor(f"{prefix}.bias") if f"{prefix}.bias" in self.tensors else y

    def norm(self, x, prefix):
        if f"{prefix}.bias" in self.tensors:
            return layer_norm(x, self.tensor(f"{prefix}.weight"), self.tensor(f"{prefix}.bias"), self.eps)
        return rms_norm(x, self.tensor(f"{prefix}.weight"), self.eps)

    def rotate(self, x):  # (tokens, heads, head_dim)
        if self.arch == "gpt2":
            return x
        angle = np.arange(len(x))[:, None] * self.inv_freq  # (tokens, pairs)
        cos, sin = np.cos(angle).astype(np.float32)[:, None], np.sin(angle).astype(np.float32)[:, None]
        y, pairs = x.copy(), len(self.inv_freq)
        if self.arch in ROPE_HALVES:
            first, second = slice(0, pairs), slice(pairs, 2 * pairs)
        else:
            first, second = slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2)
        y[..., first] = x[..., first] * cos - x[..., second] * sin
        y[..., second] = x[..., first] * sin + x[..., second] * cos
        return y

    def heads(self, x, prefix, n_heads, norm=None):
        y = self.linear(x, prefix).reshape(len(x), n_heads, self.head_dim)
        if norm and norm in self.tensors:
            y = rms_norm(y, self.tensor(norm), self.eps)
        return y

    def attention(self, x, block):
        if f"{block}.attn_qkv.weight" in self.tensors:
            q, k, v = np.split(self.linear(x, f"{block}.attn_qkv").reshape(len(x), -1, self.head_dim),
                               [self.n_heads, self.n_heads + self.n_kv_heads], axis=1)
        else:
            q = self.heads(x, f"{block}.attn_q", self.n_heads, f"{block}.attn_q_norm.weight")
            k = self.heads(x, f"{block}.attn_k", self.n_kv_heads, f"{block}.attn_k_norm.weight")
            v = self.heads(x, f"{block}.attn_v", self.n_kv_heads)
        q, k = self.rotate(q), self.rotate(k)
        group = self.n_heads // self.n_kv_heads
        k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
        scores = np.einsum("qhd,khd->hqk", q, k) / np.float32(np.sqrt(self.head_dim))
        if self.causal:
            scores += np.triu(np.full((len(x), len(x)), -np.inf, np.float32), 1)
        out = np.einsum("hqk,khd->qhd", softmax(scores), v)
        return self.linear(out.reshape(len(x), -1), f"{block}.attn_output")

    def feed_forward(self, x, block):
        up = self.linear(x, f"{block}.ffn_up")
        if self.arch == "gpt2":
            return self.linear(gelu(up, self.gelu_rounded), f"{block}.ffn_down")
        gate = self.linear(x, f"{block}.ffn_gate")
        active = gelu(gate, self.gelu_rounded) if self.arch == "gemma" else gate / (1 + np.exp(-gate))
        return self.linear(active * up, f"{block}.ffn_down")

    def hidden(self, tokens):
        """(tokens, width), behind the final norm"""
        x = self.tensor("token_embd.weight")[np.asarray(tokens)]
        if self.arch == "gemma":
            x = x * np.float32(np.sqrt(self.width))
        if self.arch == "gpt2":
            x = x + self.tensor("position_embd.weight")[: len(tokens)]
        for layer in range(self.n_layers):
            block = f"blk.{layer}"
            x = x + self.attention(self.norm(x, f"{block}.attn_norm"), block)
            x = x + self.feed_forward(self.norm(x, f"{block}.ffn_norm"), block)
        return self.norm(x, "output_norm")

    def logits(self, tokens):
        """(tokens, n_vocab)"""
        return self.hidden(tokens) @ self.tensor("output.weight" if "output.weight" in self.tensors else "token_embd.weight").T
