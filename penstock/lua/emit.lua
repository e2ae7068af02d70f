-- Stores what a run says while it goes on. Capped by bytes: the oldest go, and the record says how far they went.
-- The same numbers again write nothing: what is not known to be stored may be sent again. Once the run has ended only
-- its log goes on: an engine tells of the last lines a moment later.
--
-- KEYS  1 record · 2 events
-- ARGV  1 function · 2 id · 3 token · 4 cap (bytes) · 5 number of the first
--       6 bytes that the run said right before it and that nobody kept; they have the number before it
--       then kind and data of each
-- Returns 'ok' · 'stale'
local record, events = unpack(KEYS)
local fn, id, token, cap = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local number, skipped = ARGV[5] - 1, tonumber(ARGV[6])
local state, current, deferrals, last, observers, callback = unpack(redis.call('HMGET', record,
  'state', 'token', 'deferrals', 'events', 'observers', 'callback'))
if current ~= token or state == 'queued' then return 'stale' end

-- Of the last one: the token of its run, its number, and bytes of data up to there.
local last_token, known, size = string.match(last or '', '^(%d+)-(%d+) (%d+)$')
known, size = last_token == token and tonumber(known) or 0, tonumber(size or 0)
local skip
if skipped > 0 and number > known then
  size = size + skipped
  skip = token .. '-' .. whole(number)
end
local before, progress, output, stored = size, nil, nil, nil
for i = 7, #ARGV, 2 do
  local kind, data = ARGV[i], ARGV[i + 1]
  number = number + 1
  if number > known and (state == 'running' or kind == 'log') then
    size = size + #data
    stored = token .. '-' .. whole(number)
    redis.call('XADD', events, stored, 'kind', kind, 'data', data, 'end', whole(size))
    if kind == 'progress' then progress = data end
    if kind == 'output' then output = true end
  end
end
if not stored then return state == 'running' and 'ok' or 'stale' end
redis.call('HSET', record, 'events', stored .. ' ' .. whole(size))
if progress then redis.call('HSET', record, 'progress', progress) end
if state ~= 'running' then redis.call('PEXPIRE', events, redis.call('PTTL', record)) end

local dropped = skip
while true do
  local first = redis.call('XRANGE', events, '-', '+', 'COUNT', 1)[1]
  local data, finish = first[2][4], tonumber(first[2][6])
  local older = skip and finish <= before -- what nobody kept came after it, so that it must not be read without that
  if not older and (size - (finish - #data) <= cap or first[1] == stored) then break end
  redis.call('XDEL', events, first[1])
  if not older then dropped = first[1] end
end
if dropped then redis.call('HSET', record, 'dropped', dropped) end
if callback then
  if progress then owe_update(fn, id, 'progress', callback, record, now(0)) end
  if output then owe_update(fn, id, 'output', callback, record, now(0)) end
end
for gateway in string.gmatch(observers or '', '%S+') do redis.call('PUBLISH', REPLY .. gateway, id) end
if progress then tell(fn, id, 'progress', token - (deferrals or 0), nil, progress) end
return 'ok'
