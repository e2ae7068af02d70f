-- Accepts an invocation: writes its record, enqueues it and wakes the workers. Idempotent by id.
--
-- KEYS  1 record · 2 queued · 3 delayed · 4 deadlines · 5 jobs · 6 calls · 7 memory · 8 idempotency
--       9 record prefix
-- ARGV  1 clock offset · 2 function · 3 id · 4 kind · 5 band · 6 age (ms) · 7 delay (ms) · 8 depth allowed
--       9 meta · 10 body, or '' if meta holds it · 11 gateway that waits, or '' · 12 what callbacks are owed of, or ''
--       13 runs at most · 14 the id's own time (ms) · 15 hash of the request if it has an Idempotency-Key, or ''
--       16 gateway that follows it, or '' · 17 its batch, or '' · 18 which job of the batch it is, from 0
-- Returns {'ok', waiting before it} · {'known', state} · {'full', waiting} · {'unknown'}
--         · {'joined', id} of the same request under the same key · {'conflict', id} of another one
--         · {'sealed'}: its batch takes no more jobs
local record, queued, delayed, deadlines, jobs, calls, memory, idem, prefix = unpack(KEYS)
local fn, id, kind = ARGV[2], ARGV[3], ARGV[4]

local state = redis.call('HGET', record, 'state')
if state then return {'known', state} end
if redis.call('HEXISTS', FUNCTIONS, fn) == 0 then return {'unknown'} end

if ARGV[15] ~= '' then
  local first, hash = string.match(redis.call('GET', idem) or '', '^(%S+) (%S+)$')
  if first and redis.call('EXISTS', prefix .. first) == 1 then
    return {hash == ARGV[15] and 'joined' or 'conflict', first}
  end
end

if ARGV[17] ~= '' then
  local created, sealed = unpack(redis.call('HMGET', string.format(BATCH, fn, ARGV[17]), 'created', 'sealed'))
  if not created or sealed then return {'sealed'} end
end

local held = redis.call('ZCARD', calls)
local ahead = redis.call('ZCARD', queued)
local waiting = held
if kind == 'job' then waiting = ahead - held + redis.call('ZCARD', delayed) end
if waiting >= tonumber(ARGV[8]) then return {'full', waiting} end

-- First a write that a full Redis refuses: nothing is half-written then.
local tag = redis.call('HINCRBY', memory, 'tag', 1)
local score = whole(ARGV[5] * 1125899906842624 + tag)
local t = now(ARGV[1])
redis.call('HSET', record, 'state', 'queued', 'meta', ARGV[9],
  'terms', score .. ' ' .. whole(t) .. ' ' .. ARGV[6] .. ' ' .. ARGV[13])
if kind == 'call' then redis.call('HSET', record, 'kind', kind) end
if ARGV[10] ~= '' then redis.call('HSET', record, 'body', ARGV[10]) end
if ARGV[11] ~= '' then redis.call('HSET', record, 'gateways', ARGV[11]) end
if ARGV[16] ~= '' then redis.call('HSET', record, 'observers', ARGV[16]) end
if ARGV[12] ~= '' then redis.call('HSET', record, 'callback', ARGV[12]) end
if ARGV[15] ~= '' then
  redis.call('SET', idem, id .. ' ' .. ARGV[15])
  redis.call('HSET', record, 'idem', idem)
end
if ARGV[17] ~= '' then
  redis.call('HSET', record, 'batch', ARGV[17])
  redis.call('SETBIT', string.format(BATCH_ACCEPTED, fn, ARGV[17]), ARGV[18], 1)
end

local ready = t + ARGV[7]
if ready > t then
  redis.call('ZADD', delayed, ready, id)
else
  redis.call('ZADD', queued, score, id)
  if kind == 'call' then redis.call('ZADD', calls, score, id) end
end
redis.call('ZADD', deadlines, ready + ARGV[6], id)
if kind == 'job' then redis.call('ZADD', jobs, ARGV[14], id) end
redis.call('ZADD', ACTIVE, 'LT', ready, fn)
redis.call('PUBLISH', WAKE, fn)
tell(fn, id, 'queued', 0, ARGV[16])
return {'ok', ahead}
