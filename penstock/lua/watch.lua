-- Adds a gateway to those that are told how an invocation ends.
--
-- KEYS  1 record
-- ARGV  1 gateway
-- Returns the state, or false if there is no record
local state, gateways = unpack(redis.call('HMGET', KEYS[1], 'state', 'gateways'))
if state and MOVES[state] and not string.find(' ' .. (gateways or '') .. ' ', ' ' .. ARGV[1] .. ' ', 1, true) then
  redis.call('HDEL', KEYS[1], 'gateways') -- first, so that a full Redis lets the HSET through
  redis.call('HSET', KEYS[1], 'gateways', gateways and gateways .. ' ' .. ARGV[1] or ARGV[1])
end
return state
