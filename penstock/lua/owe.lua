-- Turns what is owed into a delivery to each endpoint. One that is there already has another turn: an update or a
-- start that came again is told again.
--
-- KEYS  1 ledger · 2 delivery prefix
-- ARGV  1 clock offset · 2 member of the outbox · then for each endpoint: delivery, host, URL, payload
-- Returns 1 · 0 if it is no longer owed
local ledger, prefix = unpack(KEYS)
if redis.call('ZREM', OUTBOX, ARGV[2]) == 0 then return 0 end
local fn, id, what = string.match(ARGV[2], '^(%S+) (%S+) (%S+)$')
local t = now(ARGV[1])
for i = 3, #ARGV, 4 do
  local name, host, url, payload = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local delivery = prefix .. name
  if redis.call('HINCRBY', delivery, 'turn', 1) == 1 then
    redis.call('HSET', delivery, 'of', id, 'what', what, 'url', url, 'payload', payload, 'created', whole(t))
    redis.call('ZADD', ledger, t, name)
  end
  pend(delivery, fn, name, host, t)
end
redis.call('PEXPIRE', ledger, 2 * LEDGER_KEEP)
return 1
