"""Keeps the board true to the machine: which cards there are, which of them may be used, and what they do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from penstock.store import Store
from workers import overuse
from workers.cards import Card, CardSource
from workers.placement import SLOTS, Board, Room

log = logging.getLogger(__name__)

_PERIOD = 1.0


class Rooms:
    def __init__(
        self,
        store: Store,
        source: CardSource,
        board: Board,
        *,
        slots: int,
        epoch: int,
        on_loss: Callable[[Collection[str]], None],
    ) -> None:
        """`on_loss` hears of the cards that must not be used any more."""
        self._store = store
        self._source = source
        self._board = board
        self._slots = Room(card=SLOTS, total=slots)
        self._epoch = epoch
        self._on_loss = on_loss
        self._paused: Mapping[str, int] = {}
        self._owners: Mapping[int, str | None] = {}
        self._told: set[str] = set()
        """Instances whose overuse is in the log."""
        self.cards: Mapping[str, Card] = {}
        """As they were last read, by UUID."""

    async def look(self) -> None:
        """Reads the cards once."""
        self.cards = {card.uuid: card for card in await self._source.read()}
        if any(card.processes for card in self.cards.values()):
            self._owners = await asyncio.to_thread(overuse.owners, list(self.cards.values()))
        self._board.look([self._slots, *map(self._room, self.cards.values())])

    async def run(self) -> None:
        """Loop: reads them each second, and shows what has changed."""
        shown: list[dict[str, Any]] = []
        while True:
            await self.look()
            # A driver that hangs says nothing of its cards: what serves there goes on until they answer again.
            self._on_loss([card.uuid for card in self.cards.values() if card.problem and not card.silent])
            views = [self._view(card) for card in self.cards.values()]
            if views != shown:
                await self._store.pools.show_gpus(views, epoch=self._epoch)
                shown = views
            await asyncio.sleep(_PERIOD)

    def pause(self, cards: Mapping[str, int]) -> None:
        """These, and no others, are lent to whoever else wants them."""
        self._paused = cards
        self._board.look([self._slots, *map(self._room, self.cards.values())])

    def _room(self, card: Card) -> Room:
        return Room(card=card.uuid, total=card.memory, type=card.type, free=card.free, closed=self.closed(card))

    def closed(self, card: Card) -> str | None:
        if card.problem is not None:
            return card.problem
        if card.uuid in self._paused:
            return "paused by an operator"
        if overuse.strangers(card, self.reserved(card), self._owners.get):
            return "used by processes that are none of ours"
        return None

    def _view(self, card: Card) -> dict[str, Any]:
        reserved = self.reserved(card)
        return {
            "uuid": card.uuid,
            "name": card.name,
            "type": card.type,
            "memory": card.memory,
            "free": card.free,
            "sm": card.sm,
            "encoder": card.encoder,
            "decoder": card.decoder,
            "problem": self.closed(card),
            "reserved": reserved,
            "overused": self._overused(card),
        }

    def reserved(self, card: Card) -> Mapping[str, int]:
        return {name: self._board.reservations[name].amount for name in self._board.on(card.uuid)}

    def _overused(self, card: Card) -> Mapping[str, int]:
        """It is told once, and ends nobody: the card may be large enough for all of it."""
        found = overuse.overused(card, self.reserved(card), self._owners.get)
        for instance in found.keys() - self._told:
            log.warning("instance %s uses %d MiB of a GPU, more than it reserved", instance, found[instance] >> 20)
        self._told |= found.keys()
        return found
