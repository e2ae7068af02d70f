-- Stores what a run says while it goes on. Capped by bytes: the oldest go, and the record says how far they went.
--
-- KEYS  1 record · 2 events
-- ARGV  1 function · 2 id · 3 token · 4 cap (bytes) · then kind and data of each
-- Returns 'ok' · 'stale'
local record, events = unpack(KEYS)
local fn, id, token, cap = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local state, current, deferrals, last, observers, callback = unpack(redis.call('HMGET', record,
  'state', 'token', 'deferrals', 'events', 'observers', 'callback'))
-- An engine tells of the last lines a moment after the end.
if current ~= token or state == 'queued' then return 'stale' end

-- Of the last one: the token of its run, its number, and bytes of data up to there.
local last_token, number, size = string.match(last or '', '^(%d+)-(%d+) (%d+)$')
number, size = last_token == token and tonumber(number) or 0, tonumber(size or 0)
local progress, output
for i = 5, #ARGV, 2 do
  local kind, data = ARGV[i], ARGV[i + 1]
  number, size = number + 1, size + #data
  redis.call('XADD', events, token .. '-' .. number, 'kind', kind, 'data', data, 'end', whole(size))
  if kind == 'progress' then progress = data end
  if kind == 'output' then output = true end
end
redis.call('HSET', record, 'events', token .. '-' .. number .. ' ' .. whole(size))
if progress then redis.call('HSET', record, 'progress', progress) end
if state ~= 'running' then redis.call('PEXPIRE', events, redis.call('PTTL', record)) end

while true do
  local first = redis.call('XRANGE', events, '-', '+', 'COUNT', 1)[1]
  local data, finish = first[2][4], tonumber(first[2][6])
  if size - (finish - #data) <= cap or first[1] == token .. '-' .. number then break end
  redis.call('XDEL', events, first[1])
  redis.call('HSET', record, 'dropped', first[1])
end
if callback then
  if progress then owe_update(fn, id, 'progress', callback, record, now(0)) end
  if output then owe_update(fn, id, 'output', callback, record, now(0)) end
end
tell(fn, id, progress and 'progress' or 'output', token - (deferrals or 0), observers, progress)
return 'ok'
