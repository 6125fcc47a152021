# SPDX-License-Identifier: Apache-2.0
"""The config inside a checkpoint, read as data: a file that somebody sends is not run as a program.

mmengine writes configs as assignments of literals and ``dict(...)`` calls, and nothing else is read here.
"""
import ast
import math
from typing import Any

__all__ = ['read_config_text']

_NAMES = {'inf': math.inf, 'nan': math.nan}


def read_config_text(text: str) -> dict[str, Any]:
    """The names and values that a config assigns.

    Args:
        text (str): as ``mmengine.Config.pretty_text`` writes it.

    Raises:
        ValueError: when it is no Python, or holds more than literals and calls of ``dict``.
    """
    try:
        lines = ast.parse(text).body
    except SyntaxError as error:
        raise ValueError(f'the config inside is no config: {error}') from error
    values: dict[str, Any] = {}
    for line in lines:
        if isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant):
            continue  # a docstring
        if not (isinstance(line, ast.Assign) and len(line.targets) == 1 and isinstance(line.targets[0], ast.Name)):
            raise _code(line)
        values[line.targets[0].id] = _value(line.value)
    return values


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.Name() if node.id in _NAMES:
            return _NAMES[node.id]
        case ast.UnaryOp(op=ast.USub()):
            number = _value(node.operand)
            if isinstance(number, (int, float)):
                return -number
        case ast.List():
            return [_value(item) for item in node.elts]
        case ast.Tuple():
            return tuple(_value(item) for item in node.elts)
        case ast.Set():
            return {_value(item) for item in node.elts}
        case ast.Dict() if None not in node.keys:
            return {_value(key): _value(item) for key, item in zip(node.keys, node.values) if key is not None}
        case ast.Call(func=ast.Name(id='dict'), args=[] | [ast.Dict()]) if all(keyword.arg for keyword in node.keywords):
            mapping = _value(node.args[0]) if node.args else {}  # of keys that are no names
            return mapping | {str(keyword.arg): _value(keyword.value) for keyword in node.keywords}
    raise _code(node)


def _code(node: ast.AST) -> ValueError:
    line = getattr(node, 'lineno', 0)
    return ValueError(f'line {line} of the config inside is code, `{ast.unparse(node)[:60]}`, which is not run')
