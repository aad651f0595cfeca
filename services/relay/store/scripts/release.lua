#!lua flags=allow-oom
-- Releases the lease, if it is ours, and publishes a hint to the other uplinks.
--
-- KEYS  lease
-- ARGV  1 token, 2 channel, 3 slug
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.pcall('PUBLISH', ARGV[2], ARGV[3]) -- as in append.lua
return 1
