-- Hands a run back before the function saw it: no attempt is spent, and it keeps its place in the queue.
--
-- KEYS  1 record · 2 running · 3 queued · 4 deadlines · 5 calls
-- ARGV  1 clock offset · 2 function · 3 id · 4 token · 5 epoch
-- Returns 'ok' · 'stale'
local record, running = KEYS[1], KEYS[2]
local id = ARGV[3]
local state, token, kind, agreed, observers = unpack(redis.call('HMGET', record,
  'state', 'token', 'kind', 'terms', 'observers'))
local target = state and after(state, 'release')
if not target or token ~= ARGV[4] or not leads(ARGV[5]) then return 'stale' end
redis.call('ZREM', running, id)
local t = now(ARGV[1])
local deferrals = redis.call('HINCRBY', record, 'deferrals', 1)
redis.call('HSET', record, 'state', target, 'back', token .. ' ' .. whole(t))
local score, _, age = terms(agreed)
requeue({queued = KEYS[3], deadlines = KEYS[4], calls = KEYS[5]}, id, kind, score, t, age)
redis.call('PUBLISH', WAKE, ARGV[2])
tell(ARGV[2], id, target, token - deferrals, observers)
return 'ok'
