"""Documents out of YAML and JSON files, with the line of everything in them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from shared.errors import WrongSetting

KINDS = ("settings", "template", "segmentation", "campaign")
"""What a document may be, by the word it has, in the order in which they are put: campaigns need the others."""


class _Loader(yaml.SafeLoader):
    """YAML 1.2 of booleans: only true and false are some. `on:` is the word that campaigns begin with."""


_BOOLEAN = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag != _BOOLEAN]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOLEAN, re.compile("true|True|TRUE|false|False|FALSE"), list("tTfF"))


class Document(NamedTuple):
    """A document and where it stands; `lines` are those of its parts by JSON pointer, the whole under the empty one."""

    file: Path
    kind: str
    name: str
    body: Mapping[str, Any]
    lines: Mapping[str, int]

    def place(self, pointer: str = "") -> str:
        """`FILE:LINE` of a part, or of the nearest part around it that is there."""
        while pointer and pointer not in self.lines:
            pointer = pointer.rpartition("/")[0]
        return f"{self.file}:{self.lines[pointer]}"


def read(paths: Sequence[Path]) -> list[Document]:
    """All documents of the files and folders, in the order of KINDS. Raises WrongSetting with file and line."""
    found = [document for path in paths for file in _files(path) for document in _documents(file)]
    return sorted(found, key=lambda document: KINDS.index(document.kind))


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix in (".yaml", ".yml", ".json"))
        if not found:
            raise WrongSetting(f"{path}: there is no .yaml or .json file in this folder")
        return found
    return [path]


def _documents(file: Path) -> Iterator[Document]:
    try:
        loader = _Loader(file.read_text("utf-8"))
    except FileNotFoundError:
        raise WrongSetting(f"{file}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise WrongSetting(f"{file}: cannot be read ({error})") from None
    try:
        while loader.check_node():
            node = loader.get_node()
            body = loader.construct_document(node) if node is not None else None
            if node is not None and body is not None:
                yield _document(file, node, body)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise WrongSetting(f"{file}:{line}: this is no YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise WrongSetting(f"{file}: this is no YAML: {error}") from None
    finally:
        loader.dispose()


def _document(file: Path, node: yaml.Node, body: Any) -> Document:
    lines = dict(_lines(node, ""))
    kind = next((word for word in reversed(KINDS) if isinstance(body, dict) and word in body), None)
    if kind is None:
        raise WrongSetting(f"{file}:{lines['']}: a document has one of the words {', '.join(KINDS)}")
    return Document(file, kind, "" if kind == "settings" else str(body[kind]), body, lines)


def _lines(node: yaml.Node, pointer: str) -> Iterator[tuple[str, int]]:
    yield pointer, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = f"{pointer}/{str(key.value).replace('~', '~0').replace('/', '~1')}"
            yield from _lines(value, inner)
            yield inner, key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield from _lines(value, f"{pointer}/{number}")
