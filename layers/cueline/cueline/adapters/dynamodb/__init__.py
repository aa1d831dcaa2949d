"""The log, and all that goes with it, in one DynamoDB table; `items` has the key grammar.

`connections` is imported by who needs it: most processes have none.
"""

from cueline.adapters.dynamodb.agents import DynamoAgents
from cueline.adapters.dynamodb.beats import DynamoBeats
from cueline.adapters.dynamodb.customers import DynamoCustomers
from cueline.adapters.dynamodb.keys import DynamoKeys
from cueline.adapters.dynamodb.log import DynamoLog
from cueline.adapters.dynamodb.sessions import DynamoSessions
from cueline.adapters.dynamodb.spending import DynamoSpending
from cueline.adapters.dynamodb.sweeper import DynamoSweeper

__all__ = [
    "DynamoAgents",
    "DynamoBeats",
    "DynamoCustomers",
    "DynamoKeys",
    "DynamoLog",
    "DynamoSessions",
    "DynamoSpending",
    "DynamoSweeper",
]
