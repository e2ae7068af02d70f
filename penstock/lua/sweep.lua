-- Looks after one active function: what is due moves on, what is too old expires, what lost its lease goes back.
--
-- KEYS  1 queued · 2 delayed · 3 deadlines · 4 running · 5 calls · 6 record prefix · 7 jobs · 8 memory
--       9 filling
-- ARGV  1 clock offset · 2 function · 3 epoch · 4 '1' if leases that ran out may be taken for lost
--       5 keep a job (ms) · 6 keep a call (ms) · 7 outcome of the expired · 8 outcome of the lost
-- Returns {queued, held among them, running, delayed, ms the oldest has waited or -1, expired, requeued, failed,
--          submits since ever, dead letters among the expired and the failed}
--         · {'stale'}
local queued, delayed, deadlines, running, calls, prefix, jobs, memory, filling = unpack(KEYS)
local fn = ARGV[2]
if not leads(ARGV[3]) then return {'stale'} end
local t = now(ARGV[1])
local keys = {queued = queued, deadlines = deadlines, calls = calls}
local expired, requeued, failed, handled, dead = 0, 0, 0, 0, 0
local AT_ONCE = 200 -- keeps one script short; the rest is due again at once

for _, id in ipairs(redis.call('ZRANGEBYSCORE', deadlines, '-inf', t, 'LIMIT', 0, AT_ONCE)) do
  handled = handled + 1
  redis.call('ZREM', deadlines, id)
  redis.call('ZREM', queued, id)
  redis.call('ZREM', delayed, id)
  redis.call('ZREM', calls, id)
  local state = redis.call('HGET', prefix .. id, 'state')
  local target = state and after(state, 'expire')
  if target then
    dead = dead + conclude(fn, id, prefix .. id, target, ARGV[7], '', t, ARGV[5], ARGV[6])
    expired = expired + 1
  end
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', t, 'LIMIT', 0, AT_ONCE)) do
  handled = handled + 1
  redis.call('ZREM', delayed, id)
  local kind, agreed = unpack(redis.call('HMGET', prefix .. id, 'kind', 'terms'))
  if agreed then
    local score = terms(agreed)
    redis.call('ZADD', queued, score, id)
    if kind == 'call' then redis.call('ZADD', calls, score, id) end
  end
end

-- A lease of 0 was freed by a supervisor that saw the worker die; others need the sweeper's own patience.
local limit = ARGV[4] == '1' and t or 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', running, '-inf', limit, 'LIMIT', 0, AT_ONCE)) do
  handled = handled + 1
  redis.call('ZREM', running, id)
  local record = prefix .. id
  local state, token, deferrals, kind, agreed, observers = unpack(redis.call('HMGET', record,
    'state', 'token', 'deferrals', 'kind', 'terms', 'observers'))
  local score, _, age, tries = terms(agreed)
  if state == 'running' then
    if kind == 'call' or token - (deferrals or 0) >= tonumber(tries) then
      dead = dead + conclude(fn, id, record, after(state, 'fail'), ARGV[8], '', t, ARGV[5], ARGV[6])
      failed = failed + 1
    else
      redis.call('HSET', record, 'state', after(state, 'lose'), 'outcome', ARGV[8], 'back', token .. ' ' .. whole(t))
      requeue(keys, id, kind, score, t, age)
      tell(fn, id, 'queued', token - (deferrals or 0), observers)
      requeued = requeued + 1
    end
  end
end

-- A batch whose gateway died while it submitted is what has been submitted.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', filling, '-inf', t, 'LIMIT', 0, AT_ONCE)) do
  handled = handled + 1
  redis.call('ZREM', filling, id)
  seal(fn, id, 'abandoned', t, ARGV[5])
end

-- Jobs whose record is past its retention leave the listing, oldest first; some that ran long stay between them.
local alive = 0
for _, id in ipairs(redis.call('ZRANGE', jobs, 0, AT_ONCE - 1)) do
  if redis.call('EXISTS', prefix .. id) == 0 then
    redis.call('ZREM', jobs, id)
  else
    alive = alive + 1
    if alive == 10 then break end
  end
end

local depth, runs, later = redis.call('ZCARD', queued), redis.call('ZCARD', running), redis.call('ZCARD', delayed)
local oldest = -1
local head = redis.call('ZRANGE', queued, 0, 0)[1]
if head then
  local _, created = terms(redis.call('HGET', prefix .. head, 'terms'))
  oldest = t - (created or t)
end

redis.call('ZREM', ACTIVE, fn) -- first, so that a full Redis lets the ZADD through
local due = math.huge
if handled >= AT_ONCE then due = t elseif depth + runs > 0 then due = t + 1000 end
local lease = tonumber(redis.call('ZRANGE', running, 0, 0, 'WITHSCORES')[2] or 0)
if lease > t then due = math.min(due, lease) end
for _, set in ipairs({delayed, deadlines, filling}) do
  due = math.min(due, tonumber(redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2] or math.huge))
end
if due < math.huge then redis.call('ZADD', ACTIVE, due, fn) end
local arrived = tonumber(redis.call('HGET', memory, 'tag') or 0)
return {depth, redis.call('ZCARD', calls), runs, later, oldest, expired, requeued, failed, arrived, dead}
