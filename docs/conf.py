# SPDX-License-Identifier: Apache-2.0
"""The documentation site (Sphinx): the Markdown pages of the repository, and a reference of what the docstrings say.

The root of the repository is Sphinx's source folder, so every relative link means on the site what it means in the
repository: `../configs/labor/README.md` is that page, nothing is copied and no link is rewritten. The sidebar is
`docs/index.md`: each heading is a group, its links are the entries in their order, and pages that it does not name join a
group by their place (`JOINING`). Build it with `bash tools/build_docs.sh`.
"""
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / '_site')]

import reference_pages  # noqa: E402
import sidebar  # noqa: E402

import udatools  # noqa: E402

project = 'udatools'
author = 'the udatools authors'
project_copyright = author
version = release = udatools.__version__

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'mathml']
root_doc = 'docs/index'
include_patterns = ['*.md', 'docs/*.md', 'docs/reference/*.rst', 'configs/*/README.md', 'tools/*/README.md']
# Folders that are not walked through; the patterns above already say which pages there are.
exclude_patterns = ['.*', 'build', 'data', 'dist', 'docs/_*', 'docs/records', 'tests', 'udatools', 'venv', 'work_dirs']
JOINING = {'Methods': 'configs/*/README', 'Guides': 'docs/*', 'Reference': 'docs/reference/*'}

myst_heading_anchors = 4  # the anchors that GitHub gives headings
suppress_warnings = [
    'misc.highlighting_failure',  # fragments of configs and JSON are shown as they are; a lexer need not understand them
    'ref.python',  # a type in a docstring, such as Stage, that two modules define: the first is linked
]

autodoc_member_order = 'bysource'
autodoc_typehints_format = 'short'
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 60  # of a phone
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
add_module_names = False
# No page here: what is not ours (descriptions say `float, (B, C, H, W)` where Sphinx expects a type), private, or internal.
_internal = '|'.join(name.replace('/', r'\.') for name in reference_pages.INTERNAL)
nitpick_ignore_regex = [('py:.*', rf'(?!udatools\.).*|udatools\.(.*\.)?_\w+|udatools\.({_internal})\..*')]

html_theme = 'furo'
html_title = 'udatools'
html_math_renderer = 'mathml'
html_static_path = ['_site/static']
html_css_files = ['site.css']
html_extra_path = ['_site/root']  # index.html, which leads to docs/index.html
html_copy_source = False
html_show_sphinx = False
html_theme_options = {'navigation_with_keys': True}

warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')


def setup(app):
    """Connects what writes the reference and the sidebar."""
    app.connect('builder-inited', lambda app: reference_pages.write(HERE / 'reference'))
    app.connect('missing-reference', reference_pages.resolve_short_name)
    app.connect('env-get-outdated', lambda app, env, added, changed, removed: [root_doc])  # its sidebar lists all pages
    app.connect('source-read', lambda app, page, source: sidebar.add(app, page, source, JOINING))
