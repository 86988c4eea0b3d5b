#!/usr/bin/env python3
"""Times `posefix evaluate` against other COCO evaluators on one problem, file to figures, and compares the figures.

Usage: run.py POSEFIX_PROGRAM ANNOTATIONS RESULTS
The others are those of pycocotools, faster-coco-eval and hotcoco that this Python can import; imports are not timed.
"""
import contextlib
import importlib
import io
import json
import subprocess
import sys
import time

NAMES = ["AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL"]


def posefix(program, annotations, results, threads):
    started = time.perf_counter()
    output = subprocess.run([program, "evaluate", "--annotations", annotations, "--results", results, "--threads",
                             str(threads), "--json"], check=True, capture_output=True).stdout
    elapsed = time.perf_counter() - started
    figures = json.loads(output)
    return elapsed, [figures[name] for name in NAMES]


def coco_like(coco_class, eval_class, annotations, results):
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco_class(annotations)
        evaluation = eval_class(truth, truth.loadRes(results), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return time.perf_counter() - started, [float(value) for value in evaluation.stats[:10]]


OTHERS = {
    "pycocotools": lambda: (importlib.import_module("pycocotools.coco").COCO,
                            importlib.import_module("pycocotools.cocoeval").COCOeval),
    "faster-coco-eval": lambda: (importlib.import_module("faster_coco_eval").COCO,
                                 importlib.import_module("faster_coco_eval").COCOeval_faster),
    "hotcoco": lambda: (importlib.import_module("hotcoco").COCO, importlib.import_module("hotcoco").COCOeval),
}


def main(program, annotations, results):
    rows = []
    for threads in (1, 2):
        runs = [posefix(program, annotations, results, threads) for _ in range(3)]
        rows.append((f"posefix, {threads} thread{'s' if threads > 1 else ''}", *min(runs)))
    for name, load in OTHERS.items():
        try:
            classes = load()
        except ImportError:
            print(f"{name}: not installed", file=sys.stderr)
            continue
        rows.append((name, *coco_like(*classes, annotations, results)))
    ours, figures = rows[0][1], rows[0][2]
    print(f"{'evaluator':<20}{'seconds':>10}{'ratio':>8}{'largest difference':>22}")
    for name, seconds, values in rows:
        difference = max(abs(a - b) for a, b in zip(values, figures))
        print(f"{name:<20}{seconds:>10.3f}{seconds / ours:>8.1f}{difference:>22.2e}")


if __name__ == "__main__":
    main(*sys.argv[1:])
