"""Python functions that are shipped with the bundle: the public ones of a package's modules."""

import asyncio
import importlib
import inspect
import logging
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticSerializationError, to_json

from cueline.adapters.tools.found import Found, ToolError
from cueline.engine.agent import PythonTool
from cueline.engine.tools import ToolResult
from cueline.errors import unexpected

logger = logging.getLogger(__name__)


def python_tool(configured: PythonTool, package: str) -> Found:
    """The function that is configured, as `name` or `module.name`. Raises ToolError."""
    return _found(configured.function, package)


@cache
def _found(name: str, package: str) -> Found:
    module, _, function = name.rpartition(".")
    here = [
        (found, one)
        for found in _modules(package)
        if module in {"", found}
        for one in _functions(package, found)
        if one.__name__ == function
    ]
    if not here:
        raise ToolError(f"There is no function {name!r} in {package}. Name one that is there.")
    if len(here) > 1:
        names = " or ".join(f"{found}.{function}" for found, _ in here)
        raise ToolError(f"{name!r} is in several modules of {package}. Name {names}.")
    return _described(here[0][1])


def _modules(package: str) -> Iterator[str]:
    try:
        path = importlib.import_module(package).__path__
    except ModuleNotFoundError:
        raise ToolError(f"This deployment has no package {package}.") from None
    return (one.name for one in pkgutil.iter_modules(path) if not one.name.startswith("_"))


def _functions(package: str, module: str) -> list[Callable[..., Any]]:
    name = f"{package}.{module}"
    try:
        imported = importlib.import_module(name)
    except Exception as error:
        # The others' functions are still there.
        logger.error("A module of tools cannot be imported", extra=unexpected(error))  # noqa: TRY400
        return []
    return [
        one
        for one in vars(imported).values()
        if inspect.isfunction(one) and one.__module__ == name and not one.__name__.startswith("_")
    ]


class _Untitled(GenerateJsonSchema):
    """A model knows a parameter by its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def _described(function: Callable[..., Any]) -> Found:
    arguments = _arguments(function)
    schema = arguments.model_json_schema(schema_generator=_Untitled)
    schema.pop("title", None)
    return Found(
        name=function.__name__,
        description=inspect.getdoc(function) or "",
        parameters=schema,
        run=partial(_run, function, arguments),
    )


def _arguments(function: Callable[..., Any]) -> type[BaseModel]:
    """The parameters as a model, under aliases: some of their names are a model's own."""
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for name, one in inspect.signature(function).parameters.items():
        if one.kind not in {one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY}:
            raise ToolError(f"{function.__name__} has a parameter that no name can be given for.")
        default = ... if one.default is one.empty else one.default
        fields[f"field_{len(fields)}"] = (hints.get(name, Any), Field(default, alias=name))
    config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    model: type[BaseModel] = create_model(function.__name__, __config__=config, **fields)
    return model


def _run(
    function: Callable[..., Any],
    arguments: type[BaseModel],
    given: Mapping[str, Any],
    seconds: float,
) -> ToolResult:
    try:
        checked = arguments.model_validate(given)
    except ValidationError as error:
        raise ToolError(_mended(error)) from None
    converted = {
        str(field.alias): getattr(checked, name) for name, field in arguments.model_fields.items()
    }
    returned = function(**converted)
    if inspect.iscoroutine(returned):
        returned = asyncio.run(_in_time(returned, seconds))
    return ToolResult(_text(returned))


async def _in_time(returned: Any, seconds: float) -> Any:
    try:
        return await asyncio.wait_for(returned, seconds)
    except TimeoutError:
        raise ToolError("The tool did not answer in time.") from None


def _text(returned: Any) -> str:
    if isinstance(returned, str):
        return returned
    try:
        return to_json(returned, inf_nan_mode="null").decode()
    except PydanticSerializationError:
        raise ToolError("The tool returned something that cannot be written as JSON.") from None


def _mended(error: ValidationError) -> str:
    problems = [
        f"{'.'.join(map(str, one['loc']))}: {one['msg']}"
        for one in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return "The arguments do not fit: " + "; ".join(problems[:3])
