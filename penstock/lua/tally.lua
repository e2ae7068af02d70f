-- A batch and how it stands, all of one moment.
--
-- KEYS  1 batch · 2 accepted · 3 running
-- Returns {its fields and values, how many jobs it took, ids of all that runs}
return {
  redis.call('HGETALL', KEYS[1]),
  redis.call('BITCOUNT', KEYS[2]),
  redis.call('ZRANGE', KEYS[3], 0, -1),
}
