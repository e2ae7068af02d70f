-- Opens a batch: jobs can be submitted to it until it is sealed. The same request under the same key finds the first
-- one, and has more time to fill it if it is not sealed yet.
--
-- KEYS  1 batch · 2 filling · 3 idempotency
-- ARGV  1 clock offset · 2 function · 3 id · 4 how many lines it has · 5 JSON of the callback, or ''
--       6 how long until it is sealed as abandoned (ms) · 7 hash of the request if it has an Idempotency-Key, or ''
-- Returns {'ok', id} · {'unknown'} · {'joined', id} · {'conflict', id}
local batch, filling, idem = unpack(KEYS)
local fn, id = ARGV[2], ARGV[3]
if redis.call('HEXISTS', FUNCTIONS, fn) == 0 then return {'unknown'} end
local t = now(ARGV[1])
local until_then = t + ARGV[6]

if ARGV[7] ~= '' then
  local first, hash = string.match(redis.call('GET', idem) or '', '^(%S+) (%S+)$')
  if first and redis.call('EXISTS', string.format(BATCH, fn, first)) == 1 then
    if hash ~= ARGV[7] then return {'conflict', first} end
    redis.call('ZADD', filling, 'XX', until_then, first)
    return {'joined', first}
  end
end

redis.call('HSET', batch, 'created', whole(t), 'lines', ARGV[4])
if ARGV[5] ~= '' then redis.call('HSET', batch, 'callback', ARGV[5]) end
if ARGV[7] ~= '' then
  redis.call('SET', idem, id .. ' ' .. ARGV[7])
  redis.call('HSET', batch, 'idem', idem)
end
redis.call('ZADD', filling, until_then, id)
redis.call('ZADD', ACTIVE, 'LT', until_then, fn)
return {'ok', id}
