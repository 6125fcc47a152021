# SPDX-License-Identifier: Apache-2.0
"""A folder in which somebody types what a page of the documentation says: a clone, data of every kind, runs, all tiny.

Commands run as they stand on the page, but for `REDUCED`: several processes become one, generated data become small, stand-ins
such as RUN get a value. Training configs are shrunk when they are read (`small_runs`).
"""
import re
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from guide_blocks import REPO
from page_client import PageClient

from udatools.datasets.taxonomies import get_class_set
from udatools.utils.png import read_png

SMALL_STILLS = '--size 64x32 --num-source 6 --num-target-train 4 --num-target-val 3'
SMALL_CLIPS = ('--size 64x32 --source-clips 2 --source-frames 2 --target-clips 1 --target-frames 6 --val-clips 1 '
               '--val-frames 6')
REDUCED = (  # in this order
    (r'^bash tools/dist_train\.sh (\S+) \d+', r'python tools/train.py \1'),
    (r'^torchrun --nproc_per_node \d+ (.*) --launcher pytorch', r'python \1'),
    (r' --amp\b', ''),
    (r'\biters\.(\w+)=\d+', r'iters.\1=2'), (r'--device cuda:\d', '--device cpu'), (r'--nproc \d+', '--nproc 1'),
    (r'^(python \S+/make_minidrive\.py --video.*)$', rf'\1 {SMALL_CLIPS}'),
    (r'^(python \S+/make_minidrive\.py(?! --video).*)$', rf'\1 {SMALL_STILLS}'),
    (r'\bCONFIG\b', 'RUN.py'), (r'\bREQUEST_DIR\b', 'work_dirs/RUN/requests/round_1'),
    (r'\bCHECKPOINT\b', 'work_dirs/RUN/last.pth'),
    (r'--host \S+', '--host 127.0.0.1'), (r'--size 512 1024', '--size 32 64'),
    (r'^(python tools/translate_source\.py (?!.*--out).*)$', r'\1 --out data/translated/small'),
)
# A training of a config of the repository is done at this size by tests/integration/test_configs.py, for every config.
TRAINED_ELSEWHERE = ((r'^(python tools/train\.py configs/(?!.*--dry-run).*)$', r'\1 --dry-run'), )
LINKED = ('tools', 'configs')
ANNOTATE = re.compile(r'^python tools/annotate\.py .*$', flags=re.MULTILINE)


def reduce(code, rules=REDUCED):
    """Shell code at a size that a test can run."""
    code = re.sub(r'[ ]*\\\n[ ]*', ' ', code)
    code = re.sub(r'[ ]{2,}#.*$', '', code, flags=re.MULTILINE)
    for pattern, replacement in rules:
        code = re.sub(pattern, replacement, code, flags=re.MULTILINE)
    return code


class Clone:
    """A folder with the tools and configs of the repository, and a shell in it."""

    def __init__(self, root, environment):
        self.root, self.environment, self.output = Path(root), environment, []
        for name in LINKED:
            (self.root / name).symlink_to(REPO / name)

    def shell(self, code):
        """Type lines into a shell; its output."""
        done = subprocess.run(['bash', '-euo', 'pipefail', '-c', code], cwd=self.root, env=self.environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
        assert done.returncode == 0, f'{code}\nexit status {done.returncode}\n{done.stdout}'
        self.output.append((code, done.stdout))
        return done.stdout

    def answer_on_the_page(self, line, truth):
        """Start the annotator page, answer everything, stop it with Ctrl-C; the person, and how many answers were given."""
        with self.background(f'exec {line} --port 0') as page:
            said = page.stdout.readline()
            assert 'Open http://' in said, said + page.stdout.read()
            person = PageClient(re.search(r'http://\S+', said)[0])
            count = person.answer_all(truth)
            page.send_signal(signal.SIGINT)
            assert 'stopped; everything answered so far is in' in page.stdout.read() and page.wait(30) == 0
        self.output.append((line, said))
        return person, count

    @contextmanager
    def background(self, code):
        """A process that is stopped in the end."""
        process = subprocess.Popen(['bash', '-c', code], cwd=self.root, env=self.environment, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(30)


def write_image(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array), path


def write_video(path, frames):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 10, (64, 32))
    for index in range(frames):
        writer.write(np.random.default_rng(index).integers(0, 256, (32, 64, 3), np.uint8))
    writer.release()


def lay_out_data(root, tiny):
    """Every folder and file of data that a page names.

    Args:
        root (Path): where the clone is.
        tiny (dict[str, Path]): the fixture ``tiny_data``.
    """
    data, video = root / 'data', tiny['CityscapesVPSDomain'].parent
    for name, source in {
            'gta5': tiny['GTA5Domain'], 'synthia': tiny['SYNTHIADomain'], 'cityscapes': tiny['CityscapesDomain'],
            'real/camvid': tiny['CamVidDomain'], 'camvid': tiny['CamVidDomain'], 'real/carla': tiny['CARLADomain'],
            'viper': tiny['VIPERDomain'], 'cityscapes_vps': tiny['CityscapesVPSDomain'], 'flow': video / 'flow',
            'minidrive': video,
            'synthia_seq': tiny['SYNTHIASeqDomain'], 'flow/cityscapes': tiny['flow of CityscapesSequenceDomain']}.items():
        shutil.copytree(source, data / name)
    shutil.copytree(tiny['CityscapesSequenceDomain'], data / 'cityscapes', dirs_exist_ok=True)
    (data / 'viper' / 'train_day.txt').write_text('\n'.join(sorted(p.name for p in (data / 'viper/train/img').iterdir())))
    for folder in ('val', 'valannot'):  # numbers of CamVid's validation clip are 2 apart
        for path in sorted((data / 'camvid' / folder).iterdir(), reverse=True):
            name, _, number = path.stem.rpartition('_')
            path.rename(path.with_name(f'{name}_{2 * int(number):06d}.png'))
    rng = np.random.default_rng(0)
    for folder, values in (('yard_sim/images', None), ('yard_sim/labels', [1, 5, 21, 255]), ('yard/train', None),
                           ('yard/val', None), ('yard/val_labels', [0, 1, 4, 255])):
        for index in range(3):
            shape, low, high = ((32, 64, 3), 0, 256) if values is None else ((32, 64), 0, len(values))
            array = rng.integers(low, high, shape).astype(np.uint8)
            write_image(data / folder / f'cam0/{index}.png', array if values is None else np.array(values, np.uint8)[array])
    for stem, colour in (('0001TP_006690', (128, 64, 128)), ('Seq05VD_f00000', (64, 128, 192)), ('0016E5_07959', (128, ) * 3)):
        write_image(data / f'camvid32/701_StillsRaw_full/{stem}.png', np.zeros((30, 40, 3), np.uint8))
        write_image(data / f'camvid32/LabeledApproved_full/{stem}_L.png', np.full((30, 40, 3), colour[::-1], np.uint8))
    (root / 'sim_ids.json').write_text('{"0": "ignore", "1": "ground", "5": "building", "21": "plant"}')
    (root / 'yard5.json').write_text('{"name": "yard5", "classes": ["ground", "building", "vehicle", "person", "plant"]}')
    write_video(root / 'drive.mp4', 30)
    write_video(root / 'tour.mp4', 4)
    write_image(root / 'street.png', rng.integers(0, 256, (32, 64, 3), np.uint8))
    write_image(root / 'drives/one/0.jpg', rng.integers(0, 256, (32, 64, 3), np.uint8))


class Yard(Clone):
    """A clone with data and runs; `stock` makes the first one, the others are copies of it."""

    @classmethod
    def stock(cls, root, environment, tiny):
        """The first yard: lays out the data, trains one network, and lets a run ask people.

        Args:
            root (Path): an empty folder.
            environment (dict[str, str]): of `forked_python`.
            tiny (dict[str, Path]): the fixture ``tiny_data``.
        """
        own = {name: value for name, value in environment.items() if not name.startswith('UDATOOLS_')}
        own.update(UDATOOLS_FORK_PRELUDE=str(REPO / 'tests/helpers/small_runs.py'), OMP_NUM_THREADS='1',
                   PYTHONPATH=str(REPO))
        yard = cls(root, own)
        lay_out_data(root, tiny)
        (root / '.venv/bin').mkdir(parents=True)
        (root / '.venv/bin/activate').touch()
        for run, base in (('RUN', 'active/random_points'), ('wda_tags', 'wda/wda_tags')):
            (root / f'{run}.py').write_text(f"_base_ = ['configs/{base}_minidrive.py']\n"
                                            "labor = dict(annotator=dict(_delete_=True, type='HumanAnnotator'))\n")
        yard.shell('python tools/train.py RUN.py\n'
                   'python tools/train.py wda_tags.py\n'
                   'python tools/train.py configs/video_da/source_only_minidrive_video.py --work-dir work_dirs/source_only\n'
                   'cp work_dirs/source_only/stages/*/iter_2.pth work_dirs/RUN/last.pth\n'
                   'mkdir work_dirs/vat_vst\n'
                   'for run in RUN vat_vst; do cp -r work_dirs/source_only/final work_dirs/$run/; done\n'
                   'cp -r work_dirs/RUN work_dirs/my_run\n'
                   'python tools/train.py configs/cbst/cbst_minidrive.py --work-dir trained\n'
                   'python tools/active/export.py work_dirs/RUN/requests/round_1 --format cvat --out cvat\n'
                   "sed 's/label=\"?\"/label=\"road\"/; s#</task>#<assignee><username>anna</username></assignee></task>#'"
                   ' cvat/annotations.xml >annotations.xml\n'
                   'mkdir -p results\n'
                   'cp -r data/cityscapes_vps/val/panoptic_video results/pred\n'
                   'cp data/cityscapes_vps/panoptic_gt_val_city_vps.json results/pred.json\n'
                   'cp -r data/cityscapes_vps/val/labelmap results/labels')
        for path in (root / 'data/cityscapes_vps/train/img').iterdir():
            write_image(root / f'work_dirs/RUN/pseudo_labels/round_1/labels/{path.stem}.png', np.zeros((32, 64), np.uint8))
        fewer = get_class_set('viper15').classes  # of a tool that predicts these
        known = get_class_set('cityscapes19').classes
        table = np.array([fewer.index(name) if name in fewer else 255 for name in known] + [255] * (256 - len(known)), np.uint8)
        for path in (root / 'results/labels').iterdir():
            write_image(path, table[read_png(path)])
        return yard

    def copy(self, root, page=''):
        """Another yard like this one, with the runs that a page looks at and does not train.

        Args:
            root (Path): an empty folder.
            page (str): text of the page.
        """
        shutil.copytree(self.root, root, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*LINKED))
        for run in set(re.findall(r'work_dirs/(\w+_minidrive)\b', page)):
            if not re.search(rf'^python tools/train\.py \S*/{run}\.py', page, flags=re.MULTILINE):
                shutil.copytree(root / 'trained', root / 'work_dirs' / run)
        return type(self)(root, self.environment)

    def type(self, block):
        """Do what a block says: type it, save it, run it, or add it to a config."""
        name = block.save_as or f'block_{block.line}.py'
        if block.language == 'bash':
            self._type_commands(block)
        elif block.added_to:
            (self.root / name).write_text(f"_base_ = ['{block.added_to}']\n{block.code}", encoding='utf-8')
            self.shell(f'python tools/train.py {name}')
        else:
            (self.root / name).write_text(block.code, encoding='utf-8')
            if not block.save_as:
                self.shell(f'python {name}')

    def _type_commands(self, block):
        rules = REDUCED + TRAINED_ELSEWHERE * (block.page.name == 'README.md')
        typed = block.code
        if block.not_run:
            assert not re.search(r'^\s|^(for|if|while)\b', typed.replace('\\\n ', ''), flags=re.MULTILINE), \
                f'{block}: leave out commands of a block of plain lines only'
            typed = '\n'.join(command for command in block.commands() if not block.is_exempt(command))
        code = reduce(typed, rules)
        start = 0
        for line in ANNOTATE.finditer(code):
            self._type(code[start:line.start()])
            self.answer_on_the_page(line[0], lambda name: np.zeros((32, 64), np.uint8))
            start = line.end()
        self._type(code[start:])

    def _type(self, code):
        if code.strip():
            self.shell(code)
