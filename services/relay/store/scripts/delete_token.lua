#!lua flags=allow-oom
-- Deletes a token of the admin API.
--
-- KEYS  tokens
-- ARGV  1 name
--
-- Returns 1, or 0 if there is none of this name.
local found = redis.call('HEXISTS', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], '') -- if it is gone already: WAIT needs a write (run_until in store/client.py)
redis.call('HDEL', KEYS[1], ARGV[1])
return found
