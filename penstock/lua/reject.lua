-- Ends the held calls that wait for a function which cannot be started. Jobs go on waiting.
--
-- KEYS  1 queued · 2 deadlines · 3 calls · 4 record prefix
-- ARGV  1 clock offset · 2 function · 3 epoch · 4 outcome · 5 keep a call (ms)
-- Returns how many, 500 at most; -1 if stale
local queued, deadlines, calls, prefix = unpack(KEYS)
if not leads(ARGV[3]) then return -1 end
local t = now(ARGV[1])
local ids = redis.call('ZRANGE', calls, 0, 499)
for _, id in ipairs(ids) do
  redis.call('ZREM', calls, id)
  redis.call('ZREM', queued, id)
  redis.call('ZREM', deadlines, id)
  local record = prefix .. id
  local state = redis.call('HGET', record, 'state')
  local target = state and after(state, 'fail')
  if state == 'queued' and target then
    conclude(ARGV[2], id, record, target, ARGV[4], '', t, ARGV[5], ARGV[5])
  end
end
return #ids
