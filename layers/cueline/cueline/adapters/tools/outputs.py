"""What a tool's output may be: text that fits into the log and does not fill the model's window."""

from pydantic_core import to_json

MAX_OUTPUT = 50_000
"""Characters."""
MAX_BYTES = 90_000
"""As the log stores it, in JSON."""
_NOTICE = "\n[{left_out:,} of {size:,} characters are left out here. Ask for less at a time.]"


def cut(text: str) -> str:
    """The text, or its beginning and how much was left out."""
    # Half of a surrogate pair, which JSON can carry, is no text that could be stored.
    text = text.encode(errors="replace").decode()
    kept = text[:MAX_OUTPUT]
    while (stored := len(to_json(kept))) > MAX_BYTES:
        # Where each character takes several bytes; the rest may take more than the average.
        kept = kept[: len(kept) * MAX_BYTES // stored]
    if len(kept) == len(text):
        return text
    return kept + _NOTICE.format(left_out=len(text) - len(kept), size=len(text))
