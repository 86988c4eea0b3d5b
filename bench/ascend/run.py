"""How much of a device's time `posefix refine` uses: the stand-in for AscendCL works a fixed time on every batch.

    python3 bench/ascend/run.py --program build/release/bin/posefix --stub build/release/ascend_stub

The device alone would need batches x ms; the ratio of that to the whole of refine's time (decoding, crops, inference,
merging, NMS; not the start of the program) is printed for every round, and where the time went. The stand-in does not
compute here, as a chip would not on the host's processor; copies, crops and pictures are those of a real run.
Pictures and people are repeated until there are --batches of them.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "examples/coco-mini"
CONFIG = "model: {backbone: resnet50, width: 1/16, input_size: [256, 192], skeleton: coco17}\n"


def copies(people):
    """Annotations and poses of the sample data, with every picture as often as it takes to have so many people."""
    annotations = json.loads((DATA / "annotations/person_keypoints_val2017.json").read_text())
    poses = json.loads((DATA / "input_pose/mediapipe_full_val2017_results.json").read_text())
    step = 1 + max(image["id"] for image in annotations["images"])
    times = -(-people // len(poses))
    images = [dict(image, id=image["id"] + i * step) for i in range(times) for image in annotations["images"]]
    repeated = [dict(pose, image_id=pose["image_id"] + i * step) for i in range(times) for pose in poses]
    return dict(annotations, images=images, annotations=[]), repeated


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--stub", type=pathlib.Path, required=True)
    parser.add_argument("--ms", type=int, default=20, help="that the device works on a batch")
    parser.add_argument("--batch", type=int, default=16, help="crops in a batch")
    parser.add_argument("--batches", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--aipp", action="store_true", help="pictures go to the device as bytes: a quarter of the copy")
    args = parser.parse_args()
    program = str(args.program.resolve())
    stub = args.stub.resolve()
    environment = dict(os.environ, PATH=f"{stub}/bin:{os.environ['PATH']}", POSEFIX_ACL_LIBRARY_DIR=f"{stub}/lib",
                       ASCEND_STUB_MS_PER_BATCH=str(args.ms), ASCEND_STUB_COMPUTE="0")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)

        def run(*arguments):
            done = subprocess.run([program, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
            if done.returncode != 0:
                sys.exit(f"posefix {arguments[0]} ended with {done.returncode}:\n{done.stderr}")
            return done.stdout

        (folder / "c.yaml").write_text(CONFIG)
        annotations, poses = copies(args.batches * args.batch // 2)
        (folder / "annotations.json").write_text(json.dumps(annotations))
        (folder / "poses.json").write_text(json.dumps(poses))
        run("init", "--config", "c.yaml", "--out", "w.safetensors")
        run("compile", "w.safetensors", "--target", "ascend:310P3", "--batch", str(args.batch), "--out", "m.om",
            *(["--aipp"] if args.aipp else []))
        ratios = []
        for _ in range(args.rounds):
            stats = json.loads(run("refine", "m.om", "--images", str(DATA / "images/val2017"), "--annotations",
                                   "annotations.json", "--poses", "poses.json", "--out", "out.json", "--json"))
            device = stats["batches"] * args.ms / 1000
            ratios.append(device / stats["seconds"]["total"])
            print(f"{stats['batches']} batches of {args.batch}: device alone {device:.2f} s, "
                  f"ratio {100 * ratios[-1]:.1f} %, seconds {stats['seconds']}", flush=True)
        print(f"median {100 * statistics.median(ratios):.1f} % of what the device alone gives")


if __name__ == "__main__":
    main()
