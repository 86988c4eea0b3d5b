"""The training step of `posefix train` beside the same step in PyTorch's eager mode (peer.py).

They take turns `--rounds` times, each variant in every round; compared are the medians of samples per second of CPU time.
"""
import argparse
import pathlib
import re
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
VARIANTS = ("f32", "f32+channels_last", "bf16", "bf16+channels_last")


def rates(command):
    """{variant: samples/s}, and the library's version."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(done.returncode)
    found = re.findall(r"^(\S+)\s+([\d.]+) samples/s", done.stdout, re.MULTILINE)
    version = re.search(r"(?:LibTorch|PyTorch) (\S+)", done.stdout).group(1)
    return {variant: float(rate) for variant, rate in found}, version


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path, default=HERE / "../../build/bench/bench/train_step_bench")
    parser.add_argument("--size", default="256x192", help="crop, HEIGHTxWIDTH")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2, help="of each variant in a round, beside one that warms up")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--variants", nargs="+", default=VARIANTS)
    arguments = parser.parse_args()
    what = [arguments.size, arguments.batch, arguments.threads, arguments.steps, *arguments.variants]
    ours = {variant: [] for variant in arguments.variants}
    theirs = {variant: [] for variant in arguments.variants}
    for _ in range(arguments.rounds):
        rate, version = rates([arguments.program, "1", *what])
        peer_rate, peer_version = rates([sys.executable, HERE / "peer.py", *what])
        for variant in arguments.variants:
            ours[variant].append(rate[variant])
            theirs[variant].append(peer_rate[variant])
    print(f"ResNet-50, {arguments.size}, batch {arguments.batch}, {arguments.threads} thread(s), samples/s of CPU time")
    print(f"{'':<20}{'posefix, LibTorch ' + version:>28}{'PyTorch ' + peer_version:>24}{'ratio':>8}")
    for precision in dict.fromkeys(variant.split("+")[0] for variant in arguments.variants):
        best = {}
        for variant in arguments.variants:
            if not variant.startswith(precision):
                continue
            pair = statistics.median(ours[variant]), statistics.median(theirs[variant])
            best = {name: max(best.get(name, 0), value) for name, value in zip(("ours", "theirs"), pair)}
            print(f"{variant:<20}{pair[0]:>28.2f}{pair[1]:>24.2f}{pair[0] / pair[1]:>8.2f}")
        print(f"{precision + ', best of each':<20}{best['ours']:>28.2f}{best['theirs']:>24.2f}"
              f"{best['ours'] / best['theirs']:>8.2f}")


if __name__ == "__main__":
    main()
