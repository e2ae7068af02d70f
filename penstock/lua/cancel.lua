-- Ends an invocation that has not ended: a waiting one leaves the queue, a running one is aborted by its worker.
--
-- KEYS  1 record · 2 queued · 3 delayed · 4 deadlines · 5 calls · 6 running
-- ARGV  1 clock offset · 2 function · 3 id · 4 'any', or 'queued' to leave a running one alone
--       5 outcome · 6 keep a job (ms) · 7 keep a call (ms)
-- Returns {'ok', state before} · {'left', state} · {'missing'}
local record, queued, delayed, deadlines, calls, running = unpack(KEYS)
local fn, id = ARGV[2], ARGV[3]
local state, token = unpack(redis.call('HMGET', record, 'state', 'token'))
if not state then return {'missing'} end
local target = after(state, 'cancel')
if not target or (ARGV[4] == 'queued' and state ~= 'queued') then return {'left', state} end
redis.call('ZREM', running, id)
redis.call('ZREM', queued, id)
redis.call('ZREM', delayed, id)
redis.call('ZREM', deadlines, id)
redis.call('ZREM', calls, id)
conclude(fn, id, record, target, ARGV[5], '', now(ARGV[1]), ARGV[6], ARGV[7])
if state == 'running' then
  redis.call('SADD', CANCELS, fn .. ' ' .. id .. ' ' .. token)
  redis.call('PUBLISH', WAKE, '!cancel')
end
return {'ok', state}
