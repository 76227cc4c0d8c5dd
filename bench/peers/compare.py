#!/usr/bin/env python3
"""Joins clflash_bench --json with attn_fwd_peers.py's lines: a short table of ratios.

usage: compare.py BENCH.json PEERS.jsonl
"""
import json
import sys


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    with open(sys.argv[1], encoding="utf-8") as file:
        bench = json.load(file)
    with open(sys.argv[2], encoding="utf-8") as file:
        lines = [json.loads(line) for line in file if line.strip()]
    device = bench["device"]
    print(f"{device['name']}, driver {device['driver']}, commit {bench['commit']}, "
          f"peak {(device.get('peak_gflops') or 0) / 1e3:.1f} TFLOP/s")
    print(f"{'engine':10} {'TFLOP/s':>8} {'of peak':>8} {'peer':16} {'TFLOP/s':>8} {'ratio':>6}  "
          "problem")
    for row in bench["results"]:
        ours = (row.get("gflops") or 0) / 1e3
        share = row.get("peak_share") or 0
        found = [p for p in lines if p["problem"] == row["problem"] and p.get("peer")]
        for p in found or [{"peer": "-"}]:
            theirs = (p.get("gflops") or 0) / 1e3
            ratio = f"{ours / theirs:.2f}" if theirs else "-"
            print(f"{row['engine']:10} {ours:8.1f} {share * 100:7.0f}% {p['peer']:16} {theirs:8.1f} "
                  f"{ratio:>6}  {row['problem']}{'' if row['ok'] else '  WRONG'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
