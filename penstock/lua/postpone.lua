-- Counts a failed try of a callback and says when the next is due.
--
-- ARGV  1 clock offset · 2 member · 3 delay (ms)
-- Returns tries made; 0 if it is no longer owed
if redis.call('ZREM', OUTBOX, ARGV[2]) == 0 then return 0 end
redis.call('ZADD', OUTBOX, now(ARGV[1]) + ARGV[3], ARGV[2])
return redis.call('HINCRBY', OUTBOX_TRIES, ARGV[2], 1)
