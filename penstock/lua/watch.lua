-- Adds a gateway to those that are told how an invocation ends, or of all that happens to it.
--
-- KEYS  1 record
-- ARGV  1 gateway · 2 'gateways', or 'observers' for those that are told everything
-- Returns the state, or false if there is no record
local state, gateways = unpack(redis.call('HMGET', KEYS[1], 'state', ARGV[2]))
if state and MOVES[state] and not string.find(' ' .. (gateways or '') .. ' ', ' ' .. ARGV[1] .. ' ', 1, true) then
  redis.call('HDEL', KEYS[1], ARGV[2]) -- first, so that a full Redis lets the HSET through
  redis.call('HSET', KEYS[1], ARGV[2], gateways and gateways .. ' ' .. ARGV[1] or ARGV[1])
end
return state
