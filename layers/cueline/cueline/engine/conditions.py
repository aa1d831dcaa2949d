"""Conditions of next steps: small expressions over a JSON context, read once and never run as code.

    get('$.output.intent') == 'sales' and get('$.session.metadata.tries', 0) < 3

value       'text', "text" (a quote inside is doubled), 1, .5, true, false, null
lookup      get('$.a.b'), get("$['a'][0]"), get('$.a', default)
comparison  ==  !=  <  <=  >  >=
logic       and  or  not  &&  ||  !
number      +  -  *  /
choice      if (condition) value else value
function    len lower upper contains startsWith endsWith abs min max

Nothing fails once it is read. What is missing is null, and so is what is calculated from anything
but numbers, or divided by zero. Values of unlike kinds are unequal and in no order; arrays and
objects equal nothing. Only `true` is true: texts and numbers are not.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn, TypeVar

from cueline.engine.condition_tokens import Token, tokens, unquoted, wrong
from cueline.engine.condition_values import (
    FUNCTIONS,
    calculated,
    equal,
    found,
    number,
    ordered,
    path,
)

MAX_LENGTH = 2_000
"""Characters."""
MAX_DEPTH = 24
"""Of parentheses, functions, choices and signs within each other, so that the stack holds them."""

Context = Mapping[str, Any]
_Value = Callable[[Context], Any]
T = TypeVar("T")

_CONSTANTS: Mapping[str, Any] = {"true": True, "false": False, "null": None}
_COMPARED = ("==", "!=", "<", "<=", ">", ">=")


@dataclass(frozen=True, slots=True)
class Condition:
    """What `parse` has read; `value` is what it comes to."""

    text: str
    value: Callable[[Context], Any]


def holds(condition: Condition, context: Context) -> bool:
    return condition.value(context) is True


@lru_cache(maxsize=1024)
def parse(text: str) -> Condition:
    """Raises ValueError that says at which character something else was expected."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"a condition has at most {MAX_LENGTH:,} characters")
    return Condition(text, _Parser(text).whole())


def _constant(value: Any) -> _Value:
    return lambda _: value


class _Parser:
    """Recursive descent, the weakest operator first. A chain of one operator is one value, however
    long, so that only what MAX_DEPTH counts needs stack."""

    def __init__(self, text: str) -> None:
        self._tokens = tokens(text)
        self._next = self._depth = 0

    def whole(self) -> _Value:
        value = self._either()
        if self._token.kind != "end":
            self._fail("an operator or the end")
        return value

    def _either(self) -> _Value:
        parts = self._chain(self._both, "||")
        return parts[0] if len(parts) == 1 else lambda c: any(part(c) is True for part in parts)

    def _both(self) -> _Value:
        parts = self._chain(self._negated, "&&")
        return parts[0] if len(parts) == 1 else lambda c: all(part(c) is True for part in parts)

    def _negated(self) -> _Value:
        return self._not(self._negated) if self._took("not") else self._compared()

    def _not(self, part: Callable[[], _Value]) -> _Value:
        inner = self._deeper(part)
        return lambda c: inner(c) is not True

    def _compared(self) -> _Value:
        left = self._sum()
        if not (sign := self._took(*_COMPARED)):
            return left
        right = self._sum()
        if self._took(*_COMPARED):
            self._next -= 1
            self._fail("`and` or `or` between two comparisons")
        if sign in {"==", "!="}:
            return lambda c: equal(left(c), right(c)) is (sign == "==")
        return lambda c: ordered(left(c), sign, right(c))

    def _sum(self) -> _Value:
        return self._calculated(self._product, "+", "-")

    def _product(self) -> _Value:
        return self._calculated(self._signed, "*", "/")

    def _calculated(self, part: Callable[[], _Value], *signs: str) -> _Value:
        first, rest = part(), list[tuple[str, _Value]]()
        while sign := self._took(*signs):
            rest.append((sign, part()))
        if not rest:
            return first

        def value(context: Context) -> Any:
            so_far = first(context)
            for sign, other in rest:
                so_far = calculated(so_far, sign, other(context))
            return so_far

        return value

    def _signed(self) -> _Value:
        if self._took("!"):
            return self._not(self._signed)
        if self._took("-"):
            inner = self._deeper(self._signed)
            return lambda c: None if (value := number(inner(c))) is None else -value
        return self._single()

    def _single(self) -> _Value:
        if self._took("("):
            return self._closed(self._either)
        token = self._token
        if token.kind in {"sign", "end"}:
            self._fail("a value")
        self._next += 1
        match token.kind:
            case "number":
                return _constant(self._number(token))
            case "text":
                return _constant(unquoted(token.text))
        match token.text.lower():
            case constant if constant in _CONSTANTS:
                return _constant(_CONSTANTS[constant])
            case "if":
                return self._choice()
            case "get":
                return self._lookup()
        return self._function(token)

    def _number(self, token: Token) -> float:
        value = float(token.text)
        if not math.isfinite(value):
            raise wrong(token.at, "a smaller number", token.text)
        return value

    def _choice(self) -> _Value:
        self._expect("(")
        condition = self._closed(self._either)
        then = self._deeper(self._either)
        if self._token.text.lower() != "else" or self._token.kind != "word":
            self._fail("`else`")
        self._next += 1
        other = self._deeper(self._either)
        return lambda c: then(c) if condition(c) is True else other(c)

    def _lookup(self) -> _Value:
        self._expect("(")
        token = self._token
        if token.kind != "text":
            self._fail("a path in quotes, such as '$.output.text',")
        self._next += 1
        try:
            steps = path(unquoted(token.text))
        except ValueError as error:
            raise wrong(token.at, str(error), token.text) from None
        default = _constant(None)
        if self._took(","):
            default = self._deeper(self._either)
        self._expect(")")
        return lambda c: default(c) if (value := found(c, steps)) is None else value

    def _function(self, token: Token) -> _Value:
        if not (function := FUNCTIONS.get(token.text.replace("_", "").lower())):
            known = ", ".join(one.name for one in FUNCTIONS.values())
            raise wrong(token.at, f"quotes around text, or one of get, if, {known}", token.text)
        self._expect("(")
        given: list[_Value] = []
        if not self._took(")"):
            given = self._closed(lambda: self._chain(self._either, ","))
        if not function.least <= len(given) <= function.most:
            takes = f"{function.name}({function.takes})"
            raise wrong(token.at, takes, f"{len(given)} value{'s' * (len(given) != 1)}")
        return lambda c: function.of(*[value(c) for value in given])

    # --- of tokens ---

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _took(self, *signs: str) -> str:
        """The sign that came, and is taken; empty where none of these did."""
        if self._token.kind != "sign" or self._token.text not in signs:
            return ""
        self._next += 1
        return self._tokens[self._next - 1].text

    def _expect(self, sign: str) -> None:
        if not self._took(sign):
            self._fail(f"`{sign}`")

    def _chain(self, part: Callable[[], _Value], sign: str) -> list[_Value]:
        parts = [part()]
        while self._took(sign):
            parts.append(part())
        return parts

    def _closed(self, part: Callable[[], T]) -> T:
        inside = self._deeper(part)
        self._expect(")")
        return inside

    def _deeper(self, part: Callable[[], T]) -> T:
        if self._depth == MAX_DEPTH:
            self._fail(f"at most {MAX_DEPTH} levels within each other")
        self._depth += 1
        inner = part()
        self._depth -= 1
        return inner

    def _fail(self, expected: str) -> NoReturn:
        raise wrong(self._token.at, expected, self._token.text)
