-- Which functions must be looked at now.
--
-- ARGV  1 clock offset
-- Returns {ms until the next one is due or -1, function, function …}, 1,000 at most
local t = now(ARGV[1])
local reply = redis.call('ZRANGEBYSCORE', ACTIVE, '-inf', t, 'LIMIT', 0, 1000)
local after_them = redis.call('ZRANGEBYSCORE', ACTIVE, '(' .. whole(t), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
table.insert(reply, 1, after_them[2] and math.ceil(after_them[2] - t) or -1)
return reply
