"""The words and signs that a condition is made of, each with its place."""

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
      | (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<sign>==|!=|<=|>=|&&|\|\||[-+*/<>!(),])
      | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_SIGNS = {"and": "&&", "or": "||", "not": "not"}
_MEANT = {
    "=": "`==`",
    "&": "`&&`",
    "|": "`||`",
    "'": "text that ends with '",
    '"': 'text that ends with "',
}
"""What somebody who wrote this wanted."""


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is number, text, word, sign or end; signs are spelt one way, text as it is quoted."""

    kind: str
    text: str
    at: int


def tokens(text: str) -> list[Token]:
    """Ends with one of kind `end`; raises ValueError."""
    found: list[Token] = []
    at = 0
    while not found or found[-1].kind != "end":
        if not (match := _TOKEN.match(text, at)):
            at = len(text) - len(text[at:].lstrip())
            raise wrong(at, _MEANT.get(text[at], "a value or an operator"), text[at])
        kind = str(match.lastgroup)
        word = match[kind]
        if kind == "word" and word.lower() in _SIGNS:
            found.append(Token("sign", _SIGNS[word.lower()], match.start(kind)))
        else:
            found.append(Token(kind, word, match.start(kind)))
        at = match.end()
    return found


def wrong(at: int, expected: str, instead: str) -> ValueError:
    """What was expected at this place, counted from 0, and what stands there instead."""
    shown = f"`{instead[:20]}`" if instead else "the end"
    return ValueError(f"expected {expected} at character {at + 1}, found {shown}")


def unquoted(text: str) -> str:
    quote = text[0]
    return text[1:-1].replace(quote * 2, quote)
