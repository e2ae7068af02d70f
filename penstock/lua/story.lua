-- An invocation, and what its runs said after a place: read at one moment, so that the two suit each other.
--
-- KEYS  1 record · 2 events
-- ARGV  1 the place, as XRANGE has it · then fields of the record
-- Returns {{value of each field}, place of what the cap took last, {place, {field, value, ...}, ...}}
local record, events = KEYS[1], KEYS[2]
local values = redis.call('HMGET', record, unpack(ARGV, 2))
local stored, dropped = unpack(redis.call('HMGET', record, 'events', 'dropped'))
return {values, dropped, stored and redis.call('XRANGE', events, ARGV[1], '+') or {}}
