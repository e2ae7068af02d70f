-- Accepts an invocation: writes its record, enqueues it and wakes the workers. Idempotent by id.
--
-- KEYS  1 record · 2 queued · 3 delayed · 4 deadlines · 5 jobs · 6 calls · 7 memory · 8 idempotency
--       9 record prefix
-- ARGV  1 clock offset · 2 function · 3 id · 4 kind · 5 band · 6 age (ms) · 7 delay (ms) · 8 depth allowed
--       9 meta · 10 body, or '' if meta holds it · 11 gateway that waits, or '' · 12 what callbacks are owed of, or ''
--       13 runs at most · 14 the id's own time (ms) · 15 hash of the request if it has an Idempotency-Key, or ''
--       16 gateway that follows it, or '' · 17 its batch, or '' · 18 which job of the batch it is, from 0
--       19 whose it is among those who share the queue, or '' · 20 limits, each 'whose interval burst in_flight ':
--       '-' for the function's or the id of a key, ms between two calls, calls at once, calls in flight; 0: any
-- Returns {'ok', waiting before it} · {'known', state} · {'full', waiting} · {'unknown'}
--         · {'joined', id} of the same request under the same key · {'conflict', id} of another one
--         · {'sealed'}: its batch takes no more jobs
--         · {'limited', whose, 'rate', ms until there is room} · {'limited', whose, 'in_flight', in flight}
local record, queued, delayed, deadlines, jobs, calls, memory, idem, prefix = unpack(KEYS)
local fn, id, kind = ARGV[2], ARGV[3], ARGV[4]

local state = redis.call('HGET', record, 'state')
if state then return {'known', state} end
if redis.call('HEXISTS', FUNCTIONS, fn) == 0 then return {'unknown'} end

if ARGV[15] ~= '' then
  local first, hash = string.match(redis.call('GET', idem) or '', '^(%S+) (%S+)$')
  if first and redis.call('EXISTS', prefix .. first) == 1 then
    return {hash == ARGV[15] and 'joined' or 'conflict', first}
  end
end

if ARGV[17] ~= '' then
  local created, sealed = unpack(redis.call('HMGET', string.format(BATCH, fn, ARGV[17]), 'created', 'sealed'))
  if not created or sealed then return {'sealed'} end
end

local t = now(ARGV[1])
local paid, flies
if ARGV[20] ~= '' then
  paid = {}
  for whose, interval, burst, most in string.gmatch(ARGV[20], '(%S+) (%S+) (%S+) (%S+) ') do
    local own = whose ~= '-'
    if most ~= '0' then
      local flying
      if own then
        flies = string.format(KEY_FLYING, whose)
        flying = redis.call('ZCARD', flies)
        -- What ends takes itself out. What was lost with its record is looked for when it may stand in the way.
        for _, one in ipairs(flying >= tonumber(most) and redis.call('ZRANDMEMBER', flies, 5) or {}) do
          local state = redis.call('HGET', string.format(RECORD, string.match(one, '^(%S+) (%S+)$')), 'state')
          if state ~= 'queued' and state ~= 'running' then flying = flying - redis.call('ZREM', flies, one) end
        end
      else
        flying = redis.call('ZCARD', deadlines) + redis.call('ZCARD', string.format(RUNNING, fn))
      end
      if flying >= tonumber(most) then return {'limited', whose, 'in_flight', flying} end
    end
    if interval ~= '0' then
      -- GCRA: a call is early by what those before it took ahead of time, and so many may be early.
      local rate = own and string.format(KEY_RATE, whose) or string.format(RATE, fn)
      local early = math.max(tonumber(redis.call('GET', rate) or 0) - t, 0)
      local wait = early - (burst - 1) * interval
      if wait > 0 then return {'limited', whose, 'rate', math.ceil(wait)} end
      paid[#paid + 1] = {rate, t + early + interval, early + interval}
    end
  end
end

local held = redis.call('ZCARD', calls)
local ahead = redis.call('ZCARD', queued)
local waiting = held
if kind == 'job' then waiting = ahead - held + redis.call('ZCARD', delayed) end
if waiting >= tonumber(ARGV[8]) then return {'full', waiting} end

-- First a write that a full Redis refuses: nothing is half-written then.
local tag = redis.call('HINCRBY', memory, 'tag', 1)
if ARGV[19] ~= '' then
  -- Start-time fair queueing: a party's next job stands where the head of the band is now, or behind its own last.
  -- No tag is higher than the number of submits, which is where the queue goes on once it is empty.
  local shares = string.format(SHARES, fn)
  local band, party = ARGV[5], ARGV[5] .. ' ' .. ARGV[19]
  local first = ARGV[5] * 1125899906842624
  local head = redis.call('ZRANGEBYSCORE', queued, first, '(' .. whole(first + 1125899906842624), 'WITHSCORES',
    'LIMIT', 0, 1)[2]
  local virtual, last = unpack(redis.call('HMGET', shares, band, party))
  if head then virtual = math.max(virtual or 0, head - first) else virtual = tag end
  tag = math.min(math.max(virtual, (last or 0) + 1), tag)
  redis.call('HSET', shares, band, whole(virtual), party, whole(tag))
  redis.call('PEXPIRE', shares, ARGV[6] + ARGV[7])
end
local score = whole(ARGV[5] * 1125899906842624 + tag)
for _, one in ipairs(paid or {}) do redis.call('SET', one[1], string.format('%.3f', one[2]), 'PX', math.ceil(one[3])) end
redis.call('HSET', record, 'state', 'queued', 'meta', ARGV[9],
  'terms', score .. ' ' .. whole(t) .. ' ' .. ARGV[6] .. ' ' .. ARGV[13])
if kind == 'call' then redis.call('HSET', record, 'kind', kind) end
if ARGV[10] ~= '' then redis.call('HSET', record, 'body', ARGV[10]) end
if ARGV[11] ~= '' then redis.call('HSET', record, 'gateways', ARGV[11]) end
if ARGV[16] ~= '' then redis.call('HSET', record, 'observers', ARGV[16]) end
if ARGV[12] ~= '' then redis.call('HSET', record, 'callback', ARGV[12]) end
if ARGV[15] ~= '' then
  redis.call('SET', idem, id .. ' ' .. ARGV[15])
  redis.call('HSET', record, 'idem', idem)
end
if flies then
  redis.call('HSET', record, 'flies', flies)
  redis.call('ZADD', flies, t, fn .. ' ' .. id)
end
if ARGV[17] ~= '' then
  redis.call('HSET', record, 'batch', ARGV[17])
  redis.call('SETBIT', string.format(BATCH_ACCEPTED, fn, ARGV[17]), ARGV[18], 1)
end

local ready = t + ARGV[7]
if ready > t then
  redis.call('ZADD', delayed, ready, id)
else
  redis.call('ZADD', queued, score, id)
  if kind == 'call' then redis.call('ZADD', calls, score, id) end
end
redis.call('ZADD', deadlines, ready + ARGV[6], id)
if kind == 'job' then redis.call('ZADD', jobs, ARGV[14], id) end
redis.call('ZADD', ACTIVE, 'LT', ready, fn)
redis.call('PUBLISH', WAKE, fn)
tell(fn, id, 'queued', 0, ARGV[16])
return {'ok', ahead}
