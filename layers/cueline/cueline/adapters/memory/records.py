"""Agents, sessions' METAs, customers and API keys, in memory."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from cueline.adapters import expiry
from cueline.adapters.memory.store import Store
from cueline.adapters.page_keys import page_key as page_key_of
from cueline.adapters.page_keys import rank, rank_in
from cueline.adapters.session_texts import session_fields, session_to_texts
from cueline.adapters.sizes import agent_to_json, customer_from_json, customer_to_json
from cueline.engine.agent import Agent
from cueline.engine.ports import WHOLE, Clock, Customer, Key, Page, Part, Spend
from cueline.errors import AgentExists, AgentNotFound
from cueline.log.segment import Session

T = TypeVar("T")


class MemoryAgents:
    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, agent: Agent) -> None:
        new = Agent.model_validate_json(agent_to_json(agent))
        with self._store.lock:
            if agent.key in self._store.agents:
                raise AgentExists(f"There is an agent {agent.key!r} already.")
            self._store.agents[agent.key] = new

    def get(self, key: str) -> Agent:
        with self._store.lock:
            if key not in self._store.agents:
                raise AgentNotFound(key)
            return self._store.agents[key].model_copy(deep=True)

    def replace(self, agent: Agent) -> bool:
        new = Agent.model_validate_json(agent_to_json(agent))
        with self._store.lock:
            found = self._store.agents.get(agent.key)
            if not found or found.version != agent.version - 1:
                return False
            self._store.agents[agent.key] = new
            return True

    def delete(self, key: str) -> None:
        with self._store.lock:
            if key not in self._store.agents:
                raise AgentNotFound(key)
            del self._store.agents[key]

    def list(self, limit: int, page_key: str | None) -> Page[Agent]:
        with self._store.lock:
            ranked = {rank(a.created_at, a.key): a for a in self._store.agents.values()}
        return _page(ranked.items(), "agents", limit, page_key)


class MemorySessions:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def create(self, session: Session, over: int) -> bool:
        new = self._copy(session)
        with self._store.lock:
            found = self._store.sessions.get(session.id)
            if session.agent_key not in self._store.agents:
                raise AgentNotFound(session.agent_key)
            if found and found.incarnation > over:
                return False
            self._store.sessions[session.id] = new
            return True

    def replace(self, session: Session) -> bool:
        new = self._copy(session)
        with self._store.lock:
            found = self._store.sessions.get(session.id)
            if not found or found.incarnation != session.incarnation:
                return False
            if found.version != session.version - 1:
                return False
            self._store.sessions[session.id] = new
            return True

    def touch(self, session: Session, now: int) -> None:
        if not expiry.due(session, now):
            return
        with self._store.lock:
            found = self._store.sessions.get(session.id)
            if not found or found.incarnation != session.incarnation:
                return
            if 0 < found.collect_at < expiry.near(session.tti_minutes, now):
                moved = replace(found, collect_at=expiry.hint(session.tti_minutes, now))
                self._store.sessions[session.id] = moved

    def remove(self, session: str, incarnation: int) -> None:
        with self._store.lock:
            found = self._store.sessions.get(session)
            if found and found.incarnation == incarnation:
                del self._store.sessions[session]

    def list(self, agent_key: str, limit: int, page_key: str | None) -> Page[Session]:
        with self._store.lock:
            ranked = {
                rank(s.created_at, s.session_key): s
                for s in self._store.sessions.values()
                if s.agent_key == agent_key
            }
        return _page(ranked.items(), f"sessions#{agent_key}", limit, page_key)

    def all(self, part: Part = WHOLE) -> Iterator[Session]:
        with self._store.lock:
            found = [s for s in self._store.sessions.values() if part.beyond(s.place)]
        yield from sorted(found, key=lambda s: s.place, reverse=part.newest_first)

    def _copy(self, session: Session) -> Session:
        """As a table would keep it. Raises TooLarge."""
        hint = expiry.hint_of(session, self._clock.now())
        return replace(session, **session_fields(session_to_texts(session)), collect_at=hint)


class MemoryCustomers:
    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, customer: Customer) -> bool:
        new = _kept(customer)
        with self._store.lock:
            return self._store.customers.setdefault(customer.id, new) is new

    def get(self, customer: str) -> Customer | None:
        with self._store.lock:
            found = self._store.customers.get(customer)
        return _kept(found) if found else None

    def replace(self, customer: Customer) -> bool:
        new = _kept(customer)
        with self._store.lock:
            found = self._store.customers.get(customer.id)
            if not found or found.version != customer.version - 1:
                return False
            self._store.customers[customer.id] = new
            return True

    def remove(self, customer: str) -> bool:
        with self._store.lock:
            return self._store.customers.pop(customer, None) is not None

    def all(self, part: Part = WHOLE) -> Iterator[Customer]:
        with self._store.lock:
            found = [c for c in self._store.customers.values() if part.beyond(c.place)]
        yield from map(_kept, sorted(found, key=lambda c: c.place, reverse=part.newest_first))


def _kept(customer: Customer) -> Customer:
    """As a table would keep it. Raises TooLarge."""
    text = customer_to_json(customer)
    return customer_from_json(text, customer.id, customer.created_at, customer.version)


class MemoryKeys:
    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, key_id: str, *, fresh: bool = False) -> Key | None:  # noqa: ARG002
        with self._store.lock:
            return self._store.keys.get(key_id)

    def put(self, key: Key) -> None:
        with self._store.lock:
            self._store.keys.setdefault(key.id, key)

    def replace(self, old: Key, new: Key) -> bool:
        with self._store.lock:
            found = self._store.keys.get(old.id)
            if not found or found.secrets not in (old.secrets, new.secrets):
                return False
            self._store.keys[new.id] = new
            return True

    def remove(self, key_id: str) -> None:
        with self._store.lock:
            self._store.keys.pop(key_id, None)

    def list(self, limit: int, page_key: str | None) -> Page[Key]:
        with self._store.lock:
            ranked = {rank(k.created_at, k.id): k for k in self._store.keys.values()}
        return _page(ranked.items(), "keys", limit, page_key)


class MemorySpending:
    def __init__(self, store: Store) -> None:
        self._store = store

    def reserve(
        self, account: str, day: str, amount: Spend, below: tuple[int | None, int | None]
    ) -> bool:
        with self._store.lock:
            spent = self.spent(account, day)
            tokens, cost = below
            if tokens is not None and spent.tokens >= tokens:
                return False
            if cost is not None and spent.cost >= cost:
                return False
            self.settle(account, day, amount)
            return True

    def settle(self, account: str, day: str, difference: Spend) -> None:
        with self._store.lock:
            spent = self.spent(account, day)
            self._store.spent[account, day] = Spend(
                spent.tokens + difference.tokens, spent.cost + difference.cost
            )

    def spent(self, account: str, day: str) -> Spend:
        with self._store.lock:
            return self._store.spent.get((account, day), Spend())


def _page(ranked: Iterable[tuple[str, T]], of: str, limit: int, given: str | None) -> Page[T]:
    after = rank_in(given, of)
    left = sorted((r for r in ranked if r[0] > after), key=lambda r: r[0])
    following = page_key_of(of, left[limit - 1][0]) if len(left) > limit else None
    return Page([item for _, item in left[:limit]], following)
