"""Frozen, named configurations: YAML in and out, dotted overrides, errors that suggest a name."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from brainreel.errors import ConfigError, did_you_mean
from brainreel.files import digest_json


class Config(BaseModel):
    """Base of every configuration: frozen, typed, unknown keys refused with a near name.

    A family of configs (models, tasks, data) is told apart by a `name: Literal["..."]` field and
    joined in a union with `Field(discriminator="name")`. The text under a field is its meaning;
    `brainreel describe` prints it.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True
    )

    @model_validator(mode="before")
    @classmethod
    def _as_text(cls, content: Any) -> Any:
        """Where text is wanted, read nothing (`key:`) as empty, and 32 as "32" if that is known."""
        if not isinstance(content, Mapping):
            return content
        return {key: _texted(cls.model_fields.get(key), value) for key, value in content.items()}

    @classmethod
    def parse(cls, content: Mapping[str, Any], *, where: str = "config") -> Self:
        """Validate a mapping; a fault is a `ConfigError` that names the dotted key."""
        try:
            return cls.model_validate(content)
        except ValidationError as problem:
            raise ConfigError(f"{where}: {_first_fault(cls, content, problem)}") from problem

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, every default written out."""
        plain: dict[str, Any] = self.model_dump(mode="json", serialize_as_any=True)
        return plain

    def digest(self) -> str:
        """Return the SHA-256 of the resolved configuration."""
        return digest_json(self.to_dict())


def _texted(info: FieldInfo | None, value: Any) -> Any:
    if info is None or isinstance(value, str):
        return value
    if info.annotation is str and value is None:
        return ""
    known = get_args(info.annotation) if get_origin(info.annotation) is typing.Literal else ()
    return str(value) if value not in known and str(value) in known else value


class _Loader(yaml.SafeLoader):
    """Plain values alone, and no key twice in one mapping, of which YAML keeps the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    told = f"'{key.value}' stands there twice"
                    raise yaml.MarkedYAMLError(problem=told, problem_mark=key.start_mark)
                seen.add(key.value)
        return node


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping, or say what is wrong with the file."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        content = yaml.load(text, Loader=_Loader)  # as safe_load
    except OSError as problem:
        raise ConfigError(f"{path}: cannot be read ({problem.strerror}).") from problem
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise ConfigError(f"{path}: not valid YAML ({line}{problem.problem}).") from problem
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        told = " ".join(str(problem).split())
        raise ConfigError(f"{path}: not valid YAML ({told}).") from problem
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: a recipe is a mapping of keys to values.")
    return content


def to_yaml(content: Mapping[str, Any]) -> str:
    """Return YAML in the order of the fields."""
    text: str = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)
    return text


def to_flow(value: Any) -> str:
    """Return a value as it is typed in an override: `none`, `true`, `[1, 2]`, `0.001`."""
    if value is None:
        return "none"
    plain = list(value) if isinstance(value, tuple) else value
    text: str = yaml.safe_dump(plain, default_flow_style=True, width=10**6)
    return text.strip().removesuffix("\n...")


def override(content: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Return a copy of a mapping with `key.sub=value` assignments applied (values are YAML).

    A number indexes a list, and the next one adds to it: `stages.1.optim.lr=1e-4`. `none` and
    `null` are nothing.
    """
    result: dict[str, Any] = _copied(content)
    for assignment in assignments:
        dotted, sign, text = assignment.partition("=")
        if not sign or not dotted:
            raise ConfigError(f"'{assignment}' is no override. Write key.sub=value.")
        try:
            value = _read_value(text.strip())
        except yaml.YAMLError as problem:
            raise ConfigError(f"'{assignment}': the value is not valid YAML.") from problem
        _assign(result, dotted.split("."), value, assignment)
    return result


def _read_value(text: str) -> Any:
    """Read YAML, and besides `none` as nothing and `1e-4`, text to YAML 1.1, as a number."""
    value = None if text == "none" else yaml.safe_load(text)
    if value == text and text[:1] in "+-.0123456789":
        with suppress(ValueError):
            return float(text)
    return value


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value


def _assign(node: Any, keys: list[str], value: Any, assignment: str) -> None:
    *path, last = keys
    for key in path:
        if isinstance(node, list):
            node = node[_index(node, key, assignment)]
        else:
            if not isinstance(node.get(key), dict | list):
                node[key] = {}
            node = node[key]
    if isinstance(node, list):
        node[_index(node, last, assignment)] = value
    elif last == "name" and node.get("name") != value:
        # Another member of the family: the options of the old one do not belong to it.
        node.clear()
        node["name"] = value
    else:
        node[last] = value


def _index(items: list[Any], key: str, assignment: str) -> int:
    if not key.isdigit() or int(key) > len(items):
        raise ConfigError(f"'{assignment}': '{key}' should be a number from 0 to {len(items)}.")
    if int(key) == len(items):
        items.append({})
    return int(key)


def options(config: type[BaseModel]) -> Iterator[tuple[str, str, Any, str]]:
    """Yield (key, type, default, meaning) of every field, as `describe` prints them."""
    for name, info in config.model_fields.items():
        default = "required" if info.is_required() else info.get_default(call_default_factory=True)
        yield name, _type_name(info.annotation), default, " ".join((info.description or "").split())


def _type_name(annotation: Any) -> str:
    if annotation is None or annotation is type(None):
        return "none"
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(_type_name(item) for item in get_args(annotation))
    if origin is typing.Annotated:
        return _type_name(get_args(annotation)[0])
    if origin is typing.Literal:
        return " | ".join(str(item) for item in get_args(annotation))
    if origin is tuple:
        items = [_type_name(i) for i in get_args(annotation) if i is not Ellipsis]
        return f"list of {items[0]}" if len(set(items)) == 1 else f"[{', '.join(items)}]"
    if origin is not None:
        inner = ", ".join(_type_name(item) for item in get_args(annotation))
        return f"{origin.__name__} of {inner}"
    return getattr(annotation, "__name__", str(annotation))


def _first_fault(cls: type[BaseModel], content: Any, problem: ValidationError) -> str:
    """Turn pydantic's first error into one sentence with a near name where a name is wrong."""
    fault = problem.errors()[0]
    owner, keys = _owner(cls, content, fault["loc"])
    dotted = ".".join(keys)
    if fault["type"] == "extra_forbidden":
        known = owner.model_fields if owner else ()
        return f"unknown key '{dotted}'.{did_you_mean(keys[-1], known)}"
    if fault["type"] == "union_tag_invalid":
        context = fault["ctx"]
        names = [item.strip().strip("'") for item in context["expected_tags"].split(",")]
        given = str(context["tag"])
        return f"'{dotted}.name' is '{given}', which is not known.{did_you_mean(given, names)}"
    if fault["type"] == "union_tag_not_found":
        return f"'{dotted}' needs a name, such as '{dotted}.name=...'."
    if fault["type"] == "missing":
        names = _family(owner, keys[-1])
        how = f"{dotted}.name=NAME ({' or '.join(names)})" if names else f"{dotted}=VALUE"
        return f"'{dotted}' is missing. Give it as {how}."
    given = fault["input"]
    shown = f" (given: {given!r})" if not isinstance(given, Mapping | BaseModel) else ""
    if fault["type"] == "value_error":
        told = fault["msg"].removeprefix("Value error, ")
        return f"'{dotted}': {told}{shown}." if dotted else f"{told}{shown}."
    told = _WANTED.get(fault["type"], fault["msg"].replace("Input should", "should", 1))
    return f"'{dotted}' {told.format(key=dotted)}{shown}."


# What pydantic says of a value of the wrong kind, in our words.
_WANTED = {
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "int_type": "should be a whole number",
    "float_parsing": "should be a number",
    "float_type": "should be a number",
    "bool_parsing": "should be true or false",
    "bool_type": "should be true or false",
    "string_type": "should be text",
    "path_type": "should be a path",
    "tuple_type": "should be a list, such as [one, two]",
    "dict_type": "should be a group of names and values; give one as {key}.NAME=VALUE",
    "model_type": "is a group of options; give one as {key}.KEY=VALUE",
    "model_attributes_type": "is a group of options; give one as {key}.KEY=VALUE",
}


def _family(owner: type[BaseModel] | None, key: str) -> list[str]:
    """Return the names of the configs that a key chooses among, or nothing."""
    if owner is None or key not in owner.model_fields:
        return []
    models = models_in(owner.model_fields[key].annotation)
    tags = (model.model_fields.get("name") for model in models)
    return [str(tag.default) for tag in tags if tag is not None]


def _owner(
    cls: type[BaseModel], content: Any, location: Sequence[int | str]
) -> tuple[type[BaseModel] | None, list[str]]:
    """Find the config class that a fault lies in, and its dotted key without union tags."""
    owner: type[BaseModel] | None = cls
    keys: list[str] = []
    value = content
    for position, part in enumerate(location):
        tagged = isinstance(value, Mapping) and part not in value and value.get("name") == part
        if tagged or (isinstance(part, str) and not isinstance(value, Mapping)):
            continue  # which member of a family, or which kind of value, was tried
        keys.append(str(part))
        value = _step(value, part)
        if position < len(location) - 1 and owner is not None:
            owner = _child(owner, part, value)
    return owner, keys


def _step(value: Any, part: int | str) -> Any:
    if isinstance(value, Mapping):
        return value.get(part)
    if isinstance(value, Sequence) and isinstance(part, int) and part < len(value):
        return value[part]
    return None


def _child(owner: type[BaseModel], part: int | str, value: Any) -> type[BaseModel] | None:
    if isinstance(part, int) or part not in owner.model_fields:
        return owner
    for candidate in models_in(owner.model_fields[str(part)].annotation):
        tag = candidate.model_fields.get("name")
        if tag is None or not isinstance(value, Mapping) or tag.default == value.get("name"):
            return candidate
    return None


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the configs that a field's type names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models_in(inner)
