-- Reads Redis' clock on the server that has this key: on a cluster, a command without a key could go to any server.
--
-- KEYS  any key of the instance
--
-- Returns seconds and microseconds.
return redis.call('TIME')
