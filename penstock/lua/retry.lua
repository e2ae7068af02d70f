-- Sends a run back to the queue after a failure worth another attempt; it is ready after the delay.
--
-- KEYS  1 record · 2 running · 3 delayed · 4 deadlines
-- ARGV  1 clock offset · 2 function · 3 id · 4 token · 5 delay (ms) · 6 outcome of the failed run
-- Returns 'ok' · 'stale'
local record, running, delayed, deadlines = unpack(KEYS)
local id = ARGV[3]
local state, token, agreed, deferrals, observers = unpack(redis.call('HMGET', record,
  'state', 'token', 'terms', 'deferrals', 'observers'))
local target = state and after(state, 'retry')
if not target or token ~= ARGV[4] then return 'stale' end
redis.call('ZREM', running, id)
local _, _, age = terms(agreed)
local t = now(ARGV[1])
local ready = t + ARGV[5]
redis.call('HSET', record, 'state', target, 'outcome', ARGV[6], 'back', token .. ' ' .. whole(t))
redis.call('HDEL', record, 'stream') -- an answer that began and broke off
redis.call('ZADD', delayed, ready, id)
redis.call('ZADD', deadlines, ready + age, id)
redis.call('ZADD', ACTIVE, 'LT', ready, ARGV[2])
tell(ARGV[2], id, target, token - (deferrals or 0), observers)
return 'ok'
