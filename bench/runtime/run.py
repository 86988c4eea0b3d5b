"""posefix's CPU backend beside ONNX Runtime, OpenVINO, ncnn, MNN and PyTorch: one machine, one run, interleaved.

For every case and number of threads all runtimes take turns, one batch each, `--rounds` times; what is compared is the
median. `make bench-runtime` runs it; docs/benchmarks.md holds its table. Start and memory are measured in a process of
their own per runtime: from its start to the first result, and its peak resident memory.
"""
import argparse
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import time

import numpy as np

import peers

# backbone, height, width, batch, and what runs in which precision.
CASES = {
    "r50-b8": ("resnet50", 256, 192, 8),
    "r50-b1": ("resnet50", 256, 192, 1),
    "r50-384-b8": ("resnet50", 384, 288, 8),
    "r152-384-b4": ("resnet152", 384, 288, 4),
}
RUNTIMES = {
    "f32": (peers.OnnxRuntime, peers.OpenVino, peers.Ncnn, peers.Mnn, peers.PyTorch),
    "bf16": (peers.OpenVino, peers.Ncnn, peers.PyTorch),
    "int8": (peers.OnnxRuntime, peers.OpenVino),
}


def log(text):
    print(text, file=sys.stderr, flush=True)


class Files:
    """Models of one case, made once under `work`."""

    def __init__(self, arguments, case):
        self.arguments = arguments
        self.backbone, self.height, self.width, self.batch = CASES[case]
        self.stem = arguments.work / f"{self.backbone}_{self.height}"
        self.weights = self.stem.with_suffix(".safetensors")
        if not self.weights.exists():
            config = self.stem.with_suffix(".yaml")
            config.write_text(f"model.backbone: {self.backbone}\nmodel.input_size: [{self.height}, {self.width}]\n")
            self.posefix("init", "--config", config, "--out", self.weights)

    def posefix(self, *words):
        subprocess.run([str(self.arguments.posefix), *map(str, words)], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE)

    def plan(self, precision):
        path = self.stem.with_suffix(f".{precision}.plan")
        if not path.exists():
            calibration = []
            if precision == "int8":
                # Random weights: what int8 loses means nothing, so nothing falls back.
                calibration = ["--calibration", self.arguments.pictures, "--annotations", self.arguments.annotations,
                               "--max-drop", "1e9", "--calibration-people", "8", "--held-out-people", "8"]
            self.posefix("compile", self.weights, "--target", "cpu", "--precision", precision, *calibration, "--out", path)
        return path

    def onnx(self):
        """From the 3+K input maps to the logits, fixed batch."""
        path = self.stem.parent / f"{self.stem.name}_b{self.batch}.onnx"
        if path.exists():
            return path
        import onnx
        whole = path.with_suffix(".whole.onnx")
        self.posefix("export", self.weights, "--format", "onnx", "--batch", self.batch, "--no-decode", "--out", whole)
        graph = onnx.load(str(whole)).graph
        first = next(n for n in graph.node if n.op_type in ("Conv", "Pad") and n.input[0] not in
                     {i.name for i in graph.initializer})
        last = [n for n in graph.node if n.op_type == "Conv"][-1]
        cut = path.with_suffix(".cut.onnx")
        onnx.utils.extract_model(str(whole), str(cut), [first.input[0]], [last.output[0]])
        model = onnx.load(str(cut))
        fold_pads(model.graph)
        rename(model.graph, first.input[0], "maps")
        rename(model.graph, last.output[0], "logits_maps")
        onnx.save(model, str(path))
        whole.unlink(), cut.unlink()
        return path

    def persons(self):
        return peers.Persons(self.batch, self.height, self.width, 17)

    def open(self, runtime, precision, threads):
        if runtime is peers.Posefix:
            return peers.Posefix(self.arguments.library, self.plan(precision), precision, self.batch, threads)
        return runtime(self.onnx(), precision, self.persons(), threads)


def fold_pads(graph):
    """Pad before a convolution or pooling becomes its own padding (pooling follows ReLU, so zeros never win): peers run
    that faster, and ncnn's converter takes nothing else."""
    from onnx import helper, numpy_helper
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    pads = {n.output[0]: n for n in graph.node if n.op_type == "Pad"}
    for node in graph.node:
        pad = pads.get(node.input[0]) if node.input else None
        if pad is None or node.op_type not in ("Conv", "MaxPool"):
            continue
        amounts = constants[pad.input[1]].tolist()
        kept = [a for a in node.attribute if a.name != "pads"]
        del node.attribute[:]
        node.attribute.extend(kept + [helper.make_attribute("pads", amounts[2:4] + amounts[6:8])])
        node.input[0] = pad.input[0]
    for pad in pads.values():
        graph.node.remove(pad)


def rename(graph, old, new):
    for values in [graph.input, graph.output, graph.value_info]:
        for value in values:
            if value.name == old:
                value.name = new
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == old:
                    names[i] = new


def measure_case(arguments, case, threads):
    os.sched_setaffinity(0, range(threads))
    files = Files(arguments, case)
    persons = files.persons()
    sessions = []
    for precision in arguments.precisions:
        for runtime in (peers.Posefix, *RUNTIMES[precision]):
            if arguments.only and runtime.__name__ not in ("Posefix", *arguments.only):
                continue
            try:
                session = files.open(runtime, precision, threads)
                session.run(persons)
                sessions.append(session)
            except Exception as error:  # a peer that cannot run a case is a row that says so
                log(f"  {runtime.__name__} {precision}: {str(error).splitlines()[0] if str(error) else repr(error)}")
    truth = next(s for s in sessions if s.precision == "f32" and s.name != "posefix").coords(persons)
    times = [[] for _ in sessions]
    for _ in range(arguments.rounds):
        for session, taken in zip(sessions, times):
            begin = time.perf_counter()
            session.run(persons)
            taken.append(time.perf_counter() - begin)
    rows = []
    for session, taken in zip(sessions, times):
        difference = np.linalg.norm(session.coords(persons) - truth, axis=-1)
        rows.append({"case": case, "threads": threads, "runtime": session.name, "precision": session.precision,
                     "images_per_second": persons.batch / statistics.median(taken),
                     "worst_px": float(difference.max()), "mean_px": float(difference.mean())})
        session.close()
    for precision in arguments.precisions:
        ours = [r for r in rows if r["precision"] == precision and r["runtime"] == "posefix"]
        for row in rows:
            if ours and row["precision"] == precision:
                row["posefix_ratio"] = ours[0]["images_per_second"] / row["images_per_second"]
    return rows


def first_result(arguments, case, runtime, precision):
    """In a process of its own: seconds from its start to the first result, and peak memory."""
    command = [sys.executable, __file__, *sys.argv[1:], "--child", case, runtime.__name__, precision]
    begin = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    while child.stdout.readline() not in ("first\n", ""):  # some runtimes write to stdout
        pass
    seconds = time.perf_counter() - begin
    peak = child.stdout.read().split()
    return (seconds, float(peak[-1])) if child.wait() == 0 else None


def run_child(arguments):
    case, name, precision = arguments.child
    os.sched_setaffinity(0, [0])
    files = Files(arguments, case)
    persons = files.persons()
    session = files.open(getattr(peers, name), precision, 1)
    session.run(persons)
    print("first", flush=True)
    for _ in range(2):
        session.run(persons)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)


def measure_start(arguments):
    rows = []
    for case in ("r50-b1", "r50-b8"):
        for runtime in (peers.Posefix, *RUNTIMES["f32"]):
            if arguments.only and runtime.__name__ not in ("Posefix", *arguments.only):
                continue
            measured = [first_result(arguments, case, runtime, "f32") for _ in range(3)]
            if all(measured):
                rows.append({"case": case, "runtime": runtime.__name__, "first_result_s": min(m[0] for m in measured),
                             "peak_mb": max(m[1] for m in measured)})
    return rows


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    flags = next((line.split(":")[1].split() for line in open("/proc/cpuinfo") if line.startswith("flags")), [])
    known = [f for f in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8") if f in flags]
    return f"{model}, {os.cpu_count()} cores, {' '.join(known)}, {platform.system()} {platform.release()}"


def print_tables(rows, starts):
    print(f"\n{machine()}\n")
    print("| case | threads | runtime | precision | images/s | posefix is x times as fast | worst px | mean px |")
    print("|---|---|---|---|---|---|---|---|")
    for r in rows:
        print(f"| {r['case']} | {r['threads']} | {r['runtime']} | {r['precision']} | {r['images_per_second']:.2f} | "
              f"{r.get('posefix_ratio', float('nan')):.2f} | {r['worst_px']:.3f} | {r['mean_px']:.3f} |")
    print("\n| case | runtime | start to first result, s | peak memory, MB |\n|---|---|---|---|")
    for r in starts:
        print(f"| {r['case']} | {r['runtime']} | {r['first_result_s']:.2f} | {r['peak_mb']:.0f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posefix", type=pathlib.Path, default="build/release/bin/posefix")
    parser.add_argument("--library", type=pathlib.Path, default="build/release/lib/libposefix.so")
    parser.add_argument("--work", type=pathlib.Path, default="build/bench_runtime")
    parser.add_argument("--pictures", type=pathlib.Path, default="examples/coco-mini/images/train2017",
                        help="of people, to calibrate int8 with")
    parser.add_argument("--annotations", type=pathlib.Path,
                        default="examples/coco-mini/annotations/person_keypoints_train2017.json")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--precisions", nargs="+", choices=RUNTIMES, default=list(RUNTIMES))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", nargs="+", help="of the peers' classes")
    parser.add_argument("--no-start", action="store_true", help="leave out start and memory")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.posefix, arguments.library = arguments.posefix.resolve(), arguments.library.resolve()
    arguments.work = arguments.work.resolve()
    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.child:
        return run_child(arguments)
    rows = []
    for case in arguments.cases:
        for threads in arguments.threads:
            log(f"{case}, {threads} thread(s)")
            rows += measure_case(arguments, case, threads)
    os.sched_setaffinity(0, range(os.cpu_count()))
    starts = [] if arguments.no_start else measure_start(arguments)
    print_tables(rows, starts)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), "speed": rows, "start": starts}, indent=1))


if __name__ == "__main__":
    main()
