-- From here on a batch takes no more jobs. Once all that it took have ended, it has.
--
-- KEYS  1 filling
-- ARGV  1 clock offset · 2 function · 3 id · 4 why: submitted, or cancelled · 5 keep a batch (ms)
-- Returns why it is sealed: the first reason stays; false if there is no such batch
redis.call('ZREM', KEYS[1], ARGV[3])
return seal(ARGV[2], ARGV[3], ARGV[4], now(ARGV[1]), ARGV[5])
