"""Reads the classes of OpenLineage's own Python client: their JSON Schemas out, and events through them and back.

usage: openlineage_schemas.py OUT < EVENTS (one JSON a line). Writes {"schemas": {schemaURL: schema}, "events": [...]}.
"""

import importlib
import json
import pkgutil
import sys
import types
import typing
from enum import Enum

import attr
from openlineage.client import generated
from openlineage.client.generated import base
from openlineage.client.serde import Serde

CLASSES = {}
for info in pkgutil.iter_modules(generated.__path__):
    module = importlib.import_module(f"{generated.__name__}.{info.name}")
    for cls in vars(module).values():
        if isinstance(cls, type) and attr.has(cls) and cls.__module__ == module.__name__ and "_get_schema" in vars(cls):
            CLASSES[cls._get_schema()] = cls


def hints(cls):
    scope = {**vars(base), **vars(sys.modules[cls.__module__])}
    return typing.get_type_hints(cls, scope)


def wire(field):
    """The name in JSON: attrs takes the underscore off the argument, not off the attribute."""
    return field.name


def parts(of):
    origin = typing.get_origin(of)
    if origin in (typing.Union, types.UnionType):
        return [arg for arg in typing.get_args(of) if arg is not type(None)], True
    return [of], False


def schema(of, defs):
    (of, *_), _ = parts(of)
    origin, args = typing.get_origin(of), typing.get_args(of)
    if origin is list:
        return {"type": "array", "items": schema(args[0], defs)}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema(args[1], defs)}
    if isinstance(of, type) and issubclass(of, Enum):
        return {"enum": [item.value for item in of]}
    if of in (str, int, float, bool):
        return {"type": {str: "string", int: "integer", float: "number", bool: "boolean"}[of]}
    if isinstance(of, type) and attr.has(of):
        return reference(of, defs)
    return {}


def reference(cls, defs):
    name = f"{cls.__module__.split('.')[-1]}.{cls.__name__}"
    if name not in defs:
        defs[name] = {}
        properties, required = {}, []
        known = hints(cls)
        for field in attr.fields(cls):
            properties[wire(field)] = schema(known[field.name], defs)
            if field.default is attr.NOTHING:
                required.append(wire(field))
        # What the spec requires although the client fills it in itself.
        required += [key for key in ("_producer", "_schemaURL", "producer", "schemaURL") if key in properties]
        for key, form in (("runId", "uuid"), ("eventTime", "date-time"), ("schemaURL", "uri"), ("_producer", "uri")):
            if key in properties:
                properties[key]["format"] = form
        facets = issubclass(cls, base.BaseFacet) and cls.__module__ == base.__name__
        defs[name] = {
            "type": "object",
            "properties": properties,
            "required": sorted(set(required)),
            # A facet by its key is any facet; its own schema says what is in it.
            "additionalProperties": facets,
        }
    return {"$ref": f"#/$defs/{name}"}


def load(of, value):
    (of, *_), optional = parts(of)
    if value is None:
        return None
    origin, args = typing.get_origin(of), typing.get_args(of)
    if origin is list:
        return [load(args[0], item) for item in value]
    if origin is dict:
        return {key: load(args[1], item) for key, item in value.items()}
    if isinstance(of, type) and issubclass(of, Enum):
        return of(value)
    if isinstance(of, type) and attr.has(of):
        cls = CLASSES[value["_schemaURL"]] if issubclass(of, base.BaseFacet) else of
        known = hints(cls)
        given = {}
        for field in attr.fields(cls):
            if field.init and wire(field) in value:
                given[field.alias or field.name.lstrip("_")] = load(known[field.name], value[wire(field)])
        missed = set(value) - {wire(field) for field in attr.fields(cls)}
        if missed:
            raise ValueError(f"{cls.__name__} has no {sorted(missed)}")
        return cls(**given)
    if of in (str, int, bool) and not isinstance(value, of):
        raise TypeError(f"{value!r} is no {of.__name__}")
    return value


out = {"schemas": {}, "events": []}
for url, cls in CLASSES.items():
    defs = {}
    root = reference(cls, defs)
    out["schemas"][url] = {**root, "$defs": defs}
for line in sys.stdin:
    event = json.loads(line)
    out["events"].append(json.loads(Serde.to_json(load(base.RunEvent, event))))
with open(sys.argv[1], "w") as file:
    json.dump(out, file)
