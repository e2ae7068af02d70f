-- Ends an owner's leadership at once, for one that stops or is known to be dead.
--
-- ARGV  1 owner
-- Returns its epoch, or 0 if it did not lead
local owner, epoch = unpack(redis.call('HMGET', LEADER, 'owner', 'epoch'))
if owner ~= ARGV[1] then return 0 end
redis.call('HDEL', LEADER, 'until') -- first, so that a full Redis lets the HSET through
redis.call('HSET', LEADER, 'until', 0)
return tonumber(epoch)
