# SPDX-License-Identifier: Apache-2.0
"""Metadata of the distribution: version ranges and extras. The pinned, tested versions are in ``requirements/``."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent


def read_version() -> str:
    """Return the version in ``udatools/version.py`` without importing the package."""
    text = (HERE / 'udatools' / 'version.py').read_text(encoding='utf-8')
    match = re.search(r"^__version__ = '([^']+)'", text, flags=re.MULTILINE)
    if match is None:
        raise RuntimeError(f'udatools/version.py has no line "__version__ = \'...\'", got: {text!r}')
    return match.group(1)


def read_readme() -> str:
    """Return the README, or nothing in a tree that has none."""
    readme = HERE / 'README.md'
    return readme.read_text(encoding='utf-8') if readme.is_file() else ''


EXTRAS = {
    'tests': ['pytest>=7', 'hypothesis>=6', 'ruff', 'mypy', 'flask>=3', 'waitress>=3', 'playwright>=1.40', 'scikit-image>=0.25',
              'pycocotools>=2.0.8', 'scikit-learn>=1.4', 'onnx>=1.17', 'onnxruntime>=1.20', 'onnxscript>=0.7',
              'tensorboard>=2.14'],
    'docs': ['sphinx>=8', 'myst-parser>=4', 'furo>=2024.8'],
    'annotator': ['flask>=3', 'waitress>=3'],
    'active': ['scikit-image>=0.25'],
    'analysis': ['scikit-learn>=1.4'],
    'timm': ['timm>=1.0'],
    'onnx': ['onnx>=1.17', 'onnxruntime>=1.20', 'onnxscript>=0.7'],
    'tensorboard': ['tensorboard>=2.14'],
    'wandb': ['wandb>=0.19'],
    'mlflow': ['mlflow>=3.0'],
}

setup(
    name='udatools',
    version=read_version(),
    description='Unsupervised, video and active domain adaptation for semantic segmentation on MMSegmentation 1.x',
    long_description=read_readme(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE'],
    python_requires='>=3.10',
    packages=find_packages(include=['udatools', 'udatools.*']),
    # The label maps are data files; a directory without an __init__.py belongs to the package above it.
    package_data={'udatools': ['**/*.json', '**/*.yaml', '**/*.html', '**/*.css', '**/*.js', '**/*.svg', '**/*.safetensors',
                               'py.typed']},
    zip_safe=False,
    # The onedl packages keep the import names mmengine, mmcv and mmseg. With the upstream packages already installed,
    # use `pip install --no-deps udatools`: the two must never be installed side by side (udatools/compat.py says so).
    install_requires=[
        'torch>=2.4',
        'torchvision>=0.19',
        'numpy>=2.0',
        'onedl-mmengine>=0.10.8',
        'onedl-mmcv>=2.3',
        'onedl-mmsegmentation>=1.4',
        'opencv-python>=4.8',
        'pillow>=10',
        'pyyaml>=6',
        'safetensors>=0.4.3',
    ],
    extras_require={**EXTRAS, 'all': sorted({item for items in EXTRAS.values() for item in items})},
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Operating System :: OS Independent',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3 :: Only',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
)
