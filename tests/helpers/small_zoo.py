# SPDX-License-Identifier: Apache-2.0
"""A checkout of one method with four configs, two of which have records: what the model zoo is made of."""
import hashlib
import json
from pathlib import Path

from udatools.engine.cli import build_config
from udatools.evaluation.records import run_digest, write_record

METAFILE = """Collections:
  - Name: Demo
    License: Apache-2.0
    Paper: {Title: 'Demo: a paper', URL: 'https://example.org/demo'}
    README: configs/demo/README.md
    Frameworks: [PyTorch]
Models:
"""
MODEL = """  - Name: {0}
    In Collection: Demo
    Config: configs/demo/{0}.py
    Metadata: {{Architecture: [R-1], Training Data: [A]}}
    Task: Semantic Segmentation
    Test Data: B
"""
PUBLISHED = """    Published:
      - {Metrics: {mIoU: 40.1, VPQs: 30.0}, Source: paper, Note: on C}
      - {Metrics: {mIoU: 41.25}, Source: somebody}
"""
README = """# Demo

| config | published | ours |
|---|---|---|
| `one_x.py` | - | [50.0 ± 2.0](x.md), two seeds |
| `two_x.py` | - | [30.0 / 20.0](x.md), seed 0 |
| `three_x.py` | 40.10 / 30.0 (paper), 41.25 (somebody) | not run by us yet |
| `four_x.py` | - | not run by us yet |
"""
CHECKPOINT = b'weights'


def results(name, seed, miou, vpqs=None, device='cpu', portion=0.0):
    """Contents of a ``results.json``."""
    metrics = {'mIoU': miou, 'IoU': {'road': miou}} | ({} if vpqs is None else {'VPQs': vpqs})
    return {'name': name, 'seed': seed, 'protocol': 'p', 'classes': ['road'], 'stages': [
        {'name': 'train', 'metrics': metrics, 'labelled': {'portion': portion, 'seconds': 0.0}, 'cost': {'device': device}}]}


def keep(root, name, seed, miou, *, commit, digest=None, **kwargs):
    """Writes a record of a config; by default with the digest that the config has."""
    config = root / 'configs' / 'demo' / f'{name}.py'
    write_record(root / 'docs' / 'records' / 'x' / name / f'seed_{seed}.json', results(name, seed, miou, **kwargs),
                 digest or run_digest(build_config(str(config), seed=seed)), commit)


def write_zoo(root):
    """Writes the checkout; nothing that a script writes is there yet. Returns its root."""
    folder = Path(root) / 'configs' / 'demo'
    folder.mkdir(parents=True)
    (root / 'configs' / '_base_').mkdir()
    (root / 'configs' / '_base_' / 'base.py').write_text('x = 1\n')
    names = ('one_x', 'two_x', 'three_x', 'four_x')
    for number, name in enumerate(names):
        (folder / f'{name}.py').write_text(f'model = dict(number={number})\n')
    (folder / 'metafile.yml').write_text(METAFILE + ''.join(
        MODEL.format(name) + (PUBLISHED if name == 'three_x' else '') for name in names))
    (folder / 'README.md').write_text(README, encoding='utf-8')
    keep(root, 'one_x', 0, 50 - 2 ** 0.5, commit='aaa')  # the deviation of the two is 2
    keep(root, 'one_x', 1, 50 + 2 ** 0.5, commit='bbb', device='Some GPU')
    keep(root, 'two_x', 0, 30.0, commit='aaa', vpqs=20.0, portion=0.022)
    package = root / 'udatools' / 'zoo' / 'checkpoints'
    package.mkdir(parents=True)
    sha = hashlib.sha256(CHECKPOINT).hexdigest()
    (package / f'one-{sha[:8]}.pth').write_bytes(CHECKPOINT)
    (package.parent / 'checkpoints.json').write_text(json.dumps({'checkpoints': [
        {'name': 'one', 'file': f'one-{sha[:8]}.pth', 'sha256': sha, 'bytes': len(CHECKPOINT), 'urls': [],
         'config': 'configs/demo/one_x.py', 'seed': 1}]}))
    return root
