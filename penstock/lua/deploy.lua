-- Puts a function's new revision, or removes the function, if nobody changed it in between.
--
-- ARGV  1 function · 2 its JSON as the caller read it, or '' · 3 its new JSON, or '' to remove it
--       4 why it is not ready yet, or '' if it is
-- Returns 1 · 0 if it was changed in between
local old = redis.call('HGET', FUNCTIONS, ARGV[1])
if (old or '') ~= ARGV[2] then return 0 end
if ARGV[3] == '' then
  redis.call('HDEL', FUNCTIONS, ARGV[1])
else
  redis.call('HSET', FUNCTIONS, ARGV[1], ARGV[3])
end
if ARGV[4] == '' then
  redis.call('HDEL', UNREADY, ARGV[1])
else
  redis.call('HSET', UNREADY, ARGV[1], ARGV[4])
end
redis.call('INCR', CHANGES)
redis.call('PUBLISH', CHANGED, ARGV[1])
return 1
