# SPDX-License-Identifier: Apache-2.0
"""The documentation site: built with warnings as errors, every page in its sidebar, docstrings in it, good on a phone."""
import html
import os
import re
import subprocess
import sys

import pytest
from annotator_browser import ARGUMENTS, find_chromium
from guide_blocks import PAGES, REPO

from udatools import registry

sys.path.insert(0, str(REPO / 'docs' / '_site'))
import reference_pages  # noqa: E402
import sidebar  # noqa: E402

INDEX = """# Site

## Start

- [First](get_started.md): a page, and [second words](get_started.md)
- [Read me](../README.md#install) and [Second](../README.md)

## Methods

A page a method.
"""


def test_headings_become_groups_and_other_pages_join_by_their_place():
    found = {'docs/index', 'docs/get_started', 'docs/new', 'README', 'configs/b/README', 'configs/a/README', 'docs/x/y'}
    text = sidebar.with_contents(INDEX, found, {'Methods': 'configs/*/README', 'Start': 'docs/*'})
    start, methods = text.split('## Methods')
    assert ':caption: Start\n\nFirst </docs/get_started>\nSecond </README>\n/docs/new\n```' in start
    assert '- [](/docs/new)\n' in start and '- [](/docs/get_started)' not in start
    assert ':caption: Methods\n\n/configs/a/README\n/configs/b/README\n```' in methods
    assert '- [](/configs/a/README)\n- [](/configs/b/README)\n' in methods and 'docs/x/y' not in text and 'docs/index' not in text
    with pytest.raises(ValueError, match='no heading "## Guides"'):
        sidebar.with_contents(INDEX, found, {'Guides': 'docs/*'})


def test_only_the_index_is_changed():
    source = ['# A page\n\n## Start\n']
    sidebar.add(None, 'docs/video', source, {})
    assert source == ['# A page\n\n## Start\n']


def test_reference_has_a_page_a_package_and_forgets_those_that_are_gone(tmp_path):
    (tmp_path / 'udatools.gone.rst').touch()
    reference_pages.write(tmp_path)
    pages = {path.stem: path.read_text(encoding='utf-8') for path in tmp_path.glob('*.rst')}
    assert {'components', 'udatools', 'udatools.ops', 'udatools.active', 'udatools.active.selectors', 'udatools.evaluation',
            'udatools.models.objectives'} <= pages.keys()
    assert 'udatools.gone' not in pages and not [name for name in pages if name.startswith('udatools.visualization')]
    assert '.. automodule:: udatools.ops.losses\n   :members:' in pages['udatools.ops']
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    reference_pages.write(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before  # Sphinx reads nothing again


def test_every_component_of_ours_is_listed_by_its_registry():
    text = reference_pages.components_page()
    for name, component in (('OBJECTIVES', 'FeatureDistance'), ('SELECTORS', 'RIPUPixelSelector'), ('HOOKS', 'PseudoLabelHook')):
        section = text.split(f'\n{name}\n')[1].split('\n---')[0]
        assert re.search(rf'^- :class:`{component} <udatools\.[\w.]+\.{component}>`: \w', section, flags=re.MULTILINE)
    assert 'CrossEntropyLoss' not in text  # mmseg's
    assert reference_pages.components_of(registry.ANNOTATORS).keys() == {'GroundTruthOracle', 'HumanAnnotator'}


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """Folder of the built site."""
    for module in ('sphinx', 'myst_parser', 'furo'):
        pytest.importorskip(module, reason=f'the site needs {module}; install requirements/docs.txt')
    out = tmp_path_factory.mktemp('site')
    done = subprocess.run(['bash', 'tools/build_docs.sh', str(out)], cwd=REPO, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env={**os.environ, 'PYTHON': sys.executable}, timeout=1200)
    assert done.returncode == 0, done.stdout
    return out / 'html'


@pytest.mark.slow
def test_every_page_is_built_and_in_the_sidebar(site):
    index = (site / 'docs/index.html').read_text(encoding='utf-8')
    pages = [page.relative_to(REPO).with_suffix('.html').as_posix() for page in PAGES if page.name != 'index.md']
    assert 'README.html' in pages and 'configs/labor/README.html' in pages
    sidebar_links = set(re.findall(r'class="[^"]*toctree-l1[^"]*"><a class="reference internal" href="([^"]+)"', index))
    for page in pages:
        assert (site / page).is_file(), page
        inside = page.removeprefix('docs/') if page.startswith('docs/') else f'../{page}'
        assert inside in sidebar_links, f'{page} is not in the sidebar of {sorted(sidebar_links)}'
    assert 'docs/index.html' in (site / 'index.html').read_text(encoding='utf-8')


@pytest.mark.slow
def test_links_between_pages_mean_on_the_site_what_they_mean_in_the_repository(site):
    text = (site / 'docs/tutorial_200_clicks.html').read_text(encoding='utf-8')
    assert 'href="../configs/labor/README.html"' in text and 'href="../README.html#install"' in text
    assert 'href="../../docs/results.html#' in (site / 'configs/active/README.html').read_text(encoding='utf-8')


@pytest.mark.slow
def test_docstrings_are_rendered(site):
    text = html.unescape(re.sub(r'<[^>]+>', '', (site / 'docs/reference/udatools.ops.html').read_text(encoding='utf-8')))
    assert 'logits (Tensor) – float, (B, C, H, W), unnormalised.' in text and 'float32, (B, H, W).' in text
    assert ':math:' not in text and 'Args:' not in text
    assert '<math' in (site / 'docs/reference/udatools.ops.html').read_text(encoding='utf-8')
    components = (site / 'docs/reference/components.html').read_text(encoding='utf-8')
    assert 'udatools.models.objectives.html#udatools.models.objectives.adversarial.AdversarialAlignment' in components


@pytest.mark.slow
def test_pages_fit_a_phone_and_ask_no_other_host(site):
    playwright = pytest.importorskip('playwright.sync_api', reason='no Playwright; install requirements/test.txt')
    executable = find_chromium()
    if executable is None:
        pytest.skip('no Chromium: install the package chromium, or name one with UDATOOLS_CHROMIUM')
    asked = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=ARGUMENTS)
        page = browser.new_page()
        page.on('request', lambda request: asked.append(request.url))
        for width in (360, 1366):
            page.set_viewport_size(dict(width=width, height=800))
            for name in ('docs/index', 'docs/results', 'docs/configs', 'configs/video_da/README', 'docs/reference/udatools.ops',
                         'docs/reference/components'):
                page.goto(f'file://{site}/{name}.html')
                assert page.evaluate('document.documentElement.scrollWidth') <= width, f'{name} is wider than {width} pixels'
                assert page.locator('article h1').is_visible()
                assert page.locator('.sidebar-drawer').bounding_box()['x'] >= 0 or width == 360  # a drawer on a phone
        browser.close()
    assert asked and all(url.startswith(('file:', 'data:')) for url in asked)
