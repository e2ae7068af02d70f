-- Changes what is kept of a function's versions, and publishes or removes one of them with it, if nobody changed it in
-- between.
--
-- ARGV  1 function · 2 its versions and aliases as JSON as the caller read them, or '' · 3 as they are to be, or '' for none
--       4 the version to be published or removed, or '' · 5 its JSON, or '' to remove it · 6 why it is not ready yet
-- Returns 1 · 0 if they were changed in between, or there is no function to publish a version of
if (redis.call('HGET', VERSIONS, ARGV[1]) or '') ~= ARGV[2] then return 0 end
if ARGV[3] ~= '' and redis.call('HEXISTS', FUNCTIONS, ARGV[1]) == 0 then return 0 end
if ARGV[3] == '' then
  redis.call('HDEL', VERSIONS, ARGV[1])
else
  redis.call('HSET', VERSIONS, ARGV[1], ARGV[3])
end
if ARGV[4] ~= '' and ARGV[5] == '' then
  redis.call('HDEL', FUNCTIONS, ARGV[4])
  redis.call('HDEL', UNREADY, ARGV[4])
elseif ARGV[4] ~= '' then
  redis.call('HSET', FUNCTIONS, ARGV[4], ARGV[5])
  redis.call('HSET', UNREADY, ARGV[4], ARGV[6])
end
redis.call('INCR', CHANGES)
redis.call('PUBLISH', CHANGED, ARGV[1])
return 1
