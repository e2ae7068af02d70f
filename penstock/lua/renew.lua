-- Extends the leases of a worker's runs of one function.
--
-- KEYS  1 running · 2 record prefix
-- ARGV  1 clock offset · 2 lease (ms) · then id, token, id, token …
-- Returns the ids whose token is no longer current: the worker aborts those calls
local running, prefix = unpack(KEYS)
local deadline = now(ARGV[1]) + ARGV[2]
local stale = {}
for i = 3, #ARGV, 2 do
  local id, token = ARGV[i], ARGV[i + 1]
  local state, current = unpack(redis.call('HMGET', prefix .. id, 'state', 'token'))
  if state == 'running' and current == token then
    redis.call('ZREM', running, id) -- first, so that a full Redis lets the ZADD through
    redis.call('ZADD', running, deadline, id)
  else
    stale[#stale + 1] = id
  end
end
return stale
