-- What a gateway needs to know of the invocations that it follows: whether anything happened to them.
--
-- KEYS  record and queued of each
-- ARGV  id of each
-- Returns {what changes with everything that happens, or false if there is no record; place in the queue, or -1; …}
local reply = {}
for i, id in ipairs(ARGV) do
  local record, queued = KEYS[2 * i - 1], KEYS[2 * i]
  local state, token, events, back = unpack(redis.call('HMGET', record, 'state', 'token', 'events', 'back'))
  reply[2 * i - 1] = state and table.concat({state, token or '', events or '', back or ''}, ' ')
  reply[2 * i] = state == 'queued' and redis.call('ZRANK', queued, id) or -1
end
return reply
