-- Adds what a function used on a day. The batch that was last added changes nothing when it comes again, since
-- then its reply was lost.
--
-- KEYS  1 meter
-- ARGV  1 epoch · 2 batch · 3 function · 4 day · 5 seconds to keep it · then field, amount, field, amount …
-- Returns 'ok' · 'stale'
if not leads(ARGV[1]) then return 'stale' end
if redis.call('HGET', KEYS[1], 'batch') == ARGV[2] then return 'ok' end
for i = 6, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('HSET', KEYS[1], 'batch', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[5])
local metered = string.format(METERED, ARGV[4])
redis.call('SADD', metered, ARGV[3])
redis.call('EXPIRE', metered, ARGV[5])
return 'ok'
