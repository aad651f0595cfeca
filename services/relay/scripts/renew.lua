-- Takes a free lease, or makes our own last longer.
--
-- KEYS  lease
-- ARGV  1 token, 2 ttl_ms
--
-- Returns 1 when the lease is ours now, 0 when another has it.
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
