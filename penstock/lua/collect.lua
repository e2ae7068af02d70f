-- Claims deliveries of a host that are due: nobody else gets them until the claim runs out.
--
-- ARGV  1 clock offset · 2 host · 3 claim (ms) · 4 how many at most
-- Returns {member, member …}
local t = now(ARGV[1])
local lane = LANE .. ARGV[2]
local due = redis.call('ZRANGEBYSCORE', lane, '-inf', t, 'LIMIT', 0, ARGV[4])
for _, member in ipairs(due) do
  local fn, name = string.match(member, '^(%S+) (%S+)$')
  redis.call('ZREM', lane, member) -- first, so that a full Redis lets the ZADD through
  redis.call('ZADD', lane, t + ARGV[3], member)
  redis.call('HSET', string.format(DELIVERY, fn) .. name, 'claimed', whole(t + ARGV[3]))
end
relane(ARGV[2])
return due
