"""The Redis that is meant: whether it answers, keeps what it is given, and has room."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.cli import embedded
from penstock.cli.checks import Finding, Verdict, gib
from penstock.errors import ConfigurationError, PenstockError, StoreUnavailable
from penstock.schema import UNVERSIONED, verdict
from penstock.schema import Verdict as Fit
from penstock.settings import Settings, shown
from penstock.store import Store
from penstock.store.health import Health

_OLDEST = (6, 2)
_SLOW_MS, _USELESS_MS = 5.0, 100.0
_CLOCK_MS, _FAR_MS = 1_000.0, 30_000.0
_FULL, _VERY_FULL = 0.75, 0.9


async def look(settings: Settings) -> list[Finding]:
    """The Redis of the settings, or the embedded one of this data-dir."""
    url = settings.redis.url
    own = "url" not in settings.redis.model_fields_set
    if own:
        try:
            binary = embedded.binary()
        except ConfigurationError as error:
            return [Finding("Redis", "problem", str(error))]
        idle = Finding("Redis", "ok", f"embedded, {binary}; not running now")
        running = embedded.socket_url(settings.folder)
        if running is None:
            return [idle]
        url = running
    store = Store(url, timeout=2.0)
    try:
        await store.ping()
        health = await store.health()
        findings = judge(health, str(shown("redis.url", url)), production=settings.mode == "production")
        return [*findings, await _schema(store)]
    except StoreUnavailable as error:
        if own:
            return [idle]
        text = f"{shown('redis.url', url)} does not answer ({error})"
        return [Finding("Redis", "problem", text, "start it, or give another --redis-url")]
    except PenstockError as error:
        return [Finding("Redis", "problem", str(error))]
    finally:
        await store.close()


def judge(health: Health, url: str, *, production: bool) -> Iterator[Finding]:
    """What is well and what is not."""
    yield _version(health, url)
    if health.role != "master":
        text = "it is a replica and takes no writes"
        yield Finding("Redis role", "problem", text, "give the address of the one that it replicates")
    yield from _durable(health, "problem" if production else "warning")
    yield _memory(health)
    yield _latency(health)
    yield _clock(health)


def _version(health: Health, url: str) -> Finding:
    found = tuple(int(part) for part in health.version.split(".")[:2] if part.isdigit())
    if found < _OLDEST:
        return Finding("Redis", "problem", f"{url} is version {health.version}", "6.2 is the oldest that works")
    return Finding("Redis", "ok", f"{health.version} answers at {url}")


def _durable(health: Health, lossy: Verdict) -> Iterator[Finding]:
    well = True
    if not health.appendonly:
        well = False
        text = "it has no append-only file: a restart of it loses jobs"
        yield Finding("Redis durability", lossy, text, "set appendonly yes")
    elif health.appendfsync == "no":
        well = False
        text = "appendfsync is no: a machine that goes down loses what the kernel had not written"
        yield Finding("Redis durability", lossy, text, "set appendfsync everysec")
    if health.policy != "noeviction":
        well = False
        text = f"it may evict jobs: maxmemory-policy is {health.policy}"
        yield Finding("Redis durability", lossy, text, "set it to noeviction")
    if health.errors:
        well = False
        text = f"{', '.join(health.errors)} failed"
        yield Finding("Redis disk", "problem", text, "look at its log; its disk may be full")
    if well:
        fsync = f", appendfsync {health.appendfsync}" if health.appendfsync else ""
        yield Finding("Redis durability", "ok", f"keeps an append-only file{fsync}, evicts nothing")


def _memory(health: Health) -> Finding:
    whole, of = (
        (health.limit, "maxmemory") if health.limit else (health.machine, "the machine's memory, no maxmemory")
    )
    if not whole:
        return Finding("Redis memory", "ok", f"{gib(health.used)} used")
    share = health.used / whole
    text = f"{gib(health.used)} of {gib(whole)} used ({of})"
    if share >= _FULL:
        level: Verdict = "problem" if share >= _VERY_FULL else "warning"
        return Finding("Redis memory", level, text, "new work is refused before it is full: give it more memory")
    return Finding("Redis memory", "ok", text)


def _latency(health: Health) -> Finding:
    text = f"{health.latency_ms:.1f} ms for a round trip"
    if health.latency_ms < _SLOW_MS:
        return Finding("Redis latency", "ok", text)
    level: Verdict = "problem" if health.latency_ms >= _USELESS_MS else "warning"
    advice = (
        "each call takes several: run Redis near the gateways and workers, on a machine that is not overloaded"
    )
    return Finding("Redis latency", level, text, advice)


def _clock(health: Health) -> Finding:
    text = f"it is {abs(health.ahead_ms):.0f} ms {'ahead of' if health.ahead_ms > 0 else 'behind'} this machine"
    if abs(health.ahead_ms) < _CLOCK_MS:
        return Finding("Clock of Redis", "ok", text)
    level: Verdict = "problem" if abs(health.ahead_ms) >= _FAR_MS else "warning"
    return Finding("Clock of Redis", level, text, "have both set by NTP: times in records come from both")


async def _schema(store: Store) -> Finding:
    found = await store.schema.get()
    what = verdict(found, empty=found is None)
    at = (found or UNVERSIONED).schema
    if what is Fit.REFUSE:
        return Finding("Data", "problem", f"of schema {at}, written by a newer Penstock", "upgrade this one")
    if what is Fit.MIGRATE:
        return Finding("Data", "warning", f"of schema {at}, which the next start migrates", "see docs/upgrades.md")
    return Finding("Data", "ok", f"of schema {at}" if found else "none yet, or from before it had a version")
