"""Everything in memory, with the semantics of the DynamoDB and SQS adapters: for tests and demos.

Nothing outlives the process. Safe to use from several threads.
"""

from cueline.adapters.memory.background import (
    MemoryBus,
    MemoryDeliveries,
    MemoryFirings,
    MemoryKeptSessions,
    MemoryRuns,
    MemoryTriggers,
    memory_background,
)
from cueline.adapters.memory.connections import MemoryConnections
from cueline.adapters.memory.log import MemoryBeats, MemoryLog, MemorySweeper
from cueline.adapters.memory.records import (
    MemoryAgents,
    MemoryCustomers,
    MemoryKeys,
    MemorySessions,
    MemorySpending,
)
from cueline.adapters.memory.schedules import MemorySchedules
from cueline.adapters.memory.store import Store
from cueline.adapters.memory.wake_ups import MemoryWakeUps
from cueline.engine.ports import Clock, Ports

__all__ = [
    "MemoryAgents",
    "MemoryBeats",
    "MemoryBus",
    "MemoryConnections",
    "MemoryCustomers",
    "MemoryDeliveries",
    "MemoryFirings",
    "MemoryKeptSessions",
    "MemoryKeys",
    "MemoryLog",
    "MemoryRuns",
    "MemorySchedules",
    "MemorySessions",
    "MemorySpending",
    "MemorySweeper",
    "MemoryTriggers",
    "MemoryWakeUps",
    "Store",
    "memory_background",
    "memory_ports",
]


def memory_ports(clock: Clock) -> Ports:
    """All ports on one new store."""
    store = Store()
    return Ports(
        log=MemoryLog(store, clock),
        agents=MemoryAgents(store),
        sessions=MemorySessions(store, clock),
        beats=MemoryBeats(store),
        sweeper=MemorySweeper(store),
        wake_ups=MemoryWakeUps(clock),
        keys=MemoryKeys(store),
        spending=MemorySpending(store),
        customers=MemoryCustomers(store),
        schedules=MemorySchedules(),
        clock=clock,
    )
