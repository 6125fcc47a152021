# SPDX-License-Identifier: Apache-2.0
"""A trained network as an ONNX file that other runtimes execute: pictures in, classes out, checked against PyTorch.

(``engine/export.py`` is something else: it makes a plain mmseg model of a stage's checkpoint.) The graph is the network on whole
images: normalisation, backbone, main head, upsampling to the input. Reading, resizing and sliding windows stay with the caller.
No file gets its name before onnxruntime has answered as PyTorch does, through the ``test_step`` that ``tools/test.py`` scores.
"""
import copy
import importlib.util
import json
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from mmseg.models.segmentors import EncoderDecoder
from mmseg.models.utils import resize as mmseg_resize
from mmseg.structures import SegDataSample
from torch import Tensor

from udatools.compat import CompatError
from udatools.engine.frame_predictor import FramePredictor
from udatools.utils.atomic import write_bytes_atomic
from udatools.version import __version__

OUTPUTS = ('ids', 'confidence', 'logits')
OPSET = 18  # what torch's exporter writes without conversion
MIN_EQUAL = 0.999  # share of pixels with the class that PyTorch gives; the rest may be ties up to rounding
SMALLEST_SIDES = (32, 64, 128, 256)  # of a graph for any size: the first that the network can do with
_PACKAGES = ('onnx', 'onnxruntime', 'onnxscript')
_NO_PIXELS = ('LoadImageFromNDArray', 'Resize', 'PackSegInputs')  # steps of a test pipeline that the graph may do without


class Agreement(NamedTuple):
    """What the file answers, beside PyTorch.

    Attributes:
        pictures (int): compared.
        difference (float): largest absolute difference of two logits.
        scale (float): largest absolute logit of PyTorch.
        equal (float): share of pixels with the same class, 0..1.
    """
    pictures: int
    difference: float
    scale: float
    equal: float


class OnnxFile(NamedTuple):
    """What was written.

    Attributes:
        path (Path): the file.
        size (tuple[int, int]): height and width of the pictures; of a graph for any size those it was made with.
        agreement (Agreement): with PyTorch.
        smallest (int | None): least side of a picture, in pixels, of a graph for any size; None: pictures have ``size``.
    """
    path: Path
    size: tuple[int, int]
    agreement: Agreement
    smallest: int | None = None


class DeployedNetwork(nn.Module):
    """What the graph holds.

    Args:
        model (nn.Module): a mmseg ``EncoderDecoder``, or a ``UDASegmentor`` around one.
        raw (bool): whether pictures come as they are, or preprocessed.
        outputs (Sequence[str]): what :meth:`forward` returns, of ``OUTPUTS``.

    Raises:
        ValueError: for another kind of model.
    """

    def __init__(self, model: nn.Module, *, raw: bool = True, outputs: Sequence[str] = OUTPUTS) -> None:
        super().__init__()
        segmentor = getattr(model, 'segmentor', model)
        if type(segmentor) is not EncoderDecoder or segmentor.out_channels < 2:
            raise ValueError(f'got a {type(segmentor).__name__}; expected an EncoderDecoder with one main head, of two '
                             'classes or more; other networks have no graph here')
        preprocessor = model.data_preprocessor
        self.backbone, self.head = segmentor.backbone, segmentor.decode_head
        self.neck = segmentor.neck if segmentor.with_neck else nn.Identity()
        self.raw, self.outputs = raw, tuple(outputs)
        self.rgb = bool(preprocessor._channel_conversion)  # mmseg reads BGR
        self.normalised = preprocessor._enable_normalize
        if self.normalised:
            self.register_buffer('mean', preprocessor.mean.clone())
            self.register_buffer('std', preprocessor.std.clone())

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """The outputs, in their order.

        Args:
            image (Tensor): ``raw``: uint8, (B, H, W, 3), RGB; else float32, (B, 3, H, W), preprocessed.

        Returns:
            tuple[Tensor, ...]: ``ids``: uint8, (B, H, W), train ids; ``confidence``: float32, (B, H, W), probability of that
            class; ``logits``: float32, (B, C, H, W).
        """
        inputs = self._preprocess(image) if self.raw else image
        logits = self.head(self.neck(self.backbone(inputs)))
        logits = F.interpolate(logits, inputs.shape[2:], mode='bilinear', align_corners=self.head.align_corners)
        found = dict(logits=logits)
        if 'ids' in self.outputs:
            found['ids'] = logits.argmax(1).to(torch.uint8)
        if 'confidence' in self.outputs:
            found['confidence'] = logits.softmax(1).amax(1)
        return tuple(found[name] for name in self.outputs)

    def _preprocess(self, image: Tensor) -> Tensor:
        inputs = (image if self.rgb else image.flip(3)).permute(0, 3, 1, 2).float()
        return (inputs - self.mean) / self.std if self.normalised else inputs


def export_onnx(predictor: FramePredictor, out: Path, *, size: tuple[int, int] | None = None, dynamic: bool = False,
                raw: bool = True, outputs: Sequence[str] = ('ids', ), images: Sequence[np.ndarray] | None = None,
                tolerance: float = 1e-3, overwrite: bool = False) -> OnnxFile:
    """Writes ``out`` if it answers as PyTorch does.

    Args:
        predictor (FramePredictor): the network.
        out (Path): the file, ``*.onnx``.
        size (tuple[int, int], optional): height and width of the pictures, by default those that the test pipeline resizes to.
        dynamic (bool): the graph takes batches and pictures of any size from the first of ``SMALLEST_SIDES`` on that the network
            can do with, not one picture of ``size``.
        raw (bool): the input ``image`` is uint8, (B, H, W, 3), RGB; else float32, (B, 3, H, W), normalised by the caller.
        outputs (Sequence[str]): of ``OUTPUTS``, see :meth:`DeployedNetwork.forward`.
        images (Sequence[np.ndarray], optional): pictures to compare with, uint8, (H, W, 3), RGB, resized to ``size``; by default
            made of noise. A graph for any size is also asked about another one.
        tolerance (float): largest difference of two logits, relative to the largest logit, or to 1 if all are smaller.
        overwrite (bool): replace ``out``.

    Raises:
        CompatError: without the packages of the extra ``onnx``.
        FileExistsError: if ``out`` is there.
        ValueError: for arguments or a network that the graph cannot follow, or if its answers differ; nothing is written.
    """
    if missing := [name for name in _PACKAGES if importlib.util.find_spec(name) is None]:
        raise CompatError(f'ONNX files need {", ".join(missing)}; run `pip install "udatools[onnx]"`')
    out = Path(out)
    if out.suffix.lower() != '.onnx' or not outputs or set(outputs) - set(OUTPUTS) or not tolerance > 0:
        raise ValueError(f'got {out}, outputs={list(outputs)}, tolerance={tolerance}; expected a name that ends with .onnx, some '
                         f'of {", ".join(OUTPUTS)}, and more than 0')
    if out.exists() and not overwrite:
        raise FileExistsError(f'{out} exists already; choose another --out, or replace it with --overwrite')
    size = _size_of(predictor, size)
    wanted = [name for name in OUTPUTS if name in outputs]
    network = DeployedNetwork(predictor.model, raw=raw, outputs=('logits', *(name for name in wanted if name != 'logits'))).eval()
    smallest, model = _graph_of_any_size(network, size) if dynamic else (None, _graph(network, size))
    _describe(model, predictor, network, wanted, smallest)
    groups = [[cv2.resize(image, size[::-1]) for image in images or noise_images(size)]]
    if smallest is not None:
        other = tuple(max(smallest, 3 * side // 4 + 1) for side in size)
        other = other if other != size else (size[0] + 9, size[1] + 5)
        groups.append([cv2.resize(image, other[::-1]) for image in groups[0][:1]])
    agreement = compare(model, predictor, groups if dynamic else [[image] for image in groups[0]], raw=raw)
    if not agreement.difference <= tolerance * max(1.0, agreement.scale) or not agreement.equal >= MIN_EQUAL:
        raise ValueError(f'{out} is not written, since onnxruntime does not answer as PyTorch does: {describe(agreement)}; '
                         f'allowed is {tolerance:g} of the largest logit (or of 1), and another class at {1 - MIN_EQUAL:.1%} of '
                         'the pixels. If that is rounding, raise --tolerance')
    _keep_outputs(model, wanted)
    write_bytes_atomic(out, model.SerializeToString())
    return OnnxFile(out, size, agreement, smallest)


def describe(agreement: Agreement) -> str:
    """The numbers in a line."""
    return (f'logits differ by {agreement.difference:.2g} at most (the largest is {agreement.scale:.4g}), the class is the same '
            f'at {agreement.equal:.4%} of the pixels ({agreement.pictures} pictures)')


def noise_images(size: tuple[int, int], count: int = 2, seed: int = 0) -> list[np.ndarray]:
    """Pictures of coloured spots under noise: uint8, (H, W, 3), RGB."""
    generator = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        spots = cv2.resize(generator.uniform(-40, 295, (5, 9, 3)), size[::-1], interpolation=cv2.INTER_CUBIC)
        images.append(np.clip(spots + generator.normal(0, 12, (*size, 3)), 0, 255).astype(np.uint8))
    return images


def compare(model: Any, predictor: FramePredictor, groups: Sequence[Sequence[np.ndarray]], *, raw: bool = True) -> Agreement:
    """Asks onnxruntime, on the CPU, and PyTorch about the same pictures.

    Args:
        model (onnx.ModelProto): as :func:`export_onnx` makes it; its output ``logits`` is there, if not in the file.
        predictor (FramePredictor): the network.
        groups (Sequence[Sequence[np.ndarray]]): batches; pictures are uint8, (H, W, 3), RGB, of one size in a batch.
        raw (bool): as of the graph.

    Returns:
        Agreement: of all pictures. ``equal`` is of the output ``ids`` where the graph has one; a confidence that differs counts
        in ``difference`` as a logit does.
    """
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=['CPUExecutionProvider'])
    names = [output.name for output in session.get_outputs()]
    differences, scales, equal, pixels = [], [], 0, 0
    for images in groups:
        packed, expected = _reference(predictor, images)
        fed = np.stack(images) if raw else packed.cpu().numpy()
        found = dict(zip(names, session.run(names, {'image': fed})))
        ids = expected.argmax(1)
        differences.append(np.abs(found['logits'] - expected).max())
        scales.append(np.abs(expected).max())
        if 'confidence' in found:
            prob = torch.from_numpy(expected).softmax(1).amax(1).numpy()
            differences.append(np.abs(found['confidence'] - prob).max())
        equal += int((found.get('ids', found['logits'].argmax(1)) == ids).sum())
        pixels += ids.size
    return Agreement(sum(map(len, groups)), float(np.max(differences)), float(np.max(scales)), equal / pixels)


@torch.no_grad()
def _reference(predictor: FramePredictor, images: Sequence[np.ndarray]) -> tuple[Tensor, np.ndarray]:
    """What the network sees of RGB pictures, and its logits at their size, float32 (B, C, H, W); the pipeline resizes nothing."""
    size = images[0].shape[:2]
    inputs = [torch.from_numpy(np.ascontiguousarray(image[..., ::-1])).permute(2, 0, 1) for image in images]
    batch = dict(inputs=inputs, data_samples=[SegDataSample(metainfo=dict(ori_shape=size, img_shape=size)) for _ in images])
    packed = predictor.model.data_preprocessor(copy.deepcopy(batch), False)['inputs']
    logits = [sample.seg_logits.data.float() for sample in predictor.model.test_step(batch)]
    return packed, torch.stack(logits).cpu().numpy()


def _size_of(predictor: FramePredictor, size: tuple[int, int] | None) -> tuple[int, int]:
    """Height and width of the pictures, checked against what the network does to pictures before it looks at them."""
    steps = predictor.pipeline.transforms
    if other := [type(step).__name__ for step in steps if type(step).__name__ not in _NO_PIXELS]:
        raise ValueError(f'the test pipeline of the config changes pictures by {", ".join(other)}, which the graph cannot; give '
                         'a --config whose test_pipeline loads, resizes and packs')
    if size is None:
        fixed = [step.scale for step in steps if type(step).__name__ == 'Resize' and step.scale and not step.keep_ratio]
        if not fixed:
            raise ValueError('the test pipeline of the config has no fixed size; say which pictures the network will get with '
                             '--size HEIGHT WIDTH')
        size = (fixed[-1][1], fixed[-1][0])
    if min(size) < 1:
        raise ValueError(f'got the size {size}; expected height and width, both at least 1')
    test_cfg = getattr(predictor.model, 'segmentor', predictor.model).test_cfg or {}
    window = test_cfg.get('crop_size') if test_cfg.get('mode') == 'slide' else None
    if window and (size[0] > window[0] or size[1] > window[1]):
        raise ValueError(f'the network looks at {size[0]}x{size[1]} through windows of {window[0]}x{window[1]}; export one, '
                         f'--size {window[0]} {window[1]}, and slide it in your program, by {tuple(test_cfg["stride"])} pixels')
    seen = _reference(predictor, [np.zeros((*size, 3), np.uint8)])[0].shape[2:]
    if tuple(seen) != tuple(size):
        raise ValueError(f'the preprocessor pads {size[0]}x{size[1]} to {seen[0]}x{seen[1]}; give a --size that needs no padding')
    return size


def _graph_of_any_size(network: DeployedNetwork, size: tuple[int, int]) -> tuple[int, Any]:
    """The least side of a picture that the graph takes, and the graph: at stride 32 two cells may be needed, for instance."""
    for smallest in SMALLEST_SIDES:
        if smallest > min(size) and smallest > SMALLEST_SIDES[0]:
            break
        try:
            return smallest, _graph(network, size, smallest)
        except torch._dynamo.exc.UserError as error:
            refused, tried = error, smallest
    raise ValueError(f'the network does not take pictures of any size from {tried} pixels a side on '
                     f'({str(refused).splitlines()[0]}); leave --dynamic out' +
                     (', or give a larger --size' if tried < SMALLEST_SIDES[-1] else '')) from refused


def _graph(network: DeployedNetwork, size: tuple[int, int], smallest: int | None = None) -> Any:
    """The network as onnx.ModelProto, for batches of pictures of any size from ``smallest`` on, or for one picture of ``size``.

    Raises:
        torch._dynamo.exc.UserError: if the network does not take all of these sizes.
    """
    batch = 1 if smallest is None else 2  # a dimension of 1 would be taken for a constant
    device = next(network.parameters()).device
    shape, dtype = ((batch, *size, 3), torch.uint8) if network.raw else ((batch, 3, *size), torch.float32)
    shapes = None
    if smallest is not None:
        sides = dict(zip(('height', 'width'), (1, 2) if network.raw else (2, 3)))
        shapes = dict(image={0: torch.export.Dim('batch', min=1)} |
                      {axis: torch.export.Dim(name, min=smallest) for name, axis in sides.items()})
    with _symbolic_sizes(network), _quiet(), torch.no_grad():
        program = torch.export.export(network, (torch.zeros(shape, dtype=dtype, device=device), ), dynamic_shapes=shapes)
        exported = torch.onnx.export(program, (), dynamo=True, verbose=False, input_names=['image'],
                                     output_names=list(network.outputs), opset_version=OPSET, dynamic_shapes=shapes)
    return exported.model_proto


def _describe(model: Any, predictor: FramePredictor, network: DeployedNetwork, outputs: Sequence[str],
              smallest: int | None) -> None:
    """What a reader of the file needs, as metadata: texts, and JSON of lists."""
    import onnx
    model.producer_name, model.producer_version = 'udatools', __version__
    layout = 'uint8, (batch, height, width, 3), RGB, 0..255' if network.raw else 'float32, (batch, 3, height, width), '
    if not network.raw:
        order = 'RGB' if network.rgb else 'BGR'
        how = 'as they are' if not network.normalised else (f'minus {network.mean.flatten().tolist()}, divided by '
                                                            f'{network.std.flatten().tolist()}')
        layout += f'{order}, 0..255, {how}'
    if smallest is not None:
        layout += f'; height and width at least {smallest}'
    of = dict(ids='uint8, (batch, height, width), position in classes',
              confidence='float32, (batch, height, width), probability of that class',
              logits='float32, (batch, classes, height, width), unnormalised')
    about = dict(classes=json.dumps(predictor.classes), palette=json.dumps(predictor.palette), weights=predictor.fingerprint(),
                 image=layout) | {name: of[name] for name in outputs}
    onnx.helper.set_model_props(model, about)


def _keep_outputs(model: Any, names: Sequence[str]) -> None:
    """Leaves these outputs, in this order; the nodes of the others serve them."""
    by_name = {output.name: output for output in model.graph.output}
    kept = [copy.deepcopy(by_name[name]) for name in names]
    del model.graph.output[:]
    model.graph.output.extend(kept)


@contextmanager
def _symbolic_sizes(network: nn.Module) -> Iterator[None]:
    """mmseg's ``resize`` makes integers of sizes, to warn of some; in a graph for any size they would become constants."""
    modules: set[ModuleType] = {sys.modules[kind.__module__] for part in network.modules() for kind in type(part).__mro__}
    patched = [module for module in modules if vars(module).get('resize') is mmseg_resize]
    for module in patched:
        module.resize = partial(mmseg_resize, warning=False)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module in patched:
            module.resize = mmseg_resize  # type: ignore[attr-defined]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the remarks of the exporter about itself; errors pass."""
    names = ('onnxscript', 'onnx_ir', 'torch.onnx')
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)

