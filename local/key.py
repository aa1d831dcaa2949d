"""The API keys of a deployed stack: makes, lists, rotates and revokes them."""

import argparse
import re
import secrets
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from cueline.adapters.aws import dynamodb_client
from cueline.adapters.clock import SystemClock
from cueline.adapters.dynamodb.keys import DynamoKeys
from cueline.doors.access import MOST, hashed
from cueline.engine.ports import Key, Keys, Secret
from cueline.errors import CuelineError

UNITS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
OVERLAP = 24 * UNITS["h"]
ENDS = "ends within a minute"  # functions remember it for so long


class RefusedError(Exception):
    """What was asked cannot be done; the message says what to do."""


# --- what can be done ----------------------------------------------------------------------------


def make(keys: Keys, name: str, now: int, expires: int | None) -> None:
    key = Key(f"key{secrets.token_hex(8)}", name, (), now)
    key, text = _with_new_secret(key, now, expires)
    keys.put(key)
    _show(key, text)


def rotate(keys: Keys, key_id: str, now: int, expires: int | None, overlap: int) -> None:
    old = _known(keys, key_id)
    live = [one for one in old.secrets if one.live(now)]
    if overlap and len(live) >= MOST:
        raise RefusedError(
            f"{key_id} has two live secrets, the older until {_date(live[-1].expires_at)}. Rotate "
            "it after that, or end both at once with OVERLAP=0h, or make another key."
        )
    ends = now + overlap
    kept = tuple(replace(one, expires_at=min(one.expires_at or ends, ends)) for one in live)
    key, text = _with_new_secret(replace(old, secrets=kept if overlap else ()), now, expires)
    if not keys.replace(old, key):
        raise RefusedError(
            f"Somebody else changed {key_id} meanwhile. Nothing was done; try again."
        )
    until = f"is valid until {_date(kept[0].expires_at)}" if kept and overlap else ENDS
    print(f"The secret that {key_id} had {until}.", file=sys.stderr)
    _show(key, text)


def revoke(keys: Keys, key_id: str) -> None:
    key = _known(keys, key_id)
    keys.remove(key_id)
    print(f"{key_id} ({key.name}) is revoked; it {ENDS}.", file=sys.stderr)


def show_all(keys: Keys, now: int) -> None:
    for key in _all(keys):
        live = [_date(one.expires_at) for one in key.secrets if one.live(now)]
        print(f"{key.id}  made {_date(key.created_at)}  {_told(live)}  {key.name}")


# --- how it is done ------------------------------------------------------------------------------


def _with_new_secret(key: Key, now: int, expires: int | None) -> tuple[Key, str]:
    """The key to store, and the text that its holder sends; nobody can be told that again."""
    # 256 random bits: what is stored is a hash that nobody can search through.
    text = secrets.token_urlsafe(32)
    new = Secret(hashed(text), now + expires if expires else 0)
    return replace(key, secrets=(new, *key.secrets)), f"{key.id}.{text}"


def _known(keys: Keys, key_id: str) -> Key:
    key = keys.get(key_id)
    if not key:
        raise RefusedError(f"There is no key {key_id!r}; `make keys` lists them.")
    return key


def _all(keys: Keys) -> Iterator[Key]:
    page_key: str | None = None
    while True:
        page = keys.list(100, page_key)
        yield from page.items
        if (page_key := page.next) is None:
            return


def _show(key: Key, text: str) -> None:
    until = _date(key.secrets[0].expires_at)
    print(
        f"Send this as x-api-key. It is shown only now, and valid until {until}. As an OAuth "
        f"client: client_id is {key.id}, client_secret is what follows the dot.",
        file=sys.stderr,
    )
    print(text)


def _told(live: list[str]) -> str:
    return "valid until " + ", the older until ".join(live) if live else "expired"


def _date(ms: int) -> str:
    if not ms:
        return "revoked"
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def table_of(stack: str) -> str:
    """The name of the stack's table; raises LookupError where the stack has none."""
    found = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    for output in found.get("Outputs", []):
        if output.get("OutputKey") == "TableName":
            return output["OutputValue"]
    raise LookupError(stack)


# --- the command ---------------------------------------------------------------------------------


def span(text: str) -> int:
    """Milliseconds of `90d`, `24h` or `30m`."""
    if not re.fullmatch(r"[0-9]{1,5}[mhd]", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 90d, 24h or 30m")
    return int(text[:-1]) * UNITS[text[-1]]


def lasting(text: str) -> int:
    if not (length := span(text)):
        raise argparse.ArgumentTypeError("a secret that ends at once is of no use")
    return length


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make key", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--name", help="make a key; the name says who will use it")
    what.add_argument("--rotate", metavar="ID", help="give the key a new secret")
    what.add_argument("--revoke", metavar="ID", help="end the key")
    what.add_argument("--list", action="store_true", help="list the keys, without their secrets")
    parser.add_argument("--expires", type=lasting, help="after which time the new secret ends")
    parser.add_argument(
        "--overlap", type=span, default=OVERLAP, help="how long the older secret is still valid"
    )
    parser.add_argument("--stack", default="cueline", help="the CloudFormation stack")
    return parser


def main(given: list[str] | None = None) -> int:
    asked = arguments().parse_args(given)
    clock = SystemClock()
    try:
        keys = DynamoKeys(dynamodb_client(), table_of(asked.stack), clock)
        if asked.list:
            show_all(keys, clock.now())
        elif asked.rotate:
            rotate(keys, asked.rotate, clock.now(), asked.expires, asked.overlap)
        elif asked.revoke:
            revoke(keys, asked.revoke)
        else:
            make(keys, asked.name, clock.now(), asked.expires)
    except RefusedError as refused:
        print(refused, file=sys.stderr)
    except (ClientError, LookupError) as error:
        print(f"That failed. Is the stack {asked.stack!r} deployed? {error}", file=sys.stderr)
    except BotoCoreError as error:
        print(f"That failed: {error}", file=sys.stderr)
    except CuelineError as error:
        # The answer to a write that was done may have been lost.
        print(f"That failed, or was done unseen; look at `make keys`. {error}", file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
