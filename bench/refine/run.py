"""`posefix refine` beside the same pipeline in Python (peer.py): cv2 and OpenVINO, flip test on both, the same cores.

They take turns `--rounds` times; compared are the medians of people per second. posefix's time is that of its whole
process; the Python program's leaves out the start of Python, the imports and the compilation of the model.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import cv2
import numpy as np
import openvino

import peer


def prepare(arguments):
    """Weights (random: what they answer does not change the time), plan and ONNX file, made once."""
    arguments.work.mkdir(parents=True, exist_ok=True)
    weights = arguments.weights
    if weights is None:
        weights = arguments.work / "resnet50.safetensors"
        if not weights.exists():
            config = weights.with_suffix(".yaml")
            config.write_text("model.backbone: resnet50\nmodel.input_size: [256, 192]\n")
            posefix(arguments, "init", "--config", config, "--out", weights)
    plan, onnx = arguments.work / f"{weights.stem}.plan", arguments.work / f"{weights.stem}.onnx"
    if not plan.exists():
        posefix(arguments, "compile", weights, "--target", "cpu", "--precision", "f32", "--out", plan)
    if not onnx.exists():
        posefix(arguments, "export", weights, "--format", "onnx", "--batch", peer.BATCH, "--out", onnx)
    return plan, onnx


def posefix(arguments, *words):
    done = subprocess.run([str(arguments.posefix), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return done.stdout


def run_posefix(arguments, plan, out):
    begin = time.perf_counter()
    stats = posefix(arguments, "refine", plan, "--images", arguments.images, "--poses", arguments.poses, "--annotations",
                    arguments.annotations, "--batch", peer.BATCH, "--threads", arguments.threads, "--nms", "off", "--trust",
                    "raw", "--out", out, "--json")
    seconds = time.perf_counter() - begin
    stats = json.loads(stats)
    inside = stats["seconds"]["inference"] / stats["seconds"]["total"]
    return stats["people"] / seconds, inside


def difference(first, second):
    """Largest and mean distance of a joint, image px."""
    poses = [np.array([np.reshape(p["keypoints"], (-1, 3))[:, :2] for p in json.loads(f.read_text())])
             for f in (first, second)]
    distance = np.linalg.norm(poses[0] - poses[1], axis=-1)
    return distance.max(), distance.mean()


def main():
    data = pathlib.Path("examples/coco-mini")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posefix", type=pathlib.Path, default="build/release/bin/posefix")
    parser.add_argument("--weights", type=pathlib.Path, help="a snapshot; default: a ResNet-50 256x192 drawn at random")
    parser.add_argument("--work", type=pathlib.Path, default="build/bench_refine")
    parser.add_argument("--images", type=pathlib.Path, default=data / "images/train2017")
    parser.add_argument("--poses", type=pathlib.Path)
    parser.add_argument("--annotations", type=pathlib.Path, default=data / "annotations/person_keypoints_train2017.json")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.poses is None:
        arguments.poses = poses_of(arguments)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:arguments.threads])
    cv2.setNumThreads(1)
    plan, onnx = prepare(arguments)
    network = peer.Network(onnx, arguments.threads)
    ours, theirs = arguments.work / "posefix.json", arguments.work / "python.json"
    speeds, inside = ([], []), []
    for _ in range(arguments.rounds):
        speed, share = run_posefix(arguments, plan, ours)
        speeds[0].append(speed)
        inside.append(share)
        begin = time.perf_counter()
        people = peer.refine(network, arguments.images, arguments.poses, arguments.annotations, theirs)
        speeds[1].append(people / (time.perf_counter() - begin))
    medians = [statistics.median(s) for s in speeds]
    largest, mean = difference(ours, theirs)
    print(f"{people} people, {arguments.threads} threads, {arguments.rounds} rounds, cv2 {cv2.__version__}, OpenVINO "
          f"{openvino.__version__.split('-')[0]}")
    print(f"posefix refine        {medians[0]:7.2f} people/s, {100 * statistics.median(inside):.1f} % of it in the network")
    print(f"Python, cv2, OpenVINO {medians[1]:7.2f} people/s")
    print(f"posefix is {medians[0] / medians[1]:.2f} times as fast; joints differ by {largest:.3f} px at most, {mean:.4f} px "
          "on average")


def poses_of(arguments):
    """The annotated poses as if an estimator had found them."""
    arguments.work.mkdir(parents=True, exist_ok=True)
    entries = json.loads(arguments.annotations.read_text())["annotations"]
    path = arguments.work / "poses.json"
    path.write_text(json.dumps([{"image_id": a["image_id"], "category_id": a["category_id"], "score": 1,
                                 "keypoints": [1 if i % 3 == 2 and v > 0 else v for i, v in enumerate(a["keypoints"])]}
                                for a in entries if a.get("num_keypoints", 0) > 0 and not a.get("iscrowd")]))
    return path


if __name__ == "__main__":
    main()
