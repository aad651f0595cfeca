-- Takes results that were passed on off the stream, if the lease is still ours.
--
-- KEYS  lease, results
-- ARGV  1 lease token, 2 the first entry that is still needed
--
-- Returns 1, or 0 when the lease is lost.
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
redis.call('XTRIM', KEYS[2], 'MINID', ARGV[2])
return 1
