"""posefix's CPU backend beside ONNX Runtime, OpenVINO, ncnn, MNN and PyTorch: one machine, one run, interleaved.

For every case, number of threads and precision all runtimes take turns in one process, one batch each, `--rounds` times;
what is compared is the median. `make bench-runtime` runs it; docs/benchmarks.md holds its table. Every measurement is a
process of its own whose rows are added to `--json` at once; what the file holds already is not measured again.

Start and memory, one thread: posefix as a C program, from the start of the process to the first pose. The others from
after their import to the first result (the start of Python and the import are left out), and their peak resident memory
above that of Python with numpy and the inputs.
"""
import argparse
import json
import os
import pathlib
import platform
import signal
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
START_CASES = ("r50-b1", "r50-b8")
SIZES_CASES = ("r50-b8",)
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
        path = self.stem.parent / f"{self.stem.name}_b{self.batch}.npz"
        if not path.exists():
            peers.Persons.draw(self.batch, self.height, self.width, 17).save(path)
        return peers.Persons.load(path)

    def truth(self):
        """Coordinates by another f32 runtime, [B,K,2] crop px."""
        path = self.stem.parent / f"{self.stem.name}_b{self.batch}.truth.npy"
        if not path.exists():
            np.save(path, self.open(peers.OpenVino, "f32", 1).coords(self.persons()))
        return np.load(path)

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


def runtimes(arguments, precision):
    return [r for r in (peers.Posefix, *RUNTIMES[precision])
            if not arguments.only or r is peers.Posefix or r.__name__ in arguments.only]


def medians(sessions, rounds):
    """Seconds of each of (run, persons), taking turns."""
    times = [[] for _ in sessions]
    for _ in range(rounds):
        for (run, persons), taken in zip(sessions, times):
            begin = time.perf_counter()
            run(persons)
            taken.append(time.perf_counter() - begin)
    return [statistics.median(taken) for taken in times]


def measure_speed(arguments, case, precision, threads):
    files = Files(arguments, case)
    persons, truth = files.persons(), files.truth()
    sessions = []
    for runtime in runtimes(arguments, precision):
        try:
            session = files.open(runtime, precision, threads)
            session.run(persons)
            sessions.append(session)
        except Exception as error:  # a peer that cannot run a case is left out, and said
            log(f"  {runtime.__name__} {precision}: {str(error).splitlines()[0] if str(error) else repr(error)}")
    rows = []
    for session, seconds in zip(sessions, medians([(s.run, persons) for s in sessions], arguments.rounds)):
        difference = np.linalg.norm(session.coords(persons) - truth, axis=-1)
        rows.append({"runtime": session.name, "images_per_second": persons.batch / seconds,
                     "worst_px": float(difference.max()), "mean_px": float(difference.mean())})
    for row in rows:
        row["posefix_ratio"] = rows[0]["images_per_second"] / row["images_per_second"]
    return rows


def measure_sizes(arguments, case, precision, threads):
    """posefix opened for the case's batch, run with others, beside a session opened for just that size."""
    files = Files(arguments, case)
    persons = files.persons()
    parts = [persons.first(n) for n in range(1, persons.batch + 1)]
    shared = files.open(peers.Posefix, precision, threads)
    sessions = [(shared.run, part) for part in parts]
    for part in parts:
        own = peers.Posefix(arguments.library, files.plan(precision), precision, part.batch, threads)
        sessions.append((own.run, part))
    medians(sessions, 1)
    seconds = medians(sessions, arguments.rounds)
    return [{"batch": part.batch, "images_per_second": part.batch / seconds[i],
             "own_images_per_second": part.batch / seconds[i + len(parts)]} for i, part in enumerate(parts)]


def memory_mb(field):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(field)) / 1024


def measure_first(arguments, case, precision, name):
    """A peer's seconds from its import to the first result and peak memory after three, in this fresh process."""
    files = Files(arguments, case)
    persons = files.persons()
    runtime = getattr(peers, name)
    before = memory_mb("VmRSS")
    __import__(runtime.module)
    begin = time.perf_counter()
    session = files.open(runtime, precision, 1)
    session.run(persons)
    seconds = time.perf_counter() - begin
    for _ in range(2):
        session.run(persons)
    return [{"runtime": session.name, "first_result_s": seconds, "peak_mb": memory_mb("VmHWM") - before}]


def measure_first_pose(arguments, case, precision):
    """posefix as a C program: seconds from the start of the process to the first pose, and peak memory after three."""
    files = Files(arguments, case)
    command = [str(first_pose_program(arguments)), str(files.plan(precision)), str(files.batch), "1"]
    begin = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    child.stdout.readline()
    seconds = time.perf_counter() - begin
    peak = float(child.stdout.read())
    if child.wait() != 0:
        raise RuntimeError(f"{command[0]} failed")
    return [{"runtime": "posefix", "first_result_s": seconds, "peak_mb": peak / 1024}]


def first_pose_program(arguments):
    source = pathlib.Path(__file__).with_name("first_pose.c")
    program, folder = arguments.work / "first_pose", arguments.library.parent
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        include = source.parents[2] / "include"
        subprocess.run(["cc", "-O2", f"-I{include}", str(source), f"-L{folder}", f"-Wl,-rpath,{folder}", "-lposefix", "-o",
                        str(program)], check=True)
    return program


def in_child(arguments, kind, case, precision, *rest):
    """The rows of one measurement by a process of its own; None if it failed, and says so."""
    out = arguments.work / "rows.json"
    out.unlink(missing_ok=True)
    words = [word for word in sys.argv[1:]]
    child = subprocess.run([sys.executable, __file__, *words, "--child", str(out), kind, case, precision, *map(str, rest)],
                           stdout=subprocess.DEVNULL)
    if child.returncode != 0 or not out.exists():
        how = signal.Signals(-child.returncode).name if child.returncode < 0 else f"status {child.returncode}"
        log(f"  {kind} {case} {precision} {' '.join(map(str, rest))}: ended with {how}")
        return None
    return json.loads(out.read_text())


def run_child(arguments):
    out, kind, case, precision, *rest = arguments.child
    threads = int(rest[0]) if kind in ("speed", "sizes") else 1
    os.sched_setaffinity(0, range(threads))
    if kind == "speed":
        rows = measure_speed(arguments, case, precision, threads)
    elif kind == "sizes":
        rows = measure_sizes(arguments, case, precision, threads)
    elif rest[0] == "Posefix":
        rows = measure_first_pose(arguments, case, precision)
    else:
        rows = measure_first(arguments, case, precision, rest[0])
    pathlib.Path(out).write_text(json.dumps(rows))


def prepare(arguments):
    """Makes what the measurements read: weights, plans, the other runtimes' models."""
    for case in arguments.cases:
        files = Files(arguments, case)
        files.truth()
        for precision in arguments.precisions:
            for runtime in runtimes(arguments, precision):
                try:
                    files.open(runtime, precision, 1)
                except Exception as error:
                    log(f"  {case} {runtime.__name__} {precision}: {str(error).splitlines()[0] if str(error) else repr(error)}")
    first_pose_program(arguments)


class Results:
    """Rows by what was measured; kept in the file after every one."""

    def __init__(self, path):
        self.path = path
        self.rows = json.loads(path.read_text())["rows"] if path and path.exists() else []

    def has(self, **key):
        return any(all(row.get(k) == v for k, v in key.items()) for row in self.rows)

    def add(self, rows, **key):
        self.rows += [{**key, **row} for row in rows or []]
        if self.path:
            beside = self.path.with_suffix(".new")
            beside.write_text(json.dumps({"machine": machine(), "rows": self.rows}, indent=1))
            beside.replace(self.path)

    def of(self, kind):
        return [row for row in self.rows if row["kind"] == kind]


def measure(arguments, results):
    for case in arguments.cases:
        for precision in arguments.precisions:
            if "start" in arguments.kinds and case in START_CASES:
                for runtime in runtimes(arguments, precision):
                    key = {"kind": "start", "case": case, "precision": precision, "class": runtime.__name__}
                    if results.has(**key) or not runtime.starts:
                        continue
                    log(" ".join(key.values()))
                    taken = [in_child(arguments, "start", case, precision, runtime.__name__) for _ in range(5)]
                    if all(taken):  # the least disturbed start, the largest memory
                        best = min((rows[0] for rows in taken), key=lambda row: row["first_result_s"])
                        results.add([{**best, "peak_mb": max(rows[0]["peak_mb"] for rows in taken)}], **key)
            for kind in ("speed", "sizes"):
                if kind not in arguments.kinds or (kind == "sizes" and case not in SIZES_CASES):
                    continue
                for threads in arguments.threads:
                    key = {"kind": kind, "case": case, "precision": precision, "threads": threads}
                    if results.has(**key):
                        continue
                    log(" ".join(map(str, key.values())))
                    results.add(in_child(arguments, kind, case, precision, threads), rounds=arguments.rounds, **key)


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    flags = next((line.split(":")[1].split() for line in open("/proc/cpuinfo") if line.startswith("flags")), [])
    known = [f for f in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8") if f in flags]
    return f"{model}, {os.cpu_count()} cores, {' '.join(known)}, {platform.system()} {platform.release()}"


def print_tables(results):
    print(f"\n{machine()}\n")
    speed = results.of("speed")
    one = {(r["case"], r["precision"], r["runtime"]): r["images_per_second"] for r in speed if r["threads"] == 1}
    if speed:
        print("| case | threads | runtime | precision | images/s | posefix is x times as fast | x of one thread | worst px | "
              "mean px |")
        print("|---|---|---|---|---|---|---|---|---|")
    for r in speed:
        alone = one.get((r["case"], r["precision"], r["runtime"]))
        scaling = f"{r['images_per_second'] / alone:.2f}" if alone and r["threads"] > 1 else ""
        print(f"| {r['case']} | {r['threads']} | {r['runtime']} | {r['precision']} | {r['images_per_second']:.2f} | "
              f"{r['posefix_ratio']:.2f} | {scaling} | {r['worst_px']:.3f} | {r['mean_px']:.3f} |")
    if results.of("start"):
        print("\n| case | runtime | precision | start to first result, s | peak memory, MB |\n|---|---|---|---|---|")
    for r in results.of("start"):
        print(f"| {r['case']} | {r['runtime']} | {r['precision']} | {r['first_result_s']:.3f} | {r['peak_mb']:.0f} |")
    if results.of("sizes"):
        print("\n| case | precision | threads | batch | images/s | images/s when opened for this batch |")
        print("|---|---|---|---|---|---|")
    for r in results.of("sizes"):
        print(f"| {r['case']} | {r['precision']} | {r['threads']} | {r['batch']} | {r['images_per_second']:.2f} | "
              f"{r['own_images_per_second']:.2f} |")


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
    parser.add_argument("--kinds", nargs="+", choices=("start", "speed", "sizes"), default=["start", "speed", "sizes"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", nargs="+", help="of the peers' classes")
    parser.add_argument("--prepare", action="store_true", help="make the models and measure nothing")
    parser.add_argument("--json", type=pathlib.Path, help="rows are added to it; what it holds is not measured again")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.posefix, arguments.library = arguments.posefix.resolve(), arguments.library.resolve()
    arguments.work = arguments.work.resolve()
    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.child:
        return run_child(arguments)
    if arguments.prepare:
        return prepare(arguments)
    results = Results(arguments.json)
    measure(arguments, results)
    print_tables(results)


if __name__ == "__main__":
    main()
