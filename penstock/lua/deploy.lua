-- Puts a function's new revision, or removes the function, if nobody changed it in between.
--
-- ARGV  1 function · 2 its JSON as the caller read it, or '' · 3 its new JSON, or '' to remove it
--       4 why it is not ready yet, or '' if it is · 5 its tenant
-- Returns 1 · 0 if it, or whose its name is, was changed in between
local fn, tenant = ARGV[1], ARGV[5]
local old = redis.call('HGET', FUNCTIONS, fn)
if (old or '') ~= ARGV[2] then return 0 end
local owner = not old and redis.call('HGET', OWNERS, fn)
if owner and owner ~= tenant then return 0 end
if ARGV[3] == '' then
  redis.call('HDEL', FUNCTIONS, fn)
  redis.call('HSET', OWNERS, fn, tenant)
  redis.call('INCR', ACCESS_CHANGES)
else
  redis.call('HSET', FUNCTIONS, fn, ARGV[3])
  if owner then
    redis.call('HDEL', OWNERS, fn)
    redis.call('INCR', ACCESS_CHANGES)
  end
end
if ARGV[4] == '' then
  redis.call('HDEL', UNREADY, fn)
else
  redis.call('HSET', UNREADY, fn, ARGV[4])
end
redis.call('INCR', CHANGES)
redis.call('PUBLISH', CHANGED, fn)
return 1
