# SPDX-License-Identifier: Apache-2.0
"""A real browser and the annotator page in it.

Needs Playwright (Python package) and a Chromium: the one that ``UDATOOLS_CHROMIUM`` names, or the system's. Nothing is
downloaded; without them the tests are skipped.
"""
import pytest
from annotator_browser import ARGUMENTS, find_chromium, sign_in, write_package


@pytest.fixture(scope='module')
def browser():
    for module in ('flask', 'waitress'):
        pytest.importorskip(module, reason=f'the annotator page needs {module}; install requirements/test.txt')
    playwright = pytest.importorskip('playwright.sync_api', reason='no Playwright; install requirements/test.txt')
    executable = find_chromium()
    if executable is None:
        pytest.skip('no Chromium: install the package chromium, or name one with UDATOOLS_CHROMIUM')
    with playwright.sync_playwright() as driver:
        try:
            found = driver.chromium.launch(executable_path=executable, args=ARGUMENTS)
        except playwright.Error as error:
            pytest.skip(f'{executable} does not start: {str(error).splitlines()[0]}')
        yield found
        found.close()


@pytest.fixture
def serve(tmp_path, serve_package):
    """Function: a running server for a package {key: mask} of a kind, with images."""
    def make(masks, kind, pictures=None, classes=None, **options):
        root = write_package(tmp_path / 'run' / 'requests' / 'round_1', masks, kind, pictures=pictures, classes=classes)
        return serve_package(root, **options)

    return make


@pytest.fixture
def open_page(browser):
    """Function: the page of a server in a browser of its own (or of another page), signed in by keyboard."""
    contexts, problems = [], []

    def make(server, who='anna', size=(1366, 768), beside=None, **options):
        context = beside.context if beside else browser.new_context(viewport=dict(width=size[0], height=size[1]), **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15000)
        page.on('pageerror', lambda error: problems.append(str(error)))
        page.on('console', lambda message: problems.append(message.text) if message.type == 'error' else None)
        page.on('request', lambda request: problems.append(request.url)
                if not request.url.startswith((server.url.split('?')[0], 'blob:')) else None)
        page.goto(server.url)
        sign_in(page, who)
        return page

    make.problems = problems
    yield make
    for context in contexts:
        context.close()
    assert problems == []
