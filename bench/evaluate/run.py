#!/usr/bin/env python3
"""Times `posefix evaluate` against other COCO evaluators on one problem, file to figures, and compares the figures.

Usage: run.py POSEFIX_PROGRAM ANNOTATIONS RESULTS [ROUNDS]

Every run is a process of its own on one core (and once more on two where the evaluator uses them), in rounds of all
evaluators in turn, so that what else the machine does strikes all alike. Of posefix the whole process is timed; of the
others load, evaluation and summary, without the start of Python and the imports. Printed are medians over the rounds:
CPU seconds of all threads, wall seconds, the ratio of CPU seconds to posefix's, and the largest difference of a figure.
"""
import importlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time

NAMES = ["AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL"]
PEERS = {
    "pycocotools": ("pycocotools.coco", "COCO", "pycocotools.cocoeval", "COCOeval"),
    "faster-coco-eval": ("faster_coco_eval", "COCO", "faster_coco_eval", "COCOeval_faster"),
    "hotcoco": ("hotcoco", "COCO", "hotcoco", "COCOeval"),
}
SLOWEST_ROUNDS = {"pycocotools": 1, "faster-coco-eval": 3}


def pinned(cores):
    available = sorted(os.sched_getaffinity(0))
    return lambda: os.sched_setaffinity(0, available[-cores:])


def cpu_of(usage):
    return usage.ru_utime + usage.ru_stime


def run_posefix(program, annotations, results, cores):
    before = cpu_of(resource.getrusage(resource.RUSAGE_CHILDREN))
    started = time.perf_counter()
    output = subprocess.run([program, "evaluate", "--annotations", annotations, "--results", results, "--json"],
                            check=True, capture_output=True, preexec_fn=pinned(cores)).stdout
    wall = time.perf_counter() - started
    figures = json.loads(output)
    return {"cpu": cpu_of(resource.getrusage(resource.RUSAGE_CHILDREN)) - before, "wall": wall,
            "figures": [figures[name] for name in NAMES]}


def run_peer(name, annotations, results, cores):
    """In a process of its own; None if the evaluator cannot be imported."""
    child = subprocess.run([sys.executable, __file__, "--peer", name, annotations, results], capture_output=True,
                           text=True, preexec_fn=pinned(cores))
    if child.returncode != 0:
        print(f"{name}: {child.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    return json.loads(child.stdout.splitlines()[-1])


def peer(name, annotations, results):
    coco_module, coco_class, eval_module, eval_class = PEERS[name]
    coco_class = getattr(importlib.import_module(coco_module), coco_class)
    eval_class = getattr(importlib.import_module(eval_module), eval_class)
    cpu, started = time.process_time(), time.perf_counter()
    truth = coco_class(annotations)
    evaluation = eval_class(truth, truth.loadRes(results), "keypoints")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    print(json.dumps({"cpu": time.process_time() - cpu, "wall": time.perf_counter() - started,
                      "figures": [float(value) for value in evaluation.stats[:10]]}))


def processor():
    with open("/proc/cpuinfo") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main(program, annotations, results, rounds=9):
    runs = {}
    for round_index in range(int(rounds)):
        for cores in (1, 2):
            runs.setdefault(("posefix", cores), []).append(run_posefix(program, annotations, results, cores))
        for name in PEERS:
            for cores in (1, 2) if name == "hotcoco" else (1,):
                if round_index < SLOWEST_ROUNDS.get(name, int(rounds)):
                    runs.setdefault((name, cores), []).append(run_peer(name, annotations, results, cores))
    print(f"{processor()}, {len(os.sched_getaffinity(0))} cores; load of the machine {os.getloadavg()[0]:.1f}")
    print(f"{'evaluator':<18}{'cores':>6}{'runs':>6}{'CPU s':>9}{'wall s':>9}{'ratio':>8}{'largest difference':>20}")
    ours = statistics.median(run["cpu"] for run in runs["posefix", 1])
    figures = runs["posefix", 1][0]["figures"]
    agree = True
    for (name, cores), of_name in runs.items():
        of_name = [run for run in of_name if run]
        if not of_name:
            continue
        cpu, wall = (statistics.median(run[key] for run in of_name) for key in ("cpu", "wall"))
        difference = max(abs(a - b) for run in of_name for a, b in zip(run["figures"], figures))
        agree = agree and difference < 1e-12
        print(f"{name:<18}{cores:>6}{len(of_name):>6}{cpu:>9.3f}{wall:>9.3f}{cpu / ours:>8.1f}{difference:>20.1e}")
    print("all figures agree to 1e-12" if agree else "FIGURES DIFFER")
    return 0 if agree else 1


if __name__ == "__main__":
    if sys.argv[1] == "--peer":
        peer(*sys.argv[2:])
    else:
        sys.exit(main(*sys.argv[1:]))
