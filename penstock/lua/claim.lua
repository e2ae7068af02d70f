-- Claims callbacks that are due: nobody else gets them until the claim runs out.
--
-- ARGV  1 clock offset · 2 claim (ms) · 3 how many at most
-- Returns {member, tries so far, member, tries so far …}
local t = now(ARGV[1])
local reply = {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', OUTBOX, '-inf', t, 'LIMIT', 0, ARGV[3])) do
  redis.call('ZREM', OUTBOX, member) -- first, so that a full Redis lets the ZADD through
  redis.call('ZADD', OUTBOX, t + ARGV[2], member)
  reply[#reply + 1] = member
  reply[#reply + 1] = tonumber(redis.call('HGET', OUTBOX_TRIES, member) or 0)
end
return reply
