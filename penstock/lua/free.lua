-- Frees the leases that were taken under an epoch whose leader is known to be dead.
--
-- KEYS  1 running · 2 record prefix
-- ARGV  1 function · 2 epoch
-- Returns how many
local running, prefix = unpack(KEYS)
local freed = 0
for _, id in ipairs(redis.call('ZRANGE', running, 0, -1)) do
  if redis.call('HGET', prefix .. id, 'epoch') == ARGV[2] then
    redis.call('ZREM', running, id)
    redis.call('ZADD', running, 0, id)
    freed = freed + 1
  end
end
if freed > 0 then redis.call('ZADD', ACTIVE, 0, ARGV[1]) end
return freed
