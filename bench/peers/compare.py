#!/usr/bin/env python3
"""Joins clflash_bench --json with attn_fwd_peers.py's lines: a short table of ratios.

usage: compare.py BENCH.json PEERS.jsonl [BENCH.json PEERS.jsonl ...]

Each pair is a round, both halves run right after each other. Speeds and shares of the peak are
medians over the rounds; the ratio is the median of the rounds' own ratios.
"""
import json
import statistics
import sys


def read_round(bench_name, peers_name):
    with open(bench_name, encoding="utf-8") as file:
        bench = json.load(file)
    with open(peers_name, encoding="utf-8") as file:
        peers = [json.loads(line) for line in file if line.strip()]
    return bench, peers


def speeds_of(rounds, problem, peer):
    """Pairs (ours, theirs) in GFLOP/s, one a round that has both."""
    pairs = []
    for bench, peers in rounds:
        ours = [r["gflops"] for r in bench["results"] if r["problem"] == problem and r["gflops"]]
        theirs = [p["gflops"] for p in peers
                  if p["problem"] == problem and p.get("peer") == peer and p.get("gflops")]
        if ours and theirs:
            pairs.append((ours[0], theirs[0]))
    return pairs


def print_row(rounds, row, peer):
    problem = row["problem"]
    same = [r for bench, _ in rounds for r in bench["results"] if r["problem"] == problem]
    ours = statistics.median(r["gflops"] or 0 for r in same)
    share = statistics.median(r.get("peak_share") or 0 for r in same)
    pairs = speeds_of(rounds, problem, peer)
    theirs = statistics.median(p[1] for p in pairs) if pairs else 0
    ratio = f"{statistics.median(a / b for a, b in pairs):.2f}" if pairs else "-"
    wrong = "" if all(r["ok"] for r in same) else "  WRONG"
    print(f"{row['engine']:10} {ours:9.0f} {share * 100:7.0f}% {peer:16} {theirs:9.0f} {ratio:>6}  "
          f"{problem}{wrong}")


def main():
    names = sys.argv[1:]
    if len(names) < 2 or len(names) % 2:
        print(__doc__, file=sys.stderr)
        return 2
    rounds = [read_round(names[i], names[i + 1]) for i in range(0, len(names), 2)]
    first = rounds[0][0]
    device = first["device"]
    peaks = [bench["device"].get("peak_gflops") or 0 for bench, _ in rounds]
    print(f"{device['name']}, driver {device['driver']}, commit {first['commit']}, "
          f"{len(rounds)} round(s), peak {min(peaks):.0f} to {max(peaks):.0f} GFLOP/s")
    print(f"{'engine':10} {'GFLOP/s':>9} {'of peak':>8} {'peer':16} {'GFLOP/s':>9} {'ratio':>6}  "
          "problem")
    for row in first["results"]:
        found = {p["peer"] for _, peers in rounds for p in peers
                 if p["problem"] == row["problem"] and p.get("peer")}
        for peer in sorted(found) or ["-"]:
            print_row(rounds, row, peer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
