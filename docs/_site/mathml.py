# SPDX-License-Identifier: Apache-2.0
"""Formulas of docstrings as MathML, which every browser shows by itself: no script, no font, no connection."""
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml


def setup(app):
    """Registers the renderer that ``html_math_renderer = 'mathml'`` chooses."""
    app.add_html_math_renderer('mathml', inline_renderers=(_write, None), block_renderers=(_write_block, None))
    return {'parallel_read_safe': True, 'parallel_write_safe': True}


def _write(translator, node):
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def _write_block(translator, node):
    translator.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode
