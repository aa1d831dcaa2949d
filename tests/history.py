"""A checker of provider history, as strict as both of OpenAI's APIs."""

from collections.abc import Sequence

from cueline.log.conversation import Called, Item, Returned, Said


def problems(items: Sequence[Item]) -> list[str]:
    """What a provider would refuse; empty where it would accept."""
    found: list[str] = []
    open_calls: list[str] = []
    answered = False
    for n, item in enumerate(items):
        match item:
            case Said():
                if open_calls:
                    found.append(f"{n}: a message before the output of {open_calls}")
                if not item.text:
                    found.append(f"{n}: an empty message")
            case Called():
                if open_calls and answered:
                    found.append(f"{n}: a new call before the output of {open_calls}")
                if item.call in open_calls:
                    found.append(f"{n}: {item.call} is called twice")
                answered = False
                open_calls.append(item.call)
            case Returned():
                if item.call not in open_calls:
                    found.append(f"{n}: an output of {item.call}, which was not called")
                else:
                    open_calls.remove(item.call)
                answered = True
    if open_calls:
        found.append(f"the end: no output of {open_calls}")
    return found
