-- Says that a run's answer has begun, and where it can be read while it comes.
--
-- KEYS  1 record
-- ARGV  1 id · 2 token · 3 how the answer begins, and where
-- Returns how many gateways were told · -1 if stale
local record = KEYS[1]
local state, token, gateways = unpack(redis.call('HMGET', record, 'state', 'token', 'gateways'))
if state ~= 'running' or token ~= ARGV[2] then return -1 end
redis.call('HSET', record, 'stream', ARGV[3])
local told = 0
for gateway in string.gmatch(gateways or '', '%S+') do
  redis.call('PUBLISH', REPLY .. gateway, ARGV[1] .. '\nopen\n' .. ARGV[3])
  told = told + 1
end
return told
