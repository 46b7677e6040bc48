#!/usr/bin/env python3
"""Models of one recurrent layer in plain numpy, in doubles, as a second opinion on shapes that tests/data/archs does not have:
logits(spec, tokens) of a description whose only layer is Mamba-2, a short convolution, or the gated delta rule.

States are (head, key, value); a token at a time, as the papers write it.
"""
import fixtures
import numpy as np

EPS = 1e-5


def silu(x):
    return x / (1 + np.exp(-x))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.logaddexp(0, x)


def rms_norm(x, weight):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + EPS) * weight


def unit(x):
    return x / np.sqrt((x**2).sum(-1, keepdims=True) + EPS)


def conv(x, weight, bias=0):
    """Causal, a filter a channel: x (tokens, channels), weight (channels, taps), the last tap for the token itself."""
    taps = weight.shape[1]
    padded = np.vstack([np.zeros((taps - 1, x.shape[1])), x])
    return sum(padded[j : j + len(x)] * weight[:, j] for j in range(taps)) + bias


class Layer:
    def __init__(self, spec):
        self.keys = {key.split(".", 1)[1]: value for key, _, value in spec["keys"]}
        self.tensors = {name: fixtures.uniform(name, shape, low, high).astype(np.float64) for name, shape, low, high in spec["tensors"]}

    def __getitem__(self, name):
        return self.tensors["blk.0." + name]

    def key(self, name):
        return self.keys[name]

    def short_conv(self, x):
        b, c, v = np.split(x @ self["shortconv.in_proj.weight"].T, 3, axis=1)
        return c * conv(b * v, self["shortconv.conv.weight"]) @ self["shortconv.out_proj.weight"].T

    def mamba2(self, x):
        inner, n, heads, groups = (self.key("ssm." + k) for k in ("inner_size", "state_size", "time_step_rank", "group_count"))
        z, xbc, dt = np.split(x @ self["ssm_in.weight"].T, [inner, 2 * inner + 2 * groups * n], axis=1)
        xbc = silu(conv(xbc, self["ssm_conv1d.weight"], self["ssm_conv1d.bias"]))
        dt = softplus(dt + self["ssm_dt.bias"])
        v, b, c = np.split(xbc, [inner, inner + groups * n], axis=1)
        v = v.reshape(len(x), heads, -1)
        b, c = (np.repeat(t.reshape(len(x), groups, n), heads // groups, axis=1) for t in (b, c))
        state, y = np.zeros((heads, n, inner // heads)), np.zeros_like(v)
        for t in range(len(x)):
            state *= np.exp(dt[t] * self["ssm_a"].ravel())[:, None, None]
            state += b[t][:, :, None] * (v[t] * dt[t][:, None])[:, None, :]
            y[t] = (state * c[t][:, :, None]).sum(1) + v[t] * self["ssm_d"].ravel()[:, None]
        y = (silu(z) * y.reshape(len(x), inner)).reshape(len(x), groups, -1)
        return rms_norm(y, self["ssm_norm.weight"]).reshape(len(x), inner) @ self["ssm_out.weight"].T

    def delta_inputs(self, x, keys, heads, d):
        """q, k, v, z, beta, alpha; from one matrix by key head, or from one each."""
        r, t = heads // keys, len(x)
        if "blk.0.attn_qkv.weight" in self.tensors:
            mixed, z = x @ self["attn_qkv.weight"].T, x @ self["attn_gate.weight"].T
        else:
            q, k, v, z = np.split((x @ self["ssm_in.weight"].T).reshape(t, keys, -1), [d, 2 * d, (2 + r) * d], axis=2)
            mixed, z = np.hstack([q.reshape(t, -1), k.reshape(t, -1), v.reshape(t, -1)]), z.reshape(t, -1)
        if "blk.0.ssm_ba.weight" in self.tensors:
            beta, alpha = (half.reshape(t, heads) for half in np.split((x @ self["ssm_ba.weight"].T).reshape(t, keys, 2 * r), 2, axis=2))
        else:
            beta, alpha = x @ self["ssm_beta.weight"].T, x @ self["ssm_alpha.weight"].T
        q, k, v = np.split(silu(conv(mixed, self["ssm_conv1d.weight"])), [keys * d, 2 * keys * d], axis=1)
        return q.reshape(t, keys, d), k.reshape(t, keys, d), v.reshape(t, heads, d), z.reshape(t, heads, d), sigmoid(beta), alpha

    def delta(self, x, grouped):
        """grouped: the heads that share a key follow each other; else every keys-th head has the same."""
        d, heads, keys = (self.key("ssm." + k) for k in ("state_size", "time_step_rank", "group_count"))
        q, k, v, z, beta, alpha = self.delta_inputs(x, keys, heads, d)
        share = (lambda m: np.repeat(m, heads // keys, axis=1)) if grouped else (lambda m: np.tile(m, (1, heads // keys, 1)))
        q, k = share(unit(q) / np.sqrt(d)), share(unit(k))
        decay = np.exp(self["ssm_a"] * softplus(alpha + self["ssm_dt.bias"]))
        state, y = np.zeros((heads, d, d)), np.zeros_like(v)
        for t in range(len(x)):
            state *= decay[t][:, None, None]
            change = beta[t][:, None] * (v[t] - (state * k[t][:, :, None]).sum(1))
            state += k[t][:, :, None] * change[:, None, :]
            y[t] = (state * q[t][:, :, None]).sum(1)
        return (rms_norm(y, self["ssm_norm.weight"]) * silu(z)).reshape(len(x), -1) @ self["ssm_out.weight"].T

    def chosen_experts(self, x, up):
        """The best by their sigmoid and a bias, which is not part of their weight."""
        probabilities, n_used = sigmoid(x @ self["ffn_gate_inp.weight"].T), self.key("expert_used_count")
        total = np.zeros_like(x)
        for t, best in enumerate(np.argsort(-(probabilities + self["exp_probs_b.bias"]), axis=1)[:, :n_used]):
            for e in best:
                weight = probabilities[t, e] / probabilities[t, best].sum()
                inner = up(self["ffn_gate_exps.weight"][e], self["ffn_up_exps.weight"][e], x[t])
                total[t] += weight * (inner @ self["ffn_down_exps.weight"][e].T)
        return total

    def feed_forward(self, x):
        up = lambda gate, up_, x=x: silu(x @ gate.T) * (x @ up_.T)
        if "blk.0.ffn_gate.weight" in self.tensors:
            return up(self["ffn_gate.weight"], self["ffn_up.weight"]) @ self["ffn_down.weight"].T
        if "blk.0.exp_probs_b.bias" in self.tensors:
            return self.chosen_experts(x, up)
        shared = up(self["ffn_gate_shexp.weight"], self["ffn_up_shexp.weight"]) @ self["ffn_down_shexp.weight"].T
        total = sigmoid(x @ self["ffn_gate_inp_shexp.weight"])[:, None] * shared
        weights = np.exp(x @ self["ffn_gate_inp.weight"].T)  # every expert is used
        weights /= weights.sum(1, keepdims=True)
        for e, (gate_up, down) in enumerate(zip(self["ffn_gate_up_exps.weight"], self["ffn_down_exps.weight"])):
            total += weights[:, e : e + 1] * (up(*np.split(gate_up, 2)) @ down.T)
        return total


def logits(spec, tokens):
    layer, arch = Layer(spec), spec["architecture"]
    t = layer.tensors
    x = t["token_embd.weight"][tokens]
    normed = rms_norm(x, layer["attn_norm.weight"])
    if arch == "mamba2":
        x = x + layer.mamba2(normed)
    elif arch in ("lfm2", "lfm2moe"):
        x = x + layer.short_conv(normed)
        x = x + layer.feed_forward(rms_norm(x, layer["ffn_norm.weight"]))
    else:
        x = x + layer.delta(normed, grouped=arch == "qwen3next")
        x = x + layer.feed_forward(rms_norm(x, layer["post_attention_norm.weight"]))
    last = t["token_embd_norm.weight"] if arch in ("lfm2", "lfm2moe") else t["output_norm.weight"]
    return rms_norm(x, last) @ t["output.weight"].T
