# SPDX-License-Identifier: Apache-2.0
"""Key layouts of the DeepLabv2 checkpoints that the AdaptSegNet line publishes, and what they are called here.

The layouts are those of AdaptSegNet (Tsai et al., CVPR 2018), which ADVENT, CRST and others kept: a Caffe-style ResNet with
torchvision's names and classifiers ``layerN.conv2d_list.K`` of one convolution a dilation, or VGG16 as one chain
``features.N`` that ends with fc6 and fc7. Data and functions on names only; no code of the authors is used.
"""
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

State = dict[str, Tensor]

INIT_STD = 0.01  # of the classifiers before training
DILATIONS = (6, 12, 18, 24)
FIRST_TWO = DILATIONS[:2]
_PREFIXES = ('module.', 'Scale.')  # of DataParallel, and of networks converted from Caffe
_RESNET = (r'(conv1|bn1|layer[1-4])\.', r'backbone.\1.')
# torchvision's indices without pool4 (23) and pool5 (30), then fc6 and fc7 with a ReLU after each.
_VGG_MOVED = {23: 'features.24', 25: 'features.26', 27: 'features.28', 29: 'fc6.0', 31: 'fc7.0'}


class ConversionError(ValueError):
    """A checkpoint cannot be converted; says which keys are in the way and what to do."""


@dataclass(frozen=True)
class Layout:
    """A published layout.

    Attributes:
        name (str): as in ``--layout``.
        model (str): base config of the network here, below ``configs/_base_/models``.
        heads (tuple[str, ...]): heads of our network, the main one first.
        rules (tuple[tuple[str, str], ...]): regular expression at the beginning of a published key -> its replacement; the
            first that matches counts.
    """
    name: str
    model: str
    heads: tuple[str, ...]
    rules: tuple[tuple[str, str], ...]

    def rename(self, key: str) -> str | None:
        """Our name of a published key, None if the layout does not have it."""
        for pattern, replacement in self.rules:
            if match := re.match(pattern, key):
                return match.expand(replacement) + key[match.end():]
        return None


LAYOUTS = {layout.name: layout for layout in (
    Layout('single', 'deeplabv2_r101_caffe.py', ('decode_head', ),
           (_RESNET, (r'layer[56]\.conv2d_list\.', 'decode_head.branches.'))),
    Layout('multi', 'deeplabv2_r101_caffe_multilevel.py', ('decode_head', 'auxiliary_head'),
           (_RESNET, (r'layer5\.conv2d_list\.', 'auxiliary_head.branches.'),
            (r'layer6\.conv2d_list\.', 'decode_head.branches.'))),
    Layout('vgg16', 'deeplabv2_vgg16_caffe.py', ('decode_head', ),
           (*((rf'features\.{index}\.', f'backbone.{name}.') for index, name in _VGG_MOVED.items()),
            (r'features\.(1?\d|2[012])\.', r'backbone.features.\1.'),
            (r'classifier\.conv2d_list\.', 'decode_head.branches.'))),
)}


def clean_keys(state: Mapping[str, Tensor], rename: tuple[tuple[str, str], ...] = ()) -> State:
    """Applies the user's renamings to every key in their order, then strips ``module.`` and ``Scale.``.

    Args:
        state (Mapping[str, Tensor]): published names.
        rename (tuple[tuple[str, str], ...]): regular expression, replacement (as in ``re.sub``). A key that becomes empty is
            left out.

    Raises:
        ConversionError: for an expression that does not compile, or two keys that become one.
    """
    origin: dict[str, str] = {}
    result: State = {}
    for key, value in state.items():
        new = key
        for pattern, replacement in rename:
            try:
                new = re.sub(pattern, replacement, new)
            except re.error as error:
                raise ConversionError(f'--rename {pattern}={replacement}: {error}; expected a regular expression of Python, '
                                      'and as many groups as the replacement names') from error
        if not new:
            continue
        while prefix := next((prefix for prefix in _PREFIXES if new.startswith(prefix)), None):
            new = new.removeprefix(prefix)
        if new in result:
            raise ConversionError(f'the keys {origin[new]} and {key} both become {new}; leave one of them out with '
                                  f"--rename '{re.escape(key)}='")
        origin[new], result[new] = key, value
    return result


def detect_layout(state: Mapping[str, Tensor]) -> Layout:
    """The layout that the clean keys have.

    Raises:
        ConversionError: for none of them; says what was found.
    """
    heads = sorted({key.partition('.conv2d_list.')[0] for key in state if '.conv2d_list.' in key})
    resnet = 'layer4.0.conv1.weight' in state
    if 'features.29.weight' in state and heads == ['classifier']:
        return LAYOUTS['vgg16']
    if resnet and heads in (['layer5'], ['layer6']):
        return LAYOUTS['single']
    if resnet and heads == ['layer5', 'layer6']:
        inputs = {head: state[f'{head}.conv2d_list.0.weight'].shape[1] for head in heads}
        if inputs['layer5'] * 2 == inputs['layer6']:
            return LAYOUTS['multi']
        raise ConversionError(f'the classifiers layer5 and layer6 take {inputs["layer5"]} and {inputs["layer6"]} channels; in '
                              'the multi-level layout layer5 sits on layer3 with half as many. Two classifiers of one feature '
                              "(as CLAN has) are not supported; leave one out, such as with --rename 'layer6\\..*='")
    shown = sorted({'.'.join(key.split('.')[:2]) for key in state})
    raise ConversionError(f'the keys are of no layout that is known here ({", ".join(LAYOUTS)}): classifiers '
                          f'{", ".join(heads) or "none"}, keys beginning with {", ".join(shown[:20])}'
                          f'{", ..." if len(shown) > 20 else ""}. Expected conv1, bn1, layer1 to layer4 and '
                          'layer5.conv2d_list.K (and layer6), or features.N and classifier.conv2d_list.K; map your names to '
                          "these with --rename 'REGEX=REPLACEMENT'")


def is_untouched(weight: Tensor) -> bool:
    """Whether a classifier's weights still look like their initialisation N(0, 0.01).

    Tests mean, standard deviation and kurtosis, each within four standard errors (1 % and 0.05 at least). Training with weight
    decay at the published rates moves the standard deviation by far more.
    """
    values = weight.double().flatten()
    count = values.numel()
    mean, std = values.mean(), values.std()
    if count < 100 or not std > 0:
        return False
    kurtosis = (((values - mean) / std)**4).mean() - 3
    return bool(abs(mean) < 4 * INIT_STD / count**0.5 and abs(std / INIT_STD - 1) < max(0.01, 4 / (2 * count)**0.5)
                and abs(kurtosis) < max(0.05, 4 * (24 / count)**0.5))


def trained_branches(state: Mapping[str, Tensor], layout: Layout) -> str:
    """``'first-two'`` if every head's third and fourth branch look untouched and its first two do not, else ``'all'``.

    The published network of AdaptSegNet returned from inside its loop over the branches (its issue 20 says so), so only
    dilations 6 and 12 took part in training and testing; the other two kept their initial values in the file. Successors
    such as ADVENT sum all four.

    Args:
        state (Mapping[str, Tensor]): our names.
        layout (Layout): of the checkpoint.
    """
    for head in layout.heads:
        weights = [state.get(f'{head}.branches.{index}.weight') for index in range(len(DILATIONS))]
        if any(weight is None for weight in weights):
            return 'all'
        if [is_untouched(weight) for weight in weights if weight is not None] != [False, False, True, True]:
            return 'all'
    return 'first-two'


def convert_state(state: Mapping[str, Tensor], layout: Layout, *, branches: str = 'auto') -> tuple[State, str]:
    """Weights under our names.

    Args:
        state (Mapping[str, Tensor]): clean published names.
        layout (Layout): of the checkpoint.
        branches (str): ``'all'`` four of each classifier, the ``'first-two'`` (the others are left out), or ``'auto'``, see
            ``trained_branches``.

    Returns:
        tuple: weights, and which branches were taken.

    Raises:
        ConversionError: when keys are left over.
    """
    if branches not in ('auto', 'all', 'first-two'):
        raise ConversionError(f"branches is {branches!r}; expected 'auto', 'all' or 'first-two'")
    result: State = {}
    origin: dict[str, str] = {}
    unknown = []
    for key, value in state.items():
        new = layout.rename(key)
        if new is None:
            unknown.append(key)
        elif new in result:
            raise ConversionError(f'the keys {origin[new]} and {key} are both {new} in the layout {layout.name}; choose another '
                                  f"--layout, or leave one out with --rename '{re.escape(key)}='")
        else:
            origin[new], result[new] = key, value
    if unknown:
        raise ConversionError(f'{len(unknown)} of {len(state)} keys are not part of the layout {layout.name}: '
                              f'{_listed(unknown)}. Map them with --rename OLD=NEW, leave them out with --rename OLD= (OLD a '
                              'regular expression), or choose another --layout')
    if branches == 'auto':
        branches = trained_branches(result, layout)
    if branches == 'first-two':
        unused = re.compile(r'\.branches\.[23]\.')
        result = {key: value for key, value in result.items() if not unused.search(key)}
    return result, branches


def check_fit(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> State:
    """The state with what old checkpoints lack (``num_batches_tracked``), in the expected types.

    Args:
        state (Mapping[str, Tensor]): our names.
        expected (Mapping[str, Tensor]): the network's own state; on the device ``meta`` is enough.

    Raises:
        ConversionError: for missing or left-over keys, other shapes, or values that are not finite.
    """
    counters = [key for key in expected if key.endswith('num_batches_tracked') and key not in state]
    missing = [key for key in expected if key not in state and key not in counters]
    unused = [key for key in state if key not in expected]
    wrong = [f'{key} {tuple(state[key].shape)} instead of {tuple(expected[key].shape)}' for key in expected
             if key in state and state[key].shape != expected[key].shape]
    problems = [f'{len(keys)} {what}: {_listed(keys)}' for keys, what in (
        (missing, 'parameters of the network are missing'), (unused, 'have no place in the network'),
        (wrong, 'have another shape')) if keys]
    if problems:
        raise ConversionError(f'the checkpoint does not fit the network: {"; ".join(problems)} (names of udatools). Choose '
                              'another --layout, or change the network with --cfg-options, such as segmentor.backbone.depth=50')
    broken = [key for key, value in state.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise ConversionError(f'{len(broken)} parameters hold values that are not finite: {_listed(broken)}; the file is broken')
    return {key: torch.zeros((), dtype=torch.long) if key in counters else state[key].to(value.dtype).clone().contiguous()
            for key, value in expected.items()}


def _listed(names: list[str], limit: int = 12) -> str:
    return ', '.join(names[:limit]) + (f', ... and {len(names) - limit} more' if len(names) > limit else '')
