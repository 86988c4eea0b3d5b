"""The runtimes that posefix's CPU backend is measured against, behind one shape: name, precision, run(persons).

Peers get the 3+K input maps ready made and stop at the logits: rendering the pose, decoding the heat map and the
conversion of the picture are left out of their time. Ours does all of it.
"""
import ctypes
import pathlib
import subprocess
import sys

import numpy as np


class Persons:
    """Noise crops with all joints inside; what a picture shows does not change the time."""

    def __init__(self, crops, pose, maps):
        self.batch = len(crops)
        self.crops, self.pose, self.maps = crops, pose, maps  # [B,H,W,3] u8, [B,K,2], [B,3+K,H,W]
        self.valid = np.ones(pose.shape[:2], np.float32)

    @classmethod
    def draw(cls, batch, height, width, joints, seed=1):
        draw = np.random.default_rng(seed)
        crops = draw.integers(0, 256, (batch, height, width, 3), np.uint8)
        pose = (draw.random((batch, joints, 2)) * [width - 1, height - 1]).astype(np.float32)
        mean = np.float32([123.68, 116.78, 103.94])
        sigma = 9 if height == 384 else 7
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        distance = ((x[None, None] - pose[:, :, :1, None])**2 + (y[None, None] - pose[:, :, 1:, None])**2)
        heatmaps = 255 * np.exp(-distance / (2 * sigma**2))
        image = (crops - mean).transpose(0, 3, 1, 2)
        return cls(crops, pose, np.ascontiguousarray(np.concatenate([image, heatmaps], 1), np.float32))

    def save(self, path):
        np.savez(path, crops=self.crops, pose=self.pose, maps=self.maps)

    @classmethod
    def load(cls, path):
        """Drawing takes memory that would hide a runtime's own peak."""
        with np.load(path) as file:
            return cls(file["crops"], file["pose"], file["maps"])

    def first(self, count):
        return Persons(*(np.ascontiguousarray(a[:count]) for a in (self.crops, self.pose, self.maps)))


def program(name):
    """Of this Python environment."""
    return str(pathlib.Path(sys.executable).parent / name)


def decode(logits):
    """Soft-argmax of [B,K,h,w] -> [B,K,2] crop px."""
    batch, joints, height, width = logits.shape
    flat = logits.reshape(batch, joints, -1).astype(np.float64)
    weight = np.exp(flat - flat.max(-1, keepdims=True))
    weight /= weight.sum(-1, keepdims=True)
    y, x = np.mgrid[0:height, 0:width].reshape(2, -1)
    return 4 * np.stack([(weight * x).sum(-1), (weight * y).sum(-1)], -1)


class Posefix:
    starts = True

    class Options(ctypes.Structure):
        _fields_ = [("backend", ctypes.c_char_p), ("device", ctypes.c_char_p), ("max_batch", ctypes.c_int32),
                    ("threads", ctypes.c_int32)]

    def __init__(self, library, plan, precision, batch, threads, backend=b"cpu"):
        self.name, self.precision = "posefix", precision
        self.library = ctypes.CDLL(str(library))
        self.library.posefix_error.restype = ctypes.c_char_p
        self.session = ctypes.c_void_p()
        options = self.Options(backend, None, batch, threads)
        self.check(self.library.posefix_open(str(plan).encode(), ctypes.byref(options), ctypes.byref(self.session)))

    def check(self, status):
        if status != 0:
            raise RuntimeError(self.library.posefix_error().decode())

    def run(self, persons):
        coords = np.empty_like(persons.pose)
        pointer = lambda array: array.ctypes.data_as(ctypes.c_void_p)
        self.check(self.library.posefix_run(self.session, persons.batch, pointer(persons.crops), pointer(persons.pose),
                                            pointer(persons.valid), pointer(coords), None))
        return coords

    coords = run

    def close(self):
        self.library.posefix_close(self.session)


class Peer:
    starts = True  # whether its start is worth measuring

    def coords(self, persons):
        return decode(np.asarray(self.run(persons)).reshape(persons.batch, persons.pose.shape[1], -1,
                                                            persons.crops.shape[2] // 4))

    def close(self):
        pass


class OnnxRuntime(Peer):
    module = "onnxruntime"

    def __init__(self, model, precision, persons, threads):
        import onnxruntime
        self.name, self.precision = f"ONNX Runtime {onnxruntime.__version__}", precision
        if precision == "int8":
            model = self.quantised(model, persons)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # its warnings about unused constants are many
        self.session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    @staticmethod
    def quantised(model, persons):
        from onnxruntime import quantization

        class Reader(quantization.CalibrationDataReader):
            def __init__(self):
                self.left = iter([{"maps": persons.maps}])

            def get_next(self):
                return next(self.left, None)

        out = model.with_suffix(".int8.onnx")
        if not out.exists():
            quantization.quantize_static(str(model), str(out), Reader(), per_channel=True,
                                         quant_format=quantization.QuantFormat.QDQ,
                                         activation_type=quantization.QuantType.QUInt8,
                                         weight_type=quantization.QuantType.QInt8)
        return out

    def run(self, persons):
        return self.session.run(None, {self.input: persons.maps})[0]


class OpenVino(Peer):
    module = "openvino"

    def __init__(self, model, precision, persons, threads):
        import openvino
        self.name, self.precision = f"OpenVINO {openvino.__version__.split('-')[0]}", precision
        core = openvino.Core()
        if precision == "int8":
            model = self.quantised(core, model, persons)
        read = core.read_model(str(model))
        hint = {"f32": "f32", "bf16": "bf16", "int8": "f32"}[precision]
        self.model = core.compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": hint,
                                                      "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1})
        self.request = self.model.create_infer_request()

    @staticmethod
    def quantised(core, model, persons):
        out = model.with_suffix(".int8.xml")
        if not out.exists():
            import nncf
            import openvino
            whole = core.read_model(str(model))
            openvino.save_model(nncf.quantize(whole, nncf.Dataset([persons.maps]), subset_size=1), str(out))
        return out

    def run(self, persons):
        return self.request.infer({0: persons.maps})[0]


class Ncnn(Peer):
    module = "ncnn"

    def __init__(self, model, precision, persons, threads):
        import ncnn
        self.name, self.precision = f"ncnn {ncnn.__version__}", precision
        stem = model.with_suffix("")
        param = stem.parent / (stem.name + ".ncnn.param")
        if not param.exists():
            subprocess.run([program("pnnx"), str(model), f"inputshape=[{','.join(map(str, persons.maps.shape))}]"],
                           check=True, capture_output=True, cwd=stem.parent)
        self.ncnn, self.net = ncnn, ncnn.Net()
        self.net.opt.num_threads = threads
        self.net.opt.use_bf16_storage = precision == "bf16"
        self.net.load_param(str(param))
        self.net.load_model(str(param.with_suffix(".bin")))

    def run(self, persons):
        results = []
        for maps in persons.maps:  # ncnn has no batch
            extractor = self.net.create_extractor()
            extractor.input("in0", self.ncnn.Mat(maps))
            results.append(np.array(extractor.extract("out0")[1]))
        return np.stack(results)


class Mnn(Peer):
    module = "MNN"

    def __init__(self, model, precision, persons, threads):
        import MNN
        self.name, self.precision = f"MNN {MNN.version()}", precision
        converted = model.with_suffix(".mnn")
        if not converted.exists():
            subprocess.run([program("mnnconvert"), "-f", "ONNX", "--modelFile", str(model), "--MNNModel", str(converted),
                            "--bizCode", "MNN"], check=True, capture_output=True)
        self.mnn = MNN
        configuration = {"backend": "CPU", "numThread": threads, "precision": "low" if precision == "bf16" else "high"}
        self.runtime = MNN.nn.create_runtime_manager((configuration,))
        self.net = MNN.nn.load_module_from_file(str(converted), ["maps"], ["logits_maps"],
                                                runtime_manager=self.runtime)

    def run(self, persons):
        numpy = self.mnn.numpy
        given = self.mnn.expr.convert(numpy.array(persons.maps), self.mnn.expr.NC4HW4) \
            if hasattr(self.mnn.expr, "NC4HW4") else numpy.array(persons.maps)
        result = self.net.forward(given)
        return np.array(self.mnn.expr.convert(result, self.mnn.expr.NCHW).read())


class PyTorch(Peer):
    """The graph of the ONNX file, its convolutions and batch norms run by torch, eager."""

    module = "torch"
    starts = False

    def __init__(self, model, precision, persons, threads):
        import onnx
        import torch
        from onnx import numpy_helper
        self.torch, self.name, self.precision = torch, f"PyTorch {torch.__version__.split('+')[0]}", precision
        torch.set_num_threads(threads)
        self.graph = onnx.load(str(model)).graph
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.weights = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in self.graph.initializer}
        self.weights = {k: v.to(self.dtype) if v.is_floating_point() else v for k, v in self.weights.items()}

    def run(self, persons):
        torch, functional = self.torch, self.torch.nn.functional
        with torch.inference_mode():
            values = dict(self.weights)
            values[self.graph.input[0].name] = torch.from_numpy(persons.maps).to(self.dtype)
            for node in self.graph.node:
                a = {x.name: list(x.ints) if x.ints else x.i if x.type == 2 else x.f for x in node.attribute}
                given = [values[name] if name else None for name in node.input]
                values[node.output[0]] = self.compute(node.op_type, a, given, torch, functional)
            return values[self.graph.output[0].name].float().numpy()

    @staticmethod
    def compute(op, a, given, torch, functional):
        if op in ("Conv", "ConvTranspose"):
            x, pads = given[0], a.get("pads", [0, 0, 0, 0])
            bias = given[2] if len(given) > 2 else None
            if op == "ConvTranspose":
                return functional.conv_transpose2d(x, given[1], bias, a["strides"], pads[0])
            if pads[:2] != pads[2:]:
                x, pads = functional.pad(x, (pads[1], pads[3], pads[0], pads[2])), [0, 0]
            return functional.conv2d(x, given[1], bias, a.get("strides", [1, 1]), pads[:2])
        if op == "BatchNormalization":
            return functional.batch_norm(given[0], given[3], given[4], given[1], given[2], False, 0, a["epsilon"])
        if op == "MaxPool":
            return functional.max_pool2d(given[0], a["kernel_shape"], a["strides"], a.get("pads", [0, 0])[:2])
        if op == "Pad":
            p = given[1].tolist()
            return functional.pad(given[0], (p[3], p[7], p[2], p[6]))
        if op == "Relu":
            return torch.relu(given[0])
        if op == "Add":
            return given[0] + given[1]
        raise NotImplementedError(op)
