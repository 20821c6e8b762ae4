"""Small changes of a module's source, as a slip of the pen would make them. Standard library only.

Comparisons, arithmetic, numbers, truth values, `and` and `or`, `not`, and what is returned.
Messages, annotations and docstrings are left alone: tests need not notice another wording.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Pow: ast.Mult,
    ast.Mod: ast.Mult,
    ast.MatMult: ast.Mult,
}
Change = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One change.

    Attributes:
        index: Its number in the module, in the order of the source.
        kind: "comparison", "arithmetic", "constant", "boolean" or "return".
        line: Where, counted from 1.
        before: The statement's first line, or the expression, as it stands.
        after: The same, changed.
    """

    index: int
    kind: str
    line: int
    before: str
    after: str


def mutations(source: str) -> list[Mutation]:
    """Every change of a module that can be made."""
    tree = ast.parse(source)
    rows = []
    for index, (kind, node, change) in enumerate(_places(tree)):
        undo, before = copy.deepcopy(node.__dict__), _first_line(node)
        change()
        after = _first_line(node)
        node.__dict__.clear()
        node.__dict__.update(undo)
        line = int(getattr(node, "lineno", 0))
        rows.append(Mutation(index=index, kind=kind, line=line, before=before, after=after))
    return rows


def mutated(source: str, index: int) -> ast.Module:
    """The module's tree with one change made.

    Raises:
        IndexError: there is no such change.
    """
    tree = ast.parse(source)
    *_, change = list(_places(tree))[index]
    change()
    return ast.fix_missing_locations(tree)


def _first_line(node: ast.AST) -> str:
    return ast.unparse(node).partition("\n")[0]


def _places(tree: ast.Module) -> Iterator[tuple[str, ast.AST, Change]]:
    """Kind, node and change, in the order of the source; the same for the same source."""
    for node in _executed(tree):
        yield from _of(node)


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes that run, without annotations, messages of errors and imports for types alone."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_left_alone(child):
                yield from _executed(child)


def _is_left_alone(node: ast.AST) -> bool:
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom):
        return True
    # a subscript of a type, as in `tuple[int, ...]` or Literal["a"], is no decision
    guard = isinstance(node, ast.If) and _first_line(node.test) in (
        "TYPE_CHECKING",
        "typing.TYPE_CHECKING",
    )
    return guard or (isinstance(node, ast.AnnAssign) and node.value is None)


def _of(node: ast.AST) -> Iterator[tuple[str, ast.AST, Change]]:
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            other = COMPARED[type(operator)]
            yield "comparison", node, lambda p=place, o=other: _put(node.ops, p, o())  # type: ignore[misc]
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in COMPUTED:
        if not _is_text(node):
            computed = COMPUTED[type(node.op)]
            yield "arithmetic", node, lambda: setattr(node, "op", computed())
    elif isinstance(node, ast.Constant):
        yield from _constant(node)
    elif isinstance(node, ast.BoolOp):
        turned = ast.Or if isinstance(node.op, ast.And) else ast.And
        yield "boolean", node, lambda: setattr(node, "op", turned())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "boolean", node, lambda: _double(node)
    elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield "return", node, lambda: setattr(node, "value", ast.Constant(value=None))


def _put(operators: list[ast.cmpop], place: int, operator: ast.cmpop) -> None:
    operators[place] = operator


def _constant(node: ast.Constant) -> Iterator[tuple[str, ast.AST, Change]]:
    if isinstance(node.value, bool):
        yield "boolean", node, lambda: setattr(node, "value", not node.value)
    elif isinstance(node.value, int):
        yield "constant", node, lambda: setattr(node, "value", node.value + 1)  # type: ignore[operator]
    elif isinstance(node.value, float):
        larger = 2 * node.value if node.value else 1.0
        yield "constant", node, lambda: setattr(node, "value", larger)


def _double(node: ast.UnaryOp) -> None:
    """`not x` becomes `not not x`: the truth value of x."""
    node.operand = ast.UnaryOp(op=ast.Not(), operand=node.operand)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_text(node: ast.BinOp | ast.AugAssign) -> bool:
    """Whether text is put together: a wording, not a computation."""
    parts = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.value,)
    return any(
        isinstance(part, ast.JoinedStr)
        or (isinstance(part, ast.Constant) and isinstance(part.value, str))
        for part in parts
    )
