"""TensorFlow runs our frozen graphs and reads and restores our checkpoints."""
import argparse
import hashlib
import json
import os
import pathlib
import struct
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
import numpy as np
import tensorflow as tf
from safetensors.numpy import load_file

from inputs import Persons, Report

tf1 = tf.compat.v1


def run_graph(path, image, pose, valid):
    definition = tf1.GraphDef()
    definition.ParseFromString(pathlib.Path(path).read_bytes())
    graph = tf.Graph()
    with graph.as_default():
        tf1.import_graph_def(definition, name="")
        with tf1.Session() as session:
            return session.run("mul_15:0",
                               {"Placeholder:0": image, "Placeholder_2:0": pose, "Placeholder_4:0": valid})


def check_graphs(report, work, persons):
    for size in (1, 4, 16):
        image, pose, valid, index = persons.batch(size)
        for name in ("free.pb", f"batch{size}.pb"):
            coords = run_graph(work / name, image, pose, valid)
            report.compare(f"TensorFlow {tf.__version__}: {name}, batch {size}", 4 * coords,
                           persons.coords_crop_px[index], 0.01, "px")


def check_snapshot(report, work):
    """V1 and V2 checkpoints of the snapshot: read by name, and restored into variables of those names."""
    ours = load_file(work / "model.safetensors")
    variables = {name: value for name, value in ours.items() if not name.startswith(("optimizer/", "train/"))}
    for name in ("checkpoint_v2", "checkpoint_v1"):
        reader = tf.train.load_checkpoint(str(work / name))
        names = set(reader.get_variable_to_shape_map())
        equal = names == set(variables) and all(
            np.array_equal(reader.get_tensor(n), value) for n, value in variables.items())
        report.require(f"TensorFlow reads {name}", equal, f"{len(names)} tensors, bit for bit")
        with tf.Graph().as_default(), tf1.Session() as session:
            made = {n: tf1.get_variable(n, value.shape, tf.float32) for n, value in variables.items()}
            tf1.train.Saver(made).restore(session, str(work / name))
            equal = all(np.array_equal(got, variables[n]) for n, got in session.run(made).items())
        report.require(f"TensorFlow restores {name} by name", equal, f"{len(made)} variables")


def digest(value):
    """SHA-256 as the goldens define it: little-endian bytes; strings with their length before each."""
    value = np.asarray(value, dtype=object if isinstance(value, bytes) else None)
    if value.dtype == object:
        data = b"".join(struct.pack("<Q", len(text)) + text for text in value.reshape(-1))
    else:
        data = np.ascontiguousarray(value).tobytes()
    return hashlib.sha256(data).hexdigest()


def check_every_type(report, folder, expected):
    """What the golden test wrote again, every type of it, read by TensorFlow."""
    dtypes = {"float32": tf.float32, "string": tf.string, "bool": tf.bool}
    for case, row in expected.items():
        for suffix in (".v2", ".v1"):
            if suffix == ".v1" and row["format"] != "V1":
                continue
            path, bad = str(folder / (case + suffix)), []
            for tensor in row["tensors"]:
                dtype = dtypes.get(tensor["dtype"]) or tf.as_dtype(tensor["dtype"])
                if suffix == ".v2":
                    value = tf.raw_ops.RestoreV2(prefix=path, tensor_names=[tensor["name"]], shape_and_slices=[""],
                                                 dtypes=[dtype])[0]
                else:
                    value = tf.raw_ops.Restore(file_pattern=path, tensor_name=tensor["name"], dt=dtype)
                if list(value.shape) != tensor["shape"] or digest(value.numpy()) != tensor["sha256"]:
                    bad.append(tensor["name"])
            report.require(f"TensorFlow restores {case}{suffix}", not bad,
                           f"{len(row['tensors'])} tensors" + (f", wrong: {bad[:5]}" if bad else ""))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--goldens", type=pathlib.Path, required=True)
    parser.add_argument("--rewritten", type=pathlib.Path, required=True)
    args = parser.parse_args()
    report = Report()
    check_graphs(report, args.work, Persons(args.goldens / "frozen" / "expected.safetensors"))
    check_snapshot(report, args.work)
    check_every_type(report, args.rewritten, json.loads((args.goldens / "checkpoints" / "expected.json").read_text()))
    sys.exit(1 if report.failures else 0)


if __name__ == "__main__":
    main()
