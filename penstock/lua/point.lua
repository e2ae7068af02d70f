-- Adds a point to what a function did over time. The first of a minute sums up the last minute that had any, so that
-- nobody has to remember one: a new leader goes on where the old one ended.
--
-- KEYS  1 seconds · 2 minutes
-- ARGV  1 clock offset · 2 epoch of the leader, or '' if it is a gateway's · 3 function · 4 point (JSON)
--       5 keep seconds (ms) · 6 keep minutes (ms)
-- Returns 'ok' · 'stale'
local seconds, minutes = KEYS[1], KEYS[2]
if ARGV[2] ~= '' and not leads(ARGV[2]) then return 'stale' end
local MINUTE = 60000
local t = now(ARGV[1])

local function parts(id)
  local ms, number = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(number)
end

-- Adds one point to another, as penstock/series.py does.
local function add(whole_point, point)
  for name, value in pairs(point) do
    if type(value) == 'table' then
      whole_point[name] = whole_point[name] or {}
      for bucket, count in pairs(value) do
        whole_point[name][bucket] = (whole_point[name][bucket] or 0) + count
      end
    elseif PEAKS[name] then
      whole_point[name] = math.max(whole_point[name] or value, value)
    else
      whole_point[name] = (whole_point[name] or 0) + value
    end
  end
end

local last = redis.call('XREVRANGE', seconds, '+', '-', 'COUNT', 1)[1]
local ms, number = t, 0
if last then
  local last_ms, last_number = parts(last[1])
  if last_ms >= t then ms, number = last_ms, last_number + 1 end
  local minute = last_ms - last_ms % MINUTE
  if ms - ms % MINUTE > minute then
    local sum = {}
    for _, entry in ipairs(redis.call('XRANGE', seconds, whole(minute), whole(minute + MINUTE - 1))) do
      add(sum, cjson.decode(entry[2][2]))
    end
    redis.call('XADD', minutes, 'MINID', '~', whole(t - ARGV[6]), whole(minute) .. '-0', 'p', cjson.encode(sum))
    redis.call('PEXPIRE', minutes, ARGV[6])
  end
end
redis.call('XADD', seconds, 'MINID', '~', whole(t - ARGV[5]), whole(ms) .. '-' .. whole(number), 'p', ARGV[4])
redis.call('PEXPIRE', seconds, ARGV[5])
redis.call('ZADD', SERIES, ms, ARGV[3])
redis.call('ZREMRANGEBYSCORE', SERIES, '-inf', t - ARGV[5])
return 'ok'
