"""onnx.checker, ONNX Runtime and OpenVINO take our ONNX models."""
import argparse
import pathlib
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
from safetensors.numpy import load_file

from inputs import Persons, Report, mirrored


def feeds(batch):
    return {"image": batch[0], "pose": batch[1], "valid": batch[2]}


class OnnxRuntime:
    name = f"ONNX Runtime {onnxruntime.__version__}"

    def __init__(self, path):
        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.outputs = [output.name for output in self.session.get_outputs()]

    def run(self, batch):
        return dict(zip(self.outputs, self.session.run(self.outputs, feeds(batch))))


class OpenVino:
    name = f"OpenVINO {openvino.__version__.split('-')[0]}"

    def __init__(self, path):
        core = openvino.Core()
        self.model = core.compile_model(core.read_model(str(path)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(self, batch):
        result = self.model(feeds(batch))
        return {output.get_any_name(): result[output] for output in self.model.outputs}


def spread_of(logits):
    """Standard deviation of the softmax's position, crop px, from logits [h,w,K]."""
    height, width, joints = logits.shape
    flat = logits.reshape(-1, joints).astype(np.float64)
    weight = np.exp(flat - flat.max(0))
    weight /= weight.sum(0)
    y, x = np.mgrid[0:height, 0:width].reshape(2, -1)[:, :, None]
    mean_x, mean_y = (weight * x).sum(0), (weight * y).sum(0)
    return 4 * np.sqrt((weight * ((x - mean_x)**2 + (y - mean_y)**2)).sum(0))


def check_model(report, runtime, work, persons, mirror):
    for size in (1, 4, 16):
        image, pose, valid, index = persons.batch(size)
        batch, expected = (image, pose, valid), persons.coords_crop_px[index]
        for name in ("free.onnx", f"batch{size}.onnx"):
            result = runtime(work / name).run(batch)
            report.compare(f"{runtime.name}: {name}, batch {size}", result["coords"], expected, 0.01, "px")
        report.compare(f"{runtime.name}: spread, batch {size}", result["spread"][0], spread_of(persons.logits_of_first),
                       0.01, "px")
        plain = runtime(work / "free.onnx")
        second = plain.run(mirrored(batch, mirror))["coords"][:, mirror].copy()
        second[:, :, 0] = image.shape[2] - 1 - second[:, :, 0]
        report.compare(f"{runtime.name}: flip.onnx, batch {size}", runtime(work / "flip.onnx").run(batch)["coords"],
                       (plain.run(batch)["coords"] + second) / 2, 0.01, "px")
    image, pose, valid, _ = persons.batch(1)
    logits = runtime(work / "logits.onnx").run((image, pose, valid))["logits_nhwc"]
    report.compare(f"{runtime.name}: logits.onnx", logits[0], persons.logits_of_first, 1e-3, "")
    for opset in range(13, 18):
        result = runtime(work / f"opset{opset}.onnx").run((image, pose, valid))
        report.compare(f"{runtime.name}: opset {opset}", result["coords"], persons.coords_crop_px[:1], 0.01, "px")


def write_einsum_decoding(source, target, height, width):
    """Heat maps of `source` become coordinates, crop px, in the way of people who write PyTorch: softmax and einsum."""
    model = onnx.load(source)
    graph = model.graph
    joints = graph.output[0].type.tensor_type.shape.dim[3].dim_value
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    graph.initializer.extend([
        onnx.numpy_helper.from_array(np.array([0, height * width, joints]), "foreign/shape"),
        onnx.numpy_helper.from_array(4 * np.stack([x.ravel(), y.ravel()], 1), "foreign/grid"),
    ])
    graph.node.extend([
        onnx.helper.make_node("Reshape", [graph.output[0].name, "foreign/shape"], ["foreign/flat"]),
        onnx.helper.make_node("Softmax", ["foreign/flat"], ["foreign/softmax"], axis=1),
        onnx.helper.make_node("Einsum", ["foreign/softmax", "foreign/grid"], ["out"], equation="bpk,pc->bkc"),
    ])
    del graph.output[:]
    graph.output.append(onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, [None, joints, 2]))
    onnx.checker.check_model(model)
    onnx.save(model, target)


def check_foreign_decoding(report, args, persons):
    foreign, ours = args.work / "einsum.onnx", args.work / "einsum_read.onnx"
    write_einsum_decoding(args.work / "logits.onnx", foreign, *persons.logits_of_first.shape[:2])
    subprocess.run([args.posefix, "export", foreign, "--format", "onnx", "--out", ours], check=True)
    image, pose, valid, index = persons.batch(4)
    batch, expected = (image, pose, valid), persons.coords_crop_px[index]
    report.compare(f"{OnnxRuntime.name}: decoding by Einsum", OnnxRuntime(foreign).run(batch)["out"], expected, 0.01,
                   "px")
    report.compare(f"{OnnxRuntime.name}: the same, read and written again", OnnxRuntime(ours).run(batch)["coords"],
                   expected, 0.01, "px")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--goldens", type=pathlib.Path, required=True)
    parser.add_argument("--posefix", type=pathlib.Path, required=True)
    args = parser.parse_args()
    report = Report()
    models = sorted(args.work.glob("*.onnx"))
    report.require("models were written", len(models) > 0)
    for path in models:
        onnx.checker.check_model(str(path), full_check=True)
        report.require(f"onnx.checker {onnx.__version__}: {path.name}", True)
    names = dict((p.key, p.value) for p in onnx.load(args.work / "free.onnx").metadata_props)["posefix.joints"].split(",")
    other = {"left": "right", "right": "left"}
    mirror = [
        names.index("_".join(other.get(part, part) for part in name.split("_"))) for name in names
    ]
    report.require("safetensors reads our snapshot", len(load_file(args.work / "model.safetensors")) > 0)
    persons = Persons(args.goldens / "frozen" / "expected.safetensors")
    for runtime in (OnnxRuntime, OpenVino):
        check_model(report, runtime, args.work, persons, mirror)
    check_foreign_decoding(report, args, persons)
    sys.exit(1 if report.failures else 0)


if __name__ == "__main__":
    main()
