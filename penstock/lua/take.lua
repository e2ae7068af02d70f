-- Leases the next ready invocation to a slot. The same nonce again returns the same run: a lost reply costs nothing.
--
-- KEYS  1 queued · 2 running · 3 slots · 4 deadlines · 5 calls · 6 record prefix
-- ARGV  1 clock offset · 2 epoch · 3 slot · 4 nonce · 5 lease (ms) · 6 instance · 7 function
-- Returns {'run', how many are ready after it, id, FIELDS...} · {'empty'} · {'stale'}
local queued, running, slots, deadlines, calls, prefix = unpack(KEYS)
local epoch, slot, nonce = ARGV[2], ARGV[3], ARGV[4]
if not leads(epoch) then return {'stale'} end

local function run(id)
  local reply = redis.call('HMGET', prefix .. id, unpack(FIELDS))
  table.insert(reply, 1, id)
  table.insert(reply, 1, redis.call('ZCARD', queued))
  table.insert(reply, 1, 'run')
  return reply
end

local last_nonce, last_id, last_token = string.match(redis.call('HGET', slots, slot) or '', '^(%S+) (%S+) (%S+)$')
if last_nonce == nonce then
  -- It may have been taken back since, and run elsewhere under the next token.
  local state, token = unpack(redis.call('HMGET', prefix .. last_id, 'state', 'token'))
  if state == 'running' and token == last_token then return run(last_id) end
end

local t = now(ARGV[1])
for _ = 1, 200 do -- keeps the script short when much has expired at once; the next sweep clears it
  local id = redis.call('ZRANGE', queued, 0, 0)[1]
  if not id then return {'empty'} end
  redis.call('ZREM', queued, id)
  redis.call('ZREM', calls, id)
  local record = prefix .. id
  local state, deferrals, observers, callback = unpack(redis.call('HMGET', record,
    'state', 'deferrals', 'observers', 'callback'))
  if not state or not after(state, 'take') then
    redis.call('ZREM', deadlines, id)
  elseif tonumber(redis.call('ZSCORE', deadlines, id) or 0) > t then
    redis.call('ZREM', deadlines, id)
    local token = redis.call('HINCRBY', record, 'token', 1)
    redis.call('HSET', record, 'state', after(state, 'take'), 'started', whole(t), 'instance', ARGV[6], 'epoch', epoch)
    redis.call('ZADD', running, t + ARGV[5], id)
    redis.call('HSET', slots, slot, nonce .. ' ' .. id .. ' ' .. token)
    if wants(callback, 'started') then owe(ARGV[7], id, 'started', t) end
    tell(ARGV[7], id, 'running', token - (deferrals or 0), observers)
    return run(id)
  end
  -- One that is past its age stays in deadlines only: the next sweep ends it as expired.
end
return {'empty'}
