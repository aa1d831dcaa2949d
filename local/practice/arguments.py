"""Tool arguments made up from a JSON Schema and the words of a message."""

import datetime
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_QUOTED = re.compile(r'["“]([^"”\n]{1,200})["”]')
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])")
_NAMED = re.compile(
    r"\b(?:in|for|to|of|about|at|from|near)\s+((?:[A-Z][\w'-]*)(?:\s[A-Z][\w'-]*)*)"
)
_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w")
_URL = re.compile(r"https?://[^\s\"<>]+")
_DEEPEST = 8


def arguments_for(schema: Mapping[str, Any], message: str) -> str:
    """A JSON object that fits the schema as far as a practice model can."""
    return json.dumps(_Making(schema, message).value(schema, "", 0) or {}, ensure_ascii=False)


class _Making:
    def __init__(self, root: Mapping[str, Any], message: str) -> None:
        self._root, self._message = root, message
        self._numbers: Iterator[str] = iter(
            _NUMBER.findall(_DATE.sub(" ", _QUOTED.sub(" ", message)))
        )
        self._texts: Iterator[str] = iter([*_QUOTED.findall(message), *_NAMED.findall(message)])

    def value(self, schema: Any, name: str, depth: int) -> Any:
        schema = self._resolved(schema)
        if depth > _DEEPEST:
            return None
        if "const" in schema:
            return schema["const"]
        options = schema.get("enum")
        if isinstance(options, list) and options:
            return next((one for one in options if self._said(one)), options[0])
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        match kind or ("object" if "properties" in schema else "string"):
            case "object":
                return self._object(schema, depth)
            case "array":
                least = max(1, int(schema.get("minItems") or 1))
                return [self.value(schema.get("items"), name, depth + 1) for _ in range(least)]
            case "integer" | "number" as number:
                return self._number(schema, number == "integer")
            case "boolean":
                return not re.search(r"\b(?:no|not|don't|without)\b", self._message.lower())
            case "null":
                return None
            case _:
                return self._text(schema)

    def _resolved(self, schema: Any) -> dict[str, Any]:
        for _ in range(_DEEPEST):
            if not isinstance(schema, dict):
                return {}
            if str(schema.get("$ref", "")).startswith("#/"):
                found: Any = self._root
                for part in schema["$ref"][2:].split("/"):
                    found = found.get(part) if isinstance(found, dict) else None
                schema = found
            elif options := schema.get("anyOf") or schema.get("oneOf"):
                schema = next((one for one in options if one != {"type": "null"}), {})
            else:
                return schema
        return {}

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        required = schema.get("required")
        if not isinstance(properties, dict):
            return {}
        names = required if isinstance(required, list) else []
        wanted = [name for name in properties if name in names or self._mentions(properties[name])]
        return {name: self.value(properties[name], name, depth + 1) for name in wanted}

    def _mentions(self, schema: Any) -> bool:
        """An optional field is filled only where the message has one of its options."""
        options = self._resolved(schema).get("enum")
        return isinstance(options, list) and any(self._said(one) for one in options)

    def _said(self, option: object) -> bool:
        return bool(re.search(rf"\b{re.escape(str(option))}\b", self._message, re.IGNORECASE))

    def _number(self, schema: Mapping[str, Any], whole: bool) -> float | int:
        found = float(next(self._numbers, schema.get("default") or 1))
        low, high = schema.get("minimum"), schema.get("maximum")
        if isinstance(low, int | float):
            found = max(found, low)
        if isinstance(high, int | float):
            found = min(found, high)
        return int(found) if whole or int(found) == found else found

    def _text(self, schema: Mapping[str, Any]) -> str:
        pattern = {"email": _EMAIL, "uri": _URL, "url": _URL}.get(str(schema.get("format")))
        if pattern and (match := pattern.search(self._message)):
            return match[0]
        match schema.get("format"):
            case "email":
                return "someone@example.com"
            case "uri" | "url":
                return "https://example.com/"
            case "date":
                return (_date(self._message) or datetime.date(2030, 1, 1)).isoformat()
            case "date-time":
                return f"{_date(self._message) or datetime.date(2030, 1, 1)}T09:00:00Z"
        default = schema.get("default")
        text = next(self._texts, default if isinstance(default, str) else self._message)
        longest = schema.get("maxLength")
        return text[: longest if isinstance(longest, int) else 200].strip()


def _date(message: str) -> datetime.date | None:
    found = _DATE.search(message)
    try:
        return datetime.date.fromisoformat(found[0]) if found else None
    except ValueError:
        return None
