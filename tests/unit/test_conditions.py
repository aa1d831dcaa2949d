"""Conditions of next steps: whatever is written and whatever they look at, nothing breaks."""

import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cueline.engine.condition_values import FUNCTIONS
from cueline.engine.conditions import MAX_DEPTH, MAX_LENGTH, holds, parse

CONTEXT: dict[str, Any] = {
    "agent": {"name": "Guide", "metadata": {"tier": 2, "tags": ["vip", 7, None]}},
    "session": {"key": "s", "metadata": {"tries": 3, "vip": True, "odd name": 1, "it's": 2}},
    "currentDate": "2024-01-15T10:35:00Z",
    "tools": {"find-order": {"outputs": {"latest": {"status": "open", "total": 12.5}}}},
    "output": {"intent": "sales", "text": "Yes, please", "list": [{"n": 1}], "nothing": None},
}


@pytest.mark.parametrize(
    "text",
    [
        "get('$.output.intent') == 'sales'",
        "get('$.output.intent')=='sales'and get('$.session.metadata.tries')>2",
        "get('$.output.intent') == 'sales' && get('$.agent.metadata.tier') <= 2",
        "get('$.output.intent') == 'x' or get('$.session.metadata.vip')",
        "get('$.output.intent') == 'x' || get('$.session.metadata.vip') == true",
        "not get('$.session.metadata.absent')",
        "!get('$.session.metadata.absent') && true",
        "NOT (false OR false)",
        "get('$.a.b.c') == null",
        "get('$.output.nothing') == null",
        "get('$.output.intent') != null",
        "get('$.absent') != 'sales'",
        "get('$.absent', 'sales') == 'sales'",
        "get('$.output.nothing', 1 + 1) == 2",
        "get(\"$['session']['metadata']['odd name']\") == 1",
        """get('$.session.metadata["it''s"]') == 2""",
        "get('$.output.list[0].n') == 1 and get('$.output.list[-1].n') == 1",
        "get('$.output.list[1]') == null and get('$.output[0]') == null",
        "get('$.tools.find-order.outputs.latest.total') * 2 - 1 == 24",
        "1 + 2 * 3 == 7 and (1 + 2) * 3 == 9 and 7 - 2 - 1 == 4 and 8 / 2 / 2 == 2",
        "-2 < .5 and - -2 == 2 and 1e3 == 1000 and 2. == 2",
        "if (get('$.session.metadata.vip')) true else false",
        "if (get('$.absent')) false else if (1 > 2) false else true",
        "'it''s' == \"it's\"",
        "'b' > 'a' and 'a' >= 'a'",
        "len('abc') == 3 and len(get('$.agent.metadata.tags')) == 3 and len(1) == null",
        "lower('ABC') == 'abc' and upper('abc') == 'ABC' and lower(1) == null",
        "contains(get('$.output.text'), 'please') and contains(get('$.agent.metadata.tags'), 7)",
        "contains(get('$.agent.metadata.tags'), null) and contains(get('$.agent'), 'name')",
        "startsWith(get('$.output.text'), 'Yes') and starts_with('ab', 'a')",
        "endsWith('ab', 'b') and ends_with('ab', 'b') and !endsWith('ab', 1)",
        "abs(-2) == 2 and min(3, 1, 2) == 1 and max(3, 1, 2) == 3 and max(1, 'x') == null",
        "1 / 0 == null and 'a' + 1 == null and 1e308 * 10 == null",
        "  true  ",
    ],
)
def test_it_holds(text: str) -> None:
    assert holds(parse(text), CONTEXT)


@pytest.mark.parametrize(
    "text",
    [
        "false",
        "null",
        "'true'",
        "1",
        "get('$.output.text')",
        "get('$.session.metadata.tries') and true",
        "get('$.absent') == 'sales'",
        "'1' == 1",
        "true == 1",
        "get('$.session.metadata.vip') == 1",
        "null < 1 or 1 < null or 'a' < 1 or true < false",
        "get('$.agent') == get('$.agent')",
        "len(true) == 1",
        "not true or false",
        "if (get('$.output.intent') == 'sales') 1 else 2 < 3",
    ],
)
def test_it_does_not_hold(text: str) -> None:
    assert not holds(parse(text), CONTEXT)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected a value at character 1, found the end"),
        ("1 = 1", "expected `==` at character 3, found `=`"),
        ("true & true", "expected `&&` at character 6"),
        ("get('$.a' == 'b'", "expected `)` at character 11, found `==`"),
        ("get('$.a) == 1", "expected text that ends with ' at character 5"),
        ("'a' == 'it's'", "expected text that ends with ' at character 13"),
        ("get(\"$['it's']\")", "before \"['it's']\" in a path"),
        ("true true", "expected an operator or the end at character 6, found `true`"),
        ("1 < 2 < 3", "expected `and` or `or` between two comparisons at character 7, found `<`"),
        ("output == 1", "expected quotes around text, or one of get, if, len, lower"),
        ("get(output)", "expected a path in quotes, such as '$.output.text', at character 5"),
        ("get('output')", "expected a path that begins with `$` at character 5"),
        ("get('$output')", "expected `.name`, `['name']` or `[0]` before 'output' in a path"),
        ("get('$..a')", "before '..a' in a path"),
        ("get('$.a[*]')", "before '[*]' in a path"),
        ("len()", "expected len(value) at character 1, found `0 values`"),
        ("contains('a')", "expected contains(whole, part) at character 1, found `1 value`"),
        ("if (true) 1", "expected `else` at character 12, found the end"),
        ("1e999 > 1", "expected a smaller number at character 1"),
        ("__import__('os')", "expected quotes around text"),
        ("a.b", "expected a value or an operator at character 2, found `.`"),
        ("1 ; 2", "expected a value or an operator at character 3, found `;`"),
        ("(" * 99 + "1", f"expected at most {MAX_DEPTH} levels within each other"),
        ("x" * (MAX_LENGTH + 1), "at most 2,000 characters"),
    ],
)
def test_what_cannot_be_read_says_where_and_what_was_expected(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        " and ".join(["true"] * 200),
        "0" + "+1" * 900 + " == 900",
        "(" * MAX_DEPTH + "true" + ")" * MAX_DEPTH,
        "not " * (MAX_DEPTH // 2 * 2) + "true",
        "!" * (MAX_DEPTH // 2 * 2) + "true",
        "-" * (MAX_DEPTH // 2 * 2) + "1 == 1",
        "if (true) " * MAX_DEPTH + "true" + " else false" * MAX_DEPTH,
        "".join(f"min({n}, " for n in range(MAX_DEPTH)) + "0" + ")" * MAX_DEPTH + " == 0",
    ],
)
def test_long_and_deep_ones_hold_too(text: str) -> None:
    assert len(text) <= MAX_LENGTH
    assert holds(parse(text), {})


def test_one_text_is_read_once() -> None:
    assert parse("1 == 1") is parse("1 == 1")


# --- whatever is written and looked at ------------------------------------------------------------

numbers = st.integers() | st.floats() | st.just(10**400)
json = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "c d"]) | st.text(max_size=3), inner)
    ),
    max_leaves=8,
)
contexts = st.dictionaries(st.sampled_from(["a", "b"]), json)
paths = st.sampled_from(["$", "$.a", "$.b.a", "$.a[0]", '$["c d"]', "$.a.b[-1].a"])
leaves = st.one_of(
    st.sampled_from(["true", "false", "null", "0", "1", ".5", "'x'", '"x"', "1e308"]),
    paths.map(lambda path: f"get('{path}')"),
)
operators = st.sampled_from(
    ["==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "and", "or", "&&", "||"]
)
functions = st.sampled_from([name for name, function in FUNCTIONS.items() if function.least == 1])
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds("({}) {} ({})".format, inner, operators, inner),
        st.builds("not ({})".format, inner),
        st.builds("!({})".format, inner),
        st.builds("-({})".format, inner),
        st.builds("if ({}) {} else {}".format, inner, inner, inner),
        st.builds("contains({}, {})".format, inner, inner),
        st.builds("min({}, {})".format, inner, inner),
        st.builds("{}({})".format, functions, inner),
        st.builds("get('{}', {})".format, paths, inner),
    ),
    max_leaves=6,
)
pieces = st.sampled_from(
    [
        *("get", "(", ")", ",", "'$.a'", "if", "else", "and", "or", "not", "!", "==", "<", "+"),
        *("-", "*", "1", ".5", "'x", "true", "null", "len", "'", '"', "$", "=", "x"),
    ]
)
texts = st.text(max_size=30) | st.lists(pieces, max_size=12).map(" ".join) | expressions


@settings(max_examples=600)
@given(texts, contexts)
@example("get('$.a') == get('$.b')", {"a": [[[]]], "b": [[[]]]})
def test_any_text_is_read_or_refused_and_what_is_read_comes_to_a_bool(
    text: str, context: dict[str, Any]
) -> None:
    with suppress(ValueError):
        condition = parse(text)
        try:
            assert holds(condition, context) in {True, False}
        except ValueError as error:
            raise AssertionError(text) from error


@given(expressions, contexts)
def test_not_is_the_other_way_round(text: str, context: dict[str, Any]) -> None:
    with suppress(ValueError):
        assert holds(parse(f"not ({text})"), context) is not holds(parse(text), context)


@given(leaves, leaves, contexts)
def test_unequal_is_not_equal(one: str, other: str, context: dict[str, Any]) -> None:
    equal = holds(parse(f"{one} == {other}"), context)
    assert holds(parse(f"{one} != {other}"), context) is not equal


@settings(deadline=1000)
@given(st.sampled_from(["'", "''", "(", "1", ".", "1.", " ", "get(", "!", "e", "&", "if ("]))
def test_a_long_text_takes_no_long_time(piece: str) -> None:
    with suppress(ValueError):
        parse((piece * MAX_LENGTH)[:MAX_LENGTH])
