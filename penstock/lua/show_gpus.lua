-- Writes what the cards of the machine look like, for gateways to show.
--
-- ARGV  1 epoch · 2 JSON
-- Returns 'ok' · 'stale'
if not leads(ARGV[1]) then return 'stale' end
redis.call('SET', GPUS, ARGV[2])
return 'ok'
