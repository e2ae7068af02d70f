"""Every Redis key of Penstock, in one place.

The braces are literal: they keep one function's keys together on a cluster, and since function names cannot
hold a brace, no client can name another key.
"""

from __future__ import annotations

FUNCTIONS = "ps:functions"
"""hash: name -> Function as JSON."""
CHANGES = "ps:changes"
"""string: counts changes of ps:functions, so that a gateway knows when its copy is old."""
ALIASES = "ps:aliases"
"""hash: how other vendors' clients call a function, `service/Function` or `Function` -> its name."""
VERSIONS = "ps:versions"
"""hash: function -> JSON of its last version's number and of its aliases."""
DOMAINS = "ps:domains"
"""hash: host name -> JSON of where its paths lead."""
API_KEYS = "ps:apikeys"
"""hash: id of an API key -> ApiKey as JSON, with its SHA-256; revoked ones stay."""
API_KEY_USES = "ps:apikeys:used"
"""hash: id of an API key -> milliseconds since 1970 at which it was last used, 10 s late at most."""
ACCESS_CHANGES = "ps:apikeys:changes"
"""string: counts changes of ps:apikeys and ps:owners, so that a gateway knows when its copy is old."""
OWNERS = "ps:owners"
"""hash: name of a function that was deleted -> its tenant: what it has left behind stays theirs, and so does the
name."""
UNREADY = "ps:unready"
"""hash: name -> why a deployed function cannot be invoked yet. Empty when all is well."""
PAUSED = "ps:paused"
"""hash: "function:<name>" or "gpu:<uuid>" -> milliseconds since 1970 at which an operator paused it."""
WARMUPS = "ps:warmups"
"""hash: function -> instances that somebody wants to have started; the leader takes them out."""
PROVISION = "ps:provision"
"""hash: function -> its provision config as JSON, which comes before that of its spec."""
TRIGGERED = "ps:triggered"
"""set: functions of whose triggers anything is kept."""
GPUS = "ps:gpus"
"""string: JSON of the cards as the leader last saw them."""
ACTIVE = "ps:active"
"""zset: function -> milliseconds at which somebody must look at it again; idle functions are not in it."""
CANCELS = "ps:cancel"
"""set: "<function> <id> <token>" of running invocations whose container request is to be aborted."""
OUTBOX = "ps:outbox"
"""zset: "<function> <id> <what>" of what callbacks are to be told -> milliseconds from which. It
becomes a delivery to each endpoint."""
LANES = "ps:deliveries:lanes"
"""zset: host -> milliseconds at which its next delivery is due; empty: none is owed."""
LANE = "ps:deliveries:lane:"
"""zset, before a host: "<function> <delivery>" of those owed to it -> milliseconds of the next attempt."""
SERIES = "ps:series"
"""zset: function -> milliseconds of the last point of what it did; those of the last hour."""
LEADER = "ps:leader"
"""hash: owner, epoch (grows with each new leader), until (milliseconds)."""
DEPLOYMENT = "ps:deployment"
"""string: id of this deployment, the label on its containers."""
VERSION = "ps:version"
"""hash: schema of the data, compatible_from (the oldest schema whose processes can work on it), written_by."""
MIGRATING = "ps:migrating"
"""string: nonce of the process that migrates the data; runs out if that dies."""

WAKE = "ps:wake"
"""pub/sub: a function's name (work was enqueued), "!cancel" (look at ps:cancel), "!owed" (at ps:outbox), "!topics"
(a topic has a message)."""
CHANGED = "ps:changed"
"""pub/sub: a function's name whose spec changed."""


def metered(day: str) -> str:
    """set: names of the functions that used anything on this UTC day (YYYY-MM-DD)."""
    return f"ps:metered:{day}"


def queued(function: str) -> str:
    """zset: ready ids, scored band * 2^50 + tag."""
    return f"ps:{{{function}}}:queued"


def delayed(function: str) -> str:
    """zset: ids that wait for a retry or a delayed start -> milliseconds at which they become ready."""
    return f"ps:{{{function}}}:delayed"


def deadlines(function: str) -> str:
    """zset: ids that wait -> milliseconds at which they expire in the queue."""
    return f"ps:{{{function}}}:deadlines"


def running(function: str) -> str:
    """zset: ids that run -> milliseconds at which their lease runs out; 0: freed by a supervisor."""
    return f"ps:{{{function}}}:running"


def slots(function: str) -> str:
    """hash: slot -> "<nonce> <id> <token>" of its last take."""
    return f"ps:{{{function}}}:slots"


def jobs(function: str) -> str:
    """zset: ids of async jobs -> milliseconds of their id, for listing."""
    return f"ps:{{{function}}}:jobs"


def calls(function: str) -> str:
    """zset: ids of held calls that wait in the queue, so that their depth can be bounded apart."""
    return f"ps:{{{function}}}:calls"


def dead(function: str) -> str:
    """zset: ids of dead letters (jobs that ended without success) -> milliseconds of their end."""
    return f"ps:{{{function}}}:dead"


def deliveries(function: str) -> str:
    """zset: every delivery of a function's callbacks -> milliseconds at which it was first owed."""
    return f"ps:{{{function}}}:deliveries"


def ended_deliveries(function: str) -> str:
    """zset: those that were delivered or given up -> milliseconds at which."""
    return f"ps:{{{function}}}:deliveries:ended"


def delivery_prefix(function: str) -> str:
    """What stands before the name of a delivery: a hash, whose fields are in penstock/store/deliveries.py."""
    return f"ps:{{{function}}}:delivery:"


def gone(function: str, endpoint: str) -> str:
    """string: there while an endpoint (its digest) that answered 410 is not told anything."""
    return f"ps:{{{function}}}:gone:{endpoint}"


def idempotency(function: str, digest: str) -> str:
    """string: "<id> <hash of the request>" of the first submit under an Idempotency-Key of this digest."""
    return f"ps:{{{function}}}:idem:{digest}"


def batch(function: str, batch_id: str) -> str:
    """hash: one batch; its fields are documented in penstock/store/batches.py."""
    return f"ps:{{{function}}}:batch:{batch_id}"


def batch_accepted(function: str, batch_id: str) -> str:
    """string: a bit for each job of a batch, 1 once it was accepted."""
    return f"{batch(function, batch_id)}:accepted"


def filling(function: str) -> str:
    """zset: batches to which jobs are being submitted -> milliseconds at which they are taken for abandoned."""
    return f"ps:{{{function}}}:filling"


def triggers(function: str) -> str:
    """hash: name of a trigger -> JSON of what it has done (penstock.triggers.Past)."""
    return f"ps:{{{function}}}:triggers"


def seen(function: str, trigger: str, identity: str) -> str:
    """hash: every object that a trigger has seen -> how it looked."""
    return f"ps:{{{function}}}:seen:{trigger}:{identity}"


def topic(name: str) -> str:
    """stream: messages of a topic, each with `body`; a consumer group "<function>/<trigger>" for each trigger."""
    return f"ps:topic:{name}"


def memory(function: str) -> str:
    """hash: what outlives a process about a function; `tag` is the queue's counter, `learnt` JSON of
    how long its calls and starts take."""
    return f"ps:{{{function}}}:memory"


def shares(function: str) -> str:
    """hash: where those who share the queue stand: "<band>" -> virtual time there, "<band> <party>" -> tag of the
    party's last job. It goes away with the queue."""
    return f"ps:{{{function}}}:shares"


def rate(function: str) -> str:
    """string: milliseconds at which the next call would be on time at the rate that the function is limited to."""
    return f"ps:{{{function}}}:rate"


def key_rate(key_id: str) -> str:
    """string: the same for an API key."""
    return f"ps:apikey:{key_id}:rate"


def key_flying(key_id: str) -> str:
    """zset: "<function> <id>" of what was accepted from an API key that is limited so, and has not ended ->
    milliseconds at which it was."""
    return f"ps:apikey:{key_id}:flying"


def instances(function: str) -> str:
    """hash: instance id -> JSON, `decision` -> JSON, for the gateway to show."""
    return f"ps:{{{function}}}:instances"


def meter(function: str, day: str) -> str:
    """hash: what a function used on a UTC day (YYYY-MM-DD), by field of penstock.usage.Usage; `batch` is the last
    that was added."""
    return f"ps:{{{function}}}:meter:{day}"


def seconds(function: str) -> str:
    """stream: what a function did in the last hour, in points of a second (penstock/series.py); the id is the
    time."""
    return f"ps:{{{function}}}:seconds"


def minutes(function: str) -> str:
    """stream: the same in points of a minute, of a week; the id is the minute's beginning."""
    return f"ps:{{{function}}}:minutes"


def record_prefix(function: str) -> str:
    """What stands before the id in the name of a record."""
    return f"ps:{{{function}}}:inv:"


def record(function: str, invocation_id: str) -> str:
    """hash: one invocation; its fields are documented in penstock/store/records.py."""
    return record_prefix(function) + invocation_id


def events(function: str, invocation_id: str) -> str:
    """stream: what the runs of an invocation said; made when one says something."""
    return f"ps:{{{function}}}:events:{invocation_id}"


def had(function: str, invocation_id: str) -> str:
    """string: place of the last event that a client has had which keeps no place of its own."""
    return f"ps:{{{function}}}:had:{invocation_id}"


def feed(function: str) -> str:
    """pub/sub: "<id> <state or progress> <attempt>[ JSON]" of all that happens to a function's invocations."""
    return f"ps:feed:{function}"


def reply(gateway: str) -> str:
    """pub/sub: outcomes for the clients that wait at this gateway, and ids of what it follows."""
    return f"ps:reply:{gateway}"
