"""Makes an API key for a deployed stack, and shows it once: `make key NAME=website`."""

import argparse
import secrets
import sys

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from cueline.adapters.aws import dynamodb_client
from cueline.adapters.dynamodb.keys import DynamoKeys
from cueline.doors.access import new_key
from cueline.errors import CuelineError


def table_of(stack: str) -> str:
    """The name of the stack's table; raises LookupError where the stack has none."""
    found = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    for output in found.get("Outputs", []):
        if output.get("OutputKey") == "TableName":
            return output["OutputValue"]
    raise LookupError(stack)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="who will use it")
    parser.add_argument("--stack", default="cueline", help="the CloudFormation stack")
    given = parser.parse_args()
    # 256 random bits: what is stored is a hash that nobody can search through.
    key, text = new_key(f"key{secrets.token_hex(6)}", given.name, secrets.token_urlsafe(32))
    try:
        DynamoKeys(dynamodb_client(), table_of(given.stack)).put(key)
    except (ClientError, LookupError) as error:
        print(f"No key was made. Is the stack {given.stack!r} deployed? {error}", file=sys.stderr)
        return 1
    except (BotoCoreError, CuelineError) as error:
        print(f"No key was made: {error}", file=sys.stderr)
        return 1
    print("Send this as x-api-key. It is shown only now:", file=sys.stderr)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
