# SPDX-License-Identifier: Apache-2.0
"""VAT and VST on MiniDrive video at a size that a test can run: it keeps labels, and is scored over time too."""
from pathlib import Path

from shrink import REPO, shrink

from udatools.engine.runner.stages import StageConfig


def small_video_config(name, root, *, rounds=1, iterations=2):
    """``configs/<name>_minidrive_video.py`` on the MiniDrive video at ``root``.

    Args:
        name (str): such as ``video_da/vat_vst``.
        root (Path): as the fixture ``uneven_video_root``.
        rounds (int): of self-training, where the method has any.
        iterations (int): of every stage but the first, which takes more, so that predictions differ from pixel to pixel.
    """
    root = Path(root)
    data = {'VIPERDomain': root / 'viper', 'CityscapesVPSDomain': root / 'cityscapes_vps'}
    cfg = shrink(REPO / f'configs/{name}_minidrive_video.py', data=data, work_dir='unused', iterations=iterations,
                 items=None)
    cfg.iters.source = 30
    if 'policy' in cfg.get('self_training', {}):
        cfg.stages[-1].repeat = rounds
        cfg.self_training.policy.update(alpha=0.5, beta=0.1)  # follow the clips: nothing is as sure as 0.9 so soon
    cfg.val_evaluator.append(dict(type='TemporalConsistencyMetric', protocol='viper15'))
    cfg.val_dataloader.sampler = dict(type='ClipSampler')
    cfg.report = False
    return cfg


def write_config(cfg, path):
    """The config as a file; returns its path."""
    StageConfig(cfg.to_dict()).dump(str(path))
    return path
