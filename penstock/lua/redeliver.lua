-- Makes a delivery due at once, whatever its state: the schedule begins anew.
--
-- KEYS  1 delivery · 2 ended deliveries
-- ARGV  1 clock offset · 2 function · 3 delivery · 4 host
-- Returns 1 · 0 if there is none
local delivery, ended = unpack(KEYS)
if redis.call('EXISTS', delivery) == 0 then return 0 end
redis.call('ZREM', ended, ARGV[3])
redis.call('HSET', delivery, 'manual', '1')
pend(delivery, ARGV[2], ARGV[3], ARGV[4], now(ARGV[1]))
return 1
