-- Who must be looked at now, of a set that says when.
--
-- KEYS  1 the set
-- ARGV  1 clock offset · 2 how many at most
-- Returns {ms until the next one is due or -1, member, member …}
local t = now(ARGV[1])
local reply = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', t, 'LIMIT', 0, ARGV[2])
local after_them = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. whole(t), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
table.insert(reply, 1, after_them[2] and math.ceil(after_them[2] - t) or -1)
return reply
