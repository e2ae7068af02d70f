-- Takes or renews leadership. A new owner gets a new epoch, which fences off the old one.
--
-- ARGV  1 clock offset · 2 owner · 3 lease (ms)
-- Returns {epoch} · {0, ms until the current lease runs out}
local owner, epoch, untl = unpack(redis.call('HMGET', LEADER, 'owner', 'epoch', 'until'))
local t = now(ARGV[1])
if owner ~= ARGV[2] then
  if untl and tonumber(untl) > t then return {0, untl - t} end
  epoch = (epoch or 0) + 1
end
redis.call('HSET', LEADER, 'owner', ARGV[2], 'epoch', epoch, 'until', whole(t + ARGV[3]))
return {tonumber(epoch)}
