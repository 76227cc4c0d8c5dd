#!/usr/bin/env python3
"""PyTorch's attention on the problems of clflash_bench, one JSON line a problem and peer.

usage: attn_fwd_peers.py [--device cuda|cpu] PROBLEM...

Peers: f32 on a GPU: efficient attention (TF32 off); 16-bit on a GPU: cuDNN and FlashAttention-2;
on a CPU: scaled_dot_product_attention with 2 threads.
Time: CUDA events around each call, 3 calls to warm up, 12 timed, median; the GPU is put to sleep
first, so that all launches are queued and no launch gap counts. On a CPU: the wall clock.
FLOPs: 4 B Hq (D + Dv)/2 x visible pairs, 2.5 times that for the backward, as clflash_bench counts.
The backward is torch.autograd.grad of the same call: from dO, with what the forward kept.
"""
import argparse
import json
import re
import statistics
import sys
import time
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
SIZES = ("b", "hq", "hk", "sq", "sk", "d", "dv")
WARM_UP, TIMED = 3, 12


class Unsupported(Exception):
    """The peer has no way to say this problem."""


def parse(text):
    """A problem string as a dictionary; words that the peers cannot do raise Unsupported."""
    words = text.split()
    problem = {"op": words[0], "b": 1, "causal": False, "docs": 0}
    if words[0] not in ("fwd", "bwd"):
        raise Unsupported("only fwd and bwd")
    for word in words[1:]:
        size = re.fullmatch(r"([a-z]+)(\d+)", word)
        if word in DTYPES:
            problem["dtype"] = word
        elif size and size[1] in SIZES:
            problem[size[1]] = int(size[2])
        elif word == "causal":
            problem["causal"] = True
        elif word.startswith("docs="):
            problem["docs"] = int(word[5:])
        elif word.split("=")[0] not in ("layout", "algo", "engine", "bq", "bkv", "det"):
            raise Unsupported(f"the word {word}")
    problem.setdefault("hk", problem["hq"])
    problem.setdefault("sk", problem["sq"])
    problem.setdefault("dv", problem["d"])
    if problem["causal"] and problem["sq"] != problem["sk"]:
        raise Unsupported("causal with sq != sk")
    return problem


def document_lengths(length, n):
    """N equal documents: the first length % n have one token more."""
    return [length // n + (i < length % n) for i in range(n)]


def visible_pairs(p):
    lengths = document_lengths(p["sq"], p["docs"]) if p["docs"] else [p["sq"]]
    if p["causal"]:
        return sum(n * (n + 1) // 2 for n in lengths)
    return sum(n * n for n in lengths) if p["docs"] else p["sq"] * p["sk"]


def time_on_gpu(call):
    for _ in range(WARM_UP):
        call()
    torch.cuda.synchronize()
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(TIMED)]
    torch.cuda._sleep(4_000_000)
    for start, end in events:
        start.record()
        call()
        end.record()
    torch.cuda.synchronize()
    return [start.elapsed_time(end) for start, end in events]


def time_on_cpu(call):
    for _ in range(WARM_UP):
        call()
    times = []
    for _ in range(TIMED):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def tensors(p, device):
    """q, k, v as views [B,H,S,D] of packed [B,S,H,D], clflash's default layout."""
    shapes = (("sq", "hq", "d"), ("sk", "hk", "d"), ("sk", "hk", "dv"))
    return [
        torch.randn(p["b"], p[s], p[h], p[d], dtype=DTYPES[p["dtype"]], device=device).transpose(1, 2)
        for s, h, d in shapes
    ]


def document_mask(p, device):
    lengths = torch.tensor(document_lengths(p["sq"], p["docs"]))
    ids = torch.repeat_interleave(torch.arange(p["docs"]), lengths).to(device)
    mask = ids[:, None] == ids[None, :]
    return torch.tril(mask) if p["causal"] else mask


def peers(p, device):
    """(name, backend) of the peers that this problem is for."""
    if device == "cpu":
        return [("torch sdpa", None)]
    if p["dtype"] == "f32" or p["docs"]:
        return [("torch efficient", SDPBackend.EFFICIENT_ATTENTION)]
    return [
        ("torch cudnn", SDPBackend.CUDNN_ATTENTION),
        ("torch flash2", SDPBackend.FLASH_ATTENTION),
    ]


def backward_of(call, inputs):
    """The gradients of call() by q, k and v; what the forward kept is made once."""
    for x in inputs:
        x.requires_grad_()
    out = call()
    grad = torch.randn_like(out)
    return lambda: torch.autograd.grad(out, inputs, grad, retain_graph=True)


def measure(p, backend, device):
    q, k, v = tensors(p, device)
    if p["hk"] != p["hq"]:
        k, v = (x.repeat_interleave(p["hq"] // p["hk"], 1) for x in (k, v))
    options = {"is_causal": p["causal"]}
    if p["docs"]:
        options = {"attn_mask": document_mask(p, device)}

    def call():
        return F.scaled_dot_product_attention(q, k, v, **options)

    time_it = time_on_cpu if device == "cpu" else time_on_gpu
    with nullcontext() if backend is None else sdpa_kernel(backend):
        if p["op"] == "bwd":
            return time_it(backward_of(call, (q, k, v)))
        with torch.no_grad():
            return time_it(call)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--device", choices=("cuda", "cpu"))
    parser.add_argument("problems", nargs="+", metavar="PROBLEM")
    args = parser.parse_args()
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)
    if device == "cpu":
        torch.set_num_threads(2)
    name = torch.cuda.get_device_name(0) if device == "cuda" else "cpu, 2 threads"
    for text in args.problems:
        row = {"problem": text, "device": name, "torch": torch.__version__}
        try:
            p = parse(text)
        except Unsupported as why:
            print(json.dumps({**row, "peer": None, "error": str(why)}), flush=True)
            continue
        for peer, backend in peers(p, device):
            try:
                ms = measure(p, backend, device)
            except RuntimeError as why:
                result = {"error": str(why).strip().split("\n")[0]}
            else:
                median = statistics.median(ms)
                flops = (10 if p["op"] == "bwd" else 4) * p["b"] * p["hq"] * (p["d"] + p["dv"]) / 2 * visible_pairs(p)
                result = {
                    "ms": {"median": median, "min": min(ms), "max": max(ms)},
                    "gflops": flops / median / 1e6,
                }
            print(json.dumps({**row, "peer": peer, **result}), flush=True)
            if device == "cuda":
                torch.cuda.empty_cache()
    return 0


if __name__ == "__main__":
    sys.exit(main())
