-- Claims what is owed to callbacks and due: nobody else gets it until the claim runs out.
--
-- ARGV  1 clock offset · 2 claim (ms) · 3 how many at most
-- Returns {member, member …}
local t = now(ARGV[1])
local due = redis.call('ZRANGEBYSCORE', OUTBOX, '-inf', t, 'LIMIT', 0, ARGV[3])
for _, member in ipairs(due) do
  redis.call('ZREM', OUTBOX, member) -- first, so that a full Redis lets the ZADD through
  redis.call('ZADD', OUTBOX, t + ARGV[2], member)
end
return due
