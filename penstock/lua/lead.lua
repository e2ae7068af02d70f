-- Takes or renews leadership. Whoever takes it gets a new epoch, which fences off whoever led before; that holds
-- for a process that was started again under its old name, too.
--
-- ARGV  1 clock offset · 2 owner · 3 lease (ms) · 4 the epoch under which the owner believes to lead, or 0
--       5 '1' if a lease that ran out may be taken; one that was resigned always may
-- Returns {epoch} · {0} if somebody else leads, or may yet, or if that epoch is over
local owner, epoch, untl = unpack(redis.call('HMGET', LEADER, 'owner', 'epoch', 'until'))
local t = now(ARGV[1])
if ARGV[4] ~= '0' then
  if owner ~= ARGV[2] or epoch ~= ARGV[4] then return {0} end
else
  local others = owner and owner ~= ARGV[2]
  if others and (tonumber(untl) > t or (ARGV[5] ~= '1' and tonumber(untl) > 0)) then return {0} end
  epoch = (epoch or 0) + 1
end
redis.call('HDEL', LEADER, 'until') -- first, so that a full Redis lets the rest through
redis.call('HSET', LEADER, 'owner', ARGV[2], 'epoch', epoch, 'until', whole(t + ARGV[3]))
return {tonumber(epoch)}
