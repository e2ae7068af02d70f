-- Stands before every script. MOVES, FIELDS and the names of global keys are rendered above it from
-- penstock/invocation.py, penstock/store/records.py and penstock/keys.py.

-- Redis's own clock in milliseconds. The offset is 0 in production; tests pass one to advance the time.
local function now(offset)
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(offset)
end

-- A whole number as text: Lua would print a large one as 1.7e+12.
local function whole(number)
  return string.format('%.0f', number)
end

-- The state after the event, or nil if the table has no such transition.
local function after(state, event)
  return MOVES[state] and MOVES[state][event]
end

-- True if this epoch is that of the current leader.
local function leads(epoch)
  return redis.call('HGET', LEADER, 'epoch') == epoch
end

-- What its submit fixed for good: place in the queue, creation (ms), longest wait there (ms), runs at most.
local function terms(text)
  return string.match(text or '', '^(%S+) (%S+) (%S+) (%S+)$')
end

-- Tells those who look on that something happened: a hint, never the truth. `observers`: gateways that follow this one
-- invocation; `said`: what a run said, nil if it moved.
local function tell(fn, id, state, attempt, observers, said)
  redis.call('PUBLISH', FEED .. fn, id .. ' ' .. state .. ' ' .. whole(attempt) .. (said and ' ' .. said or ''))
  for gateway in string.gmatch(observers or '', '%S+') do redis.call('PUBLISH', REPLY .. gateway, id) end
end

-- Back into the queue at its old place. It may wait there for its whole age again: that bounds each stay in the
-- queue, and neither a run nor the pause before a retry uses it up.
local function requeue(keys, id, kind, score, time, age)
  redis.call('ZADD', keys.queued, score, id)
  redis.call('ZADD', keys.deadlines, time + age, id)
  if kind == 'call' then redis.call('ZADD', keys.calls, score, id) end
end

-- True if a record's callback field has the word.
local function wants(wanted, word)
  return wanted and string.find(' ' .. wanted .. ' ', ' ' .. word .. ' ', 1, true) ~= nil
end

-- Owes callbacks something, and tells those who deliver: a hint that no function's name can be taken for.
local function owe(fn, id, what, time)
  redis.call('ZADD', OUTBOX, time, fn .. ' ' .. id .. ' ' .. what)
  redis.call('PUBLISH', WAKE, '!owed')
end

-- Owes callbacks an update (`progress` or `output`) of a run: at most one in UPDATE_INTERVAL of each kind, which
-- tells the latest when it is delivered. `wanted` is the record's callback field; time in ms.
local function owe_update(fn, id, what, wanted, record, time)
  if not wants(wanted, what) then return end
  local last = redis.call('HGET', record, 'owed:' .. what) or 0
  local due = whole(math.max(time, last + UPDATE_INTERVAL))
  -- One that is still owed will tell of this, too.
  if redis.call('ZADD', OUTBOX, 'NX', due, fn .. ' ' .. id .. ' ' .. what) == 1 then
    redis.call('HSET', record, 'owed:' .. what, due)
  end
end

-- Has the host's lane looked at when its first delivery is due.
local function relane(host)
  local first = redis.call('ZRANGE', LANE .. host, 0, 0, 'WITHSCORES')[2]
  redis.call('ZREM', LANES, host) -- first, so that a full Redis lets the ZADD through
  if first then redis.call('ZADD', LANES, first, host) end
end

-- Makes a delivery due now, with all its tries before it. One that is being attempted has its turn after that.
local function pend(delivery, fn, name, host, time)
  redis.call('HDEL', delivery, 'ended', 'spent')
  redis.call('HSET', delivery, 'state', 'pending', 'due', whole(time))
  redis.call('PERSIST', delivery)
  if tonumber(redis.call('HGET', delivery, 'claimed') or 0) <= time then
    redis.call('ZADD', LANE .. host, time, fn .. ' ' .. name)
    relane(host)
  end
end

-- Ends a batch when the last of its jobs has: from here its retention counts, and its callback is owed.
local function close_batch(fn, id, batch, time, keep)
  local callback, idem = unpack(redis.call('HMGET', batch, 'callback', 'idem'))
  redis.call('HSET', batch, 'finished', whole(time))
  redis.call('PEXPIRE', batch, keep)
  redis.call('PEXPIRE', string.format(BATCH_ACCEPTED, fn, id), keep)
  if idem then redis.call('PEXPIRE', idem, keep) end
  if callback then owe(fn, id, 'batch', time) end
end

-- From here on a batch takes no more jobs. Returns why it does not: the first reason stays; nil if there is none.
-- The caller has already taken the id out of the zset of those that are being filled (its first write).
local function seal(fn, id, why, time, keep)
  local batch = string.format(BATCH, fn, id)
  local created, sealed, ended = unpack(redis.call('HMGET', batch, 'created', 'sealed', 'ended'))
  if not created or sealed then return sealed end
  local accepted = redis.call('BITCOUNT', string.format(BATCH_ACCEPTED, fn, id))
  redis.call('HSET', batch, 'sealed', why, 'accepted', accepted)
  if tonumber(ended or 0) == accepted then close_batch(fn, id, batch, time, keep) end
  return why
end

-- Counts a job of a batch that has just ended.
local function count(fn, id, state, time, keep)
  local batch = string.format(BATCH, fn, id)
  if redis.call('EXISTS', batch) == 0 then return end
  redis.call('HINCRBY', batch, state, 1)
  local ended = redis.call('HINCRBY', batch, 'ended', 1)
  if tonumber(redis.call('HGET', batch, 'accepted')) == ended then close_batch(fn, id, batch, time, keep) end
end

-- Ends an invocation: outcome, retention, callback owed, waiters told. The caller has already taken the id out
-- of the set that it was in, which must stay the script's first write: a full Redis lets the rest through then.
-- Returns 1 if it is a dead letter now, else 0.
local function conclude(fn, id, record, state, outcome, answer, time, keep_job, keep_call)
  local kind, gateways, callback, idem, token, deferrals, observers, events, stream, batch, flies =
    unpack(redis.call('HMGET', record, 'kind', 'gateways', 'callback', 'idem', 'token', 'deferrals', 'observers',
      'events', 'stream', 'batch', 'flies'))
  local keep = kind == 'call' and keep_call or keep_job
  redis.call('HSET', record, 'state', state, 'finished', whole(time), 'outcome', outcome, 'answer', answer)
  redis.call('PEXPIRE', record, keep)
  if idem then redis.call('PEXPIRE', idem, keep) end
  if events then redis.call('PEXPIRE', string.format(EVENTS, fn, id), keep) end
  if stream then redis.call('HDEL', record, 'stream') end
  local dead = kind ~= 'call' and DEAD_STATES[state] and 1 or 0
  if dead == 1 then
    local letters = string.format(DEAD, fn)
    redis.call('ZADD', letters, time, id)
    redis.call('ZREMRANGEBYSCORE', letters, '-inf', time - keep_job)
  end
  if wants(callback, 'completed') or (kind ~= 'call' and wants(callback, 'destinations')) then
    owe(fn, id, 'completed', time)
  end
  if batch then count(fn, batch, state, time, keep_job) end
  if flies then redis.call('ZREM', flies, fn .. ' ' .. id) end
  local hint = id
  if #answer <= HINT_LIMIT then
    hint = id .. '\n' .. state .. '\n' .. outcome .. '\n' .. answer
  end
  for gateway in string.gmatch(gateways or '', '%S+') do
    redis.call('PUBLISH', REPLY .. gateway, hint)
  end
  tell(fn, id, state, (token or 0) - (deferrals or 0), observers)
  return dead
end
