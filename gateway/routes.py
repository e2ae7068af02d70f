"""Every route of the native interface, in one table."""

from __future__ import annotations

from aiohttp import web

from gateway import batches, controls, cost, events, functions, health, invoke, logs, provision, repeats, results

ROUTES = (
    web.post("/v1/functions/{function}/invocations", invoke.invoke),
    web.get("/v1/functions/{function}/invocations", results.listing),
    web.get("/v1/functions/{function}/invocations/{id}", results.show),
    web.delete("/v1/functions/{function}/invocations/{id}", results.cancel),
    web.get("/v1/functions/{function}/invocations/{id}/result", results.result),
    web.get("/v1/functions/{function}/invocations/{id}/events", events.events),
    web.get("/v1/functions/{function}/events", events.feed),
    web.post("/v1/functions/{function}/invocations/{id}/retry", repeats.retry),
    web.post("/v1/functions/{function}/invocations:batch", batches.submit),
    web.get("/v1/functions/{function}/batches/{id}", batches.show),
    web.delete("/v1/functions/{function}/batches/{id}", batches.cancel),
    web.get("/v1/functions/{function}/batches/{id}/invocations", batches.invocations),
    web.get("/v1/functions/{function}/dead-letters", repeats.dead_letters),
    web.post("/v1/functions/{function}/dead-letters/redrive", repeats.redrive),
    web.delete("/v1/functions/{function}/queue", repeats.purge),
    web.get("/v1/functions/{function}/instances", functions.instances),
    web.get("/v1/functions/{function}/instances/{instance}/logs", logs.logs),
    web.post("/v1/functions/{function}/pause", controls.pause),
    web.post("/v1/functions/{function}/resume", controls.resume),
    web.post("/v1/functions/{function}/warmup", controls.warm_up),
    web.put("/v1/functions/{function}/provision-config", provision.put),
    web.get("/v1/functions/{function}/provision-config", provision.get),
    web.delete("/v1/functions/{function}/provision-config", provision.delete),
    web.get("/v1/provision-configs", provision.listing),
    web.get("/v1/cost", cost.cost),
    web.get("/v1/gpus", controls.gpus),
    web.post("/v1/gpus/{gpu}/pause", controls.pause_gpu),
    web.post("/v1/gpus/{gpu}/resume", controls.resume_gpu),
    web.get("/v1/functions/{function}", functions.get),
    web.put("/v1/functions/{function}", functions.put),
    web.delete("/v1/functions/{function}", functions.delete),
    web.get("/v1/functions", functions.listing),
    web.route("*", "/fn/{function}", invoke.trigger),
    web.route("*", "/fn/{function}/{path:.*}", invoke.trigger),
    web.get("/healthz", health.healthz),
    web.get("/readyz", health.readyz),
)
