-- Writes what the pool of a function looks like, for gateways to show.
--
-- KEYS  1 instances
-- ARGV  1 epoch · then field, value, field, value …; the whole hash is replaced
-- Returns 'ok' · 'stale'
if not leads(ARGV[1]) then return 'stale' end
redis.call('DEL', KEYS[1])
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 'ok'
