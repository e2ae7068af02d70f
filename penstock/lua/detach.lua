-- Makes a held call an async job: its client no longer waits, but the work goes on.
--
-- KEYS  1 record · 2 calls · 3 jobs
-- ARGV  1 id · 2 the id's own time (ms)
-- Returns the state, or false if there is no record; one that has ended stays as it is
local record, calls, jobs = unpack(KEYS)
local state = redis.call('HGET', record, 'state')
if state and MOVES[state] then
  redis.call('ZREM', calls, ARGV[1])
  redis.call('HDEL', record, 'kind')
  redis.call('ZADD', jobs, ARGV[2], ARGV[1])
end
return state
