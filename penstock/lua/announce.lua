-- Says where the leader is reached by gateways.
--
-- ARGV  1 epoch · 2 where
-- Returns 1 · 0 if stale
if not leads(ARGV[1]) then return 0 end
redis.call('HSET', LEADER, 'inner', ARGV[2])
return 1
