"""What a workers process does while it leads: constructs the parts, runs their loops, stops them in order."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Collection

from penstock import clock, keys
from penstock.blobs import DirectoryBlobs
from penstock.errors import StoreUnavailable
from penstock.function import Function
from penstock.instance import InstanceState
from penstock.settings import Settings
from penstock.sockets import socket_path
from penstock.store import Store
from penstock.store.leadership import Inner as InnerView
from penstock.tasks import Tasks
from penstock.telemetry.setup import Telemetry
from workers.callbacks import Callbacks
from workers.callers import Callers
from workers.channel import Channel
from workers.chronicle import Chronicle
from workers.contact import Contact
from workers.controls import Controls
from workers.deployer import Deployer
from workers.dispatcher import Dispatcher
from workers.engines import Engine
from workers.figures import Figures
from workers.floors import Floors
from workers.frozen import Frozen
from workers.gauges import Gauges
from workers.gpus import inventory
from workers.heartbeat import Heartbeat
from workers.inner import Inner
from workers.janitor import Janitor
from workers.leader import Leader
from workers.learnt import Learnt
from workers.live import LiveRuns, Shared, new_key, sign
from workers.logs import Logs
from workers.metering import Metering
from workers.once import Once
from workers.ops import metrics_route
from workers.placement import Board
from workers.placer import Placer
from workers.pool import Pool
from workers.pull import Pull
from workers.pull_routes import PullRoutes
from workers.push import Push
from workers.rooms import Rooms
from workers.scaler import Scaler, default_slots
from workers.shows import Shows
from workers.submitting import Submitting
from workers.sweeper import Sweeper
from workers.triggers import Triggers

log = logging.getLogger(__name__)

_RECONCILE = 60.0
_SERVED = (InstanceState.IDLE, InstanceState.BUSY, InstanceState.DRAINING)


class Reign:
    def __init__(
        self,
        settings: Settings,
        store: Store,
        engine: Engine,
        leader: Leader,
        contact: Contact,
        telemetry: Telemetry,
        epoch: int,
    ) -> None:
        workers, metrics, traces = settings.workers, telemetry.metrics, telemetry.traces
        blobs = DirectoryBlobs(settings.folder / "blobs")
        self._settings = settings
        self._store = store
        self._engine = engine
        self._epoch = epoch
        self._tasks = Tasks()
        self._channel = Channel(blobs, max_answer=workers.max_answer, fc=settings.fc)
        key = new_key()
        self._live = LiveRuns(key)
        self._logs = Logs(self._live.heard)
        pull = Pull(engine, blobs, self._reached, key, max_answer=workers.max_answer)
        callers = Callers(
            push=Push(self._channel, engine),
            pull=pull,
            once=Once(engine, blobs, leader.sure, max_answer=workers.max_answer),
        )
        pull_routes = PullRoutes(pull, longest=workers.max_answer).routes()
        self._metrics_path = f"/metrics/{sign(key, 'metrics')}" if metrics.enabled else ""
        ops = [metrics_route(telemetry, self._metrics_path)] if metrics.enabled else []
        self._inner = Inner(self._live, self._logs, key, [*pull_routes, *ops])
        self._address = _inner_address(settings)
        shared = Shared(store, blobs, address=self._address, reached=self._reached, key=key)
        engine.listen(self._logs.hear)
        board = Board(quota=workers.gpu_quota)
        self._cards = inventory(workers)
        slots = workers.slots or default_slots()
        self._rooms = Rooms(store, self._cards, board, slots=slots, epoch=epoch, on_loss=self._lost)
        figures = Figures(metrics, most=telemetry.settings.max_functions)
        self._pool = Pool(
            engine,
            self._channel,
            callers,
            figures,
            epoch=epoch,
            board=board,
            guard=leader.sure,
            on_ready=self._ready,
            on_change=self._changed,
            traces=traces,
        )
        self._dispatcher = Dispatcher(
            store, self._pool, engine, callers, self._live, shared, figures, epoch=epoch, traces=traces
        )
        placer = Placer(self._pool, figures)
        floors = Floors(self._rooms)
        self._scaler = Scaler(
            store,
            self._pool,
            self._dispatcher,
            placer,
            floors,
            figures,
            epoch=epoch,
            in_contact=lambda: contact.seconds(clock.monotonic()) > 0,
            on_change=self._show,
        )
        self._shows = Shows(store, self._pool, self._scaler, placer, epoch=epoch)
        self._metering = Metering(store, self._pool, engine.standbys, epoch=epoch)
        self._sweeper = Sweeper(store, self._scaler.consider, contact, epoch=epoch)
        self._heartbeat = Heartbeat(store, self._dispatcher)
        self._controls = Controls(store, self._pool, self._rooms, floors, self._changed)
        submitting = Submitting(store, blobs, secret=settings.secret, traces=traces)
        self._triggers = Triggers(store, submitting, url=settings.redis.url)
        frozen = Frozen(settings.folder / "code")
        self._deployer = Deployer(store, self._pool, self._tasks, self._triggers, frozen, self._changed)
        self._learnt = Learnt(store, self._pool)
        self._callbacks = Callbacks(
            store, blobs, submitting, settings.callbacks, metrics, url=settings.redis.url, traces=traces
        )
        self._chronicle = Chronicle(
            store, self._pool, self._dispatcher, self._scaler, self._rooms, figures, epoch=epoch
        )
        gauges = Gauges(store, self._pool, self._scaler, placer, self._rooms, figures, epoch=epoch)
        self._forget = [metrics.ask(one) for one in (gauges.leader, gauges.queues, gauges.callbacks)]
        self._figures, self._counts = figures, metrics.enabled
        self._janitor = Janitor(store, blobs, frozen, self._pool.codes)

    async def begin(self) -> None:
        """Adopts what runs, then starts every loop. The engine is open."""
        await self._inner.open(self._address, self._engine.hosts())
        await self._store.leadership.announce(self._epoch, self._inner_view())
        await self._rooms.look()
        self._tasks.loop("inner", self._inner.watch)
        self._tasks.loop("heartbeat", self._heartbeat.renew)
        self._tasks.loop("cancels", self._heartbeat.cancels)
        self._tasks.loop("adoption", self._adopt)
        self._tasks.loop("callbacks", self._callbacks.run)
        self._tasks.loop("deliveries", self._callbacks.carrier.run)
        self._tasks.loop("hints", self._hints)
        self._tasks.loop("janitor", self._janitor.run)

    async def end(self, *, graceful: bool) -> None:
        """Stops taking, lets what runs finish, hands back the rest, and then lets go of the instances."""
        self._dispatcher.shut()
        if not await self._dispatcher.drain(self._settings.workers.stop_timeout):
            log.warning("calls still run after %g s: handed back", self._settings.workers.stop_timeout)
            await self._dispatcher.hand_back()
        await self._tasks.stop()
        await self._triggers.close()
        if graceful:
            await self._write_learnt()
        await self._pool.close()
        await self._metering.close()
        await self._engine.close(keep=not graceful or await self._worth_adopting())
        await self._callbacks.close()
        await self._inner.close()
        await self._channel.close()
        self._cards.close()
        for forget in self._forget:
            forget()
        self._figures.close()

    def _inner_view(self) -> InnerView:
        return InnerView(self._address, self._inner.logs_path, self._metrics_path)

    async def _worth_adopting(self) -> bool:
        """Without a gateway the whole deployment is being shut down: what is left would run for nobody."""
        if not self._settings.workers.adopt:
            return False
        try:
            return await self._store.has_gateways()
        except StoreUnavailable:
            return True  # who knows

    async def _write_learnt(self) -> None:
        try:
            await self._learnt.write()
        except StoreUnavailable as error:
            log.warning("what was learnt last is not kept: %s", error)

    async def _adopt(self) -> None:
        """What runs already is adopted first; only then is anything started."""
        found = await self._engine.adoptable()
        names = sorted({one.function for one in found})
        deployed = await asyncio.gather(*(self._store.catalog.get(name) for name in names))
        functions = {function.name: function for function in deployed if function is not None}
        views = await asyncio.gather(*(self._store.pools.get(name) for name in names))
        await self._controls.apply()  # what is paused stays so
        served = {one.id for view in views for one in view.instances if one.state in _SERVED}
        await self._pool.adopt(found, functions, served)
        self._tasks.loop("triggers", self._triggers.run)
        self._tasks.loop("deployer", self._deployer.run)
        self._tasks.loop("sweeper", self._sweeper.run)
        self._tasks.loop("looks", self._sweeper.looks)
        self._tasks.loop("rooms", self._rooms.run)
        self._tasks.loop("controls", self._controls.run)
        self._tasks.loop("scaler", self._scaler.run)
        self._tasks.loop("shows", self._shows.run)
        self._tasks.loop("learnt", self._learnt.run)
        self._tasks.loop("metering", self._metering.run)
        if self._counts:
            self._tasks.loop("chronicle", self._chronicle.run)
        self._tasks.loop("strays", self._strays)

    async def _strays(self) -> None:
        """Loop: removes instances that nobody here knows of."""
        while True:
            await asyncio.sleep(_RECONCILE)
            await self._pool.reconcile()

    async def _hints(self) -> None:
        """Loop: what gateways and scripts publish. Whoever misses one finds the truth by looking."""
        async for channel, data in self._store.wakes():
            if channel == keys.CHANGED:
                self._deployer.look()
                self._controls.look()
            elif data == b"!cancel":
                await self._heartbeat.look_for_cancels()
            elif data == b"!owed":
                self._callbacks.look()
            elif data == b"!topics":
                self._triggers.look()
            elif channel == keys.WAKE:
                self._woken(data.decode())

    def _reached(self, function: Function) -> str:
        """Where its instances reach the inner listener."""
        return self._inner.reached(self._engine.host_for(function))

    def _woken(self, function: str) -> None:
        self._dispatcher.pump(function, hint=True)
        pool = self._pool.functions.get(function)
        if pool is None or pool.pick() is None:
            self._sweeper.look_soon(function)

    def _ready(self, function: str) -> None:
        self._dispatcher.pump(function)

    def _changed(self, function: str) -> None:
        self._metering.changed(function)
        self._shows.changed(function)
        self._sweeper.look_soon(function)

    def _lost(self, cards: Collection[str]) -> None:
        for instance in self._pool.on_cards(cards):
            self._pool.drain(
                instance, f"its GPU must not be used: {self._rooms.cards[instance.card or ''].problem}"
            )

    def _show(self, function: str) -> None:
        self._shows.changed(function)


def _inner_address(settings: Settings) -> str:
    """Where this process's inner listener is; a leader that goes may still listen when the next comes."""
    if settings.workers.inner:
        return f"http://{settings.workers.inner}"
    return f"unix:{socket_path(settings.folder, f'inner/{secrets.token_hex(4)}.sock')}"
