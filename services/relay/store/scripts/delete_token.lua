#!lua flags=allow-oom
-- Deletes a token of the admin API.
--
-- KEYS  tokens
-- ARGV  1 name
--
-- Returns 1, or 0 if there is none of this name.
return redis.call('HDEL', KEYS[1], ARGV[1])
