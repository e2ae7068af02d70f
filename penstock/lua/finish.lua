-- Ends a run and with it the invocation. The same token again is idempotent; an old one writes nothing.
--
-- KEYS  1 record · 2 running
-- ARGV  1 clock offset · 2 function · 3 id · 4 token · 5 event · 6 outcome · 7 answer
--       8 keep a job (ms) · 9 keep a call (ms)
-- Returns {'ok', state, 1 if it is a dead letter now, else 0} · {'known', state} if it has already ended · {'stale', state or ''}
local record, running = unpack(KEYS)
local state, token = unpack(redis.call('HMGET', record, 'state', 'token'))
if not state or token ~= ARGV[4] then return {'stale', state or ''} end
local target = after(state, ARGV[5])
if not MOVES[state] then return {'known', state} end
if state ~= 'running' or not target or MOVES[target] then return {'stale', state} end
redis.call('ZREM', running, ARGV[3])
local dead = conclude(ARGV[2], ARGV[3], record, target, ARGV[6], ARGV[7], now(ARGV[1]), ARGV[8], ARGV[9])
return {'ok', target, dead}
