-- Keeps or lets go of the right to migrate, and says how far the data is.
--
-- ARGV  1 nonce of whoever migrates · 2 how long it holds the right from now on (ms), 0: it lets go
--       3 schema of the data now · 4 the oldest schema that can work on it · 5 release of Penstock that made it so;
--         '' for all three: no news
-- Returns 1 · 0 if somebody else has the right by now: nothing was changed
if redis.call('GET', MIGRATING) ~= ARGV[1] then return 0 end
if ARGV[3] ~= '' then
  redis.call('HSET', VERSION, 'schema', ARGV[3], 'compatible_from', ARGV[4], 'written_by', ARGV[5])
end
if ARGV[2] == '0' then
  redis.call('DEL', MIGRATING)
else
  redis.call('PEXPIRE', MIGRATING, ARGV[2])
end
return 1
