-- What became of a delivery that was claimed: it is due again, or it has ended. One that was owed anew meanwhile has
-- another turn at once.
--
-- KEYS  1 delivery · 2 ended deliveries · 3 ledger · 4 delivery prefix · 5 record
-- ARGV  1 clock offset · 2 function · 3 delivery · 4 host · 5 turn · 6 state · 7 ms until the next attempt
--       8 the attempt as JSON, or '' if none was made
-- Returns the state that it is in now, or '' if it is forgotten
local delivery, ended, ledger, prefix, record = unpack(KEYS)
local fn, name, host = ARGV[2], ARGV[3], ARGV[4]
local member = fn .. ' ' .. name
local lane = LANE .. host
local owed = redis.call('ZREM', lane, member)
relane(host)
local turn, before, attempts = unpack(redis.call('HMGET', delivery, 'turn', 'state', 'attempts'))
if not turn then return '' end
local t = now(ARGV[1])
redis.call('HDEL', delivery, 'claimed', 'manual')
if ARGV[8] ~= '' then
  attempts = attempts and attempts .. '\n' .. ARGV[8] or ARGV[8]
  local _, more = string.gsub(attempts, '\n', '\n')
  if more >= ATTEMPTS_KEPT then attempts = string.match(attempts, '\n(.*)$') end
  redis.call('HSET', delivery, 'attempts', attempts)
  redis.call('HINCRBY', delivery, 'made', 1)
  if turn == ARGV[5] then redis.call('HINCRBY', delivery, 'spent', 1) end
end
-- A late word, after a claim that ran out: somebody else has ended it.
if owed == 0 and ARGV[6] == 'pending' then return before end
if ARGV[6] == 'pending' or turn ~= ARGV[5] then
  local due = turn == ARGV[5] and t + ARGV[7] or t
  redis.call('ZADD', lane, due, member)
  redis.call('HSET', delivery, 'state', 'pending', 'due', whole(due))
  relane(host)
  -- The next attempt tells of the record, so it outlives its retention until then.
  local ttl = redis.call('PTTL', record)
  local least = due - t + 3600000
  if ttl >= 0 and ttl < least then redis.call('PEXPIRE', record, whole(least)) end
  return 'pending'
end
redis.call('HSET', delivery, 'state', ARGV[6], 'ended', whole(t))
redis.call('HDEL', delivery, 'due')
redis.call('ZADD', ended, t, name)
for _, key in ipairs({delivery, ended, ledger}) do redis.call('PEXPIRE', key, 2 * LEDGER_KEEP) end
-- What is old, or too much, leaves the ledger a few at a time; what is owed never does.
local excess = redis.call('ZCARD', ended) - LEDGER_MOST
for place, old in ipairs(redis.call('ZRANGE', ended, 0, 9)) do
  if place > excess and tonumber(redis.call('ZSCORE', ended, old)) > t - LEDGER_KEEP then break end
  redis.call('ZREM', ended, old)
  redis.call('ZREM', ledger, old)
  redis.call('DEL', prefix .. old)
end
return ARGV[6]
