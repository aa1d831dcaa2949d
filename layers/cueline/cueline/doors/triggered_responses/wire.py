"""What all requests of the door share: reading them, and saying what is wrong with them.

Fields that the door does not know are ignored, as its clients are used to. So is null, which means
"not given".
"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from cueline.doors.body import has_controls, raw_body, read_json
from cueline.doors.triggered_responses.errors import Unprocessable, wrong
from cueline.doors.triggered_responses.keys import is_id
from cueline.errors import InvalidRequest
from cueline.log.triggers import BuyTime as BuyTimeOfEngine
from cueline.log.triggers import FollowUp as FollowUpOfEngine
from cueline.log.triggers import Guideline as GuidelineOfEngine
from cueline.log.triggers import Rationale

MAX_PROBLEMS = 20
MAX_INPUT = 200
"""Characters of JSON of what is wrong that an error shows again."""

W = TypeVar("W", bound=BaseModel)


# --- types of fields -----------------------------------------------------------------------------


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return _plain(value)


def _plain(value: str) -> str:
    if has_controls(value):
        raise ValueError("must not contain control characters")
    return value


def _id(value: str) -> str:
    if not is_id(value):
        raise ValueError("must be 1 to 200 printable characters without / % ? #")
    return value


Text = Annotated[str, AfterValidator(_text)]
"""Not empty."""
Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_text)]
Title = Annotated[str, Field(max_length=200), AfterValidator(_plain)]
Id = Annotated[str, AfterValidator(_id)]
Tags = Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=100)]
"""Of tags' ids, or of labels."""
CompositionMode = Literal["fluid", "canned_fluid", "composited_canned", "strict_canned"]
Count = Annotated[int, Field(ge=0, le=2**53)]


class Wire(BaseModel):
    """Its checks are made when it is first used, and not at every start of a function."""

    model_config = ConfigDict(frozen=True, defer_build=True)


class Edit(Wire):
    """`set` comes before `unset`."""

    set: dict[str, Any] | None = None
    unset: list[str] | None = None

    def of(self, old: Mapping[str, Any]) -> dict[str, Any]:
        gone = set_of(self.unset)
        return {k: v for k, v in {**old, **(self.set or {})}.items() if k not in gone}


class TagEdit(Wire):
    add: Tags | None = None
    remove: list[str] | None = None

    def of(self, old: Sequence[str]) -> tuple[str, ...]:
        return edited(old, self.add, self.remove)


class LabelEdit(Wire):
    upsert: Tags | None = None
    remove: list[str] | None = None

    def of(self, old: Sequence[str]) -> tuple[str, ...]:
        return edited(old, self.upsert, self.remove)


def edited(
    old: Sequence[str], added: Sequence[str] | None, removed: Sequence[str] | None
) -> tuple[str, ...]:
    """Each once, in the order in which they came."""
    gone = set_of(removed)
    return tuple(one for one in dict.fromkeys((*old, *(added or ()))) if one not in gone)


def set_of(given: Sequence[str] | None) -> frozenset[str]:
    return frozenset(given or ())


# --- what the agent says by itself, Cueline's own ------------------------------------------------


class SaidGuideline(Wire):
    action: Annotated[Text, Field(max_length=10_000)]
    rationale: Rationale | None = None

    def to_engine(self) -> GuidelineOfEngine:
        return GuidelineOfEngine(action=self.action, rationale=self.rationale or "unspecified")


SaidGuidelines = Annotated[list[SaidGuideline], Field(max_length=20)]


class FollowUp(Wire):
    model_config = ConfigDict(extra="forbid")

    after_seconds: Annotated[int, Field(ge=1, le=366 * 86_400)]
    guidelines: SaidGuidelines | None = None

    def to_engine(self) -> FollowUpOfEngine:
        told = tuple(one.to_engine() for one in self.guidelines or ())
        return FollowUpOfEngine(after_seconds=self.after_seconds, guidelines=told)


class BuyTime(Wire):
    model_config = ConfigDict(extra="forbid")

    after_seconds: Annotated[float, Field(gt=0, le=240)]
    times: Annotated[int, Field(ge=1, le=5)] | None = None
    guidelines: SaidGuidelines | None = None

    def to_engine(self) -> BuyTimeOfEngine:
        told = tuple(one.to_engine() for one in self.guidelines or ())
        return BuyTimeOfEngine(
            after_seconds=self.after_seconds, times=self.times or 1, guidelines=told
        )


FollowUps = Annotated[list[FollowUp], Field(max_length=20)]


class OwnFields(Wire):
    """Of agents and of sessions."""

    follow_ups: FollowUps | None = None
    buy_time: BuyTime | None = None

    def own(self) -> dict[str, Any]:
        """Those that were given, as the engine has them; None where they were null."""
        found: dict[str, Any] = {}
        if "follow_ups" in self.model_fields_set:
            ladder = self.follow_ups
            found["follow_ups"] = None if ladder is None else tuple(o.to_engine() for o in ladder)
        if "buy_time" in self.model_fields_set:
            found["buy_time"] = self.buy_time and self.buy_time.to_engine()
        return found


# --- reading -------------------------------------------------------------------------------------


def body_of(rendered: str | None, is_base64: bool, content_type: str) -> dict[str, Any]:
    """The JSON object, from API Gateway's rendering of the body; none is an empty one, as published
    clients send none where nothing is to be changed. Raises Unprocessable."""
    if not rendered:
        return {}
    try:
        return read_json(raw_body(rendered, is_base64), content_type)
    except InvalidRequest as error:
        raise wrong(["body"], error.message, "json_invalid") from None


def parse(model: type[W], given: Mapping[str, Any], place: str = "body") -> W:
    """Raises Unprocessable, which names every wrong field below `place`."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise Unprocessable(_problems(error, place)) from None


def parse_query(model: type[W], given: Mapping[str, Sequence[str]], lists: Sequence[str] = ()) -> W:
    """The last one counts where a parameter is there twice, but for `lists`."""
    read = {name: (list(v) if name in lists else v[-1]) for name, v in given.items() if v}
    return parse(model, read, "query")


def _problems(error: ValidationError, place: str) -> list[dict[str, Any]]:
    found = []
    for one in error.errors(include_url=False)[:MAX_PROBLEMS]:
        # As clients know it, who compare it with what other servers of this API say.
        kind = "enum" if one["type"] == "literal_error" else one["type"]
        told: dict[str, Any] = {"type": kind, "loc": [place, *one["loc"]], "msg": one["msg"]}
        if len(shown := _json(one["input"])) <= MAX_INPUT:
            told["input"] = json.loads(shown)
        if one.get("ctx"):
            told["ctx"] = {name: _scalar(value) for name, value in one["ctx"].items()}
        found.append(told)
    return found


def _json(value: Any) -> str:
    return json.dumps(value, default=str)


def _scalar(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) else str(value)
